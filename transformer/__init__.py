"""The Transformer of "Attention Is All You Need" on minigrad, readable top to bottom.

model (the architecture, from config to models) and data (corpora, tokenizer, batches) → decode → pretrained (model
directories) → train, evaluate, export → plots, explanation → tasks → cli, examples.
"""

from minigrad import __version__
from transformer.data.tokenizer import Tokenizer
from transformer.decode import GenerationConfig, generate
from transformer.explanation import explain
from transformer.export import export_onnx
from transformer.model.attention import MultiHeadAttention, record_attention
from transformer.model.config import TransformerConfig
from transformer.plots.attention import draw_attention
from transformer.pretrained import (
    CausalLM,
    Decoder,
    Encoder,
    MaskedLM,
    PretrainedModel,
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
    "MaskedLM",
    "MultiHeadAttention",
    "PretrainedModel",
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
