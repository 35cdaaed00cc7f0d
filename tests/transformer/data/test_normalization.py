"""Text normalisation is the same for files, standard input, arguments, strings in Python and tokenizers."""

from __future__ import annotations

import tempfile
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from tests.transformer.conftest import small
from transformer import MaskedLM, Tokenizer, Transformer
from transformer.data.normalization import characters, line, passage
from transformer.data.parallel import read_pairs
from transformer.data.text_files import read_passages, read_texts
from transformer.data.tokenizer import MASK, SPECIAL
from transformer.evaluate import transduce
from transformer.tasks import fill

# What is written in several ways: composed and not, with marks in either order, and with every kind of line end.
PIECES = [
    "a",
    "Ö",
    "O\u0308",
    "ü\u0301",
    "u\u0301\u0308",
    "각",
    "\u1100\u1161\u11a8",
    " ",
    "\t",
    "\r\n",
    "\r",
    "\n",
    "\ufeff",
]
TEXT = st.lists(st.sampled_from(PIECES)).map("".join)


def _file(folder: str, text: str) -> Path:
    path = Path(folder, "text.txt")
    path.write_bytes(text.encode())
    return path


@given(TEXT)
def test_normalisation_is_done_once_and_for_all(text: str) -> None:
    for normalise in (characters, line, passage):
        found = normalise(text)
        assert normalise(found) == found and unicodedata.is_normalized("NFC", found)
        assert normalise(unicodedata.normalize("NFD", text)) == found == normalise("\ufeff" + text)
    assert line(characters(text)) == line(text) and passage(line(text)) == passage(text)
    assert "\n" not in line(text) and line(f" {text}\r\n") == line(text)


@given(TEXT)
def test_files_are_read_as_strings_are_normalised(text: str) -> None:
    text = f"x{text}\nend\n"
    with tempfile.TemporaryDirectory() as folder:
        file = _file(folder, text)
        assert "".join(read_texts([file])) == characters(text)
        assert passage(" ".join(read_passages([file]))) == passage(text)


@given(TEXT, TEXT)
def test_pairs_are_read_as_sentences_to_translate_are(source: str, target: str) -> None:
    source, target = (f"x{side.replace(chr(9), '').replace(chr(10), '')}x" for side in (source, target))
    with tempfile.TemporaryDirectory() as folder:
        assert read_pairs(_file(folder, f"{source}\t{target}\r\nlast\tline\n"))[0] == (line(source), line(target))


BYTES = Tokenizer.train(["".join(PIECES)], 300, special=[*SPECIAL, MASK])
CHARACTERS = Tokenizer.characters("".join(PIECES), special=["<unk>"])


@given(TEXT)
@pytest.mark.parametrize(
    "tokenizer", [BYTES, CHARACTERS, Tokenizer(BYTES.to_json())], ids=["bytes", "characters", "read"]
)
def test_tokenizers_learned_here_read_every_form_of_a_text_alike(tokenizer: Tokenizer, text: str) -> None:
    (ids,) = tokenizer.encode([text])
    assert [ids] == tokenizer.encode([characters(text)]) == tokenizer.encode([unicodedata.normalize("NFD", text)])
    assert tokenizer.decode([ids]) == [characters(text)]


def test_models_are_given_the_text_that_they_were_trained_on() -> None:
    sentence, forms = "a Ö b", ["a O\u0308 b", "  a Ö b\r\n", "\ufeffa Ö b", "a Ö\nb"]
    model = Transformer(small()).eval()
    assert set(transduce(model, BYTES, forms, max_new_tokens=5)) == set(
        transduce(model, BYTES, [sentence], max_new_tokens=5)
    )
    filler = MaskedLM(small(mask_id=BYTES.mask_id)).eval()
    for form in forms:
        assert fill(filler, BYTES, f"{form} [MASK]") == fill(filler, BYTES, f"{sentence} [MASK]")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("text", ["Guten Tag\tGood day\nJa\tYes\n", "漢字\t字\n漢\t字\n"])
@pytest.mark.parametrize("read", [read_pairs, lambda path, **given: read_texts([path], **given)])
def test_a_file_in_another_unicode_encoding_is_named_as_such(
    encoding: str, text: str, read: object, tmp_path: Path
) -> None:
    assert callable(read)
    marks = {"utf-16-le": "\ufeff", "utf-16-be": "\ufeff"}
    (tmp_path / "file.tsv").write_bytes((marks.get(encoding, "") + text).encode(encoding))
    for skip_bad in (False, True):  # leaving out its lines would leave nothing, or nonsense
        with pytest.raises(ValueError, match=r"file\.tsv: looks like UTF-16 or UTF-32, expected UTF-8; iconv"):
            read(tmp_path / "file.tsv", skip_bad=skip_bad)


def test_lines_that_end_in_cr_alone_are_named(tmp_path: Path) -> None:
    path = tmp_path / "mac.tsv"
    path.write_bytes(b"a\tb\rc\td\re\tf\r")
    for read in (read_pairs, lambda path: read_texts([path])):
        with pytest.raises(ValueError, match=r"mac\.tsv: its lines end in CR alone, expected LF or CRLF"):
            read(path)
