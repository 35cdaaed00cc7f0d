"""Source pages: every file or directory of the repository that a page links is a page of the site, with line anchors.

Links that work where the repository is browsed, such as ``../minigrad/engine/tensor.py``, work in the site then,
without a network. The reference links the lines of each definition.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform

ROOT = Path(__file__).parents[2]
PREFIX = "source"  # of the pages' names
FORMATTER = HtmlFormatter(linenos="inline", lineanchors="line", anchorlinenos=True, cssclass="highlight source-page")


def page_of(path: Path) -> str:
    """Name of the page of a file or a directory."""
    return f"{PREFIX}/{path.relative_to(ROOT).as_posix()}"


def note(env: BuildEnvironment, docname: str, path: Path) -> str:
    """Note that a document links a path, and return the address of the path's page, relative to the document's."""
    if not hasattr(env, "source_paths"):
        env.source_paths = {}
    env.source_paths.setdefault(docname, set()).add(path)
    return env.app.builder.get_relative_uri(docname, page_of(path))


class SourceLinks(SphinxTransform):
    """Links to code, and to directories outside of the documents, become links to their pages."""

    default_priority = 5

    def apply(self, **kwargs: Any) -> None:
        """Replace the references of one document."""
        for node in list(self.document.findall(_is_link)):
            target = node["reftarget"].partition("#")[0]
            path = (Path(self.env.doc2path(self.env.docname)).parent / target).resolve()
            outside = not path.is_relative_to(self.env.srcdir) or path.suffix == ".py"
            if target and outside and path.is_relative_to(ROOT) and path.exists():
                uri = note(self.env, self.env.docname, path)
                node.replace_self(nodes.reference("", "", *node.children, refuri=uri, internal=True))


def _is_link(node: nodes.Node) -> bool:
    return isinstance(node, addnodes.download_reference | addnodes.pending_xref) and node.get("reftype") == "myst"


def source_address(env: BuildEnvironment, docname: str, value: Any) -> str | None:
    """Address of the lines that define a value; None for constants, and for what NumPy defines."""
    value = inspect.unwrap(getattr(value, "fget", value))
    value = getattr(value, "forward", value) if type(value).__name__ == "Primitive" else value
    try:
        path, (_, line) = Path(inspect.getsourcefile(value) or ""), inspect.getsourcelines(value)
    except (TypeError, OSError):
        return None
    return f"{note(env, docname, path)}#line-{max(line, 1)}" if path.is_relative_to(ROOT) else None


def resolve(env: BuildEnvironment, domain: str, info: dict[str, str]) -> str | None:
    """Address of the source of a name of the reference."""
    try:
        value = pkgutil.resolve_name(f"{info['module']}:{info['fullname']}")
    except (ImportError, AttributeError):  # an attribute of instances
        return None
    return source_address(env, env.docname, value)


def collect(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """The pages of all noted paths, and of what stands in the noted directories."""
    waiting = sorted({path for paths in app.env.source_paths.values() for path in paths})
    done: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in done:
            continue
        done.add(path)
        content = children(path) if path.is_dir() else []
        waiting += content
        body = listing(path, content) if path.is_dir() else highlighted(path)
        title = path.relative_to(ROOT).as_posix()
        yield page_of(path), {"title": title, "body": f"<h1>{escape(title)}</h1>\n{body}"}, "page.html"


def children(directory: Path) -> list[Path]:
    """Files and directories to show, directories first."""
    shown = [path for path in directory.iterdir() if not path.name.startswith((".", "__pycache__"))]
    return sorted(shown, key=lambda path: (path.is_file(), path.name))


def listing(directory: Path, content: list[Path]) -> str:
    """A directory's content as links."""
    names = [(escape(f"{directory.name}/{path.name}.html"), escape(path.name)) for path in content]
    items = (f'<li><a href="{target}"><code>{name}</code></a></li>\n' for target, name in names)
    return f"<ul>\n{''.join(items)}</ul>"


def highlighted(path: Path) -> str:
    """A file's text, highlighted."""
    text = path.read_text("utf-8")
    try:
        lexer = get_lexer_for_filename(path.name, text)
    except ClassNotFound:
        lexer = TextLexer()
    return str(highlight(text, lexer, FORMATTER))


def _purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    getattr(env, "source_paths", {}).pop(docname, None)


def _configure(app: Sphinx) -> None:
    app.config.linkcode_resolve = lambda domain, info: resolve(app.env, domain, info)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.add_transform(SourceLinks)
    app.connect("builder-inited", _configure)
    app.connect("env-purge-doc", _purge)
    app.connect("html-collect-pages", collect)
    return {"parallel_read_safe": False}
