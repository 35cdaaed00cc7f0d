"""How an operation is defined: its forward on arrays, and beside it its derivative.

    @primitive
    def multiply(a, b, /):
        return np.multiply(a, b)

    multiply.vjp(a=lambda g, b: g * b, b=lambda g, a: g * a)

The positional-only parameters are the inputs, everything after them is a parameter of the operation. Each keyword of
``vjp`` names an input and gives its vector-Jacobian product. The names of the lambda's own parameters say what it
needs, and only that is kept alive for the backward pass:

    ``g``                        the cotangent of the result (a list of them when there are several results)
    ``out``                      the result (a list when there are several)
    an input's or parameter's name   its value
    ``<input>_shape``            the input's shape, without keeping its data
    ``shapes``, ``needs``        of all inputs: their shapes, and whether a gradient is wanted
    any other name               a residual: something the forward returned beside its result (:class:`WithResiduals`)

A derivative is written once, in terms of operators and of other operations. It runs on plain arrays in an ordinary
backward pass, and on tensors, recorded, when it must itself be differentiated. A rule need not undo broadcasting or
changes of dtype: :meth:`Primitive.pull` does that for all of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any, overload

import numpy as np

from minigrad import graph, modes
from minigrad.batched import Batched, Level, as_data
from minigrad.dtypes import SUPPORTED
from minigrad.graph import Node
from minigrad.ops import batching as batches
from minigrad.ops.axes import as_integer, as_number, as_shape, as_truth, check_axis
from minigrad.ops.batching import BatchingRule
from minigrad.ops.promotion import Promotion, beside, promote
from minigrad.tensor import Array, Buffer, Shape, Tensor, as_array

Rule = Callable[..., Any]
_NUMBERS = (bool, int, float)
_CHECKS: dict[str, Callable[[Any, str], Any]] = {
    "int": as_integer,
    "bool": as_truth,
    "float": as_number,
    **dict.fromkeys(("Shape", "int | Shape", "Sequence[int]", "Axes", "tuple[int, ...]"), as_shape),
}


class WithResiduals:
    """What a forward returns when its derivative can use more than inputs and results."""

    __slots__ = ("out", "residuals")

    def __init__(self, out: Any, **residuals: Any) -> None:
        self.out = out
        self.residuals = residuals


class Primitive:
    """An operation with its derivative. Call it with tensors, arrays and numbers; see the module's text."""

    def __init__(
        self,
        forward: Callable[..., Any],
        name: str,
        signature: inspect.Signature,
        dtypes: Promotion,
        view: bool = False,
        batching: BatchingRule | None = None,
    ) -> None:
        self.name = self.__name__ = name
        self.__doc__ = forward.__doc__
        self.__module__ = forward.__module__ or __name__
        self.__signature__ = signature
        parameters = signature.parameters.values()
        self.inputs = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_ONLY)
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self._may_be_none = [p.default is None or "None" in str(p.annotation) for p in parameters]
        self._optional_inputs = [p.default for p in parameters if p.kind is p.POSITIONAL_ONLY]
        named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        self.params = tuple(p.name for p in named)
        self.defaults = {p.name: p.default for p in named if p.default is not p.empty}
        self.forward = forward
        self.dtypes = dtypes
        self.view = view
        self.batching = batching
        self.rules: dict[str, tuple[Rule, tuple[str, ...]]] = {}
        self.joint_rule: tuple[Rule, tuple[str, ...]] | None = None
        self.composition: Callable[..., Any] | None = None
        self._plans: dict[tuple[bool, ...], tuple[str, ...]] = {}
        kinds = str(signature.parameters["axis"].annotation) if "axis" in self.params else ""
        self._has_axis, self._several_axes = bool(kinds), "tuple" in kinds or kinds == "Axis"
        self._all_axes = self._several_axes or "None" in kinds
        self._shape_of = {f"{name}_shape": position for position, name in enumerate(self.inputs)}

    # Definition

    def vjp(self, **rules: Rule) -> None:
        """Give the vector-Jacobian product of each differentiable input."""
        unknown = set(rules) - set(self.inputs)
        if unknown:
            raise TypeError(f"vjp: {self.name} has the inputs {self.inputs}, not {sorted(unknown)}")
        self.rules |= {name: (rule, _parameters(rule)) for name, rule in rules.items()}

    def joint_vjp(self, rule: Rule) -> Rule:
        """Decorator: one function that gives the vector-Jacobian products of all inputs, as a sequence."""
        self.joint_rule = (rule, _parameters(rule))
        return rule

    def composed(self, definition: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: the same result in terms of other operations.

        Derivatives of the derivative go through it, and pictures open a fused operation into it.
        """
        self.composition = definition
        return definition

    @property
    def differentiable(self) -> bool:
        return bool(self.rules) or self.joint_rule is not None

    # Forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args, params = self._bind(args, kwargs)
        values: list[Any] = []
        any_tensor = batched = False
        for position, arg in enumerate(args):
            if isinstance(arg, Tensor):
                any_tensor = True
                values.append(arg.data)
                if isinstance(arg.data, Batched):
                    batched = True
                if arg.buffer.replaced:
                    arg.check_current()
            elif isinstance(arg, (np.ndarray, np.generic)):
                values.append(arg if arg.dtype in SUPPORTED else as_array(arg, name=self._name_of(position)))
            elif isinstance(arg, _NUMBERS) or (arg is None and not self.variadic and self._may_be_none[position]):
                values.append(arg)
            else:
                values.append(beside(args, arg, self._name_of(position)))
        if self._has_axis and not (params["axis"] is None and self._all_axes):
            check_axis(params["axis"], getattr(values[0], "ndim", 0) if values else 0, self._several_axes)
        if self.dtypes != "keep":
            values = promote(values, floating=self.dtypes == "floating")
        elif not any_tensor and not any(isinstance(value, np.ndarray) for value in values):
            values = [value if value is None else as_array(value) for value in values]
        if batched:
            return self._call_batched(args, values, params)
        try:
            out = self.forward(*values, **params)
        except (TypeError, ValueError, IndexError, KeyError, AttributeError, OverflowError):
            self._check_params(params)
            raise
        if not any_tensor and modes.on_arrays():
            return out.out if isinstance(out, WithResiduals) else out
        return self._wrap(args, values, params, out)

    def _check_params(self, params: dict[str, Any]) -> None:
        """Word an error on demand: that a parameter is not what its annotation says.

        Raises:
            TypeError: one is not; the message names it.
        """
        for name, value in params.items():
            annotation = str(self.__signature__.parameters[name].annotation)
            kind = annotation.removesuffix(" | None")
            if kind in _CHECKS and not (value is None and kind != annotation):
                _CHECKS[kind](value, name)

    def _name_of(self, position: int) -> str:
        return f"arrays[{position}]" if self.variadic else self.inputs[position]

    def _call_batched(self, args: tuple[Any, ...], values: list[Any], params: dict[str, Any]) -> Any:
        """Over all examples of the vmaps under way; a fused operation in terms of its parts."""
        if self.batching is None and self.composition is not None:
            return self.composition(*args, **params)
        out, mark = batches.run(self.forward, self.batching, values, params)
        if isinstance(out, WithResiduals):
            marked = {name: mark(value) for name, value in out.residuals.items()}
            out = WithResiduals(_each(mark, out.out), **marked)
        else:
            out = _each(mark, out)
        return self._wrap(args, values, params, out)

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Split a call's arguments into the inputs and the operation's own parameters."""
        if not self.params and len(args) == len(self.inputs) and not kwargs:
            return args, kwargs
        if self.variadic:
            return args, {**self.defaults, **kwargs}
        count = len(self.inputs)
        if not kwargs and len(args) >= count:
            params = {**self.defaults, **dict(zip(self.params, args[count:], strict=False))}
            if len(params) == len(self.params) and len(args) <= count + len(params):
                return args[:count], params
        if len(args) < count:
            args += tuple(self._optional_inputs[len(args) :])
        given = dict(zip(self.params, args[count:], strict=False))
        if twice := given.keys() & kwargs.keys():
            raise TypeError(f"{self.name}: got several values for {', '.join(sorted(twice))}")
        params = {**self.defaults, **given, **kwargs}
        missing = [name for name, arg in zip(self.inputs, args, strict=False) if arg is inspect.Parameter.empty]
        present = len(args) - len(missing)
        missing += [name for name in self.params if name not in params]
        if missing or len(params) > len(self.params) or len(args) > count + len(self.params):
            inspect.Signature.bind(self.__signature__, *args[:present], **kwargs)  # its own error
            raise TypeError(f"{self.name}: missing {', '.join(missing)}")
        return args[:count], params

    def _wrap(self, args: tuple[Any, ...], values: list[Any], params: dict[str, Any], out: Any) -> Any:
        """Results as tensors, with a node behind them if recording is on and an input requires a gradient."""
        residuals: dict[str, Any] = {}
        if isinstance(out, WithResiduals):
            out, residuals = out.out, out.residuals
        several = isinstance(out, (tuple, list))
        results = [Tensor(as_data(result)) for result in out] if several else [Tensor(as_data(out))]
        if self.view:
            for result in results:
                if _shows(result.data, values[0]):
                    if isinstance(args[0], Tensor):
                        result.view_of(args[0])
                    else:
                        result.buffer.foreign = True
        keeping = graph.keeper.get()
        if keeping is not None:
            keeping.note(self.name, args, params)
        if modes.is_grad_enabled() and self.differentiable:
            needs = tuple([isinstance(arg, Tensor) and arg._requires_grad for arg in args])
            if True in needs:
                self._record(args, values, params, needs, results, residuals, several)
        watching = graph.watch.get()
        if watching is not None:
            watching.forward(self, args, values, params, results)
        return results if several else results[0]

    def _record(
        self,
        args: tuple[Any, ...],
        values: list[Any],
        params: dict[str, Any],
        needs: tuple[bool, ...],
        results: list[Tensor],
        residuals: dict[str, Any],
        several: bool,
    ) -> None:
        node = Node(
            self,
            tuple([graph.edge(arg) if need else None for arg, need in zip(args, needs, strict=True)]),
            tuple([getattr(value, "shape", ()) for value in values]),
            tuple([getattr(arg, "dtype", None) for arg in args]),
            params,
        )
        node.output_shapes = tuple([result.data.shape for result in results])
        node.output_dtypes = tuple([result.data.dtype for result in results])
        node.note_levels(values)
        saved: dict[str, Any] = {}
        buffers: list[Buffer] = []
        for name in self._plan(needs):
            if name == "out":
                saved["out"] = [result.data for result in results] if several else results[0].data
                buffers += [result.buffer for result in results]
            elif name in residuals:
                saved[name] = residuals[name]
            else:
                position = self.inputs.index(name)
                value, arg = values[position], args[position]
                if isinstance(arg, Tensor) and value is arg.data:
                    buffers.append(arg.buffer)
                if isinstance(value, np.ndarray) and _may_change_unseen(arg, value):
                    value = value.copy()
                saved[name] = value
        node.save(saved, tuple(buffers))
        for index, result in enumerate(results):
            if result.data.dtype.kind == "f":
                result._requires_grad = True
                result.node = node
                result.index = index

    def _plan(self, needs: tuple[bool, ...]) -> tuple[str, ...]:
        """The names of what must be kept for the derivatives that are needed."""
        plan = self._plans.get(needs)
        if plan is None:
            used = set(self.joint_rule[1]) if self.joint_rule else set()
            for name, need in zip(self.inputs, needs, strict=False):
                if need and name in self.rules:
                    used |= set(self.rules[name][1])
            if self.composition is not None:
                used |= set(self.inputs)
            given = {"g", "shapes", "needs", *self.params, *(f"{name}_shape" for name in self.inputs)}
            plan = self._plans[needs] = tuple(sorted(used - given))
        return plan

    # Derivative

    def pull(self, node: Node, cotangents: Sequence[Any], needs: tuple[bool, ...]) -> list[Any]:
        """The cotangents of the inputs that need one, each of its input's shape and dtype; None for the others."""
        if not modes.is_grad_enabled() and (node.levels or Batched in map(type, cotangents)):
            with modes.derivative_on_arrays(False):
                tensors = self._pull(node, [c if c is None else Tensor(as_data(c)) for c in cotangents], needs, True)
            return [None if gradient is None else gradient.data for gradient in tensors]
        return self._pull(node, cotangents, needs, modes.is_grad_enabled())

    def _pull(self, node: Node, cotangents: Sequence[Any], needs: tuple[bool, ...], on_tensors: bool) -> list[Any]:
        saved = node.recall()
        if on_tensors:
            saved = self._as_tensors(node, saved)
        several = len(cotangents) > 1
        g = _filled(cotangents, node, on_tensors) if several else cotangents[0]
        if on_tensors and self.composition is not None:
            gradients = self._pull_composed(node, saved, cotangents, needs)
        else:
            given = {"g": g, "shapes": node.shapes, "needs": needs, **node.params, **saved}

            def derivative(rule: Rule, names: tuple[str, ...]) -> Any:
                return rule(*[given[name] if name in given else node.shapes[self._shape_of[name]] for name in names])

            if self.joint_rule is not None:
                gradients = derivative(*self.joint_rule)
            else:
                gradients = [
                    derivative(*self.rules[name]) if need and name in self.rules else None
                    for name, need in zip(self.inputs, needs, strict=True)
                ]
        levels = node.levels or ((),) * len(needs)
        return [
            None if gradient is None or not need else fit(gradient, shape, dtype, of)
            for gradient, need, shape, dtype, of in zip(gradients, needs, node.shapes, node.dtypes, levels, strict=True)
        ]

    def _as_tensors(self, node: Node, saved: dict[str, Any]) -> dict[str, Any]:
        """Saved arrays as the tensors they were, connected to the graph, so that derivatives of them are recorded."""
        tensors = dict(saved)
        for name, value in saved.items():
            if name == "out":
                outs = [connected(v, (node, i)) for i, v in enumerate(value if isinstance(value, list) else [value])]
                tensors[name] = outs if isinstance(value, list) else outs[0]
            elif name in self.inputs:
                source = node.inputs[self.inputs.index(name)]
                if source is not None:
                    tensors[name] = connected(value, source)
                elif isinstance(value, Batched):
                    tensors[name] = Tensor(value)
            elif isinstance(value, Batched):
                tensors[name] = Tensor(value)
        return tensors

    def _pull_composed(
        self, node: Node, saved: dict[str, Any], cotangents: Sequence[Any], needs: tuple[bool, ...]
    ) -> list[Any]:
        assert self.composition is not None
        # Cut off from where they came from: inputs may depend on each other, and hooks on them must not run here.
        recording = modes.is_grad_enabled()
        with modes.enable_grad():
            inputs = [alias(v) if isinstance(v, Tensor) and v.requires_grad else v for v in map(saved.get, self.inputs)]
            outputs = self.composition(*inputs, **node.params)
        outputs = outputs if isinstance(outputs, (tuple, list)) else [outputs]
        pairs = [(o, c) for o, c in zip(outputs, cotangents, strict=True) if c is not None and o.requires_grad]
        targets = [value for value, need in zip(inputs, needs, strict=True) if need and value is not None]
        outputs, cotangents = [o for o, _ in pairs], [c for _, c in pairs]
        found = iter(graph.sweep(outputs, cotangents, targets, retain_graph=True, create_graph=recording, cut=True))
        return [next(found) if need else None for need in needs]


def _parameters(rule: Rule) -> tuple[str, ...]:
    """The names of a function's parameters; ``inspect.signature`` takes long for hundreds of rules."""
    if not isinstance(rule, FunctionType) or hasattr(rule, "__wrapped__"):  # partial, methods, decorated functions
        return tuple(inspect.signature(rule).parameters)
    code = rule.__code__
    return code.co_varnames[: code.co_argcount]


def _shows(data: Any, source: Any) -> bool:
    """Whether the result of a view operation shares memory with its input."""
    if data is source or isinstance(data, Batched) or data.base is source:
        return True
    # A copy may have a base too: reshape gives a view of the array that it has copied to.
    return data.base is not None and isinstance(source, np.ndarray) and np.may_share_memory(data, source)


def _may_change_unseen(arg: Any, value: Array) -> bool:
    """Whether code outside could change the data without being noticed: an ndarray there shares it."""
    if value is not (arg.data if isinstance(arg, Tensor) else arg):
        return False  # a copy, of another dtype
    if isinstance(arg, Tensor) and not arg.buffer.foreign:
        return False
    owner: Any = value
    while isinstance(owner, np.ndarray):
        if owner.flags.writeable:
            return True
        owner = owner.base
    return False


def _each(function: Callable[[Any], Any], results: Any) -> Any:
    return [function(result) for result in results] if isinstance(results, (tuple, list)) else function(results)


def _of_one(gradient: Any, levels: tuple[Level, ...]) -> Any:
    """Undo what a vmap shared: once it has ended, its examples' gradients add up in an input they have in common."""
    if isinstance(gradient, Tensor) and isinstance(gradient.data, Batched):
        shared = tuple(level for level in gradient.data.levels if not level.live and level not in levels)
        if shared:
            return sum_examples(gradient, shared)
    return gradient


def fit(gradient: Any, shape: Shape, dtype: Any, levels: tuple[Level, ...] = ()) -> Any:
    """Undo broadcasting and promotion: sum over the axes that were stretched, return to the input's dtype."""
    gradient = _of_one(gradient, levels)
    if gradient.shape != shape:
        extra = gradient.ndim - len(shape)
        stretched = tuple(range(extra)) + tuple(
            extra + axis for axis, size in enumerate(shape) if size == 1 and gradient.shape[extra + axis] != 1
        )
        gradient = gradient.sum(axis=stretched).reshape(shape)
    if gradient.dtype != dtype:
        gradient = gradient.astype(dtype)
    return gradient


def _filled(cotangents: Sequence[Any], node: Node, recording: bool) -> list[Any]:
    """Cotangents of several results; a result that was never used has one of zeros."""

    def zeros(index: int) -> Any:
        array = np.zeros(node.output_shapes[index], node.output_dtypes[index])
        return Tensor(array) if recording else array

    return [zeros(index) if value is None else value for index, value in enumerate(cotangents)]


def connected(value: Array, source: tuple[Any, int]) -> Tensor:
    """A saved array as a tensor whose gradient goes to where the array came from."""
    vertex, index = source
    if isinstance(vertex, Tensor):
        if vertex.data is value:
            return vertex
        vertex, index = _aliased(value, source, vertex.dtype), 0  # its data has been promoted or replaced since
    elif vertex.output_dtypes[index] != value.dtype:
        vertex, index = _aliased(value, source, vertex.output_dtypes[index]), 0
    tensor = Tensor(as_data(value))
    tensor._requires_grad = True
    tensor.node = vertex
    tensor.index = index
    return tensor


def _aliased(value: Array, source: tuple[Any, int], dtype: Any) -> Node:
    """A node between a promoted copy and its origin, at which gradients return to the origin's dtype."""
    node = Node(alias, (source,), (value.shape,), (dtype,), {})
    node.output_shapes, node.output_dtypes = (value.shape,), (value.dtype,)
    node.save({}, ())
    return node


@overload
def primitive(forward: Callable[..., Any], /) -> Primitive: ...
@overload
def primitive(
    *, dtypes: Promotion = ..., view: bool = ..., batching: BatchingRule | None = ...
) -> Callable[[Callable[..., Any]], Primitive]: ...
def primitive(
    forward: Callable[..., Any] | None = None,
    /,
    *,
    dtypes: Promotion = "keep",
    view: bool = False,
    batching: BatchingRule | None = None,
) -> Primitive | Callable[[Callable[..., Any]], Primitive]:
    """Make an operation of a function of arrays.

    Args:
        forward: arrays in, array (or a tuple of arrays, or :class:`WithResiduals`) out.
        dtypes: what happens to the inputs' dtypes first. ``"keep"``: nothing. ``"numeric"``: they are brought to one.
            ``"floating"``: and that one is floating.
        view: the result may share its input's memory.
        batching: how the arguments are fitted to a batch of examples, see :mod:`minigrad.ops.batching`.
    """

    def define(function: Callable[..., Any]) -> Primitive:
        return Primitive(function, function.__name__, inspect.signature(function), dtypes, view, batching)

    return define if forward is None else define(forward)


@primitive(view=True, batching=batches.aligned)
def alias(x: Array, /) -> Array:
    """The same tensor under another node."""
    return x


alias.vjp(x=lambda g: g)


def independent(tensor: Tensor) -> Tensor:
    """The tensor at a node without an input."""
    variable = tensor.detach()
    variable.node = Node(alias, (None,), (tensor.shape,), (tensor.dtype,), {})
    variable.node.output_shapes, variable.node.output_dtypes = (tensor.shape,), (tensor.dtype,)
    variable.requires_grad_()
    return variable


# The ways into and out of a batch see the batched data itself.


class _OnBatches(Primitive):
    def _call_batched(self, args: tuple[Any, ...], values: list[Any], params: dict[str, Any]) -> Any:
        return self._wrap(args, values, params, self.forward(*values, **params))


def _on_batches(forward: Callable[..., Any]) -> Primitive:
    return _OnBatches(forward, forward.__name__, inspect.signature(forward), "keep")


@_on_batches
def enter_batch(x: Any, /, level: Level) -> Any:
    """Each row of ``x`` becomes an example."""
    return batches.enter(x, level)


@_on_batches
def leave_batch(x: Any, /, level: Level) -> Any:
    """Each example becomes a row."""
    return batches.leave(x, level)


@_on_batches
def sum_examples(x: Any, /, levels: tuple[Level, ...]) -> Any:
    """The sum over all examples of some levels."""
    return batches.total(x, levels)


enter_batch.vjp(x=lambda g, level: leave_batch(g, level))
leave_batch.vjp(x=lambda g, level: enter_batch(g, level))
sum_examples.vjp(x=lambda g: g)
