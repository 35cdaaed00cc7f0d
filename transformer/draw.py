"""The attention of one real translation as a picture: the computation graph of a block, with each head's weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from minigrad import Tensor, enable_grad
from minigrad.graph import Node, Scope
from minigrad.viz import Block, Edge, Graph, Picture, Vertex, close, count_text, merged, shape_text, to_dot, trace

from transformer.attention import MultiHeadAttention, record_attention
from transformer.decode import generate
from transformer.heatmap import heatmaps, mask_picture
from transformer.models import Transformer
from transformer.tokenizers import Tokenizer

LANES = {"query": ("Q", "queries"), "key": ("K", "keys"), "value": ("V", "values")}


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
        return self.arguments[0] is not self.arguments[1]


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
    heads = f"{call.layer.num_heads} head{'s' if call.layer.num_heads > 1 else ''}"
    return Graph(to_dot(_picture(call, max_tokens), f"{source} → {translation}", f"{name} · {heads} · {count_text(parameters)}"))


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
    remove = layer.register_forward_hook(lambda module, arguments, output: caught.append((arguments, output)))
    try:
        with enable_grad(), record_attention(model) as weights:
            model(np.array([source_ids]), np.array([read]))
    finally:
        remove()
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

    def moves_heads(node: Node) -> bool:
        return node.scope is call.scope

    sources = [("encoder output", memory), ("decoder state", query)] if call.crosses else [("input", query)]
    whole = trace([("output", call.output)], inputs=sources, root=call.scope, keep=moves_heads)
    picture = _one_vertex_for_heads(close(whole, lambda block: block.kind == "Linear"), call.layer.num_heads)
    _name_projections(picture, call.layer)
    _arrange_lanes(picture)
    _name_operations(picture, call)
    _show_mask(picture, call, max_tokens)
    return _with_weights(picture, call, max_tokens)


def _one_vertex_for_heads(picture: Picture, heads: int) -> Picture:
    """Reshape and permute together split the width into heads, or concatenate them again."""
    following = {edge.tail: edge.head for edge in picture.edges if edge.tail.kind == edge.head.kind == "plumbing"}
    for first, last in following.items():
        before = next(edge.shape for edge in picture.edges if edge.head is first)
        after = next(edge.shape for edge in picture.edges if edge.tail is last)
        splits = before is not None and after is not None and len(after) > len(before)
        last.label = f"split into {heads} heads" if splits else f"concatenate {heads} heads"
        last.details = (f"{first.label}, {last.label}",) if False else ("reshape, permute_dims",)
    edges = [
        replace(edge, tail=following.get(edge.tail, edge.tail), head=following.get(edge.head, edge.head))
        for edge in picture.edges
    ]
    vertices = [vertex for vertex in picture.vertices if vertex not in following]
    return Picture(vertices, merged(edges), picture.parameters)
