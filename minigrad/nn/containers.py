"""Containers of modules: lists, dictionaries and sequences."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Generic, TypeVar, overload

from minigrad.nn.module import Module

Child = TypeVar("Child", bound=Module)


def _check(module: object) -> None:
    if not isinstance(module, Module):
        names = "; use a ModuleDict, or attributes, for names" if isinstance(module, Mapping) else ""
        raise TypeError(f"modules: expected modules, got a {type(module).__name__}{names}")


class ModuleList(Module, Generic[Child]):
    """A list of modules, named by position."""

    def __init__(self, modules: Iterable[Child] = ()) -> None:
        self._items: list[Child] = []
        self.extend(modules)

    def append(self, module: Child) -> None:
        """Add a module at the end."""
        _check(module)
        self._items.append(module)
        self.relabel(self.label)

    def extend(self, modules: Iterable[Child]) -> None:
        """Add modules at the end."""
        for module in modules:
            self.append(module)

    def relabel(self, label: str) -> None:
        super().relabel(label)
        for position, module in enumerate(self._items):
            module.relabel(f"{label}.{position}" if label else str(position))

    def children(self) -> Iterator[tuple[str, Module]]:
        found: list[tuple[str, Module]] = []
        for position, module in enumerate(self._items):
            found.append((str(position), module))
        return iter(found)

    def __iter__(self) -> Iterator[Child]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Child: ...
    @overload
    def __getitem__(self, index: slice) -> list[Child]: ...
    def __getitem__(self, index: int | slice) -> Child | list[Child]:
        return self._items[index]


class ModuleDict(Module, Generic[Child]):
    """Dictionary of modules, named by their keys.

    Example:
        >>> import minigrad as mg
        >>> heads = mg.nn.ModuleDict({"words": mg.nn.Linear(2, 5), "tags": mg.nn.Linear(2, 3)})
        >>> [name for name, _ in heads.named_parameters()]
        ['words.weight', 'words.bias', 'tags.weight', 'tags.bias']

    Raises:
        ValueError: a name is no text, empty, or has a dot, by which names of parameters would no longer be unique.
    """

    def __init__(self, modules: Mapping[str, Child] | Iterable[tuple[str, Child]] = ()) -> None:
        self._items: dict[str, Child] = {}
        self.update(modules)

    def update(self, modules: Mapping[str, Child] | Iterable[tuple[str, Child]]) -> None:
        """Add modules by name, or replace them."""
        for name, module in dict(modules).items():
            self[name] = module

    def relabel(self, label: str) -> None:
        super().relabel(label)
        for name, module in self._items.items():
            module.relabel(f"{label}.{name}" if label else name)

    def children(self) -> Iterator[tuple[str, Module]]:
        found: list[tuple[str, Module]] = list(self._items.items())
        return iter(found)

    def __setitem__(self, name: str, module: Child) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(f"name: expected a text without a dot, got {name!r}")
        _check(module)
        self._items[name] = module
        self.relabel(self.label)

    def __getitem__(self, name: str) -> Child:
        return self._items[name]

    def __delitem__(self, name: str) -> None:
        del self._items[name]

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def keys(self) -> KeysView[str]:
        return self._items.keys()

    def values(self) -> ValuesView[Child]:
        return self._items.values()

    def items(self) -> ItemsView[str, Child]:
        return self._items.items()


class Sequential(ModuleList[Module]):
    """Modules applied one after the other."""

    def __init__(self, *modules: Module) -> None:
        super().__init__(modules)

    def forward(self, x: Any) -> Any:
        for module in self:
            x = module(x)
        return x
