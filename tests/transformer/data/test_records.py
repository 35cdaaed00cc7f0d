"""Records: what was written is read again, item by item; nothing half-written is taken for whole."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from transformer.data.batches import MaskedBatches, PairBatches, SequenceBatches, fingerprint
from transformer.data.records import Pairs, Records, Selection, Stored, Texts, chunks, select, write_records
from transformer.data.share import Share
from transformer.data.spool import file_identity, spooled

PAD, BOS, EOS, MASK = 0, 1, 2, 3

rows = st.lists(st.lists(st.integers(0, 255), max_size=6), max_size=12)
indices = st.one_of(st.none(), st.integers(-15, 15))


def _same_sequence(found: Stored[Any], expected: list[Any], part: slice, plain: Callable[[Any], Any]) -> None:
    assert len(found) == len(expected) and [plain(item) for item in found] == expected
    assert [plain(item) for item in found[part]] == expected[part]
    for place in range(-len(expected), len(expected)):
        assert plain(found[place]) == expected[place]
    for place in (len(expected), -len(expected) - 1):
        with pytest.raises(IndexError):
            found[place]


def _plain(item: Any) -> Any:
    return tuple(map(_plain, item)) if isinstance(item, tuple) else item.tolist()


@settings(deadline=None)
@given(rows, st.builds(slice, indices, indices), st.sampled_from(["uint8", "uint16", "int64"]), st.data())
def test_records_pairs_and_selections_are_the_lists_that_were_written(
    items: list[list[int]], part: slice, dtype: str, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        written = write_records(Path(folder, "ids"), dtype, items, lambda: "a note")
        for records in (written, pickle.loads(pickle.dumps(written))):
            assert records.values.dtype == dtype and not records.values.flags.writeable
            assert records.note == records.faults == "a note"
            _same_sequence(records, items, part, _plain)
            assert records.lengths.tolist() == [len(item) for item in items]
        even = items[: len(items) // 2 * 2]
        pairs = Pairs(write_records(Path(folder, "even"), dtype, even))
        both = list(zip(even[::2], even[1::2], strict=True))
        _same_sequence(pairs, list(map(tuple, both)), part, _plain)
        assert pairs.lengths.tolist() == [[len(source), len(target)] for source, target in both]
        places = data.draw(st.lists(st.integers(0, len(both) - 1)) if both else st.just([]))
        chosen = select(pairs, np.array(places, np.int64))
        assert isinstance(chosen, Selection)
        _same_sequence(pickle.loads(pickle.dumps(chosen)), [both[place] for place in places], part, _plain)
        assert chosen.lengths.tolist() == pairs.lengths[places].tolist()
        again = select(chosen, np.arange(len(places))[::2])
        _same_sequence(again, [both[place] for place in places[::2]], part, _plain)  # type: ignore[arg-type]


@settings(deadline=None)
@given(st.lists(st.text(max_size=5)), st.builds(slice, indices, indices))
def test_texts_are_the_strings_that_were_written(texts: list[str], part: slice) -> None:
    with tempfile.TemporaryDirectory() as folder:
        records = write_records(Path(folder, "texts"), np.uint8, (text.encode() for text in texts))
        _same_sequence(Texts(records), texts, part, str)


def test_items_of_a_list_are_selected_into_a_list() -> None:
    assert select(["a", "b", "c"], np.array([2, 0])) == ["c", "a"]


@given(st.lists(st.integers()), st.integers(1, 9))
def test_chunks_are_the_items_in_their_order(items: list[int], size: int) -> None:
    found = list(chunks(items, size))
    assert sum(found, []) == items and all(len(chunk) == size for chunk in found[:-1])  # noqa: RUF017


def _failing() -> Any:
    yield [1]
    raise ValueError("a bad line")


@pytest.mark.parametrize(("records", "error"), [(_failing, ValueError), (lambda: [[1], [70_000]], OverflowError)])
def test_what_fails_leaves_nothing(tmp_path: Path, records: Callable[[], Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        write_records(tmp_path / "ids", np.uint16, records())
    assert not list(tmp_path.iterdir())
    with pytest.raises(error):
        spooled(tmp_path / "a" / "b", "ids", 0, np.uint16, records)
    assert not list(tmp_path.iterdir())


KILLED = """
import os, sys
from transformer.data.spool import spooled

def records():
    yield from ([place] for place in range(100_000))
    os._exit(9)

