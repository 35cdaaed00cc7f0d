"""Chat templates: conversations as text, by the Jinja templates of model directories.

A template comes with a model, and may be anybody's: it is rendered in Jinja's sandbox, and sees plain data alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from minigrad.optional_imports import require

SETTING = "chat_template"  # of tokenizer_config.json
DEFAULT, TOOLS = "default", "tool_use"  # of several templates, the usual one and the one for tools
Templates = str | dict[str, str] | None  # one, or several by name

Message = Mapping[str, Any]  # a role, such as "user", and a content


def read_templates(value: Any) -> Templates:
    """Read the setting: a template, or a list of names and templates.

    Raises:
        ValueError: it is neither.
    """
    if value is None or isinstance(value, str):
        return value
    named = value if isinstance(value, list) else [value]
    if not all(
        isinstance(item, dict) and isinstance(item.get("name"), str) and isinstance(item.get("template"), str)
        for item in named
    ):
        raise ValueError(f"{SETTING}: expected a template, or a list of names and templates, got {value!r:.80}")
    templates = {item["name"]: item["template"] for item in named}
    return templates[DEFAULT] if set(templates) == {DEFAULT} else templates


def write_templates(templates: Templates) -> Any:
    """Value of the setting: see :func:`read_templates`."""
    if isinstance(templates, dict):
        return [{"name": name, "template": template} for name, template in templates.items()]
    return templates


def select_template(templates: Templates, name: str | None, tools: bool) -> str:
    """Select the template of a name, or the usual one.

    Raises:
        ValueError: there is none.
    """
    if templates is None:
        raise ValueError(
            f"{SETTING}: the tokenizer has none, so this is no model for conversations; expected one in "
            "tokenizer_config.json or chat_template.jinja"
        )
    known = {DEFAULT: templates} if isinstance(templates, str) else templates
    wanted = name if name is not None else TOOLS if tools and TOOLS in known else DEFAULT
    if wanted not in known:
        raise ValueError(f"{SETTING}: expected one of {', '.join(map(repr, known))}, got {wanted!r}")
    return known[wanted]


def render_template(template: str, messages: Iterable[Message], variables: Mapping[str, Any]) -> str:
    """Render a conversation as text.

    Args:
        template: in Jinja's language, as ``transformers`` renders it.
        messages: at least one; entries that are None count as absent.
        variables: what the template sees besides.

    Raises:
        TypeError: messages or variables are no data of JSON.
        ValueError: there are no messages, or the template is damaged, refuses them, or does what the sandbox forbids.
    """
    found = _plain("messages", list(messages))
    if not found:
        raise ValueError("messages: expected at least one, got none")
    for message in found:
        if not isinstance(message, dict):
            raise TypeError(
                f'messages: expected tables such as {{"role": "user", "content": "…"}}, got {message!r:.80}'
            )
    said = [{name: value for name, value in message.items() if value is not None} for message in found]
    try:
        compiled = _compiled(template)
        return str(compiled.render(messages=said, **{name: _plain(name, value) for name, value in variables.items()}))
    except (ModuleNotFoundError, MemoryError):
        raise
    except Exception as error:  # a template is a program, with errors of any kind
        raise ValueError(f"{SETTING}: {' '.join(str(error).split()) or type(error).__name__}") from None


def _plain(name: str, value: Any) -> Any:
    """Copy of JSON data, without the methods of other classes."""
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: expected texts, numbers, lists and tables ({error})") from None


@lru_cache
def _compiled(template: str) -> Any:
    return _environment().from_string(template)


@lru_cache(maxsize=1)
def _environment() -> Any:
    """Sandbox with the filters and functions that templates expect."""
    jinja2 = require("jinja2", "text")
    extensions, nodes = require("jinja2.ext", "text"), require("jinja2.nodes", "text")

    class Generation(extensions.Extension):  # type: ignore[misc, name-defined]
        """The tag ``{% generation %}``, which marks what the model says, and renders what it encloses."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)

    class Dictionary:
        """The function ``dict``, without the methods of the class."""

        def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
            return dict(*args, **kwargs)

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    def strftime_now(format: str) -> str:
        return datetime.now().strftime(format)

    def tojson(value: Any, ensure_ascii: bool = False, **layout: Any) -> str:  # Jinja's own is for pages of HTML
        return json.dumps(value, ensure_ascii=ensure_ascii, **layout)

    environment = require("jinja2.sandbox", "text").ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, extensions.loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals |= {
        "raise_exception": raise_exception,
        "strftime_now": strftime_now,
        "dict": Dictionary(),
    }
    return environment
