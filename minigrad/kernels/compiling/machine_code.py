"""Machine code of a kernel, linked into a process without the compiler.

Numba's own way from its cache loads all that a compilation needs, bitcode for inlining included: most of the time that
a process with a full cache takes to its first training step. A kernel that comes from the cache is only run.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import llvmlite.binding as llvm
from numba import _dynfunc  # type: ignore[attr-defined]
from numba.core.registry import cpu_target
from numba.core.runtime import _nrt_python  # type: ignore[attr-defined]


class MachineCode(NamedTuple):
    """Object code, the symbols of its entries, and the constants of the functions in it.

    Attributes:
        object_code: as the linker knows it.
        entry: symbol of the function in Numba's calling convention.
        wrapper: symbol of the function that Python calls.
        environments: constants of the function, then of those in it, which the code finds by name.
    """

    object_code: bytes
    entry: str
    wrapper: str
    environments: Sequence[Any]

    @classmethod
    def of(cls, result: Any) -> MachineCode | None:
        """The machine code of a ``CompileResult``; None if it does not stand alone."""
        if result.lifted or result.reload_init or result.library.has_dynamic_globals:
            return None
        own, described = result.environment, result.fndesc
        others = (other for other in result._find_referenced_environments() if other is not own)
        names = described.llvm_func_name, described.llvm_cpython_wrapper_name
        return cls(result.library._get_compiled_object(), *names, (own, *others))


class LinkedCode(NamedTuple):
    """A kernel in this process, under the names that Numba's results have."""

    signature: Any
    entry_point: Any  # for Python
    address: int  # for compiled code
    objectmode: bool = False


class Arguments(NamedTuple):
    """The part of a signature by which a kernel finds its code."""

    args: tuple[Any, ...]


def link(code: MachineCode, function: Callable[..., Any], args: tuple[Any, ...]) -> LinkedCode:
    """Link the machine code of a Python function for these types."""
    _link_runtime()
    codegen = cpu_target.target_context.codegen()
    engine = codegen._engine._ee
    engine.add_object_file(llvm.ObjectFileRef.from_data(code.object_code))
    engine.finalize_object()
    for environment in code.environments:
        codegen.set_env(environment.env_name, environment)
    own, *_ = code.environments
    wrapper = engine.get_function_address(code.wrapper)
    entry_point = _dynfunc.make_function(
        sys.modules[function.__module__], function.__name__, function.__doc__ or "", wrapper, own, ()
    )
    return LinkedCode(Arguments(args), entry_point, engine.get_function_address(code.entry))


@cache
def _link_runtime() -> None:
    """Numba's runtime in C, by the names that machine code knows."""
    for name, address in _nrt_python.c_helpers.items():
        llvm.add_symbol(name if name.startswith("_") else f"NRT_{name}", address)
