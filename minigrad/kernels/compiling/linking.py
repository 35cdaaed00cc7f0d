"""Calls of compiled kernels by address, which keep them from being compiled into every caller.

A kernel that calls another one contains a copy of it, and of all that it calls in turn, and Numba makes machine code of
every such copy. What holds the register tiles takes seconds each time. By address it is compiled once.
"""

# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from minigrad.kernels.compiling.compiler import intrinsic


@intrinsic
def call_at(typingctx, entry, worker, arguments):
    """``worker(*arguments)``, where ``entry`` is the address of that kernel, which neither returns nor raises."""
    expected = worker.dispatcher.py_func.__code__.co_argcount
    if len(arguments) != expected:  # the code at an address would not notice
        raise TypeError(f"arguments must be the {expected} of {worker}; got {len(arguments)}")
    called = types.none(*arguments)

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Sequence[ir.Value]) -> ir.Value:
        entry, _, packed = values
        kind = context.call_conv.get_function_type(types.none, called.args)
        function = builder.inttoptr(entry, kind.as_pointer())
        # Numba's calling convention: places for the result and for an error come first.
        result, error = (cgutils.alloca_once(builder, type_.pointee) for type_ in kind.args[:2])
        given = context.get_arg_packer(called.args).as_arguments(builder, cgutils.unpack_tuple(builder, packed))
        builder.call(function, [result, error, *given])
        return context.get_dummy_value()

    return types.void(types.int64, worker, arguments), generate
