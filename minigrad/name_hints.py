"""Name hints: using another library's name is an error that names ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn


def _message(name: str, ours: str) -> str:
    return f"{name}: {'' if ours.startswith('leave it out') else 'use '}{ours}"


def module_hints(module: str, names: Mapping[str, str]) -> Callable[[str], NoReturn]:
    """``__getattr__`` of a module: an ``AttributeError`` that names ours where there is one."""

    def refuse(name: str) -> NoReturn:
        ours = names.get(name)
        raise AttributeError(_message(name, ours) if ours else f"module {module!r} has no attribute {name!r}")

    return refuse


class HintedName:
    """Attribute that is no attribute: access names ours, and ``hasattr`` is false."""

    def __init__(self, name: str, ours: str) -> None:
        self.message = _message(name, ours)

    def __get__(self, instance: Any, owner: Any = None) -> NoReturn:
        raise AttributeError(self.message)


def hint_names(kind: type, names: Mapping[str, str]) -> None:
    """Give a class the names of a table, where it has no attribute of its own."""
    hinted = {name: HintedName(name, ours) for name, ours in names.items() if not hasattr(kind, name)}
    for name, attribute in hinted.items():
        setattr(kind, name, attribute)

    def listed(self: Any) -> list[str]:
        """Names of attributes, without those."""
        return [name for name in object.__dir__(self) if name not in hinted or hasattr(self, name)]

    kind.__dir__ = listed  # type: ignore[assignment]


def check_keywords(name: str, kwargs: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Raise an error that names ours, if a call has one of the keywords of a table."""
    if foreign := sorted(names.keys() & kwargs.keys()):
        raise TypeError(f"{name}: {_message(foreign[0], names[foreign[0]])}") from None
