"""Small random models made by ``transformers``, one for each kind of configuration that is read here."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import transformer

VOCABULARY = 60
_BASE = {"vocab_size": VOCABULARY}
_GPT2 = {**_BASE, "n_positions": 24, "n_embd": 16, "n_layer": 2, "n_head": 4, "bos_token_id": 2, "eos_token_id": 2}
_GPT2_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
_BERT = {
    **_BASE,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 24,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
_BART = {
    **_BASE,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "max_position_embeddings": 24,
    "dropout": 0.0,
    "pad_token_id": 1,
    "eos_token_id": 2,
    "forced_eos_token_id": None,
}
_T5 = {
    **_BASE,
    "d_model": 16,
    "d_kv": 6,
    "d_ff": 24,
    "num_layers": 2,
    "num_decoder_layers": 1,
    "num_heads": 2,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 12,
    "dropout_rate": 0.0,
    "decoder_start_token_id": 0,
}

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {  # their model class, their configuration class, its settings
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", {**_GPT2, **_GPT2_DROPOUT}),
    "gpt2-without-head": ("GPT2Model", "GPT2Config", {**_GPT2, **_GPT2_DROPOUT}),
    "gpt2-other-choices": (
        "GPT2LMHeadModel",
        "GPT2Config",
        {
            **_GPT2,
            **_GPT2_DROPOUT,
            "n_inner": 40,
            "activation_function": "relu",
            "scale_attn_weights": False,
            "tie_word_embeddings": False,
            "layer_norm_epsilon": 1e-3,
        },
    ),
    "bert": ("BertForMaskedLM", "BertConfig", _BERT),
    "bert-other-choices": (
        "BertForMaskedLM",
        "BertConfig",
        {**_BERT, "type_vocab_size": 3, "hidden_act": "gelu_new", "layer_norm_eps": 1e-3},
    ),
    "bert-encoder": ("BertModel", "BertConfig", _BERT),
    "bert-pretraining": ("BertForPreTraining", "BertConfig", _BERT),
    "bart": ("BartForConditionalGeneration", "BartConfig", {**_BART, "decoder_start_token_id": 2}),
    "bart-other-choices": (
        "BartForConditionalGeneration",
        "BartConfig",
        {**_BART, "scale_embedding": True, "activation_function": "relu", "init_std": 0.1},
    ),
    "marian": (
        "MarianMTModel",
        "MarianConfig",
        {**_BART, "scale_embedding": True, "activation_function": "swish", "decoder_start_token_id": 1},
    ),
    "t5": ("T5ForConditionalGeneration", "T5Config", _T5),
    "t5-1.1": (
        "T5ForConditionalGeneration",
        "T5Config",
        {**_T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    ),
    "t5-gated-silu": ("T5ForConditionalGeneration", "T5Config", {**_T5, "feed_forward_proj": "gated-silu"}),
}
ENCODER_DECODERS = [case for case in CASES if case.startswith(("bart", "marian", "t5"))]
UNUSED = ("bert-encoder", "bert-pretraining")  # these have weights that nothing here uses


@dataclass
class Pair:
    """A model of theirs, and what was read of its directory."""

    theirs: Any
    ours: Any
    directory: Path

    def inputs(self) -> tuple[np.ndarray, ...]:
        """Token ids, none of them special: what both models read."""
        rng = np.random.default_rng(3)
        source, target = rng.integers(3, VOCABULARY, (2, 7)), rng.integers(3, VOCABULARY, (2, 5))
        return (source, target) if self.theirs.config.is_encoder_decoder else (source,)

    def output(self, *inputs: np.ndarray, **others: Any) -> Any:
        """Their logits, or the vectors of a model without a head, as a tensor with a graph."""
        import torch

        names = ("input_ids", "decoder_input_ids")
        given = dict(zip(names, inputs, strict=False)) | others
        result = self.theirs(**{name: torch.tensor(value) for name, value in given.items()})
        return result[0]


def make(case: str, directory: Path) -> Pair:
    """A model whose every weight is random, saved by them and read by us."""
    import torch
    import transformers

    model_class, config_class, settings = CASES[case]
    torch.manual_seed(0)
    theirs = getattr(transformers, model_class)(getattr(transformers, config_class)(**settings)).eval()
    if case == "t5-1.1":  # their constructor ties what their files may hold apart
        theirs.lm_head.weight = torch.nn.Parameter(theirs.lm_head.weight.detach().clone())
        theirs.all_tied_weights_keys.pop("lm_head.weight")
    with torch.no_grad():
        for name, value in [*theirs.named_parameters(), *theirs.named_buffers()]:
            if value.is_floating_point() and not (case == "marian" and "embed_positions" in name):
                value.normal_(0, 0.3)
    theirs.save_pretrained(directory)
    return Pair(theirs, read(directory), directory)


def read(directory: Path) -> Any:
    """The model of a directory; a warning about weights without use is no error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*no use for the weights")
        return transformer.from_pretrained(directory)
