"""Attention graph: the computation graph of one block, with each head's weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from minigrad import Tensor, enable_grad, nn
from minigrad.engine.tensor import Scope
from minigrad.viz import Block, Edge, Graph, Picture, Vertex, close, count_text, merged, shape_text, to_dot, trace
from transformer.data.tokenizer import Tokenizer
from transformer.model.attention import MultiHeadAttention, Visibility, record_attention
from transformer.model.lora import LoraLinear
from transformer.plots.attention_heatmap import heatmaps, mask_table, overview
from transformer.plots.reading import Reading, read
from transformer.pretrained import PretrainedModel

# The box of each projection.
LANES = {"query": Block("Q", "queries"), "key": Block("K", "keys"), "value": Block("V", "values")}


BIAS = "position bias"
LINEAR = {kind.__name__ for kind in (nn.Linear, LoraLinear)}  # drawn closed
ALL = "all"  # layers

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class _Call:
    """Recorded call of an attention layer."""

    layer: MultiHeadAttention
    name: str
    arguments: tuple[Any, ...]  # query, memory, visible
    output: Tensor
    weights: Array  # (H, Q, K)
    rows: list[str]  # tokens of the queries
    columns: list[str]  # tokens of the keys
    scope: Scope

    @property
    def crosses(self) -> bool:
        """True if one sequence attends to another."""
        return self.arguments[0] is not self.arguments[1]

    @property
    def visible(self) -> Visibility:
        visible: Visibility = self.arguments[2]
        return visible

    @property
    def mask(self) -> Array | None:
        """Attention mask (Q, K), True where a query may attend; None if nothing is hidden."""
        hides = self.visible.causal or self.visible.mask is not None
        return self.visible.allowed(*self.weights.shape[1:]) if hides else None

    @property
    def axes(self) -> str:
        if self.crosses:
            return "rows: the token being written · columns: the source"
        return "rows: queries · columns: keys"


def draw_attention(
    model: PretrainedModel,
    tokenizer: Tokenizer,
    source: str,
    target: str | None = None,
    *,
    layer: str | None = None,
    heads: Sequence[int] | Literal["mean"] | None = None,
    values: bool = False,
    max_tokens: int = 24,
) -> Graph:
    """Draw one attention block of a model that translates a sentence, continues a prompt or fills in a text.

    Q, K and V from their inputs through projection and heads, then QKᵀ, scale, bias, mask, softmax, each head's weights
    as a heatmap, ·V, and the heads' concatenation: the operations that were recorded, with their shapes.

    Args:
        model, tokenizer: as trained together.
        source: the sentence to translate, the prompt, or the text, which may contain ``[MASK]``.
        target: the translation; the model's own (greedy) when None. For an encoder-decoder model only.
        layer: the attention layer, such as ``encoder.layers.0.self_attention``; by default the last one, which in an
            encoder-decoder model attends to the source. ``"all"`` gives an overview: small heatmaps of all layers,
            without their operations.
        heads: the heads to show, counted from 0, or ``"mean"``, the mean over all heads; all of them when None.
        values: write the weights into their cells, in hundredths.
        max_tokens: maximum number of rows and columns of the weights.

    Returns:
        A picture with ``save(path)`` (``.svg``, ``.png``, ``.dot``) and ``to_dot()``; notebooks show it.

    Raises:
        TypeError: the model is of another kind.
        ValueError: there is no such layer or head (the message says which exist), the source is empty or longer than
            the model can read, a target is given to a model that has none, an overview shall have values, or
            ``max_tokens`` is not positive.

    Source: "Attention Is All You Need", Figure 2.
    """
    layers = {name: module for name, module in model.named_modules() if isinstance(module, MultiHeadAttention)}
    name = list(layers)[-1] if layer is None else layer
    if name not in (*layers, ALL):
        raise ValueError(f"layer: expected one of {', '.join(layers)}, or {ALL}, got {layer!r}")
    for module in layers.values() if name == ALL else [layers[name]]:
        _check_heads(heads, module.num_heads)
    if values and name == ALL:
        raise ValueError("values: expected False for an overview of all layers, whose cells have no room for numbers")
    if max_tokens < 1:
        raise ValueError(f"max_tokens: expected at least 1, got {max_tokens}")
    with model.evaluating():
        reading = read(model, tokenizer, source, target)
        if name == ALL:
            picture = _overview(model, reading, heads, max_tokens)
            return Graph(to_dot(picture, reading.title, f"attention of all {len(layers)} layers"))
        call = _call(model, tokenizer, reading, name, layers[name])
    parameters = sum(parameter.size for parameter in call.layer.parameters())
    subtitle = f"{name} · {_heads(call.layer)} · {count_text(parameters)}"
    return Graph(to_dot(_picture(call, heads, values, max_tokens), reading.title, subtitle))


def _check_heads(heads: Sequence[int] | str | None, count: int) -> None:
    if heads is None or heads == "mean":
        return
    known = not isinstance(heads, str) and all(type(head) is int and 0 <= head < count for head in heads)
    if not known or not heads or len(set(heads)) < len(heads):
        raise ValueError(f"heads: expected different numbers of heads from 0 to {count - 1}, or 'mean', got {heads!r}")


def _chosen(weights: Array, heads: Sequence[int] | str | None) -> list[tuple[str, Array]]:
    """Titles and weights (Q, K) of the heads to show, of all weights (H, Q, K)."""
    if heads == "mean":
        return [(f"mean of {len(weights)} heads", weights.mean(0))]
    return [(f"head {head}", weights[head]) for head in (range(len(weights)) if heads is None else heads)]


def _heads(layer: MultiHeadAttention) -> str:
    groups = layer.num_kv_heads
    return f"{layer.num_heads} heads" + (f", {groups} of keys and values" if groups != layer.num_heads else "")


def _call(model: nn.Module, tokenizer: Tokenizer, reading: Reading, name: str, layer: MultiHeadAttention) -> _Call:
    """Run the model with recording on, and capture the call of the layer."""
    caught: list[tuple[tuple[Any, ...], Tensor]] = []
    handle = layer.register_forward_hook(lambda module, arguments, output: caught.append((arguments, output)))
    try:
        with enable_grad(), record_attention(model) as weights:
            model(*(np.array([ids]) for ids in reading.stacks.values()))
    finally:
        handle.remove()
    arguments, output = caught[0]
    crosses = arguments[0] is not arguments[1]
    columns = reading.stacks["encoder" if crosses else name.split(".")[0]]
    # A decoder's position reads the newest token and attends to the source to predict the next one.
    rows = reading.chosen if crosses else columns
    return _Call(
        layer,
        name,
        arguments,
        output,
        weights[name].data[0],
        tokenizer.tokens(rows),
        tokenizer.tokens(columns),
        _scope_of(layer, output),
    )


def _scope_of(layer: MultiHeadAttention, output: Tensor) -> Scope:
    """Scope of the call that computed ``output``."""
    scope = output.node.scope if output.node is not None else None
    while scope is not None and (scope.label, scope.kind) != (layer.label, type(layer).__name__):
        scope = scope.parent
    if scope is None:
        raise ValueError("model: nothing was recorded in this layer; its parameters must require gradients")
    return scope


def _overview(model: nn.Module, reading: Reading, heads: Sequence[int] | str | None, max_tokens: int) -> Picture:
    """Picture of the weights of all layers."""
    with record_attention(model) as recorded:
        model(*(np.array([ids]) for ids in reading.stacks.values()))
    layers = []
    longest = 0
    for name, weights in recorded.items():
        longest = max(longest, *weights.shape[2:])
        layers.append((name, _chosen(weights.data[0, :, :max_tokens, :max_tokens], heads)))
    shown = f" · the first {max_tokens} of {longest} tokens" if longest > max_tokens else ""
    note = f"lines: layers · columns: heads · in each, rows: queries, columns: keys{shown}"
    return Picture([Vertex("figure", "attention weights", html=overview(layers, note))], [])


def _picture(call: _Call, heads: Sequence[int] | str | None, values: bool, max_tokens: int) -> Picture:
    """Picture of the recorded call, arranged and named as in the paper's figure."""
    query, memory = call.arguments[:2]
    sources = [("decoder state", query), ("encoder output", memory)] if call.crosses else [("input", query)]
    bias = call.visible.bias
    whole = trace(
        [("output", call.output)],
        inputs=[*sources, (BIAS, bias)] if bias is not None and bias.requires_grad else sources,
        root=call.scope,
        keep=lambda node: node.scope is call.scope,
        opens=lambda node: True,
    )
    picture = _one_vertex_for_heads(close(whole, lambda block: block.kind in LINEAR), call.layer)
    _name_projections(picture, call.layer)
    picture = _in_lanes(picture)
    parts = _Parts(picture)
    picture = _with_rotations(picture, parts)
    picture = _with_hidden_scores(picture, parts, call, max_tokens)
    _name_operations(parts, call)
    return _with_weights(picture, parts, call, heads, values, max_tokens)


