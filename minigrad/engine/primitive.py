"""Operation: its forward on arrays and, beside it, its derivative.

    @primitive
    def multiply(a, b, /):
        return np.multiply(a, b)

    multiply.vjp(a=lambda g, b: multiply(g, b), b=lambda g, a: multiply(g, a))

The positional-only parameters are the inputs, everything after them is a parameter of the operation. Each keyword of
``vjp`` names an input and gives its vector-Jacobian product. The names of the lambda's own parameters say what it
needs, and only that is kept alive for the backward pass:

    ``g``                        the cotangent of the result (a list of them when there are several results)
    ``out``                      the result (a list when there are several)
    an input's or parameter's name   its value
    ``<input>_shape``            the input's shape, without keeping its data
    ``shapes``, ``needs``        of all inputs: their shapes, and whether a gradient is wanted
    any other name               a residual: something the forward returned beside its result (:class:`WithResiduals`)

A derivative is written once, in terms of other operations. It runs on plain arrays in an ordinary backward pass, and on
tensors, recorded, when it must itself be differentiated. It need not undo broadcasting or changes of dtype:
:func:`unbroadcast` does that for all of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from types import FunctionType
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from minigrad.engine.dtypes import SUPPORTED
from minigrad.engine.grad_mode import on_arrays, recording
from minigrad.engine.promotion import Promotion, beside, promote
from minigrad.engine.tensor import Array, Edge, Node, Shape, Storage, Tensor, Tracer, as_array, observers

Rule = Callable[..., Any]
_NUMBERS = (bool, int, float)


class WithResiduals:
    """Return value of a forward whose derivative can use more than inputs and results."""

    __slots__ = ("out", "residuals")

    def __init__(self, out: Any, **residuals: Any) -> None:
        self.out = out
        self.residuals = residuals


class Primitive:
    """An operation with its derivative. Call it with tensors, arrays and numbers; see the module's text."""

    def __init__(
        self,
        forward: Callable[..., Any],
        dtypes: Promotion = "keep",
        view: bool = False,
        name: str | None = None,
        signature: inspect.Signature | None = None,
    ) -> None:
        self.name = self.__name__ = name or forward.__name__
        self.__doc__ = forward.__doc__
        self.__module__ = forward.__module__ or __name__
        self.__signature__ = signature or inspect.signature(forward)  # NumPy's ufuncs have none
        parameters = self.__signature__.parameters.values()
        self.inputs = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_ONLY)
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self._may_be_none = [p.default is None or "None" in str(p.annotation) for p in parameters]
        self._optional_inputs = [p.default for p in parameters if p.kind is p.POSITIONAL_ONLY]
        named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        self.params = tuple(p.name for p in named)
        self.defaults = {p.name: p.default for p in named if p.default is not p.empty}
        # Between these numbers, positional arguments alone make a call. Of a variadic operation none do.
        self._least = len(self.inputs) + max([n for n, p in enumerate(named, 1) if p.default is p.empty], default=0)
        self._most = -1 if self.variadic else len(self.inputs) + len(named)
        self.forward = forward
        self.dtypes = dtypes
        self.view = view
        self.rules: dict[str, tuple[Rule, tuple[str, ...]]] = {}
        self.joint_rule: tuple[Rule, tuple[str, ...]] | None = None
        self.decomposition: Callable[..., Any] | None = None
        self.differentiable = False
        self._plans: dict[tuple[bool, ...], tuple[str, ...]] = {}
        self._position = {name: position for position, name in enumerate(self.inputs)}
        self._shape_of = {f"{name}_shape": position for position, name in enumerate(self.inputs)}

    # Definition

    def vjp(self, **rules: Rule) -> None:
        """Give the vector-Jacobian product of each differentiable input."""
        unknown = set(rules) - set(self.inputs)
        if unknown:
            raise TypeError(f"vjp: {self.name} has the inputs {self.inputs}, not {sorted(unknown)}")
        self.rules |= {name: (rule, _parameters(rule)) for name, rule in rules.items()}
        self.differentiable = bool(self.rules) or self.differentiable

    def joint_vjp(self, rule: Rule) -> Rule:
        """Decorator: one function that gives the vector-Jacobian products of all inputs, as a sequence."""
        self.joint_rule = (rule, _parameters(rule))
        self.differentiable = True
        return rule

    def composed(self, definition: Callable[..., Any]) -> Callable[..., Any]:
        """Decorator: the decomposition, which gives the same result in terms of other operations.

        Derivatives of the derivative go through it, and pictures open a fused operation into it.
        """
        self.decomposition = definition
        return definition

    # Forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        params = kwargs
        if kwargs or not self._least <= len(args) <= self._most:
            args, params = self._bind(args, kwargs)
        elif self.params:
            count = len(self.inputs)
            args, params = args[:count], {**self.defaults, **dict(zip(self.params, args[count:], strict=False))}
        values: list[Any] = []
        tracer: type[Tracer] | None = None
        any_tensor, requires_grad, dtype, one_dtype = False, False, None, True
        for arg in args:
            if isinstance(arg, Tensor):
                any_tensor = True
                requires_grad = requires_grad or arg._requires_grad
                value: Any = arg.data
                if arg.storage.replaced:
                    arg.check_current()
                if type(value) is not np.ndarray and isinstance(value, Tracer):
                    tracer = type(value)
            elif isinstance(arg, np.ndarray):
                value = arg if arg.dtype in SUPPORTED else as_array(arg, name=self._name_of(len(values)))
            else:
                value = self._number(arg, args, len(values))
                if not isinstance(value, np.ndarray):
                    one_dtype = one_dtype and not isinstance(value, np.generic)
                    values.append(value)
                    continue
            values.append(value)
            if dtype is None:
                dtype = value.dtype
            elif dtype is not value.dtype and dtype != value.dtype:
                one_dtype = False
        if self.dtypes == "keep":
            if dtype is None:
                values = [value if value is None else as_array(value) for value in values]
        elif not one_dtype or dtype is None or dtype.kind != "f":
            values = promote(values, floating=self.dtypes == "floating")
        if tracer is not None:
            return tracer.apply(self, args, values, params)
        try:
            out = self.forward(*values, **params)
        except (TypeError, ValueError, IndexError, KeyError, AttributeError, OverflowError):
            self.check(params)
            raise
        recorded = requires_grad and self.differentiable and recording.get()
        if type(out) is WithResiduals and not recorded:
            out = out.out
        if not any_tensor and on_arrays.get():
            return out
        if recorded or type(out) is not np.ndarray or observers.get():
            return self.wrap(args, values, params, out)
        result = Tensor(out)
        if self.view:
            _link(result, args[0], values[0])
        return result

    def check(self, params: dict[str, Any]) -> None:
        """Raise an error that names the parameter to blame for a failed forward; none does here."""

    def _number(self, arg: Any, args: tuple[Any, ...], position: int) -> Any:
        """An input that is no array: a number, None where the forward takes it, or what an array can be made of."""
        if isinstance(arg, np.generic):
            return arg if arg.dtype in SUPPORTED else as_array(arg, name=self._name_of(position))
        if isinstance(arg, _NUMBERS) or (arg is None and not self.variadic and self._may_be_none[position]):
            return arg
        return beside(args, arg, self._name_of(position))

    def _name_of(self, position: int) -> str:
        return f"arrays[{position}]" if self.variadic else self.inputs[position]

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Split a call's arguments into the inputs and the operation's own parameters."""
        if self.variadic:
            return args, {**self.defaults, **kwargs}
        count = len(self.inputs)
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
            try:
                inspect.Signature.bind(self.__signature__, *args[:present], **kwargs)
            except TypeError as error:
                raise TypeError(f"{self.name}: {error}") from None
            raise TypeError(f"{self.name}: missing {', '.join(missing)}")
        return args[:count], params

    def wrap(self, args: tuple[Any, ...], values: list[Any], params: dict[str, Any], out: Any) -> Any:
        """Results as tensors, with a node behind them if recording is on and an input requires a gradient."""
        residuals: dict[str, Any] = {}
        if isinstance(out, WithResiduals):
            out, residuals = out.out, out.residuals
        several = isinstance(out, (tuple, list))
        results: list[Tensor] = []
        for data in out if several else (out,):
            # NumPy's reductions give scalars.
            results.append(Tensor(data if isinstance(data, (np.ndarray, Tracer)) else np.asarray(data)))
        if self.view:
            for result in results:
                _link(result, args[0], values[0])
        if self.differentiable and recording.get():
            needs: list[bool] = []
            for arg in args:
                needs.append(isinstance(arg, Tensor) and arg._requires_grad)
            if True in needs:
                self._record(args, values, params, tuple(needs), results, residuals, several)
        for observer in observers.get():
            observer.forward(self, args, values, params, results)
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
        inputs: list[Edge | None] = []
        shapes, dtypes, plain = [], [], True
        for arg, value, need in zip(args, values, needs, strict=True):
            if need:
                inputs.append((arg, 0) if arg.node is None else (arg.node, arg.index))
                dtypes.append(arg.data.dtype)
            else:
                inputs.append(None)
                dtypes.append(getattr(arg, "dtype", None))
            shapes.append(getattr(value, "shape", ()))
            plain = plain and not isinstance(value, Tracer)
        output_shapes, output_dtypes = [], []
        for result in results:
            output_shapes.append(result.data.shape)
            output_dtypes.append(result.data.dtype)
        node = Node(self, inputs, shapes, dtypes, params, output_shapes, output_dtypes, plain)
        saved: dict[str, Any] = {}
        storages: list[Storage] = []
        plan = self._plans.get(needs)
        for name in self._plan(needs) if plan is None else plan:
            if name == "out":
                outs: list[Any] = []
                for result in results:
                    outs.append(result.data)
                    storages.append(result.storage)
                saved["out"] = outs if several else outs[0]
            elif name in residuals:
                saved[name] = residuals[name]
            else:
                position = self._position[name]
                value, arg = values[position], args[position]
                shared, foreign = value is arg, True
                if isinstance(arg, Tensor):
                    shared, foreign = value is arg.data, arg.storage.foreign
                    if shared:
                        storages.append(arg.storage)
                saved[name] = value.copy() if shared and foreign and _is_writeable(value) else value
        node.save(saved, storages)
        for index, result in enumerate(results):
            if result.data.dtype.kind == "f":
                result._requires_grad = True
                result.node = node
                result.index = index

    def _plan(self, needs: tuple[bool, ...]) -> tuple[str, ...]:
        """The names of what must be kept for the derivatives that are needed."""
        used = set(self.joint_rule[1]) if self.joint_rule else set()
        for name, need in zip(self.inputs, needs, strict=False):
            if need and name in self.rules:
                used |= set(self.rules[name][1])
        if self.decomposition is not None:
            used |= set(self.inputs)
        given = {"g", "shapes", "needs", *self.params, *self._shape_of}
        plan = self._plans[needs] = tuple(sorted(used - given))
        return plan

    # Derivative

    def backward(self, node: Node, cotangents: Sequence[Any], needs: tuple[bool, ...]) -> list[Any]:
        """The cotangents of the inputs that need one, each of its input's shape and dtype; None for the others.

        It runs on tensors if the cotangents are tensors, and on arrays otherwise.
        """
        saved = node.recall()
        on_tensors = False
        for cotangent in cotangents:
            on_tensors = on_tensors or isinstance(cotangent, Tensor)
        if on_tensors:
            saved = self.as_tensors(node, saved)
        g = cotangents[0] if len(cotangents) == 1 else _filled(cotangents, node, on_tensors)
        given = {"g": g, "shapes": node.shapes, "needs": needs, **node.params, **saved}
        if self.joint_rule is not None:
            found = self._apply(*self.joint_rule, given, node)
        else:
            found = []
            for name, need in zip(self.inputs, needs, strict=True):
                found.append(self._apply(*self.rules[name], given, node) if need and name in self.rules else None)
        return fitted(found, needs, node)

    def _apply(self, rule: Rule, names: tuple[str, ...], given: dict[str, Any], node: Node) -> Any:
        arguments = []
        for name in names:
            arguments.append(given[name] if name in given else node.shapes[self._shape_of[name]])
        return rule(*arguments)

    def as_tensors(self, node: Node, saved: dict[str, Any]) -> dict[str, Any]:
        """Saved arrays as the tensors they were, connected to the graph, so that derivatives of them are recorded."""
        tensors = dict(saved)
        for name, value in saved.items():
            source = node.inputs[self._position[name]] if name in self._position else None
            if name == "out":
                outs = [connected(v, (node, i)) for i, v in enumerate(value if isinstance(value, list) else [value])]
                tensors[name] = outs if isinstance(value, list) else outs[0]
            elif source is not None:
                tensors[name] = connected(value, source)
            elif isinstance(value, Tracer):
                tensors[name] = Tensor(value)
        return tensors


def _parameters(rule: Rule) -> tuple[str, ...]:
    """The names of a function's parameters; ``inspect.signature`` takes long for hundreds of rules."""
    if not isinstance(rule, FunctionType) or hasattr(rule, "__wrapped__"):  # partial, methods, decorated functions
        return tuple(inspect.signature(rule).parameters)
    code = rule.__code__
    return code.co_varnames[: code.co_argcount]


