"""The Transformer of "Attention Is All You Need" on minigrad, readable top to bottom.

model (the architecture, from config to models) and data (corpora, tokenizer, batches) → decode → pretrained (model
directories) → train, evaluate, embeddings, export → plots, explanation → tasks → cli, examples.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from minigrad import __version__
from minigrad.name_hints import module_hints as _module_hints
from transformer.data.tokenizer import Tokenizer
from transformer.decode import GenerationConfig, generate
from transformer.embeddings import SentenceEncoder
from transformer.explanation import explain
from transformer.export import export_onnx
from transformer.huggingface_names import HINTS as _HINTS
from transformer.model.attention import MultiHeadAttention, record_attention
from transformer.model.config import TransformerConfig
from transformer.model.lora import LoraConfig
from transformer.plots.attention import draw_attention
from transformer.pretrained import (
    CausalLM,
    Decoder,
    Encoder,
    MaskedLM,
    PretrainedModel,
    SequenceClassifier,
    TokenClassifier,
    Transformer,
    from_pretrained,
    load_tokenizer,
)
from transformer.train import Trainer, TrainingConfig

__all__ = [
    "CausalLM",
    "Decoder",
    "Encoder",
    "GenerationConfig",
    "LoraConfig",
    "MaskedLM",
    "MultiHeadAttention",
    "PretrainedModel",
    "SentenceEncoder",
    "SequenceClassifier",
    "TokenClassifier",
    "Tokenizer",
    "Trainer",
    "TrainingConfig",
    "Transformer",
    "TransformerConfig",
    "__version__",
    "draw_attention",
    "explain",
    "export_onnx",
    "from_pretrained",
    "generate",
    "load_tokenizer",
    "record_attention",
]

if not _TYPE_CHECKING:
    __getattr__ = _module_hints(__name__, _HINTS["transformer"])