def _one_vertex_for_heads(picture: Picture, layer: MultiHeadAttention) -> Picture:
    """Merge reshape and permute_dims, which split or merge the heads, into one vertex."""
    both = {"reshape", "permute_dims"}
    following = {edge.tail: edge.head for edge in picture.edges if {edge.tail.label, edge.head.label} == both}
    projections = {edge.head: edge.tail.label for edge in picture.edges if edge.tail.kind == "module"}
    for first, last in following.items():
        last.details = (f"{first.label}, {last.label}",)
        if first.label == "reshape":
            heads = layer.num_heads if projections.get(first) == "query" else layer.num_kv_heads
            last.label = f"split into {heads} head{'' if heads == 1 else 's'}"
        else:
            last.label = f"concatenate {layer.num_heads} heads"
    edges = [
        replace(edge, tail=following.get(edge.tail, edge.tail), head=following.get(edge.head, edge.head))
        for edge in picture.edges
    ]
    return Picture([v for v in picture.vertices if v not in following], merged(edges), picture.parameters)


def _name_projections(picture: Picture, layer: MultiHeadAttention) -> None:
    projections = dict(layer.children())
    for vertex in picture.vertices:
        if vertex.kind == "module" and isinstance(linear := projections.get(vertex.label), nn.Linear):
            bias = "" if linear.bias is None else f" + bias {shape_text(linear.bias.shape)}"
            count = count_text(sum(vertex.parameters.values()))
            vertex.details = (f"Linear · weight {shape_text(linear.weight.shape)}{bias}", count)


