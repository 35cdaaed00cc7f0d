"""Self-contained HTML page: style, script and data in one file, which reads nothing else."""

from __future__ import annotations

import base64
import html
import json
import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.engine.tensor import Array
from minigrad.io import replace_file

# Nothing may be loaded, from wherever; the browser refuses what a mistake would ask for.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
FRAME_HEIGHT = 760  # pixels in a notebook


class Page:
    """Interactive page: works offline and from ``file://``; a notebook shows it in a frame.

    Args:
        title: of the window.
        package: the package that has the page's own ``NAME.html``, ``NAME.css`` and ``NAME.js``.
        name: of these files.
        data: what the script reads, as JSON has it.
    """

    def __init__(self, title: str, package: str, name: str, data: Mapping[str, Any]) -> None:
        self.title = title
        self._parts = {
            "style": _text("minigrad.viz", "page.css") + _text(package, f"{name}.css"),
            "body": _text(package, f"{name}.html"),
            "script": _text("minigrad.viz", "page.js") + _text(package, f"{name}.js"),
        }
        # "<" would end the element in which the data stand.
        self._data = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace(
            "<", "\\u003c"
        )

    def to_html(self) -> str:
        """The document."""
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{html.escape(self.title)}</title>\n<style>\n{self._parts['style']}</style>\n</head>\n"
            f"<body>\n{self._parts['body']}"
            f'<script type="application/json" id="data">{self._data}</script>\n'
            f"<script>\n{self._parts['script']}</script>\n</body>\n</html>\n"
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the page as an ``.html`` file, replaced only when complete.

        Raises:
            ValueError: the path has another suffix.
            FileNotFoundError: the directory does not exist.
        """
        path = Path(path)
        if path.suffix.lower() != ".html":
            raise ValueError(f"path: expected a name ending in .html, got {path.name!r}")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"path: there is no directory {str(path.parent)!r}")
        replace_file(path, self.to_html().encode())

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{html.escape(self.to_html())}" title="{html.escape(self.title)}" '
            f'style="width: 100%; height: {FRAME_HEIGHT}px; border: 0"></iframe>'
        )


def packed(array: Array, low: float | None = None, high: float | None = None, size: int = 2) -> dict[str, Any]:
    """Array for a page's script, rounded to equal steps from ``low`` to ``high`` of ``size`` bytes each.

    The error is at most (high - low) / 131,070 with two bytes, / 510 with one.
    """
    low = float(array.min(initial=0.0)) if low is None else low
    high = float(array.max(initial=low)) if high is None else high
    levels = 256**size - 1
    steps = np.rint((array.astype(np.float64) - low) * (levels / ((high - low) or 1.0)))
    data = steps.clip(0, levels).astype(f"<u{size}").tobytes()
    return {
        "shape": list(array.shape),
        "low": low,
        "high": high,
        "size": size,
        "data": base64.b64encode(data).decode("ascii"),
    }


def packed_length(elements: int, size: int = 2) -> int:
    """Number of characters of so many packed elements."""
    return -(-elements * size // 3) * 4


def _text(package: str, name: str) -> str:
    return (files(package) / name).read_text("utf-8")
