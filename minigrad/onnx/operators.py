"""Operator table: the ONNX form of each operation of the engine, by its name.

To add an operation, add a row: a function of the graph under construction and the call, which returns the name of the
result (or a list of them). An operation that has a composed definition needs none: it is written as its parts.
"""

from __future__ import annotations

from minigrad.onnx.calls import Row
from minigrad.onnx.elementwise import ELEMENTWISE
from minigrad.onnx.reductions import REDUCTIONS
from minigrad.onnx.shapes import SHAPES

TABLE: dict[str, Row] = ELEMENTWISE | REDUCTIONS | SHAPES