def _in_lanes(picture: Picture) -> Picture:
    """Box Q, K and V, side by side: each projection with its split into heads."""
    lanes = {edge.tail.label: edge for edge in picture.edges if edge.tail.kind == "module" and edge.tail.label in LANES}
    for name, edge in lanes.items():
        edge.tail.block = edge.head.block = LANES[name]
    in_order = [lanes[name] for name in LANES if name in lanes]
    return replace(picture, rows=[[edge.tail for edge in in_order], [edge.head for edge in in_order]])


class _Parts:
    """Parts of softmax(Q Kᵀ · scale) V among the vertices of a picture."""

    def __init__(self, picture: Picture) -> None:
        self.softmax = next(vertex for vertex in picture.vertices if vertex.label == "softmax")
        self.mean = next(edge.head for edge in picture.edges if edge.tail is self.softmax)
        self.product = next(
            vertex for vertex in picture.vertices if vertex.label == "matmul" and vertex is not self.mean
        )
        self.scale = next(edge.head for edge in picture.edges if edge.tail is self.product)


def _with_rotations(picture: Picture, parts: _Parts) -> Picture:
    """Merge the rotations of queries and of keys into one vertex each."""
    splits = [edge.tail for edge in picture.edges if edge.tail.label.startswith("split into")]
    turns = []
    for split in dict.fromkeys(splits):
        inside = _between(picture, split, parts.product)
        if inside:
            turn = Vertex("op", "turn by the position", split.block, (_summary(inside),))
            picture = _contracted(picture, inside, turn)
            turns.append(turn)
    return replace(picture, rows=[*picture.rows, turns]) if turns else picture