spooled(sys.argv[1], "ids", 0, "uint32", records)
"""


def test_what_a_killed_process_left_is_not_taken_for_whole_and_is_removed(tmp_path: Path) -> None:
    found = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], env={**os.environ, "PYTHONPATH": os.getcwd()})
    assert found.returncode == 9 and len(list(tmp_path.iterdir())) == 1
    for path in tmp_path.iterdir():
        assert path.suffix == ".partial"
    records = spooled(tmp_path, "ids", 0, "uint32", lambda: [[7]])
    assert records[0].tolist() == [7] and list(tmp_path.iterdir()) == [records.path]


@pytest.mark.parametrize("name", ["values.uint16", "offsets.int64"])
def test_a_damaged_file_is_refused_and_in_a_spool_written_anew(tmp_path: Path, name: str) -> None:
    records = spooled(tmp_path, "ids", 0, np.uint16, lambda: [[1, 2], [3]])
    file = records.path / name
    file.write_bytes(file.read_bytes()[:-8] if name.startswith("off") else file.read_bytes()[:-2])
    with pytest.raises(ValueError, match="expected records of"):
        Records(records.path)
    assert spooled(tmp_path, "ids", 0, np.uint16, lambda: [[4]])[0].tolist() == [4]


def test_a_spool_opens_what_it_has_and_holds_one_of_each_kind(tmp_path: Path) -> None:
    first = spooled(tmp_path, "ids", ("a", 1), np.uint16, lambda: [[1]])
    texts = spooled(tmp_path, "texts", "a", np.uint8, lambda: [b"a"])
    assert spooled(tmp_path, "ids", ("a", 1), np.uint16, lambda: pytest.fail("written again")).path == first.path
    second = spooled(tmp_path, "ids", ("a", 2), np.uint16, lambda: [[2]])
    assert second[0].tolist() == [2] and set(tmp_path.iterdir()) == {second.path, texts.path}


def test_a_spool_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "spool").symlink_to(tmp_path / "other")
    with pytest.raises(ValueError, match="spool: expected a directory, got the symbolic link"):
        spooled(tmp_path / "spool", "ids", 0, np.uint16, lambda: [[1]])


def test_a_file_is_another_one_when_it_changes_and_a_pipe_always(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("a")
    first = file_identity(file)
    assert file_identity(file) == first
    file.write_text("ab")
    assert file_identity(file) != first
    os.mkfifo(tmp_path / "pipe")
    assert file_identity(tmp_path / "pipe") != file_identity(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError, match="none: no such file"):
        file_identity(tmp_path / "none")


SEQUENCES = [[*np.random.default_rng(n).integers(4, 500, 2 + n % 9).tolist(), EOS] for n in range(120)]
MAKERS: dict[str, Callable[[Any, Any], Any]] = {
    "pairs": lambda items, pairs: PairBatches(pairs, 64, PAD, BOS, seed=1),
    "pairs whose ends are padding": lambda items, pairs: PairBatches(pairs, 64, EOS, BOS, seed=1),
    "sequences": lambda items, pairs: SequenceBatches(items, 64, PAD, 1, [n % 3 for n in range(120)]),
    "masked": lambda items, pairs: MaskedBatches(items, 64, 500, MASK, PAD, [BOS, EOS], seed=1),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_batches_of_records_are_those_of_lists(tmp_path: Path, kind: str) -> None:
    records = write_records(tmp_path / "ids", np.uint16, SEQUENCES)
    listed = MAKERS[kind](SEQUENCES, list(zip(SEQUENCES[::2], SEQUENCES[1::2], strict=True)))
    stored = MAKERS[kind](records, Pairs(records))
    assert fingerprint(stored) == fingerprint(listed)
    for share in (Share(), Share(1, 3)):
        for found, expected in zip(stored.epoch(2, share), listed.epoch(2, share), strict=True):
            assert found.labels.dtype == expected.labels.dtype
            for one, other in zip((*found.inputs, found.labels), (*expected.inputs, expected.labels), strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", [kind for kind in MAKERS if "whose" not in kind])
def test_batches_of_records_read_those_of_their_rows_only(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = write_records(tmp_path / "ids", np.uint16, SEQUENCES)
    read: list[int] = []
    item = Records.item
    monkeypatch.setattr(Records, "item", lambda self, place: read.append(place) or item(self, place))
    data = MAKERS[kind](records, Pairs(records))
    if kind == "pairs":  # their sources are searched for padding
        read.clear()
    assert not read
    batch = next(data.epoch(0, Share(1, 2)))
    assert len(read) == len(batch.labels) * (2 if kind == "pairs" else 1)
