"""Schedules of drawn instructions: nothing is read before it is written, and nothing gives way while it is needed."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, strategies as st

from minigrad.kernels.program.instructions import Code, Split
from minigrad.replay.lowering import Instruction
from minigrad.replay.schedule import arena, grouped

Array = np.ndarray[Any, Any]


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[Array], list[Instruction]]:
    """Buffers, and instructions that each write one and read some of those before, or views of them."""
    buffers: list[Array] = []
    instructions: list[Instruction] = []
    for _ in range(draw(st.integers(1, 30))):
        reads = [buffers[i][1:] for i in draw(st.sets(st.integers(0, len(buffers) - 1), max_size=3))] if buffers else []
        buffers.append(np.zeros(draw(st.integers(2, 40))))
        code = draw(st.sampled_from([Code.LINEAR, Code.NORM, Code.ATTEND, Code.QUANTIZE]))
        instructions.append(Instruction(code, (), tuple(reads), (buffers[-1],)))
    return buffers, instructions


@given(given_program=programs())
def test_what_an_instruction_reads_is_written_before(given_program):
    _, instructions = given_program
    groups = grouped(instructions)
    assert sorted(id(instruction) for group in groups for instruction in group.instructions) == sorted(
        map(id, instructions)
    )
    place = {
        id(instruction.writes[0]): (number, order, group.split)
        for number, group in enumerate(groups)
        for order, instruction in enumerate(group.instructions)
    }
    for number, group in enumerate(groups):
        for order, instruction in enumerate(group.instructions):
            assert instruction.split == group.split
            for read in instruction.reads:
                writer, before, split = place[id(read.base)]
                assert writer < number or (writer == number and before < order and split == Split.EXAMPLES)


def test_projections_of_the_same_rows_are_one_group():
    x, q, k, turned, y = (np.zeros(4) for _ in range(5))
    steps = [
        (Code.NORM, (), x),
        (Code.LINEAR, (x,), q),
        (Code.ELEMENTWISE, (q,), turned),
        (Code.LINEAR, (x,), k),
        (Code.LINEAR, (turned,), y),
    ]
    groups = grouped([Instruction(code, (), reads, (writes,)) for code, reads, writes in steps])
    assert [len(group.instructions) for group in groups] == [1, 2, 1, 1]


@given(given_program=programs())
def test_buffers_that_are_needed_at_once_do_not_overlap(given_program):
    buffers, instructions = given_program
    groups = grouped(instructions)
    memory, moved = arena(buffers, groups, buffers[-1])
    assert set(moved) == {id(buffer) for buffer in buffers[:-1]}
    begin, end = memory.ctypes.data, memory.ctypes.data + memory.nbytes
    uses: dict[int, list[int]] = {}
    for number, group in enumerate(groups):
        for instruction in group.instructions:
            for array in (*instruction.reads, *instruction.writes):
                uses.setdefault(id(array if array.base is None else array.base), []).append(number)
    for i, one in enumerate(buffers[:-1]):
        start = moved[id(one)]
        assert begin <= start and start + one.nbytes <= end
        for other in buffers[:i]:
            apart = start + one.nbytes <= moved[id(other)] or moved[id(other)] + other.nbytes <= start
            lives = uses[id(one)], uses[id(other)]
            assert apart or max(lives[0]) < min(lives[1]) or max(lives[1]) < min(lives[0])
