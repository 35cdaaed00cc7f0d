from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from transformer.data.parallel import read_pairs, split_pairs

GREETINGS = "Hi.\tHallo!\nThank you.\tDanke.\n"
PAIRS = [("Hi.", "Hallo!"), ("Thank you.", "Danke.")]
TATOEBA = Path(__file__).parents[4] / "shared" / "data" / "tatoeba-deu-eng.zip"


def as_text(folder: Path, content: bytes) -> Path:
    path = folder / "corpus.tsv"
    path.write_bytes(content)
    return path


def as_gzip(folder: Path, content: bytes) -> Path:
    path = folder / "corpus.tsv.gz"
    path.write_bytes(gzip.compress(content))
    return path


def as_zip(folder: Path, content: bytes) -> Path:
    return zipped(folder, {"_about.txt": b"Made by us", "__MACOSX/data/._corpus.txt": b"", "data/corpus.txt": content})


def zipped(folder: Path, files: dict[str, bytes]) -> Path:
    path = folder / "corpus.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


Write = Callable[[Path, bytes], Path]
every_container = pytest.mark.parametrize("write", [as_text, as_gzip, as_zip])


@every_container
def test_a_tsv_is_read_plain_compressed_or_zipped(tmp_path: Path, write: Write) -> None:
    assert read_pairs(write(tmp_path, GREETINGS.encode())) == PAIRS


@pytest.mark.parametrize(
    "text",
    [
        GREETINGS.replace("\n", "\r\n"),
        GREETINGS.removesuffix("\n"),
        "\ufeff" + GREETINGS,
        GREETINGS.replace("\n", "\tCC-BY 2.0\t\tsomebody\n"),
        GREETINGS.replace("\t", " \t\u00a0"),
    ],
    ids=["CRLF", "no final newline", "byte order mark", "attribution columns", "surrounding space"],
)
def test_formatting_of_lines_is_ignored(tmp_path: Path, text: str) -> None:
    assert read_pairs(as_text(tmp_path, text.encode())) == PAIRS


def test_sentences_are_normalised_to_nfc(tmp_path: Path) -> None:
    assert read_pairs(as_text(tmp_path, "Fu\u0308r\tPour c\u0327a\n".encode())) == [("F\u00fcr", "Pour \u00e7a")]


def test_only_line_feeds_end_a_line(tmp_path: Path) -> None:
    assert read_pairs(as_text(tmp_path, "a\u2028b\x85c\tx\u2028y\n".encode())) == [("a\u2028b\x85c", "x\u2028y")]


def test_reverse_swaps_the_columns(tmp_path: Path) -> None:
    path = as_text(tmp_path, GREETINGS.encode())
    assert read_pairs(path, reverse=True) == [(target, source) for source, target in PAIRS]


def test_repeated_pairs_are_kept_in_file_order(tmp_path: Path) -> None:
    path = as_text(tmp_path, (GREETINGS * 2).encode())
    assert read_pairs(path) == PAIRS * 2


def parallel_files(folder: Path, source: str, target: str) -> tuple[Path, Path]:
    paths = folder / "train.en", folder / "train.de"
    for path, text in zip(paths, (source, target), strict=True):
        path.write_text(text, encoding="utf-8", newline="")
    return paths


@pytest.mark.parametrize("reverse", [False, True])
def test_two_parallel_files_are_read_side_by_side(tmp_path: Path, reverse: bool) -> None:
    paths = parallel_files(tmp_path, "Hi.\nThank you.\n", "Hallo!\r\nDanke.")
    assert read_pairs(*paths, reverse=reverse) == [pair[::-1] if reverse else pair for pair in PAIRS]


@pytest.mark.parametrize(("lines", "target_lines"), [(2, 5), (5, 2), (0, 3), (1_200, 0)])
def test_parallel_files_of_different_lengths_state_both_counts(tmp_path: Path, lines: int, target_lines: int) -> None:
    paths = parallel_files(tmp_path, "a\n" * lines, "b\n" * target_lines)
    with pytest.raises(ValueError, match=rf"train\.en has {lines:,} lines and .*train\.de has {target_lines:,}: "):
        read_pairs(*paths)


def test_an_empty_side_of_parallel_files_is_named_with_its_line(tmp_path: Path) -> None:
    paths = parallel_files(tmp_path, "a\nb\n\nd\n", "x\n \n\nz\n")
    with pytest.raises(ValueError, match=r"train\.de: 1 line with an empty target \(2\), 1 line empty \(3\);"):
        read_pairs(*paths)
    assert read_pairs(*paths, skip_bad=True) == [("a", "x"), ("d", "z")]


