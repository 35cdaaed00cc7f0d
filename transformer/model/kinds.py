"""Types of settings: those of a dataclass's annotations, checked with errors that name the field."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Collection
from operator import is_
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def check_kinds(settings: Any, names: Collection[str] | None = None) -> None:
    """Check the types of a dataclass's fields against their annotations; integers become floats where needed.

    Args:
        settings: the dataclass.
        names: of its fields; None: all.

    Raises:
        ValueError: with the field's name, the expected type and the value.
    """
    for name, kind in get_type_hints(type(settings)).items():
        if names is not None and name not in names:
            continue
        value = getattr(settings, name)
        if (checked := _of_kind(name, value, kind)) is not value:
            object.__setattr__(settings, name, checked)  # they are frozen


def _of_kind(name: str, value: Any, kind: Any) -> Any:
    if get_origin(kind) in (types.UnionType, Union):  # "… | None"
        if value is None:
            return None
        (kind,) = (part for part in get_args(kind) if part is not types.NoneType)
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError(f"{name}: expected one of {', '.join(get_args(kind))}, got {value!r}")
        return value
    if dataclasses.is_dataclass(kind):
        return _of_class(name, value, kind)
    if get_origin(kind) is tuple:
        parts = get_args(kind)
        several = parts[-1] is Ellipsis
        if not isinstance(value, (tuple, list)) or not (several or len(value) == len(parts)):
            raise ValueError(f"{name}: expected {'several' if several else len(parts)} values, got {value!r:.80}")
        parts = parts[:1] * len(value) if several else parts
        checked = tuple(_of_kind(name, part, of) for part, of in zip(value, parts, strict=True))
        return value if isinstance(value, tuple) and all(map(is_, checked, value)) else checked
    allowed, words = _KIND_WORDS[kind]
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{name}: expected {words}, got {value!r:.80}")
    try:
        return float(value) if kind is float and isinstance(value, int) else value
    except OverflowError:
        raise ValueError(f"{name}: expected a number, got an integer that no float can hold") from None


def _of_class(name: str, value: Any, kind: Any) -> Any:
    """Value of a dataclass, made from a dict's fields."""
    if isinstance(value, kind):
        return value
    names = [field.name for field in dataclasses.fields(kind)]
    if not isinstance(value, dict) or not value.keys() <= set(names):
        raise ValueError(f"{name}: expected {', '.join(names)}, got {value!r:.200}")
    try:
        made = kind(**value)
        check_kinds(made)
        return made
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from None


_KIND_WORDS: dict[type, tuple[tuple[type, ...], str]] = {
    int: ((int,), "an integer"),
    float: ((int, float), "a number"),
    bool: ((bool,), "true or false"),
    str: ((str,), "a name"),
}