def _with_hidden_scores(picture: Picture, parts: _Parts, call: _Call, max_tokens: int) -> Picture:
    """Merge the operations on scores between scale and softmax into one vertex, with mask and bias as its inputs."""
    starts = [parts.scale, *(vertex for vertex in picture.vertices if vertex.label == BIAS)]
    inside = set().union(*(_between(picture, start, parts.softmax) for start in starts))
    mask, bias = call.mask, call.visible.bias
    if not inside:
        return picture
    names = [*(["add position bias"] if bias is not None else []), *(["mask"] if mask is not None else [])]
    details = [] if bias is None else ["one number for each head and distance"]
    details += [] if mask is None else ["hidden scores become −∞"]
    step = Vertex("op", ", ".join(names), parts.softmax.block, (_summary(inside), *details))
    picture = _contracted(picture, inside, step)
    vertices, edges = list(picture.vertices), list(picture.edges)
    if bias is not None:  # a learned one was recorded, outside
        edges = [edge for edge in edges if edge.tail.label != BIAS]
        constant = Vertex("input" if bias.requires_grad else "constant", BIAS, step.block, (shape_text(bias.shape),))
        vertices = [*(vertex for vertex in vertices if vertex.label != BIAS), constant]
        edges.append(Edge(constant, step, None))
    if mask is not None:
        html = mask_table(mask[:max_tokens, :max_tokens], shape_text(mask.shape))
        figure = Vertex("figure", "mask", step.block, html=html)
        vertices.append(figure)
        edges.append(Edge(figure, step, None))
    return replace(picture, vertices=vertices, edges=edges)


def _between(picture: Picture, first: Vertex, last: Vertex) -> set[Vertex]:
    """Vertices between two vertices, and the constants that only they use."""
    after = _reached(first, [(edge.tail, edge.head) for edge in picture.edges])
    before = _reached(last, [(edge.head, edge.tail) for edge in picture.edges])
    inside = after & before
    constants = {edge.tail for edge in picture.edges if edge.tail.kind == "constant" and edge.head in inside}
    return inside | constants


def _reached(start: Vertex, steps: list[tuple[Vertex, Vertex]]) -> set[Vertex]:
    found: set[Vertex] = set()
    ways = [start]
    while ways:
        here = ways.pop()
        new = {end for begin, end in steps if begin is here} - found
        found |= new
        ways += new
    return found


def _contracted(picture: Picture, inside: set[Vertex], into: Vertex) -> Picture:
    """Contract some vertices into one."""
    edges = [
        replace(edge, tail=into if edge.tail in inside else edge.tail, head=into if edge.head in inside else edge.head)
        for edge in picture.edges
    ]
    vertices = [vertex for vertex in picture.vertices if vertex not in inside]
    return replace(picture, vertices=[*vertices, into], edges=merged(edges))


def _summary(vertices: set[Vertex]) -> str:
    """Summary of the operations of a vertex."""
    return ", ".join(sorted({vertex.label for vertex in vertices if vertex.kind != "constant"}))


def _name_operations(parts: _Parts, call: _Call) -> None:
    """Name the operations by their role; their own names go to the second line."""
    scale = call.layer.attend.scale
    parts.mean.label, parts.mean.details = "weights · V", ("matmul",)
    parts.product.label, parts.product.details = "Q Kᵀ", ("matmul",)
    parts.scale.label = f"scale by 1/√{call.layer.d_k}" if scale is None else f"scale by {scale:g}"
    parts.scale.details = (" ".join(["multiply", *parts.scale.details]),)
    parts.softmax.details = ("over the keys: each row sums to 1",)


def _with_weights(
    picture: Picture, parts: _Parts, call: _Call, heads: Sequence[int] | str | None, values: bool, max_tokens: int
) -> Picture:
    """Add the heatmaps, between softmax and values."""
    after = next(edge for edge in picture.edges if edge.tail is parts.softmax)
    rows, columns = call.rows[:max_tokens], call.columns[:max_tokens]
    notes = [call.axes, *_shortened("rows", rows, call.rows), *_shortened("columns", columns, call.columns)]
    chosen = _chosen(call.weights[:, : len(rows), : len(columns)], heads)
    html = heatmaps(chosen, rows, columns, " · ".join(notes), values)
    figure = Vertex("figure", "attention weights", after.tail.block, html=html)
    edges = [replace(edge, tail=figure) if edge is after else edge for edge in picture.edges]
    edges.append(Edge(after.tail, figure, after.shape))
    return replace(picture, vertices=[*picture.vertices, figure], edges=edges)


def _shortened(what: str, shown: Sequence[str], tokens: Sequence[str]) -> list[str]:
    return [f"the first {len(shown)} of {len(tokens)} {what}"] if len(shown) < len(tokens) else []
