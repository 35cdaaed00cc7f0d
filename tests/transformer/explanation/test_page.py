"""The explanation page in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.support.ui import WebDriverWait

from tests.transformer.conftest import model_in_float64
from transformer import CausalLM, MaskedLM, Tokenizer, Transformer, explain
from transformer.data.tokenizer import MASK, SPECIAL
from transformer.decode.processors import log_softmax, top_k, top_p
from transformer.explanation.recording import Run, record
from transformer.plots.reading import read

TEXT = "one two three"
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train([TEXT, "eins zwei drei"], 300, special=[*SPECIAL, MASK])


@pytest.fixture(scope="module")
def pages(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> dict[Any, tuple[Path, Run]]:
    """A page of each kind of model, and the run that it shows."""
    made = {}
    for kind in (Transformer, CausalLM, MaskedLM):
        model = model_in_float64(kind, mask_id=3)
        text = "one [MASK] three" if kind is MaskedLM else TEXT
        target = "eins zwei drei" if kind is Transformer else None
        path = tmp_path_factory.mktemp("page") / f"{kind.__name__}.html"
        explain(model, tokenizer, text, target, max_new_tokens=5).save(path)
        made[kind] = (path, record(model, *read(model, tokenizer, text, target, 5).stacks.values()))
    return made


def _cell(browser: Any, where: str, row: int, column: int) -> Any:
    return browser.find_element("css selector", f'{where} td[data-row="{row}"][data-column="{column}"]')


def _scroll(browser: Any, element: Any) -> Any:
    """Scroll to an element, and wait until the browser has told the page so."""
    script = """arguments[0].scrollIntoView({block: 'center', inline: 'center'});
                requestAnimationFrame(() => requestAnimationFrame(arguments[1]))"""
    browser.execute_async_script(script, element)
    return element


def _hover(browser: Any, element: Any) -> str:
    ActionChains(browser).move_to_element(_scroll(browser, element)).perform()
    return str(browser.find_element("id", "tip").text)


def _open(browser: Any, details: Any) -> None:
    """Open a step, and wait for its content: browsers report the opening later."""
    _scroll(browser, details.find_element("tag name", "summary")).click()
    WebDriverWait(browser, 30).until(lambda browser: details.find_elements("tag name", "pre"))


def _set(browser: Any, name: str, value: object) -> None:
    script = """const control = byId(arguments[0]);
                control.value = arguments[1];
                for (const kind of ['input', 'change']) control.dispatchEvent(new Event(kind));"""
    browser.execute_script(script, name, str(value))


def _bars(browser: Any) -> list[tuple[str, float]]:
    rows = browser.find_elements("css selector", "#bars tr")
    return [
        (row.find_elements("tag name", "td")[0].text, float(row.find_elements("tag name", "td")[1].text[:-2]))
        for row in rows
    ]


@pytest.mark.parametrize("kind", [Transformer, CausalLM, MaskedLM])
def test_hovering_over_a_weight_shows_the_engine_s_number_and_its_tokens(
    kind: Any, pages: Any, open_page: Open
) -> None:
    path, run = pages[kind]
    browser = open_page(path)
    stack, layer = run.stacks[-1], 1
    part = next(
        part
        for part in stack.layers[layer]
        if part.kind == ("cross_attention" if kind is Transformer else "self_attention")
    )
    (weights,) = (step.values for step in part.steps if step.kind == "weights")
    keys = [button.text for button in browser.find_elements("css selector", "#texts .text:first-child .token")]
    for head, expected in ((-1, weights.mean(0)), (0, weights[0]), (1, weights[1])):
        _set(browser, "head", head)
        text = _hover(browser, _cell(browser, "#large", 2, 1))
        assert float(re.search(r"weight ([\d.]+)", text)[1]) == pytest.approx(expected[2, 1], abs=6e-5)  # type: ignore[index]
        assert f"→ {keys[1]}" in text and "layer 1" in text


def test_the_mask_is_seen_and_told(pages: Any, open_page: Open) -> None:
    path, run = pages[CausalLM]
    browser = open_page(path)
    length = len(run.stacks[0].ids)
    assert len(browser.find_elements("css selector", "#large td.masked")) == length * (length - 1) // 2
    assert "hidden by the mask" in _hover(browser, _cell(browser, "#large", 0, 1))


def test_steps_open_to_their_numbers_and_their_code(pages: Any, open_page: Open) -> None:
    path, run = pages[Transformer]
    browser = open_page(path)
    _set(browser, "head", 1)
    browser.execute_script("for (const group of document.querySelectorAll('#steps .group')) group.open = true")
    for kind in ("query", "scores", "weights", "context", "joined", "hidden"):
        *_, details = browser.find_elements("css selector", f'#steps details[data-kind="{kind}"]')
        _open(browser, details)
        _scroll(browser, details)
        text = _hover(browser, _cell(details, "", 1, 0))
        *_, values = (step.values for part in run.stacks[-1].layers[-1] for step in part.steps if step.kind == kind)
        expected = values[1, 1, 0] if values.ndim == 3 else values[1, 0]
        assert float(text.splitlines()[-1]) == pytest.approx(expected, abs=2e-3), kind
        assert details.find_elements("css selector", "pre mark"), kind


def test_a_head_of_queries_is_shown_with_the_keys_that_it_reads(
    tokenizer: Tokenizer, tmp_path: Path, open_page: Open
) -> None:
    model = model_in_float64(CausalLM, num_heads=4, num_kv_heads=2)
    explain(model, tokenizer, TEXT, max_new_tokens=0).save(tmp_path / "page.html")
    run = record(model, *read(model, tokenizer, TEXT).stacks.values())
    (keys,) = (step.values for step in run.stacks[0].layers[0][0].steps if step.kind == "key")
    browser = open_page(tmp_path / "page.html")
    details = browser.find_element("css selector", '#steps details[data-kind="key"]')
    _open(browser, details)
    for head in range(4):
        _set(browser, "head", head)
        shown = float(_hover(browser, _cell(details, "", 1, 0)).splitlines()[-1])
        assert shown == pytest.approx(keys[head // 2, 1, 0], abs=2e-3)


def test_the_logits_of_a_large_vocabulary_open_to_as_many_as_a_table_holds(
    tokenizer: Tokenizer, tmp_path: Path, open_page: Open
) -> None:
    model = model_in_float64(CausalLM, vocab_size=50_000)
    explain(model, tokenizer, TEXT, max_new_tokens=0).save(tmp_path / "page.html")
    browser = open_page(tmp_path / "page.html")
    details = browser.find_element("css selector", '#steps details[data-kind="logits"]')
    _open(browser, details)
    shown = int(re.search(r"the first (\d+) of 50000 features", details.text)[1])  # type: ignore[index]
    cells = browser.execute_script("return document.querySelectorAll('[data-kind=logits] tbody td').length")
    assert shown > 1000 and cells == shown * len(read(model, tokenizer, TEXT).stacks["decoder"]) < 50_000


@pytest.mark.parametrize(("temperature", "k", "p"), [(1, 0, 1), (0.5, 0, 1), (2, 5, 1), (1, 0, 0.5), (1.5, 8, 0.3)])
def test_the_sliders_recompute_the_distribution_as_generation_does(
    temperature: float, k: int, p: float, pages: Any, tokenizer: Tokenizer, open_page: Open
) -> None:
    path, run = pages[CausalLM]
    browser = open_page(path)
    for name, value in (("place", 2), ("temperature", temperature), ("top-k", k), ("top-p", p)):
        _set(browser, name, value)
    history, scores = np.zeros((1, 0), int), run.logits[2:3] / temperature
    scores = top_k(history, scores, k=k) if k else scores
    scores = top_p(history, scores, p=p) if p < 1 else scores
    expected = np.exp(log_softmax(scores))[0]
    order = np.argsort(-run.logits[2], kind="stable")
    bars = _bars(browser)
    assert [probability for _, probability in bars] == pytest.approx(100 * expected[order[: len(bars)]], abs=0.02)
    names = [name.replace(" ", "·").replace("\n", "⏎") or "∅" for name in tokenizer.tokens(order[: len(bars)].tolist())]
    assert [name for name, _ in bars] == names
    assert browser.find_element("id", "kept").text.startswith(f"{(expected > 0).sum()} of {len(expected)} tokens")


def test_a_generation_is_stepped_through_token_by_token(pages: Any, open_page: Open) -> None:
    path, run = pages[CausalLM]
    browser = open_page(path)
    _set(browser, "place", 0)
    for place in range(1, len(run.stacks[0].ids)):
        assert len(browser.find_elements("css selector", "#texts .unseen")) == len(run.stacks[0].ids) - place
        browser.find_element("id", "forth").click()
        assert browser.find_element("id", "count").text == f"position {place + 1} of {len(run.stacks[0].ids)}"
    assert not browser.find_element("id", "forth").is_enabled()
    browser.find_element("tag name", "body").send_keys("\ue012")  # arrow left
    assert browser.find_element("id", "count").text.startswith(f"position {place} ")
    chosen = browser.find_element("id", "kept").text.rpartition("chosen: ")[2]
    assert chosen == browser.find_elements("css selector", "#texts .token")[-1].text


def test_tokens_sort_the_table_by_their_weights(pages: Any, open_page: Open) -> None:
    path, run = pages[Transformer]
    browser = open_page(path)
    browser.execute_script("document.querySelectorAll('#large tbody th')[1].click()")
    cells = browser.execute_script(
        "return [...document.querySelectorAll('#large tbody tr')[1].cells].slice(1).map(c => +c.dataset.column)"
    )
    (weights,) = (step.values for step in run.stacks[-1].layers[-1][1].steps if step.kind == "weights")
    assert weights.mean(0)[1, cells].tolist() == sorted(weights.mean(0)[1], reverse=True)
    _scroll(browser, browser.find_element("id", "order")).click()
    cells = browser.execute_script(
        "return [...document.querySelectorAll('#large tbody tr')[1].cells].slice(1).map(c => +c.dataset.column)"
    )
    assert cells == sorted(cells)


def test_the_overview_and_the_keys_choose_layers_and_heads(pages: Any, open_page: Open) -> None:
    browser = open_page(pages[Transformer][0])
    thumbnails = browser.find_elements("css selector", "#overview button")
    assert len(thumbnails) == 2 * 3  # layers, by two heads and their mean
    _set(browser, "only-head", 1)
    assert len(browser.find_elements("css selector", "#overview button")) == 2
    _set(browser, "only-head", "all")
    _scroll(browser, browser.find_elements("css selector", "#overview button")[1]).click()
    legend = browser.find_element("id", "legend")
    assert "layer 0, head 1" in legend.text
    body = browser.find_element("tag name", "body")
    body.send_keys(".")
    assert "layer 1, head 1" in legend.text
    body.send_keys("[")
    assert "layer 1, head 0" in legend.text
    _set(browser, "which", 0)
    assert legend.text.startswith("encoder, self-attention")
    _scroll(browser, browser.find_element("id", "view")).click()
    assert browser.find_elements("css selector", "#large svg line")


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_fits_a_phone_and_has_two_themes(dark: bool, pages: Any, open_page: Open) -> None:
    browser = open_page(pages[Transformer][0], width=400, dark=dark)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 400
    paper = "return getComputedStyle(document.body).backgroundColor"
    before = browser.execute_script(paper)
    light = sum(map(int, re.findall(r"\d+", before)[:3])) > 380
    assert light is not dark
    browser.find_element("id", "theme").click()
    assert browser.execute_script(paper) != before
