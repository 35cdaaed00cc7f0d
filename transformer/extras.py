"""Optional dependencies: loaded when used, named in the error when missing."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """Import a module that an extra of this distribution installs.

    Raises:
        ModuleNotFoundError: it is not installed; the message says how to install it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError:
        package = module.split(".", maxsplit=1)[0]
        raise ModuleNotFoundError(
            f"{package} is not installed; it comes with: pip install 'minigrad[{extra}]'", name=package
        ) from None
