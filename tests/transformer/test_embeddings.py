"""Sentence embeddings are those of the modules that a directory names, whatever else is in the batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from minigrad import no_grad
from tests.transformer.conftest import small
from transformer import CausalLM, Decoder, Encoder, MaskedLM, SentenceEncoder, Tokenizer, Transformer
from transformer.embeddings import POOLINGS, SWITCHES

TEXTS = ["to be or not to be", "that", "the question that is not to be", ""]
TOKENIZER = Tokenizer.train(TEXTS, vocab_size=280)
ENCODER = Encoder(small(vocab_size=280, decoder_layers=0)).eval()
DECODER = Decoder(small(vocab_size=280, encoder_layers=0)).eval()
BY_HAND: dict[str, Any] = {  # of the vectors (T, D) of one text
    "cls": lambda x: x[0],
    "lasttoken": lambda x: x[-1],
    "max": lambda x: x.max(0),
    "mean": lambda x: x.mean(0),
    "mean_sqrt_len_tokens": lambda x: x.sum(0) / np.sqrt(len(x)),
}
MODULES = [
    {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"idx": 2, "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
]


def write(directory: Path, name: str, content: Any) -> None:
    (directory / name).parent.mkdir(exist_ok=True)
    (directory / name).write_text(json.dumps(content))


@given(
    poolings=st.lists(st.sampled_from(list(BY_HAND)), min_size=1, max_size=2, unique=True),
    switches=st.booleans(),
    normalized=st.booleans(),
    model=st.sampled_from([ENCODER, DECODER]),
    limit=st.sampled_from([None, 3]),
    prompt=st.sampled_from([None, "query"]),
    batch_size=st.integers(1, 4),
)
def test_embeddings_are_pooled_as_the_modules_say(
    poolings: list[str],
    switches: bool,
    normalized: bool,
    model: Any,
    limit: int | None,
    prompt: str | None,
    batch_size: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    directory = tmp_path_factory.mktemp("sentences")
    model.save_pretrained(directory, TOKENIZER)
    if switches:
        poolings = [name for name in SWITCHES.values() if name in poolings]  # in their order
        content: dict[str, Any] = {switch: name in poolings for switch, name in SWITCHES.items()}
    else:
        content = {"pooling_mode": poolings[0] if len(poolings) == 1 else poolings}
    write(directory, "modules.json", MODULES if normalized else MODULES[:2])
    write(directory, "1_Pooling/config.json", content)
    write(directory, "sentence_bert_config.json", {"max_seq_length": limit, "do_lower_case": True})
    prompts = {"prompts": {"query": "that is "}, "default_prompt_name": prompt}
    write(directory, "config_sentence_transformers.json", prompts)
    found = SentenceEncoder.from_pretrained(directory).embed([text.upper() for text in TEXTS], batch_size=batch_size)
    for vector, text in zip(found, TEXTS, strict=True):
        (ids,) = TOKENIZER.encode([("that is " if prompt else "") + text])
        if limit is not None and len(ids) > limit:
            ids = [*ids[: limit - 1], ids[-1]]  # texts end all the same
        with no_grad():
            x = model(np.array([ids])).numpy()[0]
        expected = np.concatenate([BY_HAND[name](x) for name in poolings])
        expected = expected / np.linalg.norm(expected) if normalized else expected
        np.testing.assert_allclose(vector, expected, atol=2e-5)


def test_without_modules_a_model_of_any_kind_gives_the_mean_of_its_encoder(tmp_path: Path) -> None:
    model = MaskedLM(small(vocab_size=280, mask_id=3)).eval()
    model.save_pretrained(tmp_path, TOKENIZER)
    with no_grad():
        expected = model.encoder(np.array(TOKENIZER.encode(["that"]))).numpy().mean(1)
    np.testing.assert_allclose(SentenceEncoder.from_pretrained(tmp_path).embed(["that"]), expected, atol=1e-6)


def test_a_directory_that_names_a_head_needs_no_weights_of_it(tmp_path: Path) -> None:
    """Some sentence encoders are said to be masked models, of which they have the encoder alone."""
    bert = {"positions": "learned", "embedding_norm": True, "activation": "gelu", "init_std": 0.02}
    bert |= {"scale_embedding": False, "output_bias": True, "token_types": 2}
    encoder = Encoder(small(vocab_size=280, decoder_layers=0, **bert)).eval()
    encoder.save_pretrained(tmp_path, TOKENIZER)
    path = tmp_path / "config.json"
    assert '"BertModel"' in path.read_text()
    path.write_text(path.read_text().replace('"BertModel"', '"BertForMaskedLM"'))
    with no_grad():
        expected = encoder(np.array(TOKENIZER.encode(["that"]))).numpy().mean(1)
    np.testing.assert_allclose(SentenceEncoder.from_pretrained(tmp_path).embed(["that"]), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["llama", "t5"])
def test_the_rest_of_a_larger_model_is_left_alone(name: str, tmp_path: Path) -> None:
    """A language model's output matrix, and a decoder beside the encoder."""
    common = {"vocab_size": 280, "norm": "rms", "norm_first": True, "bias": False, "scale_embedding": False}
    common |= {"dropout": 0.0, "bos_id": None, "norm_eps": 1e-6}
    llama = {"positions": "rotary", "activation": "swiglu", "tie": "none", "encoder_layers": 0, "init_std": 0.02}
    t5 = {"positions": "relative", "scale_scores": False, "tie": "input", "decoder_start_id": 0}
    model: Any = CausalLM(small(**common, **llama)) if name == "llama" else Transformer(small(**common, **t5))
    model.save_pretrained(tmp_path, TOKENIZER)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == name
    stack = model.eval().decoder if name == "llama" else model.eval().encoder
    with no_grad():
        expected = stack(np.array(TOKENIZER.encode(["that"]))).numpy().mean(1)
    np.testing.assert_allclose(SentenceEncoder.from_pretrained(tmp_path).embed(["that"]), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("modules.json", [*MODULES, {"type": "models.Dense"}], "modules here are Transformer, Pooling and Normalize"),
        ("modules.json", [{"type": "models.Transformer", "path": "../other"}], "expected a directory within"),
        ("modules.json", {"idx": 0}, "expected a list of modules"),
        ("1_Pooling/config.json", {"pooling_mode_weightedmean_tokens": True}, "pooling_mode: expected some of cls"),
        ("1_Pooling/config.json", {"pooling_mode": ["mean", "best"]}, "got 'best'"),
        ("1_Pooling/config.json", {"include_prompt": False}, "include_prompt"),
    ],
)
def test_what_is_not_known_is_refused_by_its_name(name: str, content: Any, message: str, tmp_path: Path) -> None:
    ENCODER.save_pretrained(tmp_path, TOKENIZER)
    write(tmp_path, "modules.json", MODULES)
    write(tmp_path, "1_Pooling/config.json", {})
    write(tmp_path, name, content)
    with pytest.raises(ValueError, match=message):
        SentenceEncoder.from_pretrained(tmp_path)


def test_a_prompt_that_the_directory_lacks_is_refused() -> None:
    encoder = SentenceEncoder(ENCODER, TOKENIZER, prompts={"query": "that "})
    with pytest.raises(ValueError, match="prompt: expected one of query, got 'passage'"):
        encoder.embed(TEXTS, prompt="passage")
    assert not np.allclose(encoder.embed(TEXTS, prompt="query"), encoder.embed(TEXTS))


def test_every_pooling_has_a_name_and_a_meaning() -> None:
    assert POOLINGS.keys() == BY_HAND.keys()
