from __future__ import annotations

import gzip
import os
import threading
from pathlib import Path

import pytest

from transformer.data.text_files import read_passages, read_texts, spool_passages


def written(folder: Path, content: bytes, name: str = "book.txt") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("content", ["To be,\n\nor not\n", "no end of line", " spaces \t\n", "a\u2028b\x0bc\n"])
def test_a_text_is_read_to_the_character(tmp_path: Path, content: str) -> None:
    assert read_texts([written(tmp_path, content.encode())]) == [content]


def test_line_ends_become_lf_and_characters_nfc(tmp_path: Path) -> None:
    assert read_texts([written(tmp_path, "\ufeffFu\u0308r\r\ndich".encode())]) == ["F\u00fcr\ndich"]


def test_each_file_is_one_text_compressed_or_not(tmp_path: Path) -> None:
    files = [written(tmp_path, b"a\n"), written(tmp_path, gzip.compress(b"b\n"), "other.txt.gz")]
    assert read_texts(files) == ["a\n", "b\n"]


@pytest.mark.parametrize("read", [read_texts, read_passages])
def test_lines_that_are_not_utf8_are_reported_for_each_file_or_left_out(tmp_path: Path, read: object) -> None:
    files = [written(tmp_path, b"good\nb\xe4d\n"), written(tmp_path, b"\xff\xfe\nfine\n", "other.txt")]
    assert callable(read)
    report = f"{files[0]}: 1 line not in UTF-8 (2); {files[1]}: 1 line not in UTF-8 (1)"
    with pytest.raises(ValueError) as error:
        read(files)
    assert str(error.value) == f"{report}; skip_bad=True (--skip-bad) leaves them out"
    texts = read(files, skip_bad=True)
    assert [text.strip() for text in texts] == ["good", "fine"]
    assert str(texts.faults) == report


@pytest.mark.parametrize("read", [read_texts, read_passages])
def test_files_without_text_are_refused(tmp_path: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(ValueError, match=r"book\.txt: the file is empty"):
        read([written(tmp_path, b"")])
    with pytest.raises(FileNotFoundError, match=r"none\.txt: no such file"):
        read([tmp_path / "none.txt"])


def test_empty_lines_separate_passages(tmp_path: Path) -> None:
    path = written(tmp_path, b"\n\nTo  be,\nor not\n \nThat is\n\tthe question")
    assert read_passages([path]) == ["To be, or not", "That is the question"]


@pytest.mark.parametrize(("content", "passages"), [(b"a b\nc\n\nd\n", ["a b c", "d"]), (b"a b\nc\n", ["a b", "c"])])
def test_a_pipe_is_read_as_a_file_is(tmp_path: Path, content: bytes, passages: list[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    for read in (lambda paths: read_passages(paths), lambda paths: list(spool_passages(tmp_path / "spool", paths))):
        writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[content], daemon=True)
        writer.start()
        assert read([tmp_path / "pipe"]) == passages
        writer.join()


def test_a_passage_of_endless_lines_is_too_long(tmp_path: Path) -> None:
    path = written(tmp_path, b"\nshort\n\n" + b"a\n" * 20_001)
    assert read_passages([path], skip_bad=True) == ["short"]


def test_without_empty_lines_each_line_is_a_passage(tmp_path: Path) -> None:
    assert read_passages([written(tmp_path, b"To be,\nor not\n")]) == ["To be,", "or not"]


def test_a_passage_that_is_too_long_is_named_by_its_first_line(tmp_path: Path) -> None:
    path = written(tmp_path, b"short\n\n" + b"word\n" * 2_001 + b"\nshort\n")
    with pytest.raises(ValueError, match=r"1 line with more than 10,000 characters \(3\)"):
        read_passages([path])
    assert read_passages([path], skip_bad=True) == ["short", "short"]
