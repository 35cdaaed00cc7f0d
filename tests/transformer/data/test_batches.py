"""Batches: every token in its position, the same stream for the same seed and epoch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from transformer.data.batches import (
    IGNORED,
    Batch,
    Data,
    MaskedBatches,
    PairBatches,
    SequenceBatches,
    TextBatches,
    WindowBatches,
    fingerprint,
)

PAD, BOS, EOS, MASK = 0, 1, 2, 3
VOCABULARY = 50


def _sequences(count: int = 60) -> list[list[int]]:
    rng = np.random.default_rng(0)
    return [[*rng.integers(4, VOCABULARY, rng.integers(2, 12)).tolist(), EOS] for _ in range(count)]


def _pairs(count: int = 60) -> list[tuple[list[int], list[int]]]:
    sequences = _sequences(2 * count)
    return list(zip(sequences[::2], sequences[1::2], strict=True))


def _masked(sequences: Any, seed: int = 0, **changes: Any) -> MaskedBatches:
    return MaskedBatches(sequences, 64, VOCABULARY, MASK, PAD, special_ids=[BOS, EOS], seed=seed, **changes)


MAKERS: dict[str, Callable[[int], Data]] = {
    "pairs": lambda seed: PairBatches(_pairs(), 64, PAD, BOS, seed),
    "sequences": lambda seed: SequenceBatches(_sequences(), 64, PAD, seed),
    "windows": lambda seed: WindowBatches(np.arange(500), 8, 4, seed),
    "masked": lambda seed: _masked(_sequences(), seed),
}


def _stacked(data: Data, epoch: int) -> list[tuple[np.ndarray, ...]]:
    return [(*batch.inputs, batch.labels) for batch in data.epoch(epoch)]


def _equal(one: list[tuple[np.ndarray, ...]], other: list[tuple[np.ndarray, ...]]) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True)
    )


@pytest.mark.parametrize("kind", MAKERS)
def test_an_epoch_follows_from_the_seed_and_its_number_alone(kind: str) -> None:
    data = MAKERS[kind](3)
    second = _stacked(data, 1)
    list(data.epoch(0))
    assert _equal(_stacked(data, 1), second)
    assert _equal(_stacked(MAKERS[kind](3), 1), second)
    assert not _equal(_stacked(data, 2), second)
    assert not _equal(_stacked(MAKERS[kind](4), 1), second)


class _Counting(list[Any]):
    asked = 0

    def __getitem__(self, place: Any) -> Any:
        self.asked += 1
        return super().__getitem__(place)


@pytest.mark.parametrize(
    "maker",
    [
        lambda s: SequenceBatches(s, 16, PAD),
        _masked,
        lambda s: PairBatches(_Counting(zip(s, s, strict=True)), 16, PAD, BOS),
    ],
)
def test_batches_are_made_one_by_one_as_they_are_asked_for(maker: Callable[[Any], Any]) -> None:
    data = maker(_Counting(_sequences()))
    items = data.pairs if isinstance(data, PairBatches) else data.sequences
    first = next(data.epoch(0))
    assert items.asked == len(first.labels) < len(items)


def test_pair_batches_hold_every_pair_once_within_the_limit_and_padded_at_the_end() -> None:
    pairs = _pairs()
    made = list(PairBatches(pairs, 40, PAD, BOS).epoch(0))
    found = []
    for batch in made:
        source, target_in = batch.inputs
        assert len(source) * max(source.shape[1], target_in.shape[1]) <= 40
        for read, heard, said in zip(source, target_in, batch.labels, strict=True):
            target = said[said != IGNORED].tolist()
            assert heard[: len(target)].tolist() == [BOS, *target[:-1]]
            assert (heard[len(target) :] == PAD).all() and (said[len(target) :] == IGNORED).all()
            found.append((read[read != PAD].tolist(), target))
    assert sorted(found) == sorted(pairs)
    assert sum(batch.targets for batch in made) == sum(len(target) for _, target in pairs)
    assert sum(batch.tokens for batch in made) == sum(len(source) + len(target) for source, target in pairs)


def test_a_pair_longer_than_a_batch_goes_alone() -> None:
    pairs = [([5] * 30, [6] * 30), ([5], [6])]
    assert sorted(len(batch.labels) for batch in PairBatches(pairs, 8, PAD, BOS).epoch(0)) == [1, 1]


def test_windows_are_text_and_its_continuation_from_any_place() -> None:
    ids = np.arange(7, dtype=np.uint16)
    starts = set()
    for epoch in range(30):
        for batch in WindowBatches(ids, block=4, batch=2).epoch(epoch):
            (windows,) = batch.inputs
            assert windows.shape == batch.labels.shape == (2, 4) and windows.dtype == np.int64
            np.testing.assert_array_equal(windows - windows[:, :1], [range(4)] * 2)
            np.testing.assert_array_equal(batch.labels, windows + 1)
            assert batch.tokens == batch.targets == 8
            starts |= set(windows[:, 0].tolist())
    assert starts == {0, 1, 2}


def test_windows_fill_the_texts_length_once_an_epoch_from_memory_or_a_file(tmp_path: Path) -> None:
    np.arange(100, dtype=np.uint16).tofile(tmp_path / "ids")
    mapped = WindowBatches(np.memmap(tmp_path / "ids", np.uint16, "r"), block=5, batch=4, seed=1)
    assert len(_stacked(mapped, 0)) == 5
    assert _equal(_stacked(mapped, 0), _stacked(WindowBatches(np.arange(100), block=5, batch=4, seed=1), 0))


def test_sequence_batches_predict_each_id_after_the_prompt() -> None:
    sequences = _sequences()
    prompts = [place % len(sequence) for place, sequence in enumerate(sequences)]
    rows = []
    for batch in SequenceBatches(sequences, 64, PAD, prompts=prompts).epoch(0):
        (ids,) = batch.inputs
        assert ids.size <= 64
        for read, said in zip(ids, batch.labels, strict=True):
            rows.append(([*read[read != PAD].tolist(), said[said != IGNORED][-1]], np.flatnonzero(said != IGNORED)[0]))
    expected = [(sequence, max(prompt - 1, 0)) for sequence, prompt in zip(sequences, prompts, strict=True)]
    assert sorted(rows) == sorted(expected)


def test_masked_batches_choose_and_hide_as_bert_does() -> None:
    rng = np.random.default_rng(0)
    text = [[BOS, *rng.integers(4, VOCABULARY, 98).tolist(), EOS] for _ in range(400)]
    data = MaskedBatches(text, 2000, VOCABULARY, MASK, PAD, special_ids=[BOS, EOS])
    ids = np.concatenate([batch.inputs[0] for batch in data.epoch(0)])
    labels = np.concatenate([batch.labels for batch in data.epoch(0)])
    chosen = labels != IGNORED
    assert (chosen.sum(1) == round(0.15 * 98)).all()
    original = np.where(chosen, labels, ids)
    assert sorted(original.tolist()) == sorted(text)  # nothing else was changed
    assert np.abs(chosen[:, 1:-1].mean(0) - 0.15).max() < 0.1  # every place alike
    masked, kept = (ids == MASK)[chosen].mean(), (ids == labels)[chosen].mean()
    assert masked == pytest.approx(0.8, abs=0.02)
    assert kept == pytest.approx(0.1 + 0.1 / (VOCABULARY - 4), abs=0.02)
    replaced = ids[chosen & (ids != MASK) & (ids != labels)]
    assert set(replaced.tolist()) == set(range(4, VOCABULARY))  # any ordinary token, never a special one


def test_a_short_sequence_still_has_one_hole_and_special_tokens_have_none() -> None:
    (batch,) = _masked([[BOS, 7, EOS], [BOS, EOS]]).epoch(0)
    assert sorted(batch.labels.tolist()) == [[IGNORED, IGNORED, IGNORED], [IGNORED, 7, IGNORED]]


@pytest.mark.parametrize("kind", MAKERS)
def test_a_fingerprint_distinguishes_streams(kind: str) -> None:
    assert fingerprint(MAKERS[kind](0)) == fingerprint(MAKERS[kind](0)) != fingerprint(MAKERS[kind](1))


def test_a_fingerprint_detects_one_changed_id_and_one_moved_border() -> None:
    plain = _masked([[5, 6], [7]]).fingerprint
    assert _masked([[5, 6], [8]]).fingerprint != plain != _masked([[5], [6, 7]]).fingerprint


def test_a_data_set_without_a_fingerprint_is_known_by_its_first_batch() -> None:
    class Own:
        def __init__(self, label: int) -> None:
            self.label = label

        def epoch(self, number: int) -> Any:
            yield Batch((np.array([[1, 2]]),), np.array([[2, self.label]]))

    assert fingerprint(Own(3)) == fingerprint(Own(3)) != fingerprint(Own(4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PairBatches([], 8, PAD, BOS), "pairs: expected at least one, got none"),
        (lambda: PairBatches([([5], [6])], 0, PAD, BOS), "tokens: expected at least 1, got 0"),
        (lambda: SequenceBatches([], 8, PAD), "sequences: expected at least one"),
        (lambda: SequenceBatches([[5, 6], [5]], 8, PAD), "more than the prompt of 1 in number 1, got 1 ids"),
        (lambda: SequenceBatches([[5, 6]], 8, PAD, prompts=[2]), "more than the prompt of 2 in number 0, got 2 ids"),
        (lambda: SequenceBatches([[5, 6]], 8, PAD, prompts=[]), "prompts: expected 1, one a sequence, got 0"),
        (lambda: WindowBatches(np.arange(4), 4, 1), "ids: expected one dimension of more than block=4"),
        (lambda: WindowBatches(np.arange(4), 0, 1), "block: expected at least 1"),
        (lambda: _masked([[5]], probability=0.0), r"probability: expected a number in \(0, 1\], got 0.0"),
        (lambda: MaskedBatches([[5]], 8, 3, MASK, PAD), "special_ids: expected ids from 0 to 2"),
        (lambda: MaskedBatches([[0]], 8, 2, 1, 0), "vocab_size: expected more than the 2 special tokens"),
    ],
)
def test_invalid_batch_settings_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_windows_need_integers() -> None:
    with pytest.raises(TypeError, match="ids: expected integers, got float64"):
        WindowBatches(np.ones(9), 4, 1)


@given(st.integers(2, 60), st.integers(1, 9), st.integers(1, 5))
def test_a_text_is_evaluated_on_each_of_its_tokens_once(length: int, block: int, batch: int) -> None:
    ids = np.arange(length)
    batches = list(TextBatches(ids, block, batch).epoch(3))
    assert sorted(np.concatenate([b.labels.ravel() for b in batches]).tolist()) == ids[1:].tolist()
    for found in batches:
        np.testing.assert_array_equal(found.labels, found.inputs[0] + 1)
        assert found.labels.shape[0] <= batch and found.labels.shape[1] <= block
