"""Models of ``transformers`` have the same outputs, gradients and generated texts here, and are saved unchanged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the peer")
transformers = pytest.importorskip("transformers", reason="the peer")

from safetensors.numpy import load_file  # noqa: E402

import minigrad as mg  # noqa: E402
import transformer as mg_transformer  # noqa: E402
from minigrad import no_grad  # noqa: E402
from tests.transformer.pretrained.huggingface.peer import CASES, ENCODER_DECODERS, Pair, make, read  # noqa: E402
from transformer.pretrained.huggingface import FAMILIES  # noqa: E402

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("default::DeprecationWarning")]
torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

WRITERS = [case for case in CASES if case.startswith("gpt2") and case != "gpt2-without-head"] + ENCODER_DECODERS


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    return {case: make(case, tmp_path_factory.mktemp(case)) for case in CASES}


@pytest.fixture(params=CASES)
def pair(request: pytest.FixtureRequest, made: dict[str, Pair]) -> Pair:
    return made[request.param]


def close(ours: Any, theirs: Any, tolerance: float = 2e-5) -> None:
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=0, atol=tolerance * max(1, np.abs(theirs).max()))


def vectors(pair: Pair, outputs: mg.Tensor) -> mg.Tensor:
    return pair.ours.decoder(pair.inputs()[0]) if type(pair.theirs).__name__ == "GPT2Model" else outputs


def test_logits_are_theirs(pair: Pair) -> None:
    with no_grad(), torch.no_grad():
        ours, theirs = vectors(pair, pair.ours(*pair.inputs())), pair.output(*pair.inputs())
    assert np.abs(theirs.numpy()).max() > 0.1
    close(ours.numpy(), theirs)


def test_a_training_step_has_their_loss_and_gradients(pair: Pair) -> None:
    inputs = pair.inputs()
    theirs = pair.output(*inputs)
    rng = np.random.default_rng(5)
    labels = rng.integers(0, theirs.shape[-1], theirs.shape[:2])
    labels[0, 1:3] = -100
    their_loss = torch.nn.functional.cross_entropy(theirs.flatten(0, 1), torch.tensor(labels).flatten())
    pair.theirs.zero_grad()
    their_loss.backward()
    pair.ours.zero_grad()
    ours = vectors(pair, pair.ours(*inputs))
    loss = mg.nn.functional.cross_entropy(ours.reshape(-1, ours.shape[-1]), mg.asarray(labels.reshape(-1)))
    loss.backward()
    close(loss.item(), their_loss.item())
    gradients = {name: p.grad.data for name, p in pair.ours.named_parameters() if p.grad is not None}
    family = FAMILIES[pair.theirs.config.model_type]
    found = family.pack(family.architecture(type(pair.theirs).__name__), pair.ours.config, gradients)
    expected = {name: p.grad for name, p in pair.theirs.named_parameters() if p.grad is not None}
    found.pop("final_logits_bias", None)  # which they do not train
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        close(found[name], gradient)


def test_saved_weights_equal_theirs_to_the_last_bit(pair: Pair, tmp_path: Path) -> None:
    pair.ours.save_pretrained(tmp_path)
    before, after = load_file(pair.directory / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    if type(pair.theirs).__name__ == "GPT2Model":  # comes back as the language model that it is part of
        before = {f"transformer.{name}": array for name, array in before.items()}
    for name, array in after.items():
        rows = slice(2 if type(pair.theirs).__name__.startswith("Bart") and "embed_positions" in name else 0, None)
        np.testing.assert_array_equal(array[rows] if array.ndim else array, before[name][rows] if array.ndim else array)
    assert all("pooler" in name or "seq_relationship" in name for name in before.keys() - after.keys())


def test_they_read_what_is_saved_completely_and_compute_the_same(pair: Pair, tmp_path: Path) -> None:
    pair.ours.save_pretrained(tmp_path)
    (name,) = transformers.AutoConfig.from_pretrained(tmp_path).architectures
    options = {"add_pooling_layer": False} if name == "BertModel" else {}
    again, report = getattr(transformers, name).from_pretrained(tmp_path, output_loading_info=True, **options)
    assert not any(report[problem] for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    with no_grad(), torch.no_grad():
        close(pair.ours(*pair.inputs()).numpy(), Pair(again.eval(), None, tmp_path).output(*pair.inputs()))


def test_a_configuration_read_and_written_is_the_same(pair: Pair, tmp_path: Path) -> None:
    pair.ours.save_pretrained(tmp_path)
    assert read(tmp_path).config == pair.ours.config


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_missing_settings_of_config_json_have_their_defaults(family: Any) -> None:
    theirs = transformers.AutoConfig.for_model(family.model_type).to_dict()
    assert family.read({}) == family.read(theirs)


def test_padding_changes_nothing_on_the_side_where_the_family_has_it(made: dict[str, Pair]) -> None:
    with no_grad(), torch.no_grad():
        for case, left in {"gpt2": True, "bert": False, "bert-encoder": False}.items():
            pair = made[case]
            (ids,) = pair.inputs()
            padding = np.full((2, 3), 0)
            padded = np.concatenate([padding, ids] if left else [ids, padding], axis=1)
            mask = np.concatenate([padding, np.ones_like(ids)] if left else [np.ones_like(ids), padding], axis=1)
            others = {"position_ids": np.maximum(mask.cumsum(1) - 1, 0)} if left else {}
            real = mask[0] == 1
            theirs = pair.output(padded, attention_mask=mask, **others)[:, real]
            ours = pair.ours(padded, mask).numpy()[:, real]
            close(ours, theirs)
            close(ours, pair.ours(ids).numpy())
        for case in ENCODER_DECODERS:
            pair = made[case]
            ids, target = pair.inputs()
            mask = np.ones_like(ids)
            mask[0, 5:] = 0
            theirs = pair.output(ids, target, attention_mask=mask)
            close(pair.ours(ids, target, mask).numpy(), theirs)


def test_token_types_are_theirs(made: dict[str, Pair]) -> None:
    for case in ("bert", "bert-other-choices", "bert-encoder"):
        pair = made[case]
        (ids,) = pair.inputs()
        types = np.arange(ids.size).reshape(ids.shape) % pair.ours.config.token_types
        with no_grad(), torch.no_grad():
            theirs = pair.output(ids, token_type_ids=types)
            close(pair.ours(ids, token_type_ids=types).numpy(), theirs)
            assert not np.allclose(theirs, pair.output(ids), atol=1e-2)


def generated(pair: Pair, **choices: Any) -> list[list[int]]:
    """Their texts for padded inputs, without what was there before and without the end."""
    ids, mask = prompt(pair)
    with torch.no_grad():
        found = pair.theirs.generate(
            input_ids=torch.tensor(ids),
            attention_mask=torch.tensor(mask),
            **{
                "max_new_tokens": 7,
                "do_sample": False,
                "pad_token_id": pair.theirs.config.pad_token_id or 0,
                **choices,
            },
        )
    start = 1 if pair.theirs.config.is_encoder_decoder else ids.shape[1]
    return [until(row[start:].tolist(), pair.theirs.config.eos_token_id) for row in found]


def until(ids: list[int], end: int) -> list[int]:
    return ids[: ids.index(end)] if end in ids else ids


def prompt(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    """Two rows, one of them padded: on the left, or for an encoder on the right."""
    ids = np.random.default_rng(8).integers(3, 60, (2, 6))
    mask = np.ones_like(ids)
    mask[1, slice(4, None) if pair.theirs.config.is_encoder_decoder else slice(0, 2)] = 0
    return np.where(mask == 1, ids, pair.theirs.config.pad_token_id or 0), mask


GREEDY: dict[str, Any] = {}
BEAMS = {"num_beams": 3, "early_stopping": True}
OTHERS = [
    {"repetition_penalty": 1.5, "no_repeat_ngram_size": 2, "min_new_tokens": 4},
    {"num_beams": 4, "early_stopping": "never", "length_penalty": 0.5, "no_repeat_ngram_size": 2},
]


@pytest.mark.parametrize(
    ("case", "choices"),
    [
        *((case, choices) for case in WRITERS for choices in (GREEDY, BEAMS)),
        *((case, choices) for case in ("gpt2", "marian") for choices in OTHERS),
    ],
)
def test_the_same_choices_write_the_same_text(case: str, choices: dict[str, Any], made: dict[str, Pair]) -> None:
    pair = made[case]
    ids, mask = prompt(pair)
    ours = [
        hypothesis.ids
        for hypothesis in pair.ours.generate(ids, attention_mask=mask, **{"max_new_tokens": 7, **choices})
    ]
    assert ours == generated(pair, **choices)


@pytest.mark.parametrize("case", ["gpt2", "marian"])
def test_generation_settings_are_converted_in_both_directions(case: str, made: dict[str, Pair], tmp_path: Path) -> None:
    pair = made[case]
    pair.theirs.generation_config.update(num_beams=2, length_penalty=0.3, repetition_penalty=1.3, early_stopping=True)
    pair.theirs.save_pretrained(tmp_path / "theirs")
    ours = read(tmp_path / "theirs")
    assert (ours.generation.num_beams, ours.generation.repetition_penalty) == (2, 1.3)
    ids, mask = prompt(pair)
    written = [hypothesis.ids for hypothesis in ours.generate(ids, attention_mask=mask, max_new_tokens=7)]
    assert written == generated(pair)
    ours.save_pretrained(tmp_path / "ours")
    again = type(pair.theirs).from_pretrained(tmp_path / "ours").eval()
    assert written == generated(Pair(again, ours, tmp_path))
    pair.theirs.generation_config.update(num_beams=1, length_penalty=1.0, repetition_penalty=1.0, early_stopping=False)


# Changes of config.json and of generation_config.json (None: no such file) that old directories have, or careless ones.
DIRECTORIES: list[tuple[str, dict[str, Any], dict[str, Any] | None]] = [
    ("gpt2", {}, {"temperature": 0.0, "do_sample": False, "top_p": 2.0}),
    ("gpt2", {"pad_token_id": 2}, {"pad_token_id": 2, "num_beams": 4}),
    ("gpt2", {"pad_token_id": -1}, {"pad_token_id": -1, "num_beams": 1, "length_penalty": 99.0}),
    ("gpt2", {"eos_token_id": [58, 59]}, None),
    ("gpt2", {"num_beams": 3, "length_penalty": 2.0, "no_repeat_ngram_size": 2, "early_stopping": True}, None),
    ("gpt2", {}, {"eos_token_id": [58, -1, 7], "repetition_penalty": 1.4}),
    ("gpt2", {}, {"eos_token_id": -1}),
    (
        "gpt2",
        {},
        {"num_beams": 2, "min_new_tokens": 3, "repetition_penalty": 1.5, "forced_bos_token_id": 7, "max_length": 15},
    ),
    ("bart", {"force_bos_token_to_be_generated": True}, None),
    ("bart", {"forced_bos_token_id": 7, "num_beams": 2, "early_stopping": True, "min_length": 5}, None),
    (
        "bart",
        {},
        {"decoder_start_token_id": 2, "num_beams": 4, "length_penalty": 0.2, "max_length": 9},
    ),
    ("t5", {"decoder_start_token_id": None}, {"decoder_start_token_id": 0}),
    ("t5", {"decoder_start_token_id": 0}, {"decoder_start_token_id": 5}),
    ("t5", {"decoder_start_token_id": None}, {"bos_token_id": 6}),
    ("t5", {"n_positions": 4}, {"decoder_start_token_id": 0, "max_new_tokens": 30}),
    ("marian", {"eos_token_id": [2, 9]}, {"eos_token_id": [2, 9], "bad_words_ids": [[1]], "decoder_start_token_id": 1}),
]


@pytest.mark.parametrize(("case", "config", "generation"), DIRECTORIES)
@pytest.mark.filterwarnings("ignore")
def test_generation_settings_of_a_directory_are_read_as_they_read_them(
    case: str, config: dict[str, Any], generation: dict[str, Any] | None, made: dict[str, Pair], tmp_path: Path
) -> None:
    kept = tmp_path / "config.json"
    shutil.copytree(made[case].directory, tmp_path, dirs_exist_ok=True)
    settings = {**json.loads(kept.read_text()), **config}
    kept.write_text(json.dumps({name: value for name, value in settings.items() if value is not None}))
    (tmp_path / "generation_config.json").unlink()
    if generation is not None:
        (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": 2, **generation}))
    theirs = type(made[case].theirs).from_pretrained(tmp_path).eval()
    ours = read(tmp_path)
    ids = np.random.default_rng(8).integers(3, 60, (1, 6))
    says = {**settings, **(generation or {})}
    limit = {} if {"max_length", "max_new_tokens"} & says.keys() else {"max_new_tokens": 10}
    with torch.no_grad():
        row = theirs.generate(torch.tensor(ids), attention_mask=torch.ones(1, 6, dtype=torch.long), **limit)[0].tolist()
    new = row[1 if theirs.config.is_encoder_decoder else 6 :]
    ends = ours.generation.eos_token_id
    ends = ends if isinstance(ends, tuple) else (ends,)
    length = next((at for at, token in enumerate(new) if token in ends), len(new))
    assert ours.generate(ids, **limit)[0].ids == new[:length]


def test_a_t5_reads_more_than_it_was_trained_on(made: dict[str, Pair]) -> None:
    pair = made["t5"]
    source = np.random.default_rng(8).integers(3, 60, (1, 700))
    with torch.no_grad(), no_grad():
        close(pair.ours(source, source[:, :600]).numpy(), pair.output(source, source[:, :600]), 1e-4)
        expected = pair.theirs.generate(torch.tensor(source), max_new_tokens=12, do_sample=False)[0, 1:].tolist()
    assert pair.ours.generate(source, max_new_tokens=12)[0].ids == until(expected, pair.theirs.config.eos_token_id)


def test_they_accept_the_start_token_of_a_model_that_never_named_one(tmp_path: Path) -> None:
    sizes: dict[str, Any] = {"vocab_size": 60, "d_model": 16, "num_heads": 4, "d_ff": 24, "init_std": 0.02}
    marian = {"positions": "sinusoidal_halves", "activation": "silu", "output_bias": True}
    ours = mg_transformer.Transformer(mg_transformer.TransformerConfig(**sizes, **marian)).eval()
    ours.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["decoder_start_token_id"] == ours.config.start_id == 1
    theirs = transformers.MarianMTModel.from_pretrained(tmp_path).eval()
    source = np.array([[5, 6, 7]])
    with torch.no_grad():
        expected = theirs.generate(torch.tensor(source), max_new_tokens=6, num_beams=1)[0, 1:].tolist()
    assert ours.generate(source, max_new_tokens=6)[0].ids == until(expected, 2)
    assert read(tmp_path).config == ours.config
