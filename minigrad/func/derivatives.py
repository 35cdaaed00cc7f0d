"""Derivative transforms with JAX's names: each takes a function and returns one.

Arguments and results are trees: tensors (or arrays, or numbers) in any nesting of tuples, lists and dicts. The
transforms compose: inside another transform, a backward pass or a recorded computation, derivatives are recorded too.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, SupportsIndex

import numpy as np

from minigrad.engine.backward import backward_pass
from minigrad.engine.grad_mode import enable_grad, is_grad_enabled
from minigrad.engine.primitive import independent
from minigrad.engine.tensor import Tensor
from minigrad.func.lift import LiftedInputs
from minigrad.func.vmap import vmap
from minigrad.ops.creation import asarray, eye, ones_like, zeros, zeros_like
from minigrad.ops.reductions import sum as sum_of
from minigrad.ops.shape import moveaxis, reshape
from minigrad.trees import Build, flatten, leaves_like, structure

Function = Callable[..., Any]


# Reverse mode


def _gradients(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    cotangents: Sequence[Tensor],
    retain_graph: bool,
    create_graph: bool,
) -> list[Tensor]:
    """Vector-Jacobian products uᵀJ for each input; zeros where unused. No input depends on another."""
    pairs = [(y, u) for y, u in zip(outputs, cotangents, strict=True) if y.requires_grad]
    found = backward_pass(
        [y for y, _ in pairs],
        [u for _, u in pairs],
        inputs,
        retain_graph=retain_graph,
        create_graph=create_graph,
        cut=True,
    )
    return [zeros_like(x) if g is None else g for g, x in zip(found, inputs, strict=True)]


def _check_shapes(argument: str, given: Sequence[Any], expected: Sequence[Tensor]) -> None:
    shapes, wanted = [np.shape(x) for x in given], [y.shape for y in expected]
    if shapes != wanted:
        raise ValueError(f"{argument}: expected the shapes {wanted}, got {shapes}")


def _check_sequence(argument: str, given: Any) -> None:
    if not isinstance(given, (tuple, list)):
        raise TypeError(f"{argument}: expected a tuple or list with one for each argument, got {type(given).__name__}")


def vjp(function: Function, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """Vector-Jacobian product: the value of a function, and the pullback that takes a cotangent u to uᵀJ.

    Args:
        function: from trees of tensors to a tree of tensors.
        primals: the arguments to differentiate at; floating.
        has_aux: the function returns a pair, the second of which is passed on and not differentiated.

    Returns:
        ``(value, pullback)`` or ``(value, pullback, auxiliary)``. ``pullback(cotangent)`` wants a tree like the value
        and gives a tuple with a gradient for each primal. It can be called any number of times.

    Raises:
        TypeError: a primal is not floating.
        ValueError: a cotangent is not a tree like the value.

    Example:
        >>> import minigrad as mg
        >>> value, pullback = mg.func.vjp(mg.sin, mg.tensor(0.0))
        >>> pullback(mg.tensor(2.0))
        (tensor(2.),)
    """
    lifted = LiftedInputs(primals, "primals")
    value, aux = lifted.call(function, has_aux)
    outputs = [asarray(leaf) for leaf in flatten(value)[0]]
    expected = structure(value)

    def pullback(cotangents: Any) -> Any:
        given = leaves_like(cotangents, expected, "cotangents")
        _check_shapes("cotangents", given, outputs)
        given = [asarray(u, y.dtype) for u, y in zip(given, outputs, strict=True)]
        along_inputs = any(u.requires_grad for u in given)  # perhaps of a transform younger than this one
        create_graph = is_grad_enabled() and (along_inputs or lifted.recorded(outputs))
        if create_graph:
            lifted.register_with_running()
        gradients = lifted.build(_gradients(outputs, lifted.tensors, given, True, create_graph))
        return gradients if along_inputs else lifted.result(gradients)

    value = lifted.result(value)
    return (value, pullback, lifted.result(aux)) if has_aux else (value, pullback)


def value_and_grad(
    function: Function, argnums: SupportsIndex | Sequence[SupportsIndex] = 0, has_aux: bool = False
) -> Function:
    """Value and gradient of a scalar function, as a function of its arguments.

    Args:
        function: from trees of tensors to a scalar.
        argnums: the positional arguments to differentiate with respect to.
        has_aux: the function returns a pair, the second of which is passed on and not differentiated.

    Returns:
        A function of the same arguments that gives ``(value, gradient)``, or ``((value, auxiliary), gradient)``. The
        gradient is a tree like the argument, or a tuple of them when ``argnums`` is a sequence.

    Raises:
        TypeError: an argument is not floating, or the value is not a scalar.
        ValueError: ``argnums`` names no argument, or one twice.

    Example:
        >>> import minigrad as mg
        >>> mg.func.value_and_grad(lambda w, x: w * x)(3.0, 2.0)
        (tensor(6.), tensor(2.))
    """
    several, chosen = _chosen(argnums)

    @functools.wraps(function)
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        partial, primals = _fix_others(function, chosen, args, kwargs)
        lifted = LiftedInputs(primals, f"argnums {argnums}")
        value, aux = lifted.call(partial, has_aux)
        output = asarray(value)
        if output.size != 1 or output.dtype.kind != "f":
            raise TypeError(
                f"function: expected a floating scalar to differentiate, got {output.dtype} of shape {output.shape}"
            )
        recorded = lifted.recorded([output, *flatten(aux)[0]])
        seed = [ones_like(output)]
        found = _gradients([output], lifted.tensors, seed, retain_graph=recorded, create_graph=recorded)
        value, aux, gradients = (lifted.result(tree) for tree in (output, aux, lifted.build(found)))
        return (value, aux) if has_aux else value, gradients if several else gradients[0]

    return differentiated


def _chosen(argnums: SupportsIndex | Sequence[SupportsIndex]) -> tuple[bool, tuple[int, ...]]:
    """Differentiated arguments: True if ``argnums`` is a sequence, and their positions."""
    if isinstance(argnums, Sequence):
        return True, tuple(map(operator.index, argnums))
    return False, (operator.index(argnums),)


def _with_aux(result: Any, has_aux: bool) -> Any:
    return result if has_aux else (result, None)


def _fix_others(
    function: Function, argnums: Sequence[int], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Function, list[Any]]:
    """Partial application: the function of the chosen arguments alone, and these arguments."""
    wrong = [n for n in argnums if not -len(args) <= n < len(args)]
    if wrong:
        raise ValueError(f"argnums: got {wrong[0]}, but there are {len(args)} positional arguments")
    if len({n % len(args) for n in argnums}) < len(argnums):
        raise ValueError(f"argnums: expected each argument once, got {tuple(argnums)}")

    def partial(*chosen: Any) -> Any:
        every = list(args)
        for position, value in zip(argnums, chosen, strict=True):
            every[position] = value
        return function(*every, **kwargs)

    return partial, [args[n] for n in argnums]


def grad(function: Function, argnums: SupportsIndex | Sequence[SupportsIndex] = 0, has_aux: bool = False) -> Function:
    """Gradient of a scalar function, as a function of its arguments; see :func:`value_and_grad`.

    Returns:
        A function of the same arguments that gives the gradient, or ``(gradient, auxiliary)``.

    Example:
        >>> import minigrad as mg
        >>> mg.func.grad(mg.func.grad(mg.sin))(0.5)
        tensor(-0.47942555)
    """
    both = value_and_grad(function, argnums, has_aux)

    @functools.wraps(function)
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        value, gradients = both(*args, **kwargs)
        return (gradients, value[1]) if has_aux else gradients

    return differentiated


# Forward mode


def _linearized(function: Function, primals: Sequence[Any], has_aux: bool = False) -> tuple[Any, Function, Any]:
    """Linearization: the value of a function, the function that takes tangents v to Jv, and the auxiliary result."""
    lifted = LiftedInputs(primals, "primals")
    value, aux = lifted.call(function, has_aux)
    leaves, build = flatten(value)
    outputs = [asarray(leaf) for leaf in leaves]
    with enable_grad():
        cotangents = [independent(zeros_like(y)) if y.dtype.kind == "f" else zeros_like(y) for y in outputs]
        products = _gradients(outputs, lifted.tensors, cotangents, retain_graph=True, create_graph=True)
    moving = [u for u in cotangents if u.requires_grad]

    expected = structure(tuple(primals))

    def pushforward(tangents: Any) -> Any:
        directions = leaves_like(tangents, expected, "tangents")
        _check_shapes("tangents", directions, lifted.tensors)
        with enable_grad():
            along = [
                sum_of(product * asarray(v, product.dtype)) for product, v in zip(products, directions, strict=True)
            ]
        create_graph = lifted.recorded(along)
        seeds = [ones_like(y) for y in along]
        found = iter(_gradients(along, moving, seeds, retain_graph=True, create_graph=create_graph))
        return lifted.result(build([next(found) if u.requires_grad else u for u in cotangents]))

    return lifted.result(value), pushforward, lifted.result(aux)


def jvp(function: Function, primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False) -> tuple[Any, ...]:
    """Jacobian-vector product: the value of a function, and Jv for tangents v.

    The product uᵀJ is linear in the cotangent u, so differentiating it with respect to u along v gives Jv: two
    backward passes make one forward pass, and no operation needs a second rule (Townsend, "A new trick for calculating
    Jacobian vector products", 2017).

    Args:
        function: from trees of tensors to a tree of tensors.
        primals: the arguments to differentiate at, a tuple or list with one for each; floating.
        tangents: the directions, trees like ``primals``.
        has_aux: the function returns a pair, the second of which is passed on and not differentiated.

    Returns:
        ``(value, tangent)`` or ``(value, tangent, auxiliary)``; the tangent is a tree like the value.

    Raises:
        TypeError: ``primals`` or ``tangents`` is not a tuple or list, or a primal is not floating.
        ValueError: the tangents are not trees like the primals.

    Example:
        >>> import minigrad as mg
        >>> mg.func.jvp(lambda x: x * x, (mg.tensor(3.0),), (mg.tensor(1.0),))
        (tensor(9.), tensor(6.))
    """
    _check_sequence("primals", primals)
    _check_sequence("tangents", tangents)
    value, pushforward, aux = _linearized(function, primals, has_aux)
    tangent = pushforward(tangents)
    return (value, tangent, aux) if has_aux else (value, tangent)


# Jacobians and Hessians


def _basis(leaf: Tensor) -> Tensor:
    """Standard basis of a tensor's space: (size, *shape)."""
    return reshape(eye(leaf.size, dtype=leaf.dtype), (leaf.size, *leaf.shape))


def _along_basis(product: Function, leaves: Sequence[Tensor], build: Build) -> list[list[Tensor]]:
    """Leaves of a linear function's results along the standard basis of each leaf of its argument."""
    found = []
    for position, leaf in enumerate(leaves):

        def of_unit(unit: Any, position: int = position) -> Any:
            return product(build([unit if i == position else zeros_like(other) for i, other in enumerate(leaves)]))

        if leaf.size:
            found.append(flatten(vmap(of_unit)(_basis(leaf)))[0])
        else:
            found.append([zeros((0, *np.shape(result)), leaf.dtype) for result in flatten(of_unit(leaf))[0]])
    return found


def _parts(tree: Any) -> tuple[list[Tensor], Build]:
    leaves, build = flatten(tree)
    return [asarray(leaf) for leaf in leaves], build


def jacrev(function: Function, argnums: SupportsIndex | Sequence[SupportsIndex] = 0, has_aux: bool = False) -> Function:
    """Jacobian by reverse mode: a row for each element of the result, all rows in one backward pass.

    Cheaper than :func:`jacfwd` for functions with fewer results than variables.

    Returns:
        A function of the same arguments that gives ``J`` or ``(J, auxiliary)``: for each leaf of the result a tree
        like the argument, of shapes ``(*result.shape, *argument.shape)``; a tuple of these when ``argnums`` is a
        sequence.

    Example:
        >>> import minigrad as mg
        >>> mg.func.jacrev(lambda x: x * x)(mg.tensor([1.0, 2.0]))
        tensor([[2., 0.],
                [0., 4.]])
    """
    several, chosen = _chosen(argnums)

    @functools.wraps(function)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        partial, primals = _fix_others(function, chosen, args, kwargs)
        value, pullback, aux = vjp(lambda *x: _with_aux(partial(*x), has_aux), *primals, has_aux=True)
        outputs, build = _parts(value)
        inputs, build_primals = _parts(tuple(primals))
        rows = _along_basis(pullback, outputs, build)
        blocks = [
            [reshape(block, (*y.shape, *x.shape)) for block, x in zip(row, inputs, strict=True)]
            for y, row in zip(outputs, rows, strict=True)
        ]
        trees = [build_primals(row) for row in blocks]
        result = build([tree if several else tree[0] for tree in trees])
        return (result, aux) if has_aux else result

    return jacobian


def jacfwd(function: Function, argnums: SupportsIndex | Sequence[SupportsIndex] = 0, has_aux: bool = False) -> Function:
    """Jacobian by forward mode: a column for each element of the argument, all columns in one pass.

    Cheaper than :func:`jacrev` for functions with more results than variables; the Jacobian is laid out alike.
    """
    several, chosen = _chosen(argnums)

    @functools.wraps(function)
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        partial, primals = _fix_others(function, chosen, args, kwargs)
        value, pushforward, aux = _linearized(lambda *x: _with_aux(partial(*x), has_aux), primals, has_aux=True)
        outputs, build = _parts(value)
        inputs, build_primals = _parts(tuple(primals))
        columns = _along_basis(pushforward, inputs, build_primals)
        blocks = [
            [
                reshape(moveaxis(column[i], 0, -1), (*y.shape, *x.shape))
                for column, x in zip(columns, inputs, strict=True)
            ]
            for i, y in enumerate(outputs)
        ]
        trees = [build_primals(row) for row in blocks]
        result = build([tree if several else tree[0] for tree in trees])
        return (result, aux) if has_aux else result

    return jacobian


def hessian(
    function: Function, argnums: SupportsIndex | Sequence[SupportsIndex] = 0, has_aux: bool = False
) -> Function:
    """Hessian of a scalar function: forward over reverse, all columns at once.

    Returns:
        A function of the same arguments that gives ``H`` or ``(H, auxiliary)``.

    Example:
        >>> import minigrad as mg
        >>> mg.func.hessian(lambda x: (x**3).sum())(mg.tensor([1.0, 2.0]))
        tensor([[ 6.,  0.],
                [ 0., 12.]])
    """
    return jacfwd(jacrev(function, argnums, has_aux), argnums, has_aux)


def hvp(function: Function, primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """Hessian-vector product Hv of a scalar function, at the cost of a few gradients.

    Args:
        function: from trees of tensors to a scalar.
        primals: a tuple or list with one for each argument.
        tangents: the directions, trees like ``primals``.

    Returns:
        A tree like the only primal, or a tuple with one for each of several.

    Example:
        >>> import minigrad as mg
        >>> x, v = mg.tensor([1.0, 2.0]), mg.tensor([1.0, 1.0])
        >>> mg.func.hvp(lambda x: (x**3).sum(), (x,), (v,))
        tensor([ 6., 12.])
    """
    _check_sequence("primals", primals)
    argnums: int | tuple[int, ...] = 0 if len(primals) == 1 else tuple(range(len(primals)))
    return jvp(grad(function, argnums), primals, tangents)[1]
