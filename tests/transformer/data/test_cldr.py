from __future__ import annotations

import os
import subprocess
import sys
import unicodedata
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings, strategies as st

from transformer.data import cldr

pytest.importorskip("babel", reason="Babel comes with the extra text")

PAIRS = [("en", "de"), ("de", "en"), ("en", "fr"), ("en", "ja"), ("en", "es"), ("fr", "ar"), ("en", "zh-Hant")]


@pytest.fixture(scope="module")
def english_to_german() -> list[tuple[str, str]]:
    return cldr.phrases("en", "de", count=3_000, seed=1)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_any_two_languages_give_the_requested_number_of_distinct_phrases(source: str, target: str) -> None:
    pairs = cldr.phrases(source, target, count=1_200)
    assert len(pairs) == len({source for source, _ in pairs}) == 1_200


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_phrases_are_short_typeable_text(source: str, target: str) -> None:
    for text in (text for pair in cldr.phrases(source, target, count=1_200) for text in pair):
        assert 0 < len(text) <= cldr.MAX_LENGTH
        assert text.isprintable() and text == text.strip() and "  " not in text
        assert {character for character in text if unicodedata.category(character)[0] == "Z"} <= {" "}
        assert unicodedata.is_normalized("NFC", text)


def test_the_same_seed_gives_the_same_phrases_in_another_process() -> None:
    program = "from transformer.data import cldr; print(cldr.phrases('en', 'fr', count=400, seed=7))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "1", "PYTHONUTF8": "1"}
    output = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, encoding="utf-8", check=True
    )
    assert output.stdout.strip() == str(cldr.phrases("en", "fr", count=400, seed=7))


def test_another_seed_gives_other_phrases(english_to_german: list[tuple[str, str]]) -> None:
    assert cldr.phrases("en", "de", count=3_000, seed=2) != english_to_german


def test_one_language_never_leaks_into_another() -> None:
    before = cldr.phrases("en", "de", count=300)
    cldr.phrases("he", "fa", count=300)  # languages that resolve the month names which others inherit
    assert cldr.phrases("en", "de", count=300) == before
    assert cldr.Speaker("target", "fr").months[1] == "janvier"


def test_every_kind_and_every_dictionary_entry_is_said_in_english_and_german() -> None:
    assert {kind for kind, _ in cldr._sample("en", "de", 3_000, 1)} == {*cldr.KINDS, *cldr.ENTRIES}


@pytest.mark.parametrize(
    ("kind", "value", "english", "german"),
    [
        ("full date", date(2024, 9, 5), "Thursday, September 5, 2024", "Donnerstag, 5. September 2024"),
        ("short date", date(2024, 9, 5), "9/5/24", "05.09.24"),
        ("relative time", ("day", -3), "3 days ago", "vor 3 Tagen"),
        ("relative time", ("year", 40), "in 40 years", "in 40 Jahren"),
        ("duration", ((1, "duration-hour"), (5, "duration-minute")), "1 hour and 5 minutes", "1 Stunde und 5 Minuten"),
        ("amount of a unit", (1_200, "length-kilometer"), "1,200 kilometers", "1.200 Kilometer"),
        ("amount of money", (1, "USD"), "1 US dollar", "1 US-Dollar"),
        ("amount of money", (Decimal("12.5"), "EUR"), "12.50 euros", "12,50 Euro"),
        ("amount of money", (Decimal("1.49"), "KRW"), "1 South Korean won", "1 Südkoreanischer Won"),
        ("large number", 1_200_000, "1.2 million", "1,2 Millionen"),
        ("language of a territory", ("de", "AT"), "German (Austria)", "Deutsch (Österreich)"),
        ("either territory", ["FR", "IT", "ES"], "France, Italy, or Spain", "Frankreich, Italien oder Spanien"),
        ("languages", ["fr", "it"], "French and Italian", "Französisch und Italienisch"),
    ],
)
def test_a_value_is_formatted_in_each_language(kind: str, value: object, english: str, german: str) -> None:
    say = cldr.KINDS[kind].say
    assert say(cldr.Speaker("source", "en"), value) == english
    assert say(cldr.Speaker("target", "de"), value) == german


def test_a_source_in_which_two_kinds_coincide_takes_one_translation() -> None:
    """English says "May 5, 2024" for the long and the abbreviated date; Spanish says two different things."""
    sample = cldr._sample("en", "es", 6_000, 0)
    may = {(kind, target) for kind, (source, target) in sample if source.startswith("May ") and kind.endswith("date")}
    assert {kind for kind, _ in may} == {"long date", "abbreviated date"}
    assert all(" de mayo de " in target for _, target in may)


def test_names_without_a_translation_are_left_out() -> None:
    names = cldr.Names.common(source := cldr.Speaker("source", "en"), target := cldr.Speaker("target", "yue"))
    for code in names.territories:
        assert code not in (source.territories[code], target.territories[code])
    for code in names.languages:
        assert code not in (source.languages[code], target.languages[code])
    for unit in names.units:
        assert unit not in target.measure((3, unit))


def test_no_held_out_phrase_occurs_in_training() -> None:
    train, held_out = cldr.corpus("en", "de", count=3_000, held_out=300, seed=3)
    assert (len(train), len(held_out)) == (2_700, 300)
    assert not {source for source, _ in train} & {source for source, _ in held_out}
    assert sorted(train + held_out) == sorted(cldr.phrases("en", "de", count=3_000, seed=3))


def test_single_names_and_singular_amounts_stay_in_training() -> None:
    train, _ = cldr.corpus("en", "de", count=3_000, held_out=1_500)
    assert {("Germany", "Deutschland"), ("German", "Deutsch"), ("1 kilometer", "1 Kilometer")} <= set(train)


def test_a_corpus_smaller_than_the_dictionary_still_has_compositions_to_hold_out() -> None:
    train, held_out = cldr.corpus("en", "de", count=100, held_out=50)
    assert (len(train), len(held_out)) == (50, 50)


@pytest.mark.parametrize("name", ["tlh", "", "root", "12", "e"])
@pytest.mark.parametrize("argument", ["source", "target"])
def test_an_unknown_language_names_argument_value_and_examples(argument: str, name: str) -> None:
    languages = {"source": "en", "target": "de", argument: name}
    with pytest.raises(ValueError, match=f"^{argument}: unknown language '{name}'.*such as 'de', 'fr'"):
        cldr.phrases(languages["source"], languages["target"])


@pytest.mark.parametrize(("name", "code"), [("German", "de"), ("japanse", "ja"), ("pt_BRA", "pt_BR")])
def test_an_unknown_language_gets_close_matches(name: str, code: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean .*'{code}'"):
        cldr.phrases("en", name)


def test_a_language_that_the_cldr_does_not_translate_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^target: the CLDR has too few words of language 'jbo'"):
        cldr.phrases("en", "jbo")


def test_equal_languages_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^target: 'de' is the source language"):
        cldr.phrases("de", "de")


@pytest.mark.parametrize("count", [0, -1])
def test_a_count_below_one_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"^count: expected at least 1 phrase, got {count}"):
        cldr.phrases(count=count)


def test_more_held_out_phrases_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^held_out: cannot hold out 80 of 100 pairs"):
        cldr.corpus(count=100, held_out=80)


def test_missing_babel_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == "babel"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "babel", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'minigrad-transformer\[text\]'"):
        cldr.phrases()


@settings(max_examples=15)
@given(count=st.integers(1, 200), seed=st.integers(0, 2**32))
def test_any_count_and_seed_is_met(count: int, seed: int) -> None:
    assert len(cldr.phrases("en", "de", count=count, seed=seed)) == count
