"""Line reading of damaged, endless or malicious files: one error that names the file."""

from __future__ import annotations

import gzip
import io
import random
import re
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from transformer import Tokenizer
from transformer.data import lines
from transformer.data.lines import read_lines
from transformer.data.text_files import pieces
from transformer.data.validation import Fault, Faults

TEXT = "".join(f"line {number}\n" for number in range(300)).encode()
COMPRESSIONS = {
    "gz": None,
    "stored": zipfile.ZIP_STORED,
    "deflated": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}


def _compressed(content: bytes, compression: str) -> bytes:
    if compression == "gz":
        return gzip.compress(content)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", COMPRESSIONS[compression] or 0) as opened:
        opened.writestr("text.txt", content)
    return archive.getvalue()


def _file(folder: Path, content: bytes, compression: str) -> Path:
    path = folder / f"text.{'gz' if compression == 'gz' else 'zip'}"
    path.write_bytes(content)
    return path


def _is_readable(path: Path) -> bool:
    try:
        list(read_lines(path))
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_any_damage_of_an_archive_is_an_error_that_names_it_or_none(compression: str, tmp_path: Path) -> None:
    chance = random.Random(0)
    whole = _compressed(TEXT, compression)
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        at = chance.choice([chance.randrange(len(whole)), chance.randrange(60), -1 - chance.randrange(90)])
        damaged[at] ^= 1 << chance.randrange(8)
        if chance.random() < 0.2:
            del damaged[at:]
        path = _file(tmp_path, bytes(damaged), compression)
        if not _is_readable(path):
            refused += 1
            with pytest.raises(ValueError, match=re.escape(str(path))):
                list(read_lines(path))
    assert refused > 50


def test_a_line_without_an_end_is_refused_and_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE", 100)
    path = tmp_path / "text.txt"
    path.write_bytes(b"a\n" + b"x" * 99 + b"\n" + b"y" * 100 + b"\n")
    read = read_lines(path)
    assert [next(read)[0], next(read)[0]] == [1, 2]
    with pytest.raises(ValueError, match=r"text.txt, line 3: a line has more than 100 bytes, and so is no text"):
        next(read)


@pytest.mark.parametrize("compression", ["gz", "deflated", "bzip2", "lzma"])
@pytest.mark.parametrize("byte", [b"\0", b"\n"])
def test_an_archive_that_expands_without_end_is_refused(
    compression: str, byte: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "FREE_BYTES", 2**10)
    monkeypatch.setattr(lines, "MAX_LINE", 2**12)
    path = _file(tmp_path, _compressed(byte * 2**20, compression), compression)
    with pytest.raises(ValueError, match=r"text\.(gz|zip), line \d+: (expands to more|a line has more than 4,096)"):
        for _ in read_lines(path):
            pass


def test_bad_lines_are_counted_and_only_the_first_are_kept() -> None:
    faults = Faults()
    for number in range(1, 1001):
        faults.add("text", number, Fault.EMPTY)
    assert len(faults) == 1000 and str(faults) == "text: 1,000 lines empty (1, 2, 3, 4, 5, …)"
    assert sum(len(found.first) for kinds in faults._found.values() for found in kinds.values()) == 5


LETTERS = "ab5 \n\t'.é漢\u00a0\u2003-"
TOKENIZERS = [
    Tokenizer.train(["it's 5 o'clock\n\nto be, 漢 or é", LETTERS * 9], 300),
    Tokenizer.characters(LETTERS),
]


@given(
    parts=st.lists(st.text(LETTERS, max_size=20), max_size=4),
    size=st.integers(1, 9),
    tokenizer=st.sampled_from(TOKENIZERS),
)
def test_the_tokens_of_a_texts_pieces_are_those_of_the_text(parts: list[str], size: int, tokenizer: Tokenizer) -> None:
    text = "".join(parts)
    found = list(pieces(parts, size))
    assert "".join(found) == text
    assert list(pieces([text], size)) == list(pieces(text, size)) == found  # however the text comes
    (whole,) = tokenizer.encode([text], add_special_tokens=False)
    assert [i for ids in tokenizer.encode(found, add_special_tokens=False) for i in ids] == whole
