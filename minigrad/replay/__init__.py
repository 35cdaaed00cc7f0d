"""Replay: one recorded run of a function of few rows as a program that is run again with other rows.

recording (of primitives) → lowering (a table from primitives to instructions) → schedule (groups of instructions, and
memory for what they pass on) → program (what runs).
"""

from minigrad.replay.lowering import LOWERINGS, Lowering, Unsupported, attention, store
from minigrad.replay.program import Program
from minigrad.replay.recording import Call, Recorder, recorded

__all__ = ["LOWERINGS", "Call", "Lowering", "Program", "Recorder", "Unsupported", "attention", "recorded", "store"]
