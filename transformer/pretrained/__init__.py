"""Model directories: saving and loading, in our format and in those of Hugging Face.

snapshot (files that change together) → huggingface (the families) → directory (names of files) → saving,
loading → models (the public classes).
"""

from transformer.pretrained.loading import check_classifiers, load_both, load_classifier, load_stack, load_tokenizer
from transformer.pretrained.models import (
    CausalLM,
    Decoder,
    Encoder,
    MaskedLM,
    PretrainedModel,
    SequenceClassifier,
    TokenClassifier,
    Transformer,
    from_pretrained,
)

__all__ = [
    "CausalLM",
    "Decoder",
    "Encoder",
    "MaskedLM",
    "PretrainedModel",
    "SequenceClassifier",
    "TokenClassifier",
    "Transformer",
    "from_pretrained",
    "check_classifiers",
    "load_both",
    "load_classifier",
    "load_stack",
    "load_tokenizer",
]
