"""SVG for readers: titles to hover over, a width that adapts to the page, and inks for dark pages."""

from __future__ import annotations

import re
from xml.etree import ElementTree

NAMESPACE, LINKS = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
SVG, TOOLTIP = f"{{{NAMESPACE}}}", f"{{{LINKS}}}title"
DARKEST = 0.1  # lightness of the paper of a dark page

# Programs use the first available font; these have the widths of the computed layout.
FONTS = "Helvetica, Arial, Liberation Sans, Arimo, sans-serif"

ElementTree.register_namespace("", NAMESPACE)
ElementTree.register_namespace("xlink", LINKS)


def finish_svg(content: bytes) -> bytes:
    """Finish a picture of Graphviz for browsers.

    Its tooltips become ``<title>`` elements, which browsers show without a link; Graphviz's own, the names of vertices
    in the DOT source, stay as ``data-name``. The picture shrinks to the width of its page, and has a style for pages
    that prefer dark colours.
    """
    root = ElementTree.fromstring(content)
    for group in root.iter(f"{SVG}g"):
        title = group.find(f"{SVG}title")
        if title is not None:
            group.set("data-name", title.text or "")
            group.remove(title)
    for parent in root.iter():
        if any(child.tag == f"{SVG}a" for child in parent):
            _unlink(parent)
    for element in root.iter():
        if "font-family" in element.attrib:
            element.set("font-family", FONTS)
    root.set("class", "minigrad")
    root.set("style", "max-width: 100%; height: auto")
    style = ElementTree.Element(f"{SVG}style")
    style.text = _dark_style(root)
    root.insert(0, style)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _unlink(group: ElementTree.Element) -> None:
    """Replace links, which Graphviz makes of tooltips, by their content."""
    for link in [child for child in group if child.tag == f"{SVG}a"]:
        title = ElementTree.Element(f"{SVG}title")
        title.text = link.attrib.pop(TOOLTIP, "")
        link.attrib.clear()
        link.tag = f"{SVG}g"
        link.insert(0, title)


def _dark_style(root: ElementTree.Element) -> str:
    """Style sheet for dark pages: each colour of the picture, with its lightness reversed."""
    used = {(name, element.get(name, "")) for element in root.iter() for name in ("fill", "stroke")}
    rules = [
        f'.minigrad [{name}="{colour}"] {{ {name}: {dark(colour)} }}'
        for name, colour in sorted(used)
        if re.fullmatch("#[0-9a-fA-F]{6}", colour)
    ]
    return "@media (prefers-color-scheme: dark) { " + " ".join(rules) + " }"


def dark(colour: str) -> str:
    """Counterpart of a colour on a dark page: of the same hue and chroma, light instead of dark."""
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    lightness = (max(parts) + min(parts)) / 510
    shift = 255 * (DARKEST + (1 - DARKEST) * (1 - lightness) - lightness)
    return "#" + "".join(f"{min(max(round(part + shift), 0), 255):02x}" for part in parts)
