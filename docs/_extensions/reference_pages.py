"""Reference pages, generated from the public namespaces: a page for each, a section for each module behind it.

The names are those of ``__all__`` (``minigrad/__init__.pyi`` for minigrad), or a module's own definitions where it has
none. The names of ``minigrad`` itself are many: there each section is a page. A name is described once, where it is
first public.
"""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from sphinx.application import Sphinx

FOLDER = "reference"
NAMESPACES = (
    *("minigrad", "minigrad.autograd", "minigrad.func", "minigrad.linalg", "minigrad.nn", "minigrad.nn.functional"),
    *("minigrad.nn.init", "minigrad.optim", "minigrad.optim.lr_scheduler", "minigrad.random", "minigrad.io"),
    *("minigrad.testing", "minigrad.testing.strategies", "minigrad.viz", "minigrad.onnx", "minigrad.kernels"),
    *("minigrad.engine", "transformer", "transformer.model", "transformer.data", "transformer.decode"),
    *("transformer.train", "transformer.pretrained", "transformer.evaluate", "transformer.plots", "transformer.tasks"),
)
SPLIT = "minigrad"  # a page for each of its sections

Sections = dict[str, list[str]]  # a module → public names, as they are imported


def public_names(namespace: str) -> list[str]:
    """Full names of what a namespace makes public, without the modules in it."""
    module = import_module(namespace)
    names = getattr(module, "__all__", None)
    if names is None and hasattr(module, "__path__"):
        return [name for info in pkgutil.iter_modules(module.__path__, f"{namespace}.") for name in own(info.name)]
    if names is None:
        return own(namespace)
    return [f"{namespace}.{name}" for name in names if not isinstance(getattr(module, name), ModuleType)]


def own(module: str) -> list[str]:
    """Full names of the functions and classes that a module defines."""
    values = vars(import_module(module)).items()
    return [
        f"{module}.{name}"
        for name, value in values
        if not name.startswith("_") and callable(value) and getattr(value, "__module__", None) == module
    ]


def value_of(name: str) -> Any:
    """The value of a full name."""
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


def sections(namespace: str, described: dict[int, str]) -> Sections:
    """Names of a namespace that are not described yet, by the module that defines them."""
    found: Sections = {}
    for name in public_names(namespace):
        value = value_of(name)
        if id(value) not in described:
            if callable(value):  # other values, such as numbers, are not the same thing
                described[id(value)] = name
            home = getattr(value, "__module__", None) or namespace
            home = home if home.startswith(("minigrad", "transformer")) else namespace
            found.setdefault(home, []).append(name)
    return found


def heading(module: str) -> str:
    """A section's heading: the term that the module's docstring begins with."""
    first = (import_module(module).__doc__ or module).splitlines()[0]
    return re.split(r"[:;.] |[:.]$", first, maxsplit=1)[0]


def titled(title: str, underline: str) -> str:
    """A heading."""
    return f"{title}\n{underline * 2 * len(title)}\n\n"


def description(module: str, names: list[str], seen: set[str]) -> Iterator[str]:
    """A module's text, a table of its names, and their descriptions."""
    if module not in seen:
        seen.add(module)
        yield f".. automodule:: {module}\n   :no-members:\n\n"
    yield ".. autosummary::\n   :nosignatures:\n\n" + "".join(f"   {name}\n" for name in names) + "\n"
    for name in names:
        value = value_of(name)
        kind = "class" if inspect.isclass(value) else "function" if callable(value) else "data"
        yield f".. auto{kind}:: {name}\n\n"


def pages() -> Iterator[tuple[str, str]]:
    """Names and texts of all pages."""
    known: dict[int, str] = {}
    seen: set[str] = set()
    for namespace in NAMESPACES:
        parts = sections(namespace, known)
        seen.add(namespace)
        text = titled(f"``{namespace}``", "=") + f".. automodule:: {namespace}\n   :no-members:\n\n"
        if namespace == SPLIT:
            text += ".. toctree::\n\n" + "".join(f"   {namespace}/{module}\n" for module in parts)
            for module, names in parts.items():
                yield f"{namespace}/{module}", titled(heading(module), "=") + "".join(description(module, names, seen))
        else:
            for module, names in parts.items():
                title = titled(heading(module), "-") if module != namespace else ""
                text += title + "".join(description(module, names, seen))
        again = {name: known.get(id(value_of(name)), name) for name in public_names(namespace)}
        lines = [f"- ``{name}``: :any:`{first}`\n" for name, first in again.items() if first != name]
        text += titled("Described elsewhere", "-") + "".join(lines) if lines else ""
        yield namespace, text


def generate(app: Sphinx) -> None:
    """Write the pages that have changed."""
    folder = Path(app.srcdir) / FOLDER
    texts = {folder / f"{name}.rst": text for name, text in pages()}
    for path in set(folder.rglob("*.rst")) - set(texts):
        path.unlink()
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("builder-inited", generate)
    return {"parallel_read_safe": True}