def _link(result: Tensor, arg: Any, source: Any) -> None:
    """Note the storage that the result of a view operation shares with its input, if it does."""
    data: Any = result.data
    shown = data is source or isinstance(data, Tracer) or data.base is source
    # A copy may have a base too: reshape gives a view of the array that it has copied to.
    if not shown and data.base is not None and isinstance(source, np.ndarray):
        shown = (data.size > 0 and data.base is source.base) or np.may_share_memory(data, source)
    if shown and isinstance(arg, Tensor):
        result.view_of(arg)
    elif shown:
        result.storage.foreign = True


def _is_writeable(value: Any) -> bool:
    """True if somebody can write to an array, by itself or by what it is a view of."""
    while isinstance(value, np.ndarray):
        if value.flags.writeable:
            return True
        value = value.base
    return False


def _filled(cotangents: Sequence[Any], node: Node, on_tensors: bool) -> list[Any]:
    """Cotangents of several results; a result that was never used has one of zeros."""

    def zeros(index: int) -> Any:
        array = np.zeros(node.output_shapes[index], node.output_dtypes[index])
        return Tensor(array) if on_tensors else array

    return [zeros(index) if value is None else value for index, value in enumerate(cotangents)]


@overload
def primitive(forward: Callable[..., Any], /) -> Primitive: ...
@overload
def primitive(*, dtypes: Promotion = ..., view: bool = ...) -> Callable[[Callable[..., Any]], Primitive]: ...
def primitive(forward: Any = None, /, *, dtypes: Promotion = "keep", view: bool = False) -> Any:
    """Decorator: an operation from a function of arrays.

    Args:
        forward: arrays in, array (or a tuple of arrays, or :class:`WithResiduals`) out.
        dtypes: promotion of the inputs. ``"keep"``: none. ``"numeric"``: they are brought to one dtype.
            ``"floating"``: and that one is floating.
        view: the result may share its input's memory.
    """

    return partial(Primitive, dtypes=dtypes, view=view) if forward is None else Primitive(forward, dtypes, view)


