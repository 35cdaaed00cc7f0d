"""Reference pages, generated from the public namespaces: a page for each, a section for each module behind it.

The names are those of ``__all__`` (``minigrad/__init__.pyi`` for minigrad), or a module's own definitions where it has
none. The names of ``minigrad`` itself are many: there each section is a page. A name is described once, where it is
first public.
"""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from docutils import nodes
from source_pages import source_address
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

FOLDER = "reference"
PACKAGES = ("minigrad", "transformer")
NAMESPACES = (
    *("minigrad", "minigrad.autograd", "minigrad.func", "minigrad.linalg", "minigrad.nn", "minigrad.nn.functional"),
    *("minigrad.nn.init", "minigrad.optim", "minigrad.optim.lr_scheduler", "minigrad.distributed", "minigrad.random"),
    *("minigrad.io", "minigrad.testing", "minigrad.testing.strategies", "minigrad.viz", "minigrad.onnx"),
    *("minigrad.kernels", "minigrad.engine", "transformer", "transformer.model", "transformer.data"),
    *("transformer.decode", "transformer.train", "transformer.pretrained", "transformer.evaluate", "transformer.plots"),
    "transformer.tasks",
)
SPLIT = "minigrad"  # a page for each of its sections

Sections = dict[str, list[str]]  # a module → public names, as they are imported
public: dict[int, str] = {}  # identity of a function or class → the name by which it is described


def public_names(namespace: str) -> list[str]:
    """Full names of what a namespace makes public, without the modules in it."""
    module = import_module(namespace)
    names = getattr(module, "__all__", None)
    if names is not None:
        return [f"{namespace}.{name}" for name in names if not isinstance(getattr(module, name), ModuleType)]
    if not hasattr(module, "__path__"):
        return own(namespace)
    imported = [name for name, value in vars(module).items() if is_definition(name, value)]
    if imported:
        return [f"{namespace}.{name}" for name in imported]
    return [name for info in pkgutil.iter_modules(module.__path__, f"{namespace}.") for name in own(info.name)]


def own(module: str) -> list[str]:
    """Full names of the functions and classes that a module defines."""
    values = vars(import_module(module)).items()
    return [f"{module}.{name}" for name, value in values if is_definition(name, value) and value.__module__ == module]


def is_definition(name: str, value: Any) -> bool:
    """Public functions, classes and operations of the two packages; NumPy's ufuncs made operations belong to them."""
    homes = (getattr(value, "__module__", None), type(value).__module__)
    return not name.startswith("_") and callable(value) and any(str(home).startswith(PACKAGES) for home in homes)


def value_of(name: str) -> Any:
    """The value of a full name."""
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


def sections(namespace: str) -> Sections:
    """Names of a namespace that are not described yet, by the module that they come from."""
    found: Sections = {}
    stub = stub_modules(namespace)
    for name in sorted(public_names(namespace), key=is_alias):
        value = value_of(name)
        if callable(value) and public.setdefault(id(value), name) != name:
            continue
        home = stub.get(name) or getattr(value, "__module__", None) or namespace
        found.setdefault(home if home.startswith(PACKAGES) else namespace, []).append(name)
    return dict(sorted(found.items()))


def is_alias(name: str) -> bool:
    """Names of functions that have another name themselves."""
    return name.rpartition(".")[2] != getattr(value_of(name), "__name__", None)


def stub_modules(namespace: str) -> dict[str, str]:
    """The module of each name that a namespace's stub imports."""
    stub = Path(import_module(namespace).__file__ or "").with_suffix(".pyi")
    tree = ast.parse(stub.read_text("utf-8") if stub.exists() else "")
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return {
        f"{namespace}.{alias.asname or alias.name}": f"{namespace}.{node.module}"
        for node in imports
        if node.module
        for alias in node.names
    }


def heading(module: str) -> str:
    """A section's heading: the term that the module's docstring begins with."""
    first = (import_module(module).__doc__ or module).splitlines()[0]
    return re.split(r"[:;.] |[:.]$", first, maxsplit=1)[0]


