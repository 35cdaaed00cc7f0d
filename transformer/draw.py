"""The attention of one real translation as a picture: the computation graph of a block, with each head's weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minigrad import Tensor, enable_grad, nn
from minigrad.graph import Scope
from minigrad.viz import Block, Edge, Graph, Picture, Vertex, close, count_text, merged, shape_text, to_dot, trace
from transformer.attention import MultiHeadAttention, record_attention
from transformer.decode import generate
from transformer.heatmap import heatmaps, mask_table
from transformer.models import Transformer
from transformer.tokenizers import Tokenizer

# The box of each projection; its title is where no edge passes.
LANES = {
    "query": Block("Q", "queries", title_at="bl"),
    "key": Block("K", "keys", title_at="br"),
    "value": Block("V", "values", title_at="br"),
}


@dataclass(frozen=True)
class _Call:
    """One call of an attention layer, as it happened in a translation."""

    layer: MultiHeadAttention
    name: str
    arguments: tuple[Any, ...]  # query, memory, mask
    output: Tensor
    weights: np.ndarray[Any, Any]  # (H, Q, K)
    rows: list[str]  # what the queries stand for
    columns: list[str]  # what the keys stand for
    scope: Scope

    @property
    def crosses(self) -> bool:
        """Whether one sequence attends to another."""
        return self.arguments[0] is not self.arguments[1]

    @property
    def axes(self) -> str:
        if self.crosses:
            return "rows: the token being written · columns: the source"
        return "rows: the position that looks · columns: where it looks"


def draw_attention(
    model: Transformer,
    tokenizer: Tokenizer,
    source: str,
    target: str | None = None,
    *,
    layer: str | None = None,
    max_tokens: int = 24,
) -> Graph:
    """Draw one attention block while it translates a sentence.

    Q, K and V from their inputs through projection and heads, then QKᵀ, scale, mask, softmax, each head's weights as a
    heatmap, ·V, and the heads' concatenation: the operations that were recorded, with their shapes.

    Args:
        model, tokenizer: as trained together.
        source: the sentence.
        target: its translation; the model's own (greedy) when None.
        layer: the attention layer, such as ``encoder.layers.0.self_attention``; by default the decoder's last
            cross-attention.
        max_tokens: how many rows and columns of the weights to show.

    Returns:
        A picture with ``save(path)`` (``.svg``, ``.png``, ``.pdf``, ``.dot``) and ``to_dot()``; notebooks show it.

    Raises:
        ValueError: there is no such layer (the message lists those that exist), the source is empty or longer than the
            model can read, or ``max_tokens`` is not positive.

    Source: "Attention Is All You Need", Figure 2.
    """
    names = [name for name, module in model.named_modules() if isinstance(module, MultiHeadAttention)]
    name = names[-1] if layer is None else layer
    if name not in names:
        raise ValueError(f"layer: expected one of {', '.join(names)}, got {layer!r}")
    if not source.strip():
        raise ValueError("source: expected a sentence, got an empty one")
    if max_tokens < 1:
        raise ValueError(f"max_tokens: expected at least 1, got {max_tokens}")
    was_training = model.training
    model.eval()
    try:
        call, translation = _translate(model, tokenizer, source, target, name)
    finally:
        model.train(was_training)
    parameters = sum(parameter.size for parameter in call.layer.parameters())
    subtitle = f"{name} · {call.layer.num_heads} heads · {count_text(parameters)}"
    return Graph(to_dot(_picture(call, max_tokens), f"{source} → {translation}", subtitle))


def _translate(
    model: Transformer, tokenizer: Tokenizer, source: str, target: str | None, name: str
) -> tuple[_Call, str]:
    """Run the model over the pair with recording on, and catch the call of the layer."""
    source_ids = tokenizer.encode([source])[0]
    if target is None:
        hypothesis = generate(model, np.array([source_ids]))[0]
        target_ids = [*hypothesis.ids, tokenizer.eos_id]
        target = tokenizer.decode([target_ids])[0]
    else:
        target_ids = tokenizer.encode([target])[0]
    read = [tokenizer.bos_id, *target_ids[:-1]]
    layer = next(module for path, module in model.named_modules() if path == name)
    assert isinstance(layer, MultiHeadAttention)
    caught: list[tuple[tuple[Any, ...], Tensor]] = []
    handle = layer.register_forward_hook(lambda module, arguments, output: caught.append((arguments, output)))
    try:
        with enable_grad(), record_attention(model) as weights:
            model(np.array([source_ids]), np.array([read]))
    finally:
        handle.remove()
    arguments, output = caught[0]
    crosses = arguments[0] is not arguments[1]
    columns = source_ids if crosses or name.startswith("encoder") else read
    # A decoder's position holds the newest token read; what it gathers from the source serves to write the next one.
    rows = target_ids if crosses else columns
    call = _Call(
        layer,
        name,
        arguments,
        output,
        weights[name].data[0],
        tokenizer.tokens(rows),
        tokenizer.tokens(columns),
        _scope_of(layer, output),
    )
    return call, target


def _scope_of(layer: MultiHeadAttention, output: Tensor) -> Scope:
    """The scope of the call that computed ``output``."""
    scope = output.node.scope if output.node is not None else None
    while scope is not None and (scope.label, scope.kind) != (layer.label, type(layer).__name__):
        scope = scope.parent
    if scope is None:
        raise ValueError("model: nothing was recorded in this layer; its parameters must require gradients")
    return scope


def _picture(call: _Call, max_tokens: int) -> Picture:
    """The recorded graph of the call, arranged and named as in the paper's figure."""
    query, memory = call.arguments[:2]
    sources = [("decoder state", query), ("encoder output", memory)] if call.crosses else [("input", query)]
    whole = trace(
        [("output", call.output)],
        inputs=sources,
        root=call.scope,
        keep=lambda node: node.scope is call.scope,
        opens=lambda node: True,
    )
    picture = _one_vertex_for_heads(close(whole, lambda block: block.kind == "Linear"), call.layer.num_heads)
    _name_projections(picture, call.layer)
    picture = _in_lanes(picture)
    _name_operations(picture, call)
    return _with_weights(_with_mask(picture, call, max_tokens), call, max_tokens)