# The operations that derivatives themselves are made of: all linear, each the other's transpose or its own


@primitive(view=True)
def alias(x: Array, /) -> Array:
    """The same tensor under another node."""
    return x


@primitive
def cast(x: Array, /, dtype: npt.DTypeLike) -> Array:
    """``x`` with another dtype, as a copy."""
    return np.array(x, dtype)


@primitive(dtypes="numeric")
def add(a: Array, b: Array, /) -> Array:
    """Add arguments element-wise."""
    return np.add(a, b)


@primitive
def sum_to(x: Array, /, axes: tuple[int, ...], shape: Shape) -> Array:
    """``x`` summed over some axes, the rest in another shape."""
    return x.sum(axis=axes).reshape(shape)


@primitive(view=True)
def spread(x: Array, /, axes: tuple[int, ...], shape: Shape) -> Array:
    """``x`` repeated along new axes of the result's shape, without a copy: the transpose of :func:`sum_to`."""
    kept = [1 if axis in axes else size for axis, size in enumerate(shape)]
    return np.broadcast_to(x.reshape(kept), shape)


cast.name = "astype"
alias.vjp(x=lambda g: g)
cast.vjp(x=lambda g: g)
add.vjp(a=lambda g: g, b=lambda g: g)
sum_to.vjp(x=lambda g, x_shape, axes: spread(g, axes, x_shape))
spread.vjp(x=lambda g, x_shape, axes: sum_to(g, axes, x_shape))


