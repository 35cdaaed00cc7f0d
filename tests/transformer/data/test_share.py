"""Shares of batches: the processes together read what one alone would, each its own rows only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from transformer.data.batches import (
    IGNORED,
    Batch,
    Data,
    MaskedBatches,
    PairBatches,
    SequenceBatches,
    TextBatches,
    WindowBatches,
    shares,
)
from transformer.data.share import WHOLE, Share

PAD, BOS, EOS, MASK = 0, 1, 2, 3
SIZES = range(1, 6)

ids = st.integers(4, 20)
sequences = st.lists(st.lists(ids, min_size=1, max_size=9).map(lambda row: [*row, EOS]), min_size=1, max_size=20)


class Own:
    """A user's data set: it knows nothing of shares."""

    def epoch(self, number: int) -> Iterator[Batch]:
        rng = np.random.default_rng(number)
        for rows in (1, 4, 7):
            drawn = rng.integers(4, 20, (rows, 3))
            yield Batch((drawn, drawn > 9), drawn + 1, PAD)


@st.composite
def data_sets(draw: st.DrawFn) -> Data:
    rows, tokens, seed = draw(sequences), draw(st.integers(1, 60)), draw(st.integers(0, 9))
    text, block, size = np.array([*chain.from_iterable(rows), EOS]), draw(st.integers(1, 2)), draw(st.integers(1, 7))
    both = list(zip(rows, reversed(rows), strict=True))
    return draw(
        st.sampled_from(
            [
                PairBatches(both, tokens, PAD, BOS, seed),
                PairBatches(both, tokens, EOS, BOS, seed),  # with a mask
                SequenceBatches(rows, tokens, PAD, seed, prompts=[len(row) // 2 for row in rows]),
                MaskedBatches(rows, tokens, 21, MASK, PAD, [BOS, EOS], 0.4, seed),
                WindowBatches(text, block, size, seed),
                TextBatches(text, block, size),
                Own(),
            ]
        )
    )


def _assert_equal(found: Batch, expected: Batch) -> None:
    arrays = zip((*found.inputs, found.labels), (*expected.inputs, expected.labels), strict=True)
    for one, other in arrays:
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    nothing: dict[str, Any] = {"inputs": (), "labels": None}
    assert replace(found, **nothing) == replace(expected, **nothing)


@settings(deadline=None)
@given(data_sets(), st.integers(0, 3), st.sampled_from(SIZES))
def test_a_share_of_an_epoch_is_the_share_of_each_of_its_batches(data: Data, number: int, size: int) -> None:
    whole = list(data.epoch(number))
    parts = [list(shares(data, number, Share(rank, size))) for rank in range(size)]
    for rank, part in enumerate(parts):
        for found, batch in zip(part, whole, strict=True):
            _assert_equal(found, batch.share(Share(rank, size)))
    for place, batch in enumerate(whole):
        count = len(batch.labels)
        rows = [part[place] for rank, part in enumerate(parts) if not Share(rank, size).idle(count)]
        joined = [
            np.concatenate(arrays) for arrays in zip(*([*part.inputs, part.labels] for part in rows), strict=True)
        ]
        _assert_equal(Batch(tuple(joined[:-1]), joined[-1], batch.pad_id), batch)
        assert sum(part[place].targets for part in parts) == batch.targets
        assert [part.first for part in rows] == np.cumsum([0, *(len(part.labels) for part in rows)])[:-1].tolist()


@given(st.integers(0, 20), st.sampled_from(SIZES))
def test_rows_are_divided_as_numpy_divides_and_the_others_are_idle_on_the_last(count: int, size: int) -> None:
    for rank, expected in enumerate(np.array_split(np.arange(count), size)):
        share = Share(rank, size)
        assert share.idle(count) == (count > 0 and not len(expected))
        assert np.arange(count)[share.rows(count)].tolist() == ([count - 1] if share.idle(count) else expected.tolist())


def test_an_idle_share_is_a_row_without_labels() -> None:
    part = Batch((np.array([[5, 6], [7, 8]]),), np.array([[6, 2], [8, 2]]), PAD).share(Share(3, 4))
    assert part.inputs[0].tolist() == [[7, 8]] and part.labels.tolist() == [[IGNORED, IGNORED]] and part.targets == 0


class _Asked(list[Any]):
    def __init__(self, items: Any) -> None:
        super().__init__(items)
        self.places: list[int] = []

    def __getitem__(self, place: Any) -> Any:
        self.places.append(place)
        return super().__getitem__(place)


class _AskedText(np.ndarray):
    places: list[int]

    def __getitem__(self, places: Any) -> Any:
        self.places += np.unique(places).tolist()
        return np.asarray(self)[places]


@pytest.mark.parametrize("kind", ["pairs", "sequences", "masked"])
def test_a_share_reads_no_rows_of_the_others(kind: str) -> None:
    rows = [[4 + n % 16] * (1 + n % 7) + [EOS] for n in range(40)]
    asked = []
    for rank in range(3):
        items = _Asked(list(zip(rows, rows, strict=True)) if kind == "pairs" else rows)
        data: Any = {
            "pairs": lambda items: PairBatches(items, 32, PAD, BOS),
            "sequences": lambda items: SequenceBatches(items, 32, PAD),
            "masked": lambda items: MaskedBatches(items, 32, 21, MASK, PAD),
        }[kind](items)
        batches = list(data.epoch(0, Share(rank, 3)))
        working = sum(len(batch.labels) for batch in batches)
        assert len(items.places) == working < 40
        asked += [place for place, batch in zip(_starts(batches, items.places), batches, strict=True) if batch.targets]
    assert sorted(chain.from_iterable(asked)) == list(range(40))


def _starts(batches: list[Batch], places: list[int]) -> list[list[int]]:
    edges = np.cumsum([0, *(len(batch.labels) for batch in batches)]).tolist()
    return [places[start:stop] for start, stop in pairwise(edges)]


def test_a_share_of_windows_indexes_its_own_windows_only() -> None:
    text = np.arange(1000).view(_AskedText)
    text.places = []
    data = WindowBatches(text, block=4, batch=6)
    batch = next(data.epoch(0, Share(1, 3)))
    assert len(batch.labels) == 2 and set(text.places) == set(np.column_stack([batch.inputs[0], batch.labels]).flat)


def test_an_own_data_set_is_asked_for_its_epoch_alone() -> None:
    data = Own()
    assert [len(batch.labels) for batch in shares(data, 0, WHOLE)] == [1, 4, 7]
    assert [len(batch.labels) for batch in shares(data, 0, Share(1, 2))] == [1, 2, 3]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Share(0, 0), "size: expected at least 1, got 0"),
        (lambda: Share(2, 2), "rank: expected 0 to 1, got 2"),
        (lambda: Share(-1, 2), "rank: expected 0 to 1, got -1"),
        (
            lambda: Batch((np.zeros((2, 2)),), np.zeros((2, 2))).share(Share(0, 2)).share(Share(0, 2)),
            "batch: expected a whole one, got 1 rows of 2",
        ),
        (
            lambda: Batch((np.zeros((2, 2)), np.zeros((1, 2))), np.zeros((2, 2))).share(Share(0, 2)),
            "inputs: expected 2 rows, as the labels have, got 1 in input 1",
        ),
    ],
)
def test_impossible_shares_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
