"""Models that ``transformers`` made compute the same here, learn the same, write the same, and go back unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the peer")
transformers = pytest.importorskip("transformers", reason="the peer")

from safetensors.numpy import load_file  # noqa: E402

import minigrad as mg  # noqa: E402
from minigrad import no_grad  # noqa: E402
from tests.transformer.huggingface.peer import CASES, ENCODER_DECODERS, Pair, make, read  # noqa: E402
from transformer.huggingface import FAMILIES  # noqa: E402

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
    found = family.pack(family.architecture(type(pair.theirs).__name__), gradients)
    expected = {name: p.grad for name, p in pair.theirs.named_parameters() if p.grad is not None}
    found.pop("final_logits_bias", None)  # which they do not train
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        close(found[name], gradient)


def test_what_is_saved_is_theirs_again_to_the_last_bit(pair: Pair, tmp_path: Path) -> None:
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
def test_what_config_json_leaves_out_is_what_they_take_it_for(family: Any) -> None:
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
def test_how_a_model_writes_is_part_of_its_directory_in_both_directions(
    case: str, made: dict[str, Pair], tmp_path: Path
) -> None:
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