def _one_vertex_for_heads(picture: Picture, heads: int) -> Picture:
    """Reshape and permute_dims, one after the other, split the width into heads or put them together again."""
    following = {edge.tail: edge.head for edge in picture.edges if edge.tail.kind == edge.head.kind == "plumbing"}
    for first, last in following.items():
        splits = first.label == "reshape"
        last.details = (f"{first.label}, {last.label}",)
        last.label = f"split into {heads} heads" if splits else f"concatenate {heads} heads"
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
    """A box each for Q, K and V, side by side: the projection and the split into heads behind it."""
    lanes = {edge.tail.label: edge for edge in picture.edges if edge.tail.kind == "module" and edge.tail.label in LANES}
    for name, edge in lanes.items():
        edge.tail.block = edge.head.block = LANES[name]
    in_order = [lanes[name] for name in LANES if name in lanes]
    return replace(picture, rows=[[edge.tail for edge in in_order], [edge.head for edge in in_order]])


def _name_operations(picture: Picture, call: _Call) -> None:
    """What the operations mean here; their own names go to the second line."""
    head_size = call.layer.query.out_features // call.layer.num_heads
    softmax = next((vertex for vertex in picture.vertices if vertex.label == "softmax"), None)
    for vertex in picture.vertices:
        if vertex.label == "matmul":
            weighs = any(edge.head is vertex and edge.tail is softmax for edge in picture.edges)
            vertex.label, vertex.details = ("weights · V" if weighs else "Q Kᵀ"), ("matmul",)
        elif vertex.label == "multiply":
            vertex.label = f"scale by 1/√{head_size}"
            vertex.details = (f"multiply {vertex.details[0]}" if vertex.details else "multiply",)
        elif vertex.label == "where":
            vertex.label, vertex.details = "mask", ("where: hidden scores become −∞",)
        elif vertex is softmax:
            vertex.details = ("over the keys: each row sums to 1",)


def _with_mask(picture: Picture, call: _Call, max_tokens: int) -> Picture:
    """The mask itself in place of the constant."""
    mask = call.arguments[2] if len(call.arguments) > 2 else None
    constant = next((v for v in picture.vertices if v.kind == "constant" and v.label == "mask"), None)
    if mask is None or constant is None:
        return picture
    constant.kind = "figure"
    shown = np.atleast_2d(mask.data.squeeze())[:max_tokens, :max_tokens]
    constant.html = mask_table(shown, shape_text(mask.shape))
    edges = [replace(edge, shape=None) if edge.tail is constant else edge for edge in picture.edges]
    return replace(picture, edges=edges)


def _with_weights(picture: Picture, call: _Call, max_tokens: int) -> Picture:
    """The heatmaps, on the way from the softmax to the values."""
    after = next((edge for edge in picture.edges if edge.tail.label == "softmax"), None)
    if after is None:
        return picture
    rows, columns = call.rows[:max_tokens], call.columns[:max_tokens]
    notes = [call.axes, *_shortened("rows", rows, call.rows), *_shortened("columns", columns, call.columns)]
    html = heatmaps(call.weights[:, : len(rows), : len(columns)], rows, columns, " · ".join(notes))
    figure = Vertex("figure", "attention weights", after.tail.block, html=html)
    edges = [replace(edge, tail=figure) if edge is after else edge for edge in picture.edges]
    edges.append(Edge(after.tail, figure, after.shape))
    return replace(picture, vertices=[*picture.vertices, figure], edges=edges)


def _shortened(what: str, shown: Sequence[str], tokens: Sequence[str]) -> list[str]:
    return [f"the first {len(shown)} of {len(tokens)} {what}"] if len(shown) < len(tokens) else []
