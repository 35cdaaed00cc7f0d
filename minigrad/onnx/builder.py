"""ONNX graph builder: nodes, constants, and sizes computed from the inputs' shapes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial, reduce
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minigrad.onnx.constants import Corner, Progression, Shape, Sized
from minigrad.onnx.sizes import Formula, Size
from minigrad.optional_imports import require

if TYPE_CHECKING:
    import onnx

OPSET = 20  # the first with Gelu


def load_onnx() -> Any:
    """Import the ``onnx`` package.

    Raises:
        ModuleNotFoundError: it is not installed; the message says how to install it.
    """
    return require("onnx", "onnx")


class Value(NamedTuple):
    """Value of the graph: the result of a node."""

    name: str
    shape: Shape
    dtype: np.dtype[Any]


class Builder:
    """Builder of one graph.

    ``scope`` is the dotted name of the module to which the nodes that come next belong.
    """

    def __init__(self) -> None:
        self._onnx = load_onnx()
        self._numbers = count()
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[Any, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._axes: dict[str, tuple[str, int]] = {}  # an input and its axis that has the size of this name
        self._written: dict[Any, list[str]] = {}
        self.scope = ""

    # Parts

    def input(self, name: str, shape: Shape, dtype: np.dtype[Any]) -> Value:
        self._inputs.append(self._declared(name, shape, dtype))
        for axis, size in enumerate(shape):
            if isinstance(size, Formula):
                self._axes.setdefault(str(size), (name, axis))
        return Value(name, shape, dtype)

    def output(self, name: str, value: Value) -> None:
        self._outputs.append(self._declared(name, value.shape, value.dtype))
        self._nodes.append(self._onnx.helper.make_node("Identity", [value.name], [name]))

    def _declared(self, name: str, shape: Shape, dtype: np.dtype[Any]) -> onnx.ValueInfoProto:
        sizes = [size if isinstance(size, int) else str(size) for size in shape]
        return self._onnx.helper.make_tensor_value_info(name, self._type(dtype), sizes)

    def node(self, kind: str, *inputs: str | None, **attributes: Any) -> str:
        """Add a node with one result, which is returned. An omitted input is None."""
        return self.nodes(kind, 1, *inputs, **attributes)[0]

    def nodes(self, kind: str, results: int, *inputs: str | None, **attributes: Any) -> list[str]:
        """Add a node with several results, or reuse an equal one."""
        key = (kind, inputs, *((name, str(value)) for name, value in attributes.items()))
        if key not in self._written:
            self._written[key] = self._new_nodes(kind, results, inputs, attributes)
        return self._written[key]

    def _new_nodes(
        self, kind: str, results: int, inputs: Sequence[str | None], attributes: dict[str, Any]
    ) -> list[str]:
        name = ("/".join((*self.scope.split("."), kind)) if self.scope else kind) + f"_{next(self._numbers)}"
        names = [name] if results == 1 else [f"{name}:{index}" for index in range(results)]
        given = [each or "" for each in inputs]
        while given and not given[-1]:
            given.pop()
        self._nodes.append(self._onnx.helper.make_node(kind, given, names, name=name, **attributes))
        return names

    def constant(self, value: Any, dtype: npt.DTypeLike, name: str | None = None) -> str:
        """Constant of the graph, stored once."""
        array = np.asarray(value, dtype)
        key = name or (array.dtype, array.shape, array.tobytes())
        if key not in self._initializers:
            own = name or f"constant_{next(self._numbers)}"
            self._initializers[key] = self._onnx.numpy_helper.from_array(
                np.ascontiguousarray(array).reshape(array.shape), own
            )
        return str(self._initializers[key].name)

    def cast(self, name: str, dtype: npt.DTypeLike) -> str:
        return self.node("Cast", name, to=self._type(np.dtype(dtype)))

    def _type(self, dtype: np.dtype[Any]) -> int:
        return int(self._onnx.helper.np_dtype_to_tensor_dtype(dtype))

    # Sizes

    def size(self, size: Size) -> str:
        """Size as (1,) int64."""
        if isinstance(size, int):
            return self.constant([size], np.int64)
        return reduce(partial(self.node, "Add"), [self._product(names, factor) for names, factor in size.terms])

    def _product(self, names: tuple[str, ...], factor: int) -> str:
        factors = [self._axis(*self._axes[name]) for name in names]
        if factor != 1 or not names:
            factors.append(self.constant([factor], np.int64))
        return reduce(partial(self.node, "Mul"), factors)

    def _axis(self, name: str, axis: int) -> str:
        return self.node("Shape", name, start=axis, end=axis + 1)

    def sizes(self, sizes: Iterable[Size]) -> str:
        """Sizes as (N,) int64: a shape, or several positions."""
        given = list(sizes)
        if all(isinstance(size, int) for size in given):
            return self.constant(given, np.int64)
        return self.node("Concat", *map(self.size, given), axis=0)

    def scalar(self, size: Size) -> str:
        """Size as () int64."""
        if isinstance(size, int):
            return self.constant(size, np.int64)
        return self.node("Squeeze", self.size(size), self.constant([0], np.int64))

    # Shapes

    def reshape(self, name: str, old: Shape, new: Shape) -> str:
        """Reshape, with constant sizes where possible."""
        if old == new:
            return name
        if _without_ones(old) == _without_ones(new):
            return self._with_other_ones(name, old, new)
        if 0 in new:
            return self.node("Reshape", name, self.sizes(new), allowzero=1)
        # 0 means the input's own size at this place, and -1 what is left.
        target = [0 if size in old[place : place + 1] else size for place, size in enumerate(new)]
        unknown = [place for place, size in enumerate(target) if isinstance(size, Formula)]
        if unknown:
            target[unknown[0]] = -1
        return self.node("Reshape", name, self.sizes(target))

    def _with_other_ones(self, name: str, old: Shape, new: Shape) -> str:
        gone = [axis for axis, size in enumerate(old) if size == 1]
        added = [axis for axis, size in enumerate(new) if size == 1]
        if gone:
            name = self.node("Squeeze", name, self.constant(gone, np.int64))
        return self.node("Unsqueeze", name, self.constant(added, np.int64)) if added else name

    def expand(self, name: str, old: Shape, new: Shape) -> str:
        """Broadcast to a shape."""
        aligned = (1,) * (len(new) - len(old)) + old
        if aligned == new and len(old) == len(new):
            return name
        # Where nothing is broadcast, 1 is enough: ONNX broadcasts both ways.
        return self.node("Expand", name, self.sizes(1 if a == b else b for a, b in zip(aligned, new, strict=True)))

    def slice(self, name: str, bounds: Sequence[tuple[int, Size, Size, int]]) -> str:
        """Slice an array: (axis, start, stop, step) for each sliced axis."""
        if not bounds:
            return name
        axes, starts, stops, steps = zip(*bounds, strict=True)
        places = self.sizes(starts), self.sizes(stops), self.constant(axes, np.int64), self.constant(steps, np.int64)
        return self.node("Slice", name, *places)

    # Constants of an input's size

    def sized(self, of: Sized) -> str:
        if isinstance(of, Corner):
            whole = self.constant(of.largest, of.dtype)
            cut = [(axis, 0, size, 1) for axis, size in enumerate(of.shape) if isinstance(size, Formula)]
            return self.slice(whole, cut)
        if isinstance(of, Progression):
            places = self._places(of.shape[0])
            scaled = self.node("Mul", places, self.scalar(of.step)) if of.step != 1 else places
            moved = self.node("Add", scaled, self.scalar(of.start)) if of.start != 0 else scaled
            return moved if of.dtype == np.int64 else self.cast(moved, of.dtype)
        rows, columns = map(self._places, of.shape)
        last = self.node("Add", rows, self.scalar(of.diagonal)) if of.diagonal != 0 else rows
        return self.node("GreaterOrEqual", self.node("Unsqueeze", last, self.constant([1], np.int64)), columns)

    def _places(self, size: Size) -> str:
        """Positions (N,): 0 to N - 1."""
        return self.node("Range", self.scalar(0), self.scalar(size), self.scalar(1))

    # The model

    def finish(self, name: str) -> onnx.ModelProto:
        helper = self._onnx.helper
        graph = helper.make_graph(self._nodes, name, self._inputs, self._outputs, list(self._initializers.values()))
        opset = helper.make_opsetid("", OPSET)
        model: onnx.ModelProto = helper.make_model(
            graph,
            opset_imports=[opset],
            ir_version=helper.find_min_ir_version_for([opset]),
            producer_name="minigrad",
        )
        self._onnx.checker.check_model(model, full_check=True)
        return model


def _without_ones(shape: Shape) -> list[Size]:
    return [size for size in shape if size != 1]