BAD = {
    b"no tab here": "without a tab",
    b"": "empty",
    b" \t ": "empty",
    b"\tHallo": "with an empty source",
    b"Hi \t \tCC-BY": "with an empty target",
    b"f\xfcr\tfor": "not in UTF-8",
    b"a" * 10_001 + b"\t" + b"b" * 9_000: "with more than 10,000 characters",
    b"Hi\t" + b"b" * 119: "with one side over 9 times as long as the other",
}


@every_container
@pytest.mark.parametrize(("line", "fault"), BAD.items(), ids=[f"{fault}-{line[:6]!r}" for line, fault in BAD.items()])
def test_a_bad_line_is_named_with_its_number_or_left_out_and_reported(
    tmp_path: Path, write: Write, line: bytes, fault: str
) -> None:
    greetings = GREETINGS.encode()
    path = write(tmp_path, greetings + line + b"\n" + greetings + (line + b"\n") * 6)
    report = f"{path}: 7 lines {fault} (3, 6, 7, 8, 9, …)"
    with pytest.raises(ValueError) as error:
        read_pairs(path)
    assert str(error.value) == f"{report}; skip_bad=True (--skip-bad) leaves them out"
    pairs = read_pairs(path, skip_bad=True)
    assert pairs == PAIRS * 2
    assert len(pairs.faults) == 7
    assert str(pairs.faults) == report


def test_all_kinds_of_bad_lines_are_in_one_error(tmp_path: Path) -> None:
    path = as_text(tmp_path, b"Hi.\tHallo!\n" + b"\n".join(BAD) + b"\n")
    with pytest.raises(ValueError) as error:
        read_pairs(path)
    assert "\n" not in str(error.value)
    assert all(f"{fault} ({2 + number}" in str(error.value) for number, fault in enumerate(BAD.values()) if number != 2)
    assert "2 lines empty (3, 4)" in str(error.value)


def test_a_corpus_without_bad_lines_has_no_faults(tmp_path: Path) -> None:
    pairs = read_pairs(as_text(tmp_path, GREETINGS.encode()))
    assert not pairs.faults
    assert str(pairs.faults) == ""


def test_a_corpus_of_bad_lines_alone_is_refused_even_when_they_are_skipped(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"corpus\.tsv: 1 line without a tab \(1\)$"):
        read_pairs(as_text(tmp_path, b"no tab\n"), skip_bad=True)


@pytest.mark.parametrize("length", [118, 119])
def test_sides_of_very_different_lengths_are_bad_unless_they_need_not_be_alike(tmp_path: Path, length: int) -> None:
    path = as_text(tmp_path, b"Hi\t" + b"b" * length + b"\nHi\tb\n")
    assert len(read_pairs(path, skip_bad=True)) == (2 if length == 118 else 1)
    assert len(read_pairs(path, alike=False)) == 2


def test_an_empty_side_is_named_as_it_is_after_reversing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"1 line with an empty source \(2\)"):
        read_pairs(as_text(tmp_path, b"Hi.\tHallo!\nThanks\t\n"), reverse=True)


@every_container
def test_an_empty_file_is_refused(tmp_path: Path, write: Write) -> None:
    with pytest.raises(ValueError, match=r"corpus\..*: the file is empty"):
        read_pairs(write(tmp_path, b""))


@pytest.mark.parametrize("name", ["none.tsv", "none.tsv.gz", "none.zip"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError, match=rf"{name}: no such file"):
        read_pairs(tmp_path / name)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a file, found a directory"):
        read_pairs(tmp_path)


@pytest.mark.parametrize("name", ["corpus.tsv.gz", "corpus.zip"])
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(GREETINGS)
    with pytest.raises(ValueError, match=rf"{name}, after line 0: damaged {Path(name).suffix} file"):
        read_pairs(tmp_path / name)


def test_a_damaged_lzma_zip_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("lzma", reason="this Python was built without it")
    path = tmp_path / "corpus.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("corpus.tsv", b"".join(b"%d\t%d\n" % (i, i * i) for i in range(999)))
    content = bytearray(path.read_bytes())
    content[90:2000] = bytes(1910)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"corpus\.zip, after line \d+: damaged \.zip file"):
        read_pairs(path)


