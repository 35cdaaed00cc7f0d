"""The compile decorator of all kernels, and the location of its code cache.

A kernel is built from intrinsics and helpers of several files, so the cache folder is named by a fingerprint of them
all, of the compiler and of the CPU: an edit anywhere starts a fresh folder and never meets stale code.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core import config, event
from numba.core.registry import cpu_target

from minigrad.kernels.compiling.code_cache import CodeCache
from minigrad.kernels.compiling.dispatcher import Kernel

if config.DISABLE_JIT:  # type: ignore[attr-defined]  # set by the environment
    raise RuntimeError(
        "NUMBA_DISABLE_JIT is set: the kernels are machine code that Numba compiles and cannot run without; unset it"
    )

KERNELS = __package__.rpartition(".")[0]  # all kernels' package

# Fast-math flags for kernels that add up rows: sums may be taken in any order, which vector code needs, while NaN and
# infinities keep their meaning.
SUMS = frozenset({"reassoc", "nsz", "contract"})

# Numba's own, with the type that calls from compiled code have: without the typing context.
intrinsic: Any = numba.extending.intrinsic


def kernel(
    *, fastmath: frozenset[str] = frozenset(), nogil: bool = False, inlined: bool = False
) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function with Numba, keeping the machine code in the user's cache folder.

    The GIL stays held, unless ``nogil`` says otherwise: two kernels never run at once, so they share threads and
    workspaces without locks (see ``parallel.py``).

    The cache folder is ``MINIGRAD_CACHE_DIR``, else ``NUMBA_CACHE_DIR``, else the platform's place for caches. Code
    that is damaged there is compiled anew. Where nothing can be written, or the disk is full, what is there is used,
    the other kernels work uncached, and one line on standard error says so. Ctrl-C waits for a compilation's end.

    A kernel that is to be ``inlined``, or has fast-math flags, becomes part of those that call it. Else two callers
    would each have a version of one with flags, with sums in different orders, and a process would run the one that it
    loads first for both.
    """

    def compile_lazily(function: Callable[..., Any]) -> Any:
        folder = _cache_folder()
        options = {"nopython": True, "error_model": "numpy", "fastmath": set(fastmath)}
        options |= {"forceinline": inlined or bool(fastmath), "nogil": nogil}
        _announce_compilation()
        return Kernel(function, options, CodeCache(function, folder, _say_uncached) if folder else None)

    return compile_lazily


def target() -> tuple[str, str, str]:
    """Compilation target: the LLVM triple, the CPU's name and its features, as ``+name,-name,…``."""
    triple, cpu, features = cpu_target.target_context.codegen().magic_tuple()
    return triple, cpu, features


@cache
def _cache_folder() -> Path | None:
    """The folder for this build of the kernels, or None (after a warning) if there is none and it cannot be made."""
    try:
        folder = _cache_root() / _fingerprint()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: no home directory can be determined
        _say_uncached(error)
        return None
    return folder


@cache
def code_is_kept() -> bool:
    """True if new code can be written to the cache folder; one warning if not."""
    folder = _cache_folder()
    if folder is None:
        return False
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        _say_uncached(error)
        return False
    return True


_uncached: list[Exception] = []  # warnings given


def _say_uncached(error: Exception) -> None:
    """One warning per process that code is not cached, with the reason."""
    if not _uncached:
        _uncached.append(error)
        _say(
            f"cannot keep compiled kernels ({error}); they are compiled anew in each process. "
            "Set MINIGRAD_CACHE_DIR to a folder that can be written."
        )


def _cache_root() -> Path:
    for variable in ("MINIGRAD_CACHE_DIR", "NUMBA_CACHE_DIR"):
        if os.environ.get(variable):
            return Path(os.environ[variable]).absolute()
    if sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"], "minigrad", "Cache")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "minigrad"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "minigrad")


def _fingerprint() -> str:
    digest = hashlib.sha256(repr((numba.__version__, llvmlite.__version__, target())).encode())
    for name, source in sorted(_sources(files(KERNELS))):
        digest.update(name.encode() + b"\0" + source + b"\0")
    return digest.hexdigest()[:16]


def _sources(package: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    """The files of a package and of the packages in it, each by its path and its content."""
    for entry in package.iterdir():
        if entry.is_dir():
            yield from _sources(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".py"):
            yield prefix + entry.name, entry.read_bytes()


class _Announcement(event.Listener):
    """Progress of compilation on standard error: one line, and in a terminal the kernel's name; not for cached code."""

    def __init__(self) -> None:
        self.under_way = 0  # a kernel's compilation compiles those that it calls
        self.status: Any = None

    def on_start(self, compilation: Any) -> None:
        if not (name := self._kernel(compilation)):
            return
        if self.status is None:
            place = f"kept in {_cache_folder()}" if code_is_kept() else "not kept"
            _say(f"compiling kernels for this CPU, {target()[1]} ({place})")
            self.status = _status()
        self.under_way += 1
        self.status.update(f"compiling {name}")
        self.status.start()

    def on_end(self, compilation: Any) -> None:
        if self.status is not None and self._kernel(compilation):
            self.under_way -= 1
            if not self.under_way:
                self.status.stop()

    @staticmethod
    def _kernel(compilation: Any) -> str:
        """Name of the kernel that is being compiled; empty for functions of others."""
        function = compilation.data["dispatcher"].py_func
        ours = not _silent and (function.__module__ or "").startswith(f"{KERNELS}.")
        return function.__name__.lstrip("_").replace("_", " ") if ours else ""


_silent = False


def silence_compilation() -> None:
    """Compile kernels without a word from now on: another process that compiles them speaks."""
    global _silent
    _silent = True


def _status() -> Any:
    """Status line on standard error, where that is a terminal; a notebook would need a widget for each update."""
    # Not needed by those who find their kernels compiled, and slow to load.
    from rich.console import Console
    from rich.status import Status

    console = Console(stderr=True)
    if console.is_jupyter:
        console = Console(stderr=True, force_jupyter=False, force_terminal=False)
    return Status("", console=console)


@cache
def _announce_compilation() -> None:
    event.register("numba:compile", _Announcement())  # type: ignore[no-untyped-call]


def _say(message: str) -> None:
    print(f"minigrad: {message}", file=sys.stderr, flush=True)
