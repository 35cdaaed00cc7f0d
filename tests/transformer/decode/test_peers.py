"""The same arguments give the same text as in Hugging Face's transformers."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from transformer.decode import GenerationConfig, generate
from transformer.decode.plan import right_aligned
from transformer.decode.processors import processors

torch = pytest.importorskip("torch", reason="compares with transformers, which runs on PyTorch")
hf = pytest.importorskip("transformers", reason="compares with transformers")
pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

Array = np.ndarray[Any, Any]
VOCAB, PAD, EOS = 24, 1, 2
INPUTS = {
    "gpt2": np.array([[PAD, PAD, 5, 6], [7, 8, 9, 7], [PAD, 4, 4, 4], [9, 10, 11, 12], [PAD, PAD, PAD, 13]]),
    "bart": np.array([[5, 6, 7, 8, 2], [9, 10, 2, PAD, PAD], [11, 2, PAD, PAD, PAD], [12, 13, 14, 2, PAD]]),
}


SIZES = {"layers": 1, "attention_heads": 2, "ffn_dim": 32}


class Padded:
    """A transformers model behind our protocol; it reads all tokens again at every step."""

    def __init__(self, model: Any) -> None:
        self.model = model.eval()
        self.config = SimpleNamespace(vocab_size=VOCAB, pad_id=PAD, eos_id=EOS, max_length=64)
        self.generation = GenerationConfig()

    def begin(self, input_ids: Array, attention_mask: Array | None, *, use_cache: bool) -> Padded:
        mask = input_ids != PAD if attention_mask is None else attention_mask
        self.source: tuple[Any, ...] = ()
        self.prompt, self.prompt_mask = input_ids, mask
        if self.model.config.is_encoder_decoder:
            with torch.no_grad():
                memory = self.model.get_encoder()(torch.tensor(input_ids), attention_mask=torch.tensor(mask).long())[0]
            self.source = (memory, torch.tensor(mask).long())
            self.prompt = np.full((len(input_ids), 1), self.model.config.decoder_start_token_id)
            self.prompt_mask = np.ones_like(self.prompt, bool)
        self.ids, self.mask = self.prompt[:, :0], self.prompt_mask
        return self

    @torch.no_grad()
    def step(self, tokens: Array) -> Array:
        self.ids = np.concatenate([self.ids, tokens], 1)
        ids = torch.tensor(self.ids)
        if self.source:
            memory, mask = self.source
            logits = self.model(encoder_outputs=(memory,), attention_mask=mask, decoder_input_ids=ids).logits
        else:
            new = np.ones((len(ids), self.ids.shape[1] - self.prompt.shape[1]), bool)
            mask = torch.tensor(np.concatenate([self.mask, new], 1)).long()
            positions = (mask.cumsum(-1) - 1).clamp(min=0)
            logits = self.model(ids, attention_mask=mask, position_ids=positions).logits
        return logits[:, -1].numpy()

    def reorder(self, rows: Array) -> None:
        self.ids, self.mask = self.ids[rows], self.mask[rows]
        self.source = tuple(part[torch.tensor(rows)] for part in self.source)


def gpt2() -> Any:
    config = hf.GPT2Config(
        **{"vocab_size": VOCAB, "n_positions": 64, "n_embd": 16, "n_layer": 1, "n_head": 2, "initializer_range": 0.6},
        **{"pad_token_id": PAD, "bos_token_id": 3, "eos_token_id": EOS},
    )
    return hf.GPT2LMHeadModel(config)


def bart() -> Any:
    config = hf.BartConfig(
        **{"vocab_size": VOCAB, "max_position_embeddings": 64, "d_model": 16, "init_std": 0.6, "dropout": 0.0},
        **{f"{stack}_{size}": n for stack in ("encoder", "decoder") for size, n in SIZES.items()},
        **{"pad_token_id": PAD, "bos_token_id": 3, "eos_token_id": EOS, "decoder_start_token_id": EOS},
        forced_eos_token_id=None,
    )
    return hf.BartForConditionalGeneration(config)


@pytest.fixture(scope="module", params=[gpt2, bart], ids=["gpt2", "bart"])
def case(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Array]]:
    """A small random model, and what it reads."""
    torch.manual_seed(1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield request.param().eval(), INPUTS[request.param.__name__]
    torch.set_num_threads(threads)


def theirs(model: Any, input_ids: Array, **arguments: Any) -> tuple[list[list[int]], Any]:
    mask = torch.tensor(input_ids != PAD).long()
    output = model.generate(
        torch.tensor(input_ids), attention_mask=mask, return_dict_in_generate=True, output_scores=True, **arguments
    )
    start = 1 if model.config.is_encoder_decoder else input_ids.shape[1]
    ends = arguments.get("eos_token_id", EOS)
    ends = [ends] if isinstance(ends, int) else ends
    texts = []
    for ids in output.sequences[:, start:].tolist():
        end = next((at for at, token in enumerate(ids) if token in ends), len(ids))
        texts.append(ids[:end])
    return texts, output


RESTRICTIONS: list[dict[str, Any]] = [
    {},
    {"repetition_penalty": 1.8},
    {"repetition_penalty": 0.6},
    {"no_repeat_ngram_size": 1, "suppress_tokens": [PAD]},  # as for them padding has been said
    {"no_repeat_ngram_size": 2},
    {"no_repeat_ngram_size": 3, "repetition_penalty": 1.2},
    {"min_new_tokens": 6},
    {"min_length": 9},
    {"bad_words_ids": [[5], [7, 8], [2], [9, 9, 9]]},
    {"suppress_tokens": [4, 5, 6, 7]},
    {"begin_suppress_tokens": [2, 5, 6, 7, 8, 9]},
    {"forced_eos_token_id": EOS},
    {"forced_bos_token_id": 4, "begin_suppress_tokens": [5, 6, 7, 8, 9]},
    {"eos_token_id": [2, 5, 6, 7]},
]


@pytest.mark.parametrize("restriction", RESTRICTIONS, ids=str)
def test_greedy_decoding_equals_theirs(case: Any, restriction: dict[str, Any]) -> None:
    model, inputs = case
    arguments = {"max_new_tokens": 12, **restriction}
    ours = generate(Padded(model), inputs, **arguments)
    assert [text.ids for text in ours] == theirs(model, inputs, do_sample=False, **arguments)[0]


SEARCHES: list[dict[str, Any]] = [
    *({"length_penalty": alpha} for alpha in (-1.0, 0.0, 1.0, 2.0)),
    *({"length_penalty": alpha, "early_stopping": early} for alpha in (-1.0, 2.0) for early in (False, True)),
    {"num_return_sequences": 3},
    {"num_beams": 7, "num_return_sequences": 7},
    {"renormalize_logits": True, "repetition_penalty": 1.5},
    {"max_length": 9, "max_new_tokens": None},
]


@pytest.mark.parametrize("search", SEARCHES, ids=str)
def test_beam_search_finds_what_theirs_finds(case: Any, search: dict[str, Any]) -> None:
    model, inputs = case
    arguments = {"num_beams": 4, "max_new_tokens": 10, "early_stopping": "never", **search}
    ours = generate(Padded(model), inputs, **arguments)
    expected, output = theirs(model, inputs, do_sample=False, **arguments)
    assert [text.ids for text in ours] == expected
    if "repetition_penalty" not in search:
        config = GenerationConfig(length_penalty=arguments.get("length_penalty", 1.0))
        scores = [text.log_probability / config.penalty(len(text.ids) + text.finished) for text in ours]
        np.testing.assert_allclose(scores, output.sequences_scores, rtol=2e-4)


@pytest.mark.parametrize("restriction", RESTRICTIONS, ids=str)
def test_beam_search_under_restrictions_finds_what_theirs_finds(case: Any, restriction: dict[str, Any]) -> None:
    model, inputs = case
    arguments = {"num_beams": 3, "max_new_tokens": 10, "early_stopping": "never", **restriction}
    ours = generate(Padded(model), inputs, **arguments)
    assert [text.ids for text in ours] == theirs(model, inputs, do_sample=False, **arguments)[0]


def histories() -> Iterator[tuple[Array, Array]]:
    rng = np.random.default_rng(0)
    for length in (1, 2, 5, 9):
        yield rng.integers(3, VOCAB, (6, length)), rng.normal(0, 3, (6, VOCAB)).astype(np.float32)
    ties = np.round(rng.normal(0, 1, (6, VOCAB))).astype(np.float32)
    yield rng.integers(3, 8, (6, 12)), ties
    yield rng.integers(3, 8, (6, 12)), np.zeros((6, VOCAB), np.float32)


@pytest.mark.parametrize(
    "choices",
    [
        *({"temperature": t} for t in (0.3, 1.7)),
        *({"top_k": k} for k in (1, 5, 100)),
        *({"top_p": p} for p in (0.0, 0.3, 0.5, 0.9, 0.999)),
        *({"min_p": p} for p in (0.0, 0.05, 0.5, 1.0)),
        {"temperature": 0.7, "top_k": 12, "top_p": 0.8, "min_p": 0.05},
        {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2, "bad_words_ids": [[4], [5, 6]], "top_p": 0.9},
        {"temperature": 1.5, "top_k": 6, "renormalize_logits": True},
        *RESTRICTIONS[1:],
    ],
    ids=str,
)
def test_scores_of_the_next_token_are_theirs(choices: dict[str, Any]) -> None:
    model = gpt2()
    choices = {"do_sample": True, "top_k": 0, **choices}
    for history, logits in histories():
        prompt = min(3, history.shape[1])
        limit = history.shape[1] - prompt + 1  # this is the last token, which forced_eos_token_id changes
        config = hf.GenerationConfig(**choices, max_length=prompt + limit)
        ends = choices.get("eos_token_id", [EOS])
        config._eos_token_tensor = torch.tensor(ends)
        their_list = model._get_logits_processor(config, input_ids_seq_length=prompt)
        expected = their_list(torch.tensor(history), torch.tensor(logits)).numpy()
        process = processors(GenerationConfig(**choices), ends, prompt, limit)
        ours = process(right_aligned(history, np.ones(history.shape, bool)), logits.astype(np.float64))
        if "top_p" in choices:  # theirs keeps any of equally likely tokens, though as many
            ours, expected = np.sort(ours), np.sort(expected)
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        GenerationConfig(num_beams=4, max_new_tokens=9, length_penalty=2.0, no_repeat_ngram_size=3),
        GenerationConfig(do_sample=True, top_p=0.9, temperature=0.8, eos_token_id=[1, 2]),
        GenerationConfig(bad_words_ids=[[3]], forced_bos_token_id=1, pad_token_id=0, early_stopping=False, num_beams=2),
    ],
    ids=str,
)
def test_files_go_both_ways(config: GenerationConfig, tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text(config.to_json(), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = hf.GenerationConfig.from_pretrained(tmp_path)
    read.validate(strict=True)
    assert read.num_beams in (None, config.num_beams) and read.top_k in (None, config.top_k or 0)
    read.save_pretrained(tmp_path / "again")
    again = GenerationConfig.from_json((tmp_path / "again" / "generation_config.json").read_text(encoding="utf-8"))
    assert json.loads(again.to_json()) == json.loads(config.to_json())