def fitted(gradients: Sequence[Any], needs: tuple[bool, ...], node: Node) -> list[Any]:
    """Gradients of a node's inputs in the inputs' own shapes and dtypes; None where none is needed."""
    fitting: list[Any] = []
    for gradient, need, shape, dtype in zip(gradients, needs, node.shapes, node.dtypes, strict=True):
        if gradient is None or not need:
            fitting.append(None)
        elif gradient.shape != shape or gradient.dtype != dtype:
            fitting.append(unbroadcast(gradient, shape, dtype))
        else:
            fitting.append(gradient)
    return fitting


def unbroadcast(gradient: Any, shape: Shape, dtype: Any) -> Any:
    """Undo broadcasting and promotion: sum over the axes that were stretched, return to the input's dtype."""
    if gradient.shape != shape:
        extra = gradient.ndim - len(shape)
        stretched = tuple(range(extra)) + tuple(
            extra + axis for axis, size in enumerate(shape) if size == 1 and gradient.shape[extra + axis] != 1
        )
        if isinstance(gradient, Tensor):
            gradient = sum_to(gradient, stretched, shape)
        else:
            gradient = gradient.sum(axis=stretched).reshape(shape)
    if gradient.dtype != dtype:
        gradient = cast(gradient, dtype) if isinstance(gradient, Tensor) else gradient.astype(dtype)
    return gradient


def connected(value: Array, source: Edge) -> Tensor:
    """A saved array as a tensor whose gradient goes to where the array came from."""
    vertex, index = source
    if isinstance(vertex, Tensor):
        if vertex.data is value:
            return vertex
        dtype = vertex.dtype  # its data has been promoted or replaced since
    else:
        dtype = vertex.output_dtypes[index]
    if isinstance(vertex, Tensor) or dtype != value.dtype:
        # A node between a promoted copy and its origin, at which gradients return to the origin's dtype
        vertex, index = Node(alias, (source,), (value.shape,), (dtype,), {}, (value.shape,), (value.dtype,)), 0
        vertex.save({}, ())
    tensor = Tensor(value if isinstance(value, (np.ndarray, Tracer)) else np.asarray(value))
    tensor.set_history(vertex, index)
    return tensor


def independent(tensor: Tensor) -> Tensor:
    """The tensor at a node without an input."""
    variable = tensor.detach()
    shapes, dtypes = (tensor.shape,), (tensor.dtype,)
    variable.set_history(Node(alias, (None,), shapes, dtypes, {}, shapes, dtypes))
    return variable
