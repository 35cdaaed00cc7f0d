"""Program: what was recorded of a function, run again with other rows."""

from __future__ import annotations

import struct
import threading
import weakref
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import numpy as np

from minigrad import kernels
from minigrad.engine.primitive import WithResiduals
from minigrad.engine.tensor import Array, Tensor
from minigrad.kernels.program.instructions import WORDS, Code
from minigrad.replay.lowering import FLOAT, LOWERINGS, Later, Lower, Lowering, Unsupported
from minigrad.replay.recording import Recorder
from minigrad.replay.schedule import arena, grouped, owner, work


class Program:
    """Program of a recorded function of rows (B, …) and of inputs that all examples share, or that have their axis.

    Weights are read where they stand: a program sees what is written into them, unless it is ``derived``, but none that
    takes their place. It does not keep them alive: who runs it must hold what ``weights`` refers to.

    Args:
        recorder: of one run.
        rows: (B, …), float32, which the result depended on.
        inputs: other inputs whose values change.
        result: (B, …).
        constants: identities of the arrays that the function holds; others are refused.
        lowerings: from primitives' names to functions that emit instructions.

    Raises:
        Unsupported: a primitive has no instruction.
    """

    def __init__(
        self,
        recorder: Recorder,
        rows: Tensor,
        inputs: Sequence[Tensor],
        result: Tensor,
        constants: Container[int],
        lowerings: Mapping[str, Lower] = LOWERINGS,
    ) -> None:
        lowering = Lowering(rows, inputs, constants, lowerings)
        out = lowering.run(recorder, result)
        self.batch, self.derived = lowering.batch, lowering.derived
        self.weights = [weakref.ref(array) for array in lowering.weights]
        self._lock = threading.Lock()
        self._has_examples = [x.shape[:1] == (self.batch,) for x in inputs]
        self._rows, self._copies, self._masks, self._calls = (
            lowering.rows,
            lowering.copies,
            lowering.masks,
            lowering.later,
        )
        self._shape = out.shape[1:]
        if not out.flags.c_contiguous or out.size != owner(out).size or not lowering.instructions:
            raise Unsupported("a result that is not computed whole")
        groups = grouped(lowering.instructions)
        self._memory, moved = arena(lowering.buffers, groups, owner(out))
        ordered = [instruction for group in groups for instruction in group.instructions]
        self._instructions = np.zeros((len(ordered), WORDS), np.int64)
        self._of_result: list[tuple[int, int]] = []
        held = {id(owner(array)) for array in lowering.weights}
        self._kept: list[Array] = []
        for row, instruction in enumerate(ordered):
            self._instructions[row, 0] = instruction.code
            for place, operand in enumerate(instruction.operands, 1):
                self._instructions[row, place] = _word(operand, moved)
                if isinstance(operand, np.ndarray) and id(owner(operand)) not in held:
                    self._kept.append(operand)
                    if owner(operand) is owner(out):
                        self._instructions[row, place] -= owner(out).ctypes.data
                        self._of_result.append((row, place))
        ends = np.cumsum([len(group.instructions) for group in groups])
        starts = np.append(0, ends[:-1])
        described = [(group.split, *map(sum, zip(*map(work, group.instructions), strict=True))) for group in groups]
        self._groups = np.column_stack([starts, ends, described]).astype(np.int64)
        self._offsets = np.array([self._instructions[place] for place in self._of_result], np.int64)
        attentions = self._instructions[self._instructions[:, 0] == Code.ATTEND]
        self._sharing = int((attentions[:, 6] // attentions[:, 7]).max(initial=1))  # queries that share keys

    def __call__(self, rows: Array, inputs: Sequence[Array], caches: Array, tables: Array) -> Array:
        """The function's result (B, …) for other rows and inputs, of at most as many examples as were recorded."""
        with self._lock:
            return self._run(rows, inputs, caches, tables)

    def _run(self, rows: Array, inputs: Sequence[Array], caches: Array, tables: Array) -> Array:
        batch = len(rows)
        self._rows[:batch] = rows
        if batch < self.batch:
            inputs = [
                _filled(x, self.batch) if has_axis and len(x) == batch else x
                for x, has_axis in zip(inputs, self._has_examples, strict=True)
            ]
        values = self._later(inputs)
        for source, array in self._copies:
            value = values(source)
            array[: len(value)] = value
        masks = [(values(source), heads) for source, heads in self._masks]
        out = np.empty((batch, *self._shape), FLOAT)
        for place, offset in zip(self._of_result, self._offsets, strict=True):
            self._instructions[place] = offset + out.ctypes.data
        kernels.run_program(self._instructions, self._groups, batch, caches, tables, masks, self._sharing)
        return out

    def _later(self, inputs: Sequence[Array]) -> Callable[[Later], Array]:
        """Compute what depends on inputs alone; returns a function that finds the values."""
        results: list[Any] = []

        def value(source: Any) -> Any:
            if not isinstance(source, Later):
                return source
            return inputs[source.index] if source.call is None else results[source.call][source.index]

        for call in self._calls:
            out = call.forward(*map(value, call.values), **call.params)
            out = out.out if isinstance(out, WithResiduals) else out
            results.append(out if isinstance(out, (tuple, list)) else (out,))
        return value


def _filled(x: Array, batch: int) -> Array:
    """An input of as many examples as were recorded: primitives may know their number."""
    full = np.zeros((batch, *x.shape[1:]), x.dtype)
    full[: len(x)] = x
    return full


def _word(operand: int | float | Array | None, moved: dict[int, int]) -> int:
    """An operand as the instruction holds it: addresses of what has moved are those in the arena."""
    if isinstance(operand, np.ndarray):
        base = owner(operand)
        address: int = operand.ctypes.data
        return address + moved[id(base)] - base.ctypes.data if id(base) in moved else address
    if isinstance(operand, float):
        bits: int = struct.unpack("q", struct.pack("d", operand))[0]
        return bits
    return 0 if operand is None else int(operand)