def test_a_truncated_gzip_is_refused(tmp_path: Path) -> None:
    path = as_gzip(tmp_path, GREETINGS.encode() * 1_000)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"corpus\.tsv\.gz, after line \d+: damaged \.gz file"):
        read_pairs(path)


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, "none"),
        ({"_about.txt": b"Made by us"}, "none"),
        ({"a.txt": b"a\tb\n", "b.txt": b"a\tb\n"}, "2: a.txt, b.txt"),
        ({f"{index}.txt": b"" for index in range(7)}, "7: 0.txt, 1.txt, 2.txt, 3.txt, 4.txt, …"),
    ],
)
def test_a_zip_without_exactly_one_text_lists_what_it_holds(
    tmp_path: Path, files: dict[str, bytes], found: str
) -> None:
    with pytest.raises(ValueError, match=f"expected exactly one file besides those .*, found {found}$"):
        read_pairs(zipped(tmp_path, files))


@pytest.mark.skipif(not TATOEBA.exists(), reason="the Tatoeba sentence pairs are not beside this repository")
def test_the_tatoeba_archive_is_read() -> None:
    pairs = read_pairs(TATOEBA)
    assert len(pairs) == 169_813
    assert pairs[0] == ("Hi.", "Hallo!")


sentences = st.text("ab", min_size=1, max_size=3)
corpora = st.lists(st.tuples(sentences, sentences), max_size=60)


@given(pairs=corpora, held_out=st.integers(0, 20), seed=st.integers())
def test_no_held_out_source_occurs_in_training(pairs: list[tuple[str, str]], held_out: int, seed: int) -> None:
    try:
        train, held = split_pairs(pairs, held_out=held_out, seed=seed)
    except ValueError:
        return
    assert not {source for source, _ in train} & {source for source, _ in held}
    assert sorted(train + held) == sorted(pairs)
    assert len(held) == held_out
    assert train


@given(seed=st.integers())
def test_any_number_of_distinct_sources_but_all_can_be_held_out(seed: int) -> None:
    pairs = [(str(number), "x") for number in range(9)]
    for held_out in range(9):
        train, held = split_pairs(pairs, held_out=held_out, seed=seed)
        assert (len(train), len(held)) == (9 - held_out, held_out)


def test_both_parts_keep_the_order_of_the_corpus() -> None:
    pairs = [(f"{number:03}", "x") for number in range(200)]
    for part in split_pairs(pairs, held_out=50, seed=0):
        assert part == sorted(part)


def test_a_split_repeats_for_its_seed_and_differs_for_another() -> None:
    pairs = [(str(number), "x") for number in range(200)]
    first = split_pairs(pairs, held_out=50, seed=0)
    assert split_pairs(pairs, held_out=50, seed=0) == first
    assert split_pairs(pairs, held_out=50, seed=1) != first


def test_sources_that_must_train_are_never_held_out() -> None:
    pairs = [(str(number), "x") for number in range(20)]
    always = {str(number) for number in range(10)}
    train, _ = split_pairs(pairs, held_out=10, seed=0, always_train=always)
    assert {source for source, _ in train} == always


def test_sources_of_a_group_go_to_one_side() -> None:
    pairs = [(f"{number % 7} {number}", "x") for number in range(21)]
    train, held_out = split_pairs(pairs, held_out=6, seed=0, group=lambda source: source[0])
    assert len(held_out) == 6
    assert not {source[0] for source, _ in train} & {source[0] for source, _ in held_out}


def test_the_group_of_a_source_that_must_train_is_never_held_out() -> None:
    pairs = [(f"{number % 3} {number}", "x") for number in range(9)]
    for seed in range(20):
        train, _ = split_pairs(pairs, held_out=6, seed=seed, always_train=["1 4"], group=lambda source: source[0])
        assert {source[0] for source, _ in train} == {"1"}


def test_the_refusal_to_part_equal_sources_says_how_many_can_be_held_out() -> None:
    pairs = [(source, str(number)) for source in "abc" for number in range(3)]
    with pytest.raises(ValueError, match=r"cannot hold out 4 of 9 pairs .*; equal sources stay together: 3 can be$"):
        split_pairs(pairs, held_out=4, seed=0)


@pytest.mark.parametrize("held_out", [-1, 3, 4, 11])
def test_a_number_that_cannot_be_held_out_is_refused(held_out: int) -> None:
    pairs = [("a", "1"), ("a", "2"), ("b", "3")]
    with pytest.raises(ValueError, match=f"^held_out: cannot hold out {held_out} of 3 pairs with 2 distinct sources"):
        split_pairs(pairs, held_out=held_out, seed=0)