def titled(title: str, underline: str) -> str:
    """A heading."""
    return f"{title}\n{underline * 2 * len(title)}\n\n"


def module_text(module: str, seen: set[str]) -> str:
    """A module's docstring, where it has not been shown."""
    if module in seen:
        return ""
    seen.add(module)
    return f".. automodule:: {module}\n   :no-members:\n\n"


def description(namespace: str, names: list[str]) -> str:
    """A table of names, and their descriptions."""
    documented = [name.removeprefix(f"{namespace}.") for name in names if is_definition("", value_of(name))]
    table = ".. autosummary::\n   :nosignatures:\n\n" + "".join(f"   {name}\n" for name in documented) + "\n"
    return f".. currentmodule:: {namespace}\n\n{table if documented else ''}" + "".join(map(entry, names))


def entry(name: str) -> str:
    """The directive that describes a name; of constants the value, as their type's docstring is not about them."""
    value = value_of(name)
    if is_definition("", value):
        return f".. auto{'class' if inspect.isclass(value) else 'function'}:: {name}\n\n"
    shown = getattr(value, "__name__", None) or textwrap.shorten(repr(value), 60, placeholder=" …")
    return f".. py:data:: {name.rpartition('.')[2]}\n   :value: {shown}\n\n"


def pages() -> Iterator[tuple[str, str]]:
    """Names and texts of all pages."""
    seen = {*NAMESPACES, *(name for namespace in NAMESPACES for name in public_names(namespace))}
    for namespace in NAMESPACES:
        parts = sections(namespace)
        text = titled(f"``{namespace}``", "=") + f".. automodule:: {namespace}\n   :no-members:\n\n"
        if namespace == SPLIT:
            text += ".. toctree::\n\n" + "".join(f"   {namespace}/{module}\n" for module in parts) + "\n"
            for module, names in parts.items():
                body = module_text(module, seen) + description(namespace, names)
                yield f"{namespace}/{module}", titled(heading(module), "=") + body
        else:
            for module, names in parts.items():
                title = titled(heading(module), "-") if module != namespace else ""
                text += title + module_text(module, seen) + description(namespace, names)
        again = {name: public.get(id(value_of(name)), name) for name in public_names(namespace)}
        lines = [f"- ``{name}``: :any:`{first}`\n" for name, first in again.items() if first != name]
        yield namespace, text + (titled("Described elsewhere", "-") + "".join(lines) if lines else "")


def table() -> str:
    """The namespaces in reading order, as a table in Markdown that a page includes."""
    texts = ((name, (import_module(name).__doc__ or "").splitlines()[0]) for name in NAMESPACES)
    rows = (f"| [`{name}`]({FOLDER}/{name}.rst) | {re.sub(r':[a-z]+:', '', text)} |" for name, text in texts)
    return "\n".join(["| namespace | content |", "|---|---|", *rows, ""])


def generate(app: Sphinx) -> None:
    """Write the pages that have changed."""
    folder = Path(app.srcdir) / FOLDER
    texts = {folder / f"{name}.rst": text for name, text in pages()} | {folder / "namespaces.txt": table()}
    for path in set(folder.rglob("*.rst")) - set(texts):
        path.unlink()
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def resolve(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.Element
) -> nodes.Element | None:
    """A reference to a name that is described under another name, or to the source of one that is not public."""
    target = (
        node["reftarget"] if node["reftarget"].startswith(PACKAGES) else f"{node.get('py:module')}.{node['reftarget']}"
    )
    try:
        value = pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError):
        return None
    described = env.domains["py"].objects.get(public.get(id(value), ""))
    if described is not None:
        uri = f"{app.builder.get_relative_uri(node['refdoc'], described.docname)}#{described.node_id}"
    else:
        uri = source_address(env, node["refdoc"], value)
    return nodes.reference("", "", content, refuri=uri, internal=True) if uri else content


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("builder-inited", generate)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True}
