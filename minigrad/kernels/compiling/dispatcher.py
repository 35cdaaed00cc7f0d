"""Two compilations of a kernel: machine code for Python's calls, LLVM IR for those of other kernels.

A kernel contains a copy of all that it calls. Numba would optimise each of these on its own first, and make machine
code of it that nobody runs: more than half of the time that the kernels of a training step take. Here what a kernel
calls is optimised once, together with it.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from numba import types
from numba.core import sigutils
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher

from minigrad.kernels.compiling.code_cache import CodeCache
from minigrad.kernels.compiling.interrupts import uninterrupted
from minigrad.kernels.compiling.machine_code import LinkedCode, MachineCode, link


class Kernel(CPUDispatcher):
    """A compiled function, with the options of ``numba.njit``; to other compiled functions it is its ``Part``."""

    def __init__(self, function: Callable[..., Any], options: dict[str, Any], code_cache: CodeCache | None) -> None:
        super().__init__(function, targetoptions={**options, "no_cfunc_wrapper": True}, pipeline_class=_KernelCompiler)
        self.code_cache = code_cache
        self.part = Part(function, targetoptions=options, pipeline_class=_PartCompiler)

    @property
    def _numba_type_(self) -> types.Dispatcher:
        return self.part._numba_type_

    def _compilation_chain_init_hook(self) -> None:
        """Nothing of others' has to be loaded before the types of arguments are known."""

    def compile(self, sig: Any) -> Any:
        """The function that Python calls for these types, from the cache or compiled. Ctrl-C waits for its end."""
        args, _ = sigutils.normalize_signature(sig)
        with uninterrupted(), _collector_paused(), global_compiler_lock:
            if args not in self.overloads:
                with self.code_cache.claim(args) if self.code_cache else nullcontext():
                    self._load_or_compile(args)
            result: Any = self.overloads[args]
            return result.entry_point

    def _load_or_compile(self, args: tuple[types.Type, ...]) -> None:
        if self.code_cache is None:
            super().compile(args)
        elif code := self.code_cache.load(args):
            self.add_overload(link(code, self.py_func, args))
        else:
            super().compile(args)
            if code := MachineCode.of(self.overloads[args]):
                self.code_cache.save(args, code)

    def add_overload(self, result: Any) -> None:
        """Accept what was linked, or compiled: then give the parts that it contains their constants."""
        super().add_overload(result)
        if not isinstance(result, LinkedCode):
            for environment in result._find_referenced_environments():
                result.library.codegen.set_env(environment.env_name, environment)

    def address(self, args: tuple[types.Type, ...]) -> int:
        """The address of the code for these types, for compiled code."""
        self.compile(args)
        result: Any = self.overloads[args]
        if isinstance(result, LinkedCode):
            return result.address
        return int(result.library.get_pointer_to_function(result.fndesc.llvm_func_name))


class Part(CPUDispatcher):
    """A function for other compiled functions: nothing that Python could call."""

    def add_overload(self, result: Any) -> None:
        self.targetctx.insert_user_function(result.fndesc, result.fndesc, [result.library])
        self.overloads[tuple(result.signature.args)] = result

    def get_overload(self, sig: Any) -> Any:
        """The key of the code for a signature."""
        result: Any = self.overloads[tuple(sig)]
        return result.fndesc


class _KernelLibrary(JITCodeLibrary):
    """Code that is optimised whole, its functions being but simplified before: Numba would optimise both."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout  # which some simplifications depend on
        passes, builder = self._codegen._function_pass_manager(opt=1)
        for function in ll_module.functions:
            if not function.is_declaration:
                passes.run(function, builder)


class _PartLibrary(_KernelLibrary):
    """IR that is optimised where it is linked in."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True


class _KernelCompiler(Compiler):
    """Numba's compiler, to a library of ours."""

    def __init__(
        self, typingctx: Any, targetctx: Any, library: Any, args: Any, return_type: Any, flags: Any, locals: Any
    ) -> None:
        library = _KernelLibrary(targetctx.codegen(), "kernel")
        library.enable_object_caching()
        super().__init__(typingctx, targetctx, library, args, return_type, flags, locals)


class _PartCompiler(Compiler):
    """Numba's compiler up to LLVM IR."""

    def __init__(
        self, typingctx: Any, targetctx: Any, library: Any, args: Any, return_type: Any, flags: Any, locals: Any
    ) -> None:
        flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        library = _PartLibrary(targetctx.codegen(), "part")
        super().__init__(typingctx, targetctx, library, args, return_type, flags, locals)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """No search for reference cycles: it takes a tenth of a compilation, whose many objects live to its end."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()
