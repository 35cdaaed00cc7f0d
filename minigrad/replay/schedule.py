"""Schedule: instructions in groups that threads need not wait within, and memory for what they pass on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minigrad.engine.tensor import Array
from minigrad.kernels.program.instructions import Code, Split
from minigrad.replay.lowering import Instruction

ALIGNMENT = 64  # bytes of a cache line


class Group(NamedTuple):
    """Group of instructions that threads divide in the same way."""

    split: Split
    instructions: list[Instruction]


def grouped(instructions: Sequence[Instruction]) -> list[Group]:
    """Each instruction in the earliest group that what it reads allows.

    Instructions of examples may follow what they read within a group, those of columns may not: these read all of it.
    So the projections of queries, keys and values are one group, and what is done with them is another.
    """
    groups: list[Group] = []
    written: dict[Any, int] = {}
    for instruction in instructions:
        ready = max((written.get(key(x), -1) for x in instruction.reads), default=-1)
        first = ready + (instruction.split == Split.COLUMNS)
        place = first = max(first, 0)
        while place < len(groups) and groups[place].split != instruction.split:
            place += 1
        if place == len(groups):
            groups.append(Group(instruction.split, []))
        groups[place].instructions.append(instruction)
        for x in instruction.writes:
            written[key(x)] = place
    return groups


def work(instruction: Instruction) -> tuple[int, int]:
    """Bytes that an instruction reads, and those that it reads of each key of each example."""
    arrays = [x for x in instruction.operands if isinstance(x, np.ndarray)]
    if instruction.code == Code.ATTEND:
        *_, heads, _, features, width, _, _ = instruction.operands
        return 0, 4 * int(heads) * (int(features) + int(width))  # type: ignore[arg-type]
    return sum(x.nbytes for x in arrays), 0


def key(x: Array | str) -> int | str:
    """Identity of the memory of an array, or the name of other state."""
    return x if isinstance(x, str) else id(owner(x))


def owner(array: Array) -> Array:
    """The array that owns the memory."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def arena(buffers: Sequence[Array], groups: Sequence[Group], kept: Array) -> tuple[Array, dict[int, int]]:
    """One array for all buffers, and the address there of each by its identity; ``kept`` is left where it is.

    What no later group reads gives way: a step's numbers stay in a near cache. First fit, in the order of need.
    """
    lives: dict[int, tuple[int, int]] = {}
    for place, group in enumerate(groups):
        for instruction in group.instructions:
            for x in (*instruction.reads, *instruction.writes):
                if not isinstance(x, str):
                    begin, _ = lives.get(id(owner(x)), (place, place))
                    lives[id(owner(x))] = begin, place
    sizes = {id(x): -(-x.nbytes // ALIGNMENT) * ALIGNMENT for x in buffers if x is not kept and id(x) in lives}
    offsets: dict[int, int] = {}
    living: list[int] = []
    for buffer in sorted(sizes, key=lambda buffer: lives[buffer][0]):
        living = [other for other in living if lives[other][1] >= lives[buffer][0]]
        offset = 0
        for other in sorted(living, key=offsets.__getitem__):
            if offset + sizes[buffer] <= offsets[other]:
                break
            offset = max(offset, offsets[other] + sizes[other])
        offsets[buffer] = offset
        living.append(buffer)
    size = max((offsets[buffer] + sizes[buffer] for buffer in sizes), default=0)
    memory = np.zeros(size + ALIGNMENT, np.uint8)
    start = memory.ctypes.data + -memory.ctypes.data % ALIGNMENT
    return memory, {buffer: start + offset for buffer, offset in offsets.items()}
