"""Pictures as files."""

from __future__ import annotations

import struct
from pathlib import Path
from xml.etree import ElementTree

import pytest

import minigrad as mg
from minigrad import nn, viz
from minigrad.viz import render
from minigrad.viz.svg import FONTS, dark


@pytest.fixture
def picture() -> viz.Graph:
    return viz.graph(nn.Linear(3, 2), mg.ones((4, 3)))


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render.shutil, "which", lambda program, path=None: None)


@pytest.fixture
def only_graphviz_pure(monkeypatch: pytest.MonkeyPatch) -> None:
    which = render.shutil.which
    monkeypatch.setattr(
        render.shutil, "which", lambda program, path=None: program != "dot" and which(program, path=path)
    )


def test_svg_is_xml_with_fonts_that_every_reader_has(picture: viz.Graph, tmp_path: Path) -> None:
    picture.save(tmp_path / "a.svg")
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    assert root.tag.endswith("svg")
    fonts = {element.get("font-family") for element in root.iter() if element.get("font-family")}
    assert fonts == {FONTS}


def test_png_is_sharp(picture: viz.Graph, tmp_path: Path) -> None:
    picture.save(tmp_path / "a.png")
    picture.save(tmp_path / "a.svg")
    data = (tmp_path / "a.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    (width,) = struct.unpack(">I", data[16:20])
    points = float((ElementTree.parse(tmp_path / "a.svg").getroot().get("width") or "").removesuffix("pt"))
    assert width >= 1.9 * points


def test_dot_is_the_source(picture: viz.Graph, tmp_path: Path) -> None:
    picture.save(str(tmp_path / "a.dot"))
    assert (tmp_path / "a.dot").read_text("utf-8") == picture.to_dot()
    assert picture.to_dot().startswith("digraph")


@pytest.mark.usefixtures("only_graphviz_pure")
def test_without_dot_graphviz_pure_draws(picture: viz.Graph) -> None:
    assert "<svg" in picture._repr_svg_()


@pytest.mark.usefixtures("nothing_installed")
def test_without_a_renderer_the_error_says_what_to_install_and_dot_still_works(
    picture: viz.Graph, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match=r"pip install 'minigrad-transformer\[draw\]', or your system"):
        picture.save(tmp_path / "a.svg")
    picture.save(tmp_path / "a.dot")
    assert [path.name for path in tmp_path.iterdir()] == ["a.dot"]


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.pdf", "a.htm"])
def test_an_unknown_suffix_is_refused_with_the_list(picture: viz.Graph, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"expected a name ending in \.svg, \.png, \.dot, \.html, got"):
        picture.save(tmp_path / name)


def test_a_missing_directory_is_named(picture: viz.Graph, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no directory .*nowhere"):
        picture.save(tmp_path / "nowhere" / "a.dot")


def test_a_failed_drawing_leaves_the_old_file(
    picture: viz.Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.svg").write_text("old")
    monkeypatch.setattr(picture._document, "body", ["a -> ["])
    with pytest.raises(RuntimeError, match="failed"):
        picture.save(tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text() == "old"


def test_svg_adapts_to_the_width_and_the_inks_of_its_page(picture: viz.Graph) -> None:
    root = ElementTree.fromstring(picture._repr_svg_())
    assert root.get("viewBox") and root.get("style") == "max-width: 100%; height: auto"
    style = next(element.text or "" for element in root.iter() if element.tag.endswith("style"))
    assert style.startswith("@media (prefers-color-scheme: dark)")
    used = {element.get(name) for element in root.iter() for name in ("fill", "stroke")}
    for colour in used - {None, "none", "transparent"}:
        assert f'="{colour}"]' in style, colour


def test_colours_of_dark_pages_keep_their_contrast() -> None:
    def lightness(colour: str) -> float:
        return sum(int(colour[i : i + 2], 16) for i in (1, 3, 5)) / 765

    for ink, paper in (("#1D2A35", "#FBFAF7"), ("#2B5C8A", "#FFFFFF"), ("#B8431F", "#FBE3DA")):
        assert lightness(dark(ink)) - lightness(dark(paper)) > 0.35
        assert lightness(paper) - lightness(ink) > 0.35


def test_titles_say_what_a_pointer_rests_on(picture: viz.Graph) -> None:
    root = ElementTree.fromstring(picture._repr_svg_())
    titles = [element.text for element in root.iter() if element.tag.endswith("title")]
    assert {
        "linear · result 4×2 · 48 bytes saved",
        "weight · 2×3 · 6",
        "weight → linear · 2×3",
        "linear → output · 4×2",
    } <= set(titles)
    assert not any(element.tag.endswith("}a") for element in root.iter())  # no link that leads nowhere


@pytest.mark.usefixtures("only_graphviz_pure")
@pytest.mark.parametrize("text", ["日本", "مرحبا", "😀", "हिन्दी"])
def test_a_png_with_letters_that_its_font_lacks_says_so(text: str, tmp_path: Path) -> None:
    drawn = viz.graph(nn.Linear(3, 2), mg.ones((4, 3)), name=text)
    with pytest.warns(UserWarning, match="the PNG shows empty boxes for .*; an .svg shows them"):
        drawn.save(tmp_path / "a.png")
    drawn.save(tmp_path / "a.svg")


@pytest.mark.usefixtures("only_graphviz_pure")
def test_a_png_of_letters_that_its_font_has_is_silent(tmp_path: Path) -> None:
    viz.graph(nn.Linear(3, 2), mg.ones((4, 3)), name="Äpfel ∂ → Ж λ √ Qᵀ שלום").save(tmp_path / "a.png")
