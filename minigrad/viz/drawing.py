"""Graph drawing: the public entry, from a tensor or a module to a picture."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from minigrad.engine.grad_mode import enable_grad
from minigrad.engine.tensor import Scope, Tensor, as_array, scope
from minigrad.nn.module import Module
from minigrad.viz.dot import to_dot
from minigrad.viz.fold import close, fold, level
from minigrad.viz.graph_page import graph_page
from minigrad.viz.loops import box_loops
from minigrad.viz.picture import Block, Picture, Vertex, count_text
from minigrad.viz.render import Graph
from minigrad.viz.trace import trace

READABLE = 32  # vertices that fit on a page


def graph(
    output_or_module: Any,
    *inputs: Any,
    depth: int | None = None,
    backward: bool = False,
    name: str | None = None,
    open_fused: bool = False,
) -> Graph:
    """Computation graph of a tensor or a module: modules as nested boxes, operations, parameters, shapes on the edges.

    Args:
        output_or_module: a computed tensor, a sequence of them, or a module, which is then run.
        inputs: the arguments of the module.
        depth: number of levels of modules to open below the outermost; deeper ones are drawn closed. By default as many
            as fit on a page.
        backward: also differentiate, and draw what that records in a second ink.
        name: the title.
        open_fused: draw the parts of fused operations, such as attention, instead of one vertex each.

    Returns:
        A picture with ``save(path)`` (``.svg``, ``.png``, ``.dot``, and ``.html`` for a page whose modules open) and
        ``to_dot()``; notebooks show it.

    Raises:
        TypeError: the first argument is neither a tensor nor a module, or an input came with a tensor.
        ValueError: nothing was recorded, or ``depth`` is negative.

    Example:
        >>> import minigrad as mg
        >>> picture = mg.viz.graph(mg.nn.Linear(3, 5), mg.ones((2, 3)))
        >>> "linear" in picture.to_dot()
        True
    """
    if depth is not None and (isinstance(depth, bool) or not isinstance(depth, int) or depth < 0):
        raise ValueError(f"depth: expected a number of levels, 0 or more, or None, got {depth!r}")
    if isinstance(output_or_module, Module):
        whole = _trace_module(output_or_module, inputs, backward, open_fused)
        kind = type(output_or_module).__name__
        title = name or " · ".join(filter(None, (output_or_module.label, kind)))
    elif inputs:
        raise TypeError(f"output_or_module: inputs are for a module, got {type(output_or_module).__name__}")
    else:
        outputs = _named_outputs(output_or_module)
        whole = trace(outputs, opens=lambda node: open_fused, backward=backward)
        title = name or " and ".join(label for label, _ in outputs)
    whole = box_loops(whole)
    subtitle = count_text(whole.parameters) if whole.parameters else ""
    drawn = _fitted(whole, depth)
    return Graph(to_dot(drawn, title, subtitle), graph_page(whole, drawn, title, subtitle))


def _trace_module(module: Module, inputs: tuple[Any, ...], backward: bool, open_fused: bool) -> Picture:
    """Run the module and trace it, without a box for the module itself, which is the whole picture."""
    names = _argument_names(module, len(inputs))
    arguments = [_recorded(value, name) for value, name in zip(inputs, names, strict=True)]
    outside = Scope("", "", None)
    token = scope.set(outside)
    try:
        with enable_grad():
            outputs = _named_outputs(module(*arguments))
    finally:
        scope.reset(token)
    given = list(zip(names, arguments, strict=True))
    return trace(
        outputs,
        inputs=[(name, value) for name, value in given if isinstance(value, Tensor) and value.requires_grad],
        data=[(name, as_array(value)) for name, value in given if _is_data(value)],
        root=_called_in(outside, outputs[0][1]),
        opens=lambda node: open_fused,
        backward=backward,
    )


def _called_in(outside: Scope, tensor: Tensor) -> Scope | None:
    """Outermost module call, inside ``outside``, that computed a tensor."""
    call = tensor.node.scope if tensor.node else None
    while call is not None and call.parent is not outside:
        call = call.parent
    return call


def _argument_names(module: Module, count: int) -> list[str]:
    """Names of the first arguments of ``forward``."""
    parameters = list(inspect.signature(module.forward).parameters.values())
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][:count]
    return names + [f"input {position}" for position in range(len(names), count)]


def _recorded(value: Any, name: str) -> Any:
    """Floating input as a tensor that requires a gradient, so that its uses are recorded."""
    data = value.data if isinstance(value, Tensor) else value
    floating = isinstance(data, np.ndarray) and data.dtype.kind == "f"
    if not floating or (isinstance(value, Tensor) and value.requires_grad):
        return value
    tensor = Tensor(data, requires_grad=True)
    tensor.name = name
    return tensor


def _is_data(value: Any) -> bool:
    return isinstance(value, np.ndarray) or (isinstance(value, Tensor) and not value.requires_grad)


def _named_outputs(result: Any) -> list[tuple[str, Tensor]]:
    """Tensors of a nested result that have a graph."""
    found = [(name.removeprefix("."), tensor) for name, tensor in _tensors("", result)]
    recorded = [(name, tensor) for name, tensor in found if tensor.node is not None]
    if not found:
        raise TypeError(f"output_or_module: expected a tensor, several, or a module, got {type(result).__name__}")
    if not recorded:
        raise ValueError(
            "output_or_module: nothing was recorded; the result must be computed from something with "
            "requires_grad=True, outside of no_grad()"
        )
    return [(tensor.name or f"output {name}".rstrip(), tensor) for name, tensor in recorded]


def _tensors(name: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, (list, tuple, Mapping)):
        for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _tensors(f"{name}.{key}", item)


def _fitted(whole: Picture, depth: int | None) -> Picture:
    """Fit a picture: closed below ``depth`` and folded; by default as open as stays readable."""
    if depth is not None:
        return fold(close(whole, lambda block: level(block) > depth))
    inside = Counter(
        block
        for vertex in whole.vertices
        if vertex.block and _is_operation(vertex)
        for block in vertex.block.ancestry()
    )
    best = None
    for opened in range(max(map(level, whole.blocks), default=0) + 1):
        for fewest in (2, 0):  # operations in an open module: those of one operation are the first to be closed

            def closed(block: Block, opened: int = opened, fewest: int = fewest) -> bool:
                return level(block) > opened or inside[block] < fewest

            picture = fold(close(whole, closed))
            if best is None or len(picture.vertices) <= READABLE:
                best = picture
    assert best is not None
    return best


def _is_operation(vertex: Vertex) -> bool:
    return vertex.kind in ("op", "plumbing") and not vertex.backward
