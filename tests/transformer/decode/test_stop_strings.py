"""Texts that end before a stop string, wherever the tokens' bounds are."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from tests.transformer.decode.conftest import Reciter, Spelling
from transformer.decode import Hypothesis, generate, stream

A, B, AB, CAB, DOT, FIRST, SECOND = range(1, 8)


def recite(*ids: int, stop: str | list[str], **choices: object) -> Hypothesis:
    return generate(Reciter(*ids), [[1]], tokenizer=Spelling(), stop_strings=stop, **choices)[0]


@pytest.mark.parametrize("beams", [1, 3])
def test_a_text_ends_before_the_stop_string_across_the_bounds_of_tokens(beams: int) -> None:
    found = recite(DOT, A, B, DOT, A, stop="ab.", num_beams=beams)
    assert (found.ids, found.text, found.finished) == ([DOT], ".", True)
    assert found.log_probability == pytest.approx(Reciter(DOT).log_probability([1], [DOT]))


def test_it_is_not_read_beyond_the_stop_string() -> None:
    model = Reciter(A, B, DOT, A, A, A)
    generate(model, [[1]], tokenizer=Spelling(), stop_strings=["b."])
    assert len(model.rows_read) == 3


def test_a_stop_string_that_begins_inside_a_token_cuts_the_text_there_and_the_tokens_before_it() -> None:
    found = recite(DOT, CAB, A, stop="b")
    assert (found.ids, found.text) == ([DOT], ".ca")


def test_the_first_of_several_counts_and_none_changes_nothing() -> None:
    assert recite(A, DOT, B, A, stop=["b", "."]).text == "a"
    assert recite(A, CAB, stop=["a", "ca"]).text == ""
    whole = recite(A, CAB, DOT, stop="zzz")
    assert (whole.ids, whole.text, whole.finished) == ([A, CAB, DOT], "acab.", True)


def test_a_text_cut_off_at_the_limit_has_not_finished() -> None:
    assert not recite(A, B, A, B, A, stop="zzz", max_new_tokens=3).finished
    assert recite(A, B, A, B, A, stop="aba", max_new_tokens=3).finished


def test_bytes_of_one_character_in_two_tokens_are_one_character() -> None:
    assert recite(A, FIRST, SECOND, A, stop="é").ids == [A]
    assert recite(A, FIRST, SECOND, A, stop="\ufffd").ids == [A]


def test_a_stream_holds_back_what_may_become_a_stop_string() -> None:
    model = Reciter(DOT, A, B, A, DOT)
    tokens = stream(model, [1], tokenizer=Spelling(), stop_strings=["aba", "abb"])
    assert list(tokens) == [DOT]
    model = Reciter(A, A, B, DOT)
    tokens = stream(model, [1], tokenizer=Spelling(), stop_strings="aba")
    assert next(tokens) == A and len(model.rows_read) == 2  # the first "a" is free once another follows it
    assert list(tokens) == [A, B, DOT]


def test_a_stream_holds_back_the_first_bytes_of_a_character() -> None:
    assert list(stream(Reciter(A, FIRST, SECOND, A), [1], tokenizer=Spelling(), stop_strings="é")) == [A]
    assert list(stream(Reciter(A, FIRST, SECOND, A), [1], tokenizer=Spelling(), stop_strings="b")) == [
        A,
        FIRST,
        SECOND,
        A,
    ]


@given(
    st.lists(st.integers(1, 7), min_size=1, max_size=12),
    st.lists(st.text("abc.é", min_size=1, max_size=3), min_size=1, max_size=3),
)
def test_a_stream_gives_what_generate_returns_whatever_is_said(ids: list[int], stops: list[str]) -> None:
    found = recite(*ids, stop=stops)
    assert list(stream(Reciter(*ids), [1], tokenizer=Spelling(), stop_strings=stops)) == found.ids
    assert found.text is not None and not any(stop in found.text for stop in stops)
    assert found.text.startswith(Spelling().decode([found.ids])[0])
