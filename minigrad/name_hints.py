"""Name hints: using another library's name is an error that names ours."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, NoReturn


def _message(name: str, ours: str) -> str:
    return f"{name}: {'' if ours.startswith('leave it out') else 'use '}{ours}"


def module_hints(module: str, names: Mapping[str, str]) -> Callable[[str], NoReturn]:
    """``__getattr__`` of a module: an ``AttributeError`` that names ours where there is one.

    In ``from package import name`` it is an ``ImportError``, as Python would replace the other by one without the hint.
    """

    def refuse(name: str) -> NoReturn:
        if (ours := names.get(name)) is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        caller = sys._getframe(1)
        while caller.f_code.co_name == "__getattr__" and caller.f_back:
            caller = caller.f_back
        raise (ImportError if caller.f_code.co_name == "_handle_fromlist" else AttributeError)(_message(name, ours))

    return refuse


class HintedName:
    """Attribute that is no attribute: access names ours, and ``hasattr`` is false."""

    def __init__(self, name: str, ours: str) -> None:
        self.message = _message(name, ours)

    def __get__(self, instance: Any, owner: Any = None) -> NoReturn:
        raise AttributeError(self.message)


class HintedSetting(HintedName):
    """Attribute that can't be set either, where setting it would be without effect."""

    def __set__(self, instance: Any, value: Any) -> NoReturn:
        raise AttributeError(self.message)


def hint_names(kind: type, names: Mapping[str, str], hint: type[HintedName] = HintedName) -> None:
    """Give a class the names of a table, where it has no attribute of its own."""
    for name, ours in names.items():
        if not hasattr(kind, name):
            setattr(kind, name, hint(name, ours))

    def listed(self: Any) -> list[str]:
        """Names of attributes, without those."""
        static = ((name, inspect.getattr_static(self, name, None)) for name in object.__dir__(self))
        return [name for name, attribute in static if not isinstance(attribute, HintedName)]

    kind.__dir__ = listed  # type: ignore[assignment]


def check_keywords(
    name: str, kwargs: Mapping[str, Any], names: Mapping[str, str], known: Callable[..., Any] | None = None
) -> None:
    """Raise an error that names ours, if a call has one of the keywords of a table, and the callee does not know it."""
    parameters: Iterable[str] = inspect.signature(known).parameters if known else ()
    if foreign := sorted((names.keys() & kwargs.keys()) - {*parameters}):
        raise TypeError(f"{name}: {_message(foreign[0], names[foreign[0]])}") from None


def hint_keywords(function: Callable[..., Any], names: Mapping[str, str], name: str) -> Callable[..., Any]:
    """Function whose error names ours, where a call has one of the keywords of a table."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except TypeError:
            check_keywords(name, kwargs, names, function)
            raise

    return call


def hint_arguments(kind: type, names: Mapping[str, str]) -> None:
    """Let the constructor of a class name our arguments where those of a table were given."""
    if kind.__init__ is not object.__init__:  # type: ignore[misc]
        kind.__init__ = hint_keywords(kind.__init__, names, kind.__name__)  # type: ignore[misc]
        return

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        check_keywords(kind.__name__, kwargs, names)
        if args or kwargs:
            raise TypeError(f"{kind.__name__}: expected no argument, got {', '.join(map(str, [*args, *kwargs]))}")

    kind.__init__ = init  # type: ignore[misc]
