"""Rendering of DOT to SVG and PNG: by Graphviz where its ``dot`` is installed, otherwise by graphviz-pure."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import unicodedata
import warnings
from pathlib import Path

import graphviz

from minigrad.io import replace_file
from minigrad.optional_imports import install_command
from minigrad.viz.html import Page
from minigrad.viz.svg import finish_svg

FORMATS = (".svg", ".png", ".dot")  # and .html, of a computation graph
PNG_DPI = "144"
SCRIPTS = {"LATIN", "GREEK", "CYRILLIC", "HEBREW", "MODIFIER", "COMBINING"}  # in graphviz-pure's font
INSTALL = f"{install_command('draw')}, or your system's graphviz package"


class Graph:
    """Graphviz graph: a picture as a DOT document.

    Example:
        >>> import graphviz
        >>> Graph(graphviz.Digraph(body=["a -> b"])).to_dot()
        'digraph {\\na -> b}\\n'
    """

    def __init__(self, document: graphviz.Digraph, page: Page | None = None) -> None:
        self._document = document
        self._page = page

    def to_dot(self) -> str:
        """DOT source; needs no renderer."""
        return str(self._document.source)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the picture in the format of the path's suffix; the file is replaced only when complete.

        Warns:
            UserWarning: a PNG shows empty boxes for letters that graphviz-pure's font does not have.

        Raises:
            ValueError: the suffix is not one of ``FORMATS``.
            FileNotFoundError: the directory, or a program that renders, does not exist.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix == ".html" and self._page is not None:
            return self._page.save(path)
        if suffix not in FORMATS:
            formats = FORMATS if self._page is None else (*FORMATS, ".html")
            raise ValueError(f"path: expected a name ending in {', '.join(formats)}, got {path.name!r}")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"path: there is no directory {str(path.parent)!r}")
        content = self.to_dot().encode() if suffix == ".dot" else render(self._document, suffix[1:])
        replace_file(path, content)

    def _repr_svg_(self) -> str:
        return render(self._document, "svg").decode()


def render(document: graphviz.Digraph, form: str) -> bytes:
    """Render a DOT document as "svg" or "png".

    Raises:
        FileNotFoundError: nothing that renders is installed; the message says what to install.
        RuntimeError: the renderer failed.
    """
    if form == "png":
        document = document.copy()
        document.graph_attr["dpi"] = PNG_DPI
    if shutil.which("dot"):
        try:
            content = bytes(document.pipe(format=form, quiet=True))
        except graphviz.CalledProcessError as error:
            raise RuntimeError(f"dot failed: {error.stderr}") from None
    else:
        content = _render_pure(document.source, form)
    return finish_svg(content) if form == "svg" else content


def _render_pure(source: str, form: str) -> bytes:
    # Found also where the environment was not activated.
    program = shutil.which("graphviz-pure") or shutil.which("graphviz-pure", path=sysconfig.get_path("scripts"))
    if program is None:
        raise FileNotFoundError(f"no Graphviz found to draw with; install {INSTALL}. A .dot file needs neither")
    if form == "png" and (absent := sorted(set(filter(_without_glyph, source)))):
        letters = " ".join(absent[:5]) + (" …" if len(absent) > 5 else "")
        warnings.warn(
            f"the PNG shows empty boxes for {letters}; an .svg shows them in the reader's fonts", stacklevel=4
        )
    done = subprocess.run([program, f"-T{form}"], input=source.encode(), capture_output=True, check=False)
    if done.returncode:  # standard error also has warnings about letters whose width it does not know
        raise RuntimeError(f"graphviz-pure failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def _without_glyph(letter: str) -> bool:
    """True for letters of scripts that graphviz-pure's font lacks, wide characters and emoji."""
    if letter < "\u0250":
        return False
    if letter > "\uffff" or unicodedata.east_asian_width(letter) in "WF":
        return True
    return unicodedata.category(letter)[0] in "LM" and unicodedata.name(letter, "").split(" ")[0] not in SCRIPTS
