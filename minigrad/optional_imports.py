"""Optional imports: loaded when used; a missing one is an error that names the extra that installs it."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

DISTRIBUTION = "minigrad-transformer"  # as package indexes know it; the packages in it are minigrad and transformer


def install_command(extra: str) -> str:
    """Install command of an extra."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def missing(package: str, extra: str) -> ModuleNotFoundError:
    """Error for a missing package that an extra installs."""
    return ModuleNotFoundError(f"{package} is not installed; it comes with: {install_command(extra)}", name=package)


def require(module: str, extra: str) -> ModuleType:
    """Import a module that an extra of this distribution installs.

    Raises:
        ModuleNotFoundError: it is not installed; the message says how to install it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError:
        raise missing(module.split(".", maxsplit=1)[0], extra) from None
