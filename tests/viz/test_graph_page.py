"""Graph pages in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium.webdriver import ActionChains, Keys

import minigrad as mg
from minigrad import nn

Open = Callable[..., Any]


class Block(nn.Module):
    def __init__(self) -> None:
        self.inner = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return x + mg.tanh(self.norm(self.inner(x)))


class Net(nn.Module):
    def __init__(self) -> None:
        self.first = nn.Linear(3, 4)
        self.block = Block()
        self.last = nn.Linear(4, 2, bias=False)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return self.last(self.block(self.first(x)))


@pytest.fixture(scope="module")
def net() -> Net:
    mg.manual_seed(0)
    return Net()


@pytest.fixture(scope="module")
def page(net: Net, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "net.html"
    mg.viz.graph(net, mg.ones((5, 3)), backward=True).save(path)
    return path


def _labels(browser: Any) -> list[str]:
    return [
        element.get_attribute("aria-label").splitlines()[0]
        for element in browser.find_elements("css selector", ".item")
    ]


def _item(browser: Any, label: str) -> Any:
    items = browser.find_elements("css selector", ".item")
    return next(item for item in items if item.get_attribute("aria-label").splitlines()[0] == label)


def _tip(browser: Any, label: str) -> str:
    ActionChains(browser).move_to_element(_item(browser, label).find_element("tag name", "rect")).perform()
    return str(browser.find_element("id", "tip").text)


def test_modules_open_and_close(page: Path, open_page: Open) -> None:
    browser = open_page(page)
    browser.find_element("id", "close").click()
    closed = _labels(browser)
    assert "block · Block" in closed and "inner · Linear" not in closed
    _item(browser, "block · Block").click()
    assert {"inner · Linear", "norm · LayerNorm", "tanh"} <= set(_labels(browser))
    assert _item(browser, "block · Block").get_attribute("aria-expanded") == "true"
    _item(browser, "block · Block").send_keys(Keys.ENTER)
    assert sorted(_labels(browser)) == sorted(closed)


def test_every_vertex_of_the_graph_is_there_once_all_is_open(net: Net, page: Path, open_page: Open) -> None:
    browser = open_page(page)
    browser.find_element("id", "open").click()
    labels = _labels(browser)
    assert labels.count("weight") == 4 and labels.count("bias") == 3
    assert labels.count("linear") == labels.count("∂ linear") == 3
    forward = browser.find_elements("css selector", ".edge:not(.backward):not(.leaf)")
    assert len(forward) == 8  # x, first, inner, norm, tanh, add, last, and around the block


def test_hover_tells_shape_parameters_saved_bytes_and_gradient_norm(net: Net, page: Path, open_page: Open) -> None:
    browser = open_page(page)
    browser.find_element("id", "close").click()
    net.zero_grad()
    net(mg.ones((5, 3))).sum().backward()
    text = _tip(browser, "block · Block")
    inside = list(net.block.parameters())
    assert "5×4" in text and f"{sum(parameter.size for parameter in inside)} parameters" in text
    norm = np.sqrt(sum((parameter.grad.numpy() ** 2).sum() for parameter in inside if parameter.grad is not None))
    assert float(re.search(r"gradient norm (\S+)", text)[1]) == pytest.approx(norm, rel=1e-3)  # type: ignore[index]
    assert re.search(r"[\d.]+ (bytes|kB) saved", text)


def test_gradients_of_an_earlier_backward_pass_are_told(net: Net, tmp_path: Path, open_page: Open) -> None:
    loss = (net(mg.ones((5, 3))) ** 2).mean()
    net.zero_grad()
    loss.backward(retain_graph=True)
    mg.viz.graph(loss).save(tmp_path / "loss.html")
    browser = open_page(tmp_path / "loss.html")
    browser.find_element("id", "close").click()
    _item(browser, "Net").click()
    norm = np.linalg.norm(net.last.weight.grad.numpy())  # type: ignore[union-attr]
    assert f"gradient norm {norm:.4g}" in _tip(browser, "last · Linear")


def test_search_finds_and_opens(page: Path, open_page: Open) -> None:
    browser = open_page(page)
    browser.find_element("id", "close").click()
    browser.find_element("tag name", "body").send_keys("/")
    browser.switch_to.active_element.send_keys("tanh")
    assert browser.find_element("id", "found").text.startswith("1 of ")
    (match,) = browser.find_elements("css selector", ".item.match")
    assert "tanh" in match.get_attribute("aria-label")
    browser.find_element("id", "search").send_keys("zzz")
    assert browser.find_element("id", "found").text == "nothing found"


def test_the_wheel_and_the_keys_zoom(page: Path, open_page: Open) -> None:
    browser = open_page(page)
    size = "return document.querySelector('.item rect').getBoundingClientRect().width"
    before = browser.execute_script(size)
    browser.find_element("tag name", "body").send_keys("+")
    closer = browser.execute_script(size)
    ActionChains(browser).scroll_by_amount(0, 300).perform()
    browser.find_element("tag name", "body").send_keys("0")
    assert closer > before == pytest.approx(browser.execute_script(size))


def test_nothing_overlaps(page: Path, open_page: Open) -> None:
    browser = open_page(page)
    browser.find_element("id", "open").click()
    script = """return [...document.querySelectorAll('.item:not(.box) > rect')].map(rect => {
                  const box = rect.getBBox();
                  return [box.x, box.y, box.x + box.width, box.y + box.height];
                })"""
    boxes = browser.execute_script(script)
    for i, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[:i]:
            assert left >= other[2] or other[0] >= right or top >= other[3] or other[1] >= bottom


def test_the_output_stands_at_the_bottom_also_where_gradients_return_to_a_module(
    tmp_path: Path, open_page: Open
) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            self.first = nn.Linear(3, 3)
            self.last = nn.Linear(3, 3)

        def forward(self, x: mg.Tensor) -> mg.Tensor:
            return self.first(self.last(self.first(x)))

    mg.viz.graph(Twice(), mg.ones((2, 3)), backward=True).save(tmp_path / "twice.html")
    browser = open_page(tmp_path / "twice.html")
    heights = "return [...document.querySelectorAll('.item:not(.derivative) > rect')].map(rect => rect.getBBox().y)"
    output = _item(browser, "output").find_element("tag name", "rect")
    assert browser.execute_script("return arguments[0].getBBox().y", output) == max(browser.execute_script(heights))


def test_a_phone_shows_it_whole(page: Path, open_page: Open) -> None:
    browser = open_page(page, width=400, dark=True)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 400
    script = """return [...document.querySelectorAll('.item > rect')].map(rect => rect.getBoundingClientRect())
                  .every(box => box.left >= 0 && box.right <= 400)"""
    assert browser.execute_script(script)


def test_the_same_graph_is_the_same_page(net: Net, tmp_path: Path) -> None:
    texts = []
    for name in ("one.html", "two.html"):
        mg.viz.graph(net, mg.ones((5, 3)), backward=True).save(tmp_path / name)
        texts.append((tmp_path / name).read_text("utf-8"))
    assert texts[0] == texts[1]


def test_repetitions_open_to_each_of_their_members(tmp_path: Path, open_page: Open) -> None:
    class Stack(nn.Module):
        def __init__(self) -> None:
            self.first = nn.Linear(3, 4)
            self.layers = nn.ModuleList(Block() for _ in range(6))

        def forward(self, x: mg.Tensor) -> mg.Tensor:
            x = self.first(x)
            for layer in self.layers:
                x = layer(x)
            return x

    mg.viz.graph(Stack(), mg.ones((2, 3)), backward=True).save(tmp_path / "stack.html")
    browser = open_page(tmp_path / "stack.html")
    browser.find_element("id", "close").click()
    assert [label for label in _labels(browser) if "layers" in label] == ["layers.0 … layers.5 · Block × 6"]
    _item(browser, "layers.0 … layers.5 · Block × 6").click()
    assert {f"layers.{number} · Block" for number in range(6)} <= set(_labels(browser))
    _item(browser, "layers.3 · Block").click()
    assert _labels(browser).count("inner · Linear") == 1


@pytest.mark.parametrize(("value", "shown"), [(0.0, "Infinity"), (np.nan, "NaN")])
def test_gradients_that_are_not_finite_are_told(value: float, shown: str, tmp_path: Path, open_page: Open) -> None:
    x = mg.tensor([value], requires_grad=True)
    with np.errstate(divide="ignore"):
        loss = mg.log(x).sum()
    loss.backward(retain_graph=True)
    mg.viz.graph(loss).save(tmp_path / "loss.html")
    assert f"gradient norm {shown}" in _tip(open_page(tmp_path / "loss.html"), "tensor")


def test_a_graph_of_thousands_of_operations_opens(tmp_path: Path, open_page: Open) -> None:
    """In a graph without modules, a tensor that is used throughout has long edges past all the others."""
    rng = np.random.default_rng(0)
    x = shared = mg.tensor([0.5], requires_grad=True)
    for choice in rng.integers(4, size=1500):
        x = x * shared if choice == 0 else (mg.tanh, mg.sin, mg.cos)[choice - 1](x)
    mg.viz.graph(x).save(tmp_path / "chain.html")
    browser = open_page(tmp_path / "chain.html")
    browser.find_element("id", "open").click()
    assert browser.execute_script("return document.querySelectorAll('.item.op').length") == 1500
    assert browser.execute_script("return document.querySelector('.item.op rect').getBoundingClientRect().height") > 5
