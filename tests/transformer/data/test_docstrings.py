from __future__ import annotations

from pathlib import Path

import pytest

from transformer.data import docstrings, first_sentence
from transformer.data.docstrings import BODY_LENGTHS, SUMMARY_LENGTHS

BODY = "The description goes on in more words than the summary has."


def written(folder: Path, source: str | bytes, name: str = "module.py") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(source if isinstance(source, bytes) else source.encode())
    return folder


def test_every_kind_of_docstring_counts_in_the_order_of_the_lines(tmp_path: Path) -> None:
    source = f'''"""Do the module.

    {BODY} m
    """
class C:
    """Do the class.

    {BODY} c
    """
    async def method(self):
        """Do the method.

        {BODY} e

        A second
          paragraph.
        """
try:
    pass
except ImportError:
    def function():
        """Do the function.

        {BODY} f
        """
'''
    assert docstrings(written(tmp_path, source)) == [
        (f"{BODY} m", "Do the module."),
        (f"{BODY} c", "Do the class."),
        (f"{BODY} e A second paragraph.", "Do the method."),
        (f"{BODY} f", "Do the function."),
    ]


def test_files_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.py", "a/z.py", "a/b.py", "a.py"):
        written(tmp_path, f'"""Summary of {name}.\n\n{BODY} {name}\n"""', name)
    assert [summary for _, summary in docstrings(tmp_path)] == [
        "Summary of a.py.",
        "Summary of b.py.",
        "Summary of a/b.py.",
        "Summary of a/z.py.",
    ]


@pytest.mark.parametrize("folder", ["test", "pkg/tests", "site-packages/pkg", "idlelib/idle_test"])
def test_tests_and_installed_packages_are_not_read(tmp_path: Path, folder: str) -> None:
    written(tmp_path, f'"""Do the module.\n\n{BODY}\n"""')
    written(tmp_path, f'"""Do something else.\n\n{BODY} too\n"""', f"{folder}/other.py")
    assert len(docstrings(tmp_path)) == 1


@pytest.mark.parametrize(
    "docstring",
    [
        "Do the thing.",
        f"Do the thing.\n{BODY}",
        f"Do the\nthing.\n\n{BODY}",
        "Do the thing.\n\nToo short.",
        f"Do the thing.\n\n{BODY * 20}",
        f"Do it.\n\n{BODY}",
        f"{'Do ' * 40}\n\n{BODY}",
        f"f(x) -> int or None\n\n{BODY}",
        "Do the thing.\n\n>>> a long example without any words that describe something",
    ],
)
def test_docstrings_that_are_no_text_and_summary_are_left_out(tmp_path: Path, docstring: str) -> None:
    written(tmp_path, f'"""{docstring}\n"""', "a.py")
    written(tmp_path, f'"""Do the module.\n\n{BODY}\n"""', "b.py")
    assert docstrings(tmp_path) == [(BODY, "Do the module.")]


def test_examples_are_left_out_of_a_body(tmp_path: Path) -> None:
    assert docstrings(written(tmp_path, f'"""Do the module.\n\n{BODY}\n\n>>> do()\n1\n"""')) == [
        (BODY, "Do the module.")
    ]


def test_a_body_comes_once(tmp_path: Path) -> None:
    for name in ("a.py", "b.py"):
        written(tmp_path, f'"""Summary of {name}.\n\n{BODY}\n"""', name)
    assert docstrings(tmp_path) == [(BODY, "Summary of a.py.")]


def test_modules_are_parsed_and_never_run_nor_their_warnings_shown(tmp_path: Path) -> None:
    source = f'"""Do the module.\n\n{BODY}\n"""\n"\\d"\nraise SystemExit\n'
    assert len(docstrings(written(tmp_path, source))) == 1


def test_sources_may_declare_their_encoding(tmp_path: Path) -> None:
    source = f'# coding: latin-1\n"""Do the caf\xe9.\n\n{BODY}\n"""'.encode("latin-1")
    assert docstrings(written(tmp_path, source)) == [(BODY, "Do the caf\xe9.")]


def test_sources_for_another_python_are_left_out(tmp_path: Path) -> None:
    written(tmp_path, "print 'hello'", "old.py")
    written(tmp_path, b'"""caf\xe9"""', "unknown.py")
    assert len(docstrings(written(tmp_path, f'"""Do the module.\n\n{BODY}\n"""'))) == 1


def test_a_library_without_sources_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no Python sources with docstrings"):
        docstrings(tmp_path)


@pytest.mark.parametrize(
    ("text", "lead"),
    [
        ("One. Two.", "One."),
        ("Really? Yes!", "Really?"),
        ("No end", "No end"),
        ("See os.path or 3.5 of it. Then", "See os.path or 3.5 of it."),
        ("", ""),
    ],
)
def test_the_first_sentence_ends_at_the_first_mark_before_a_space(text: str, lead: str) -> None:
    assert first_sentence(text) == lead


def test_the_standard_library_has_a_few_thousand_each_as_documented() -> None:
    pairs = docstrings()
    assert len(pairs) > 2_000
    assert len({body for body, _ in pairs}) == len(pairs)
    assert all(len(body) in BODY_LENGTHS and len(summary) in SUMMARY_LENGTHS for body, summary in pairs)
    assert all("\n" not in text for pair in pairs for text in pair)
