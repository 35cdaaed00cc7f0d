"""Layout of pictures: no edge runs through a text, and a model fits a page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from xml.etree import ElementTree

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, viz
from transformer.model.config import TransformerConfig
from transformer.pretrained import CausalLM, MaskedLM, Transformer

SVG = "{http://www.w3.org/2000/svg}"
TOKENS = np.array([[1, 2, 3, 4, 5]])
SIZES = {"vocab_size": 300, "d_model": 16, "num_heads": 2, "d_ff": 32}

Box = tuple[float, float, float, float]


class Cell(nn.Module):
    def __init__(self) -> None:
        self.input, self.hidden = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        hidden = mg.zeros((2, 8), dtype=mg.float32)
        for time in range(12):
            hidden = mg.tanh(self.input(x[:, time]) + self.hidden(hidden))
        return hidden


def convolutions() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU())


MODELS: dict[str, Callable[[], tuple[object, ...]]] = {
    "GPT": lambda: (CausalLM(TransformerConfig(**SIZES, decoder_layers=4)), TOKENS),
    "rotary GPT": lambda: (CausalLM(TransformerConfig(**SIZES, decoder_layers=2, positions="rotary")), TOKENS),
    "BERT": lambda: (MaskedLM(TransformerConfig(**SIZES, encoder_layers=4, mask_id=4)), TOKENS),
    "Transformer": lambda: (
        Transformer(TransformerConfig(**SIZES, encoder_layers=2, decoder_layers=2)),
        TOKENS,
        TOKENS,
    ),
    "RNN": lambda: (Cell(), mg.ones((2, 12, 8))),
    "LSTM": lambda: (nn.LSTM(8, 16), mg.ones((2, 12, 8))),
    "convolutions": lambda: (convolutions(), mg.ones((1, 3, 16, 16))),
    "perceptron": lambda: (nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2)), mg.ones((2, 8))),
}


def width(text: str, size: float) -> float:
    """Width of a text in Helvetica, about."""
    return size * sum(
        0.25 if letter in "ijlI.,·'|() " else 0.7 if letter.isupper() or letter in "mw" else 0.53 for letter in text
    )


def texts(root: ElementTree.Element) -> Iterator[tuple[str, Box]]:
    for element in root.iter(f"{SVG}text"):
        text, size = (element.text or "").strip(), float(element.attrib["font-size"])
        if text:
            x, y, wide = float(element.attrib["x"]), float(element.attrib["y"]), width(text, size)
            left = {"start": x, "middle": x - wide / 2, "end": x - wide}[element.get("text-anchor", "start")]
            yield text, (left + 1, y - 0.7 * size, left + wide - 1, y)


def points(path: str) -> Iterator[tuple[float, float]]:
    """Points of a path of Bézier curves."""
    numbers = [float(number) for number in re.findall(r"-?\d+\.?\d*", path)]
    corners = np.array(list(zip(numbers[::2], numbers[1::2], strict=True)))
    steps = np.linspace(0, 1, 41)[:, None]
    for a, b, c, d in (corners[i : i + 4] for i in range(0, len(corners) - 1, 3)):
        curve = (1 - steps) ** 3 * a + 3 * steps * (1 - steps) ** 2 * b + 3 * steps**2 * (1 - steps) * c + steps**3 * d
        yield from map(tuple, curve.tolist())


def struck(svg: str) -> list[tuple[str, str]]:
    """The texts that an edge runs through, each with the edge."""
    root = ElementTree.fromstring(svg)
    boxes = list(texts(root))
    assert boxes
    found = set()
    for group in root.iter(f"{SVG}g"):
        for path in group.iter(f"{SVG}path") if group.get("class") == "edge" else ():
            for x, y in points(path.attrib["d"]):
                inside = (text for text, (left, top, right, bottom) in boxes if left < x < right and top < y < bottom)
                found |= {(text, group.attrib["data-name"]) for text in inside}
    return sorted(found)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_no_edge_runs_through_a_text(name: str, backward: bool) -> None:
    assert not struck(viz.graph(*MODELS[name](), backward=backward)._repr_svg_())


def test_a_struck_text_is_found() -> None:
    line = '<g class="edge" data-name="a->b"><path d="M0,0C1,1 9,9 20,20"/></g>'
    text = '<text x="5" y="10" font-size="9">struck</text><text x="50" y="90" font-size="9">free</text>'
    assert struck(f'<svg xmlns="{SVG[1:-1]}">{line}{text}</svg>') == [("struck", "a->b")]


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", ["GPT", "BERT", "Transformer", "RNN"])
def test_a_model_fits_a_page(name: str, backward: bool) -> None:
    root = ElementTree.fromstring(viz.graph(*MODELS[name](), backward=backward)._repr_svg_())
    wide, high = (float(number) for number in root.attrib["viewBox"].split()[2:])
    assert wide < 1500 and high < 1800  # the letters of the smallest text, of 9 points, stay readable on paper
