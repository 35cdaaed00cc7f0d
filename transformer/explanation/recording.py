"""Recording of one run: the value of each step, read by hooks on the model's modules."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from transformer.model.attention import MultiHeadAttention
from transformer.model.layers import FeedForward, OffsetRMSNorm, Residual, TransformerLayer
from transformer.model.positions import (
    FairseqPositions,
    LearnedPositions,
    LearnedRelativePositions,
    SinusoidalHalvesPositions,
    SinusoidalPositions,
)
from transformer.model.stacks import Stack
from transformer.pretrained import MaskedLM, PretrainedModel

Array = np.ndarray[Any, Any]
ADDED: dict[type, str] = {  # position encodings that are added to embeddings → the kind of step
    SinusoidalPositions: "sinusoidal",
    SinusoidalHalvesPositions: "sinusoidal_halves",
    FairseqPositions: "sinusoidal_fairseq",
    LearnedPositions: "learned",
    LearnedRelativePositions: "learned",
}
NORMS: dict[type, str] = {nn.LayerNorm: "norm", nn.RMSNorm: "rms", OffsetRMSNorm: "offset_rms"}


@dataclass(frozen=True)
class Step:
    """Step of a run: (T, D) or (H, T, D) vectors, (H, Q, K) scores or weights, or a (Q, K) mask."""

    kind: str  # a key of `steps.KINDS`
    values: Array
    keys: str | None = None  # the stack whose tokens the columns of scores, weights and masks are


@dataclass(frozen=True)
class Sublayer:
    """Sublayer in its residual connection."""

    kind: str  # "self_attention", "cross_attention" or "sublayer"
    steps: list[Step]


@dataclass(frozen=True)
class StackRun:
    """Run of an encoder or a decoder."""

    name: str
    ids: list[int]
    embedding: list[Step]
    layers: list[list[Sublayer]]
    last: list[Step]  # after the layers


@dataclass(frozen=True)
class Run:
    """Run of a model on one text."""

    stacks: list[StackRun]
    output: list[Step]  # from the last stack to the logits
    logits: Array  # (T, V): of the token that follows each position of the last stack, or belongs there


Call = tuple[tuple[Any, ...], Any]  # arguments and output


@dataclass
class _Calls:
    """Calls of modules, by their identities."""

    made: dict[int, list[Call]] = field(default_factory=lambda: defaultdict(list))

    def latest(self, module: nn.Module) -> Call:
        return self.made[id(module)][-1]

    def output(self, module: nn.Module) -> Array:
        """Output of the one example (T, …)."""
        return _array(self.latest(module)[1])

    def input(self, module: nn.Module) -> Array:
        """First argument of the one example."""
        return _array(self.latest(module)[0][0])

    def turn(self, number: int) -> _Calls:
        """Only the calls of this number, counted from 0: layers may share their modules."""
        return _Calls({module: calls[number : number + 1] for module, calls in self.made.items()})


def _array(tensor: Tensor) -> Array:
    return tensor.numpy()[0]


@contextmanager
def _recorded(model: nn.Module) -> Iterator[_Calls]:
    calls = _Calls()

    def keep(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        calls.made[id(module)].append((arguments, output))

    handles = [module.register_forward_hook(keep) for module in model.modules()]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def record(model: PretrainedModel, *sequences: list[int], windows: Mapping[str, slice] | None = None) -> Run:
    """Run a model on one text and record all steps.

    Args:
        model: an encoder-decoder, a causal or a masked language model.
        sequences: the token ids of each of its stacks.
        windows: the positions of each stack to keep; all of them when None.
    """
    stacks = {name: module for name, module in model.children() if isinstance(module, Stack)}
    windows = dict.fromkeys(stacks, slice(None)) if windows is None else windows
    with mg.no_grad(), model.evaluating(), _recorded(model) as calls:
        logits = _array(model(*(np.array([ids]) for ids in sequences)))
        runs = [
            _stack(name, stack, ids, calls, next(iter(stacks)), windows)
            for (name, stack), ids in zip(stacks.items(), sequences, strict=True)
        ]
    rows = windows[runs[-1].name]
    output = [Step("logits", logits[rows])]
    if isinstance(model, MaskedLM):
        output = [Step("transform", calls.output(model.norm)[rows]), *output]
    return Run(runs, output, logits[rows])


def _stack(
    name: str, stack: Stack, ids: list[int], calls: _Calls, memory: str, windows: Mapping[str, slice]
) -> StackRun:
    def crop(step: Step) -> Step:
        """Step at the positions to keep; the numbers of the others can be freed."""
        columns = slice(None) if step.keys is None else windows[step.keys]
        return replace(step, values=step.values[..., windows[name], columns].copy())

    def kept(steps: list[Step]) -> list[Step]:
        return [crop(step) for step in steps]

    turns = Counter[nn.Module]()
    layers = []
    for layer in stack.layers:
        parts = _layer(layer, calls.turn(turns[layer]), name, memory)
        layers.append([replace(part, steps=kept(part.steps)) for part in parts])
        turns[layer] += 1
    last = [] if stack.norm is None else [Step("last_norm", calls.output(stack.norm))]
    return StackRun(name, ids[windows[name]], kept(_embedding(stack, calls)), layers, kept(last))


def _embedding(stack: Stack, calls: _Calls) -> list[Step]:
    embedded, placed = calls.input(stack.positions), calls.output(stack.positions)
    types = [] if stack.types is None else [Step("types", np.broadcast_to(calls.output(stack.types), embedded.shape))]
    words = embedded - sum(step.values for step in types)  # of a shared embedding only the latest call is there
    steps = [Step("embedding" if stack.tokens.scale == 1.0 else "scaled_embedding", words), *types]
    if type(stack.positions) in ADDED:
        steps.append(Step(ADDED[type(stack.positions)], placed - embedded))
    steps.append(Step("input" if stack.embedding_norm is None else "normed_input", calls.output(stack.dropout)))
    return steps if stack.projection is None else [*steps, Step("projected_input", calls.output(stack.projection))]


def _layer(layer: TransformerLayer, calls: _Calls, own: str, memory: str) -> list[Sublayer]:
    def sublayer(kind: str, residual: Residual, steps: list[Step]) -> Sublayer:
        normed = residual.norm_first and not isinstance(residual.norm, nn.Identity)
        first = [Step(NORMS[type(residual.norm)], calls.output(residual.norm))] if normed else []
        second = [] if residual.output_norm is None else [Step("output_norm", calls.output(residual.output_norm))]
        if layer.parallel:
            return Sublayer(kind, [*first, *steps, *second, Step("update", calls.output(residual.dropout))])
        last = Step("pre_norm" if residual.norm_first else "post_norm", calls.output(residual))
        return Sublayer(kind, [*first, *steps, *second, last])

    sublayers = [
        sublayer("self_attention", layer.self_attention_residual, _attention(layer.self_attention, calls, own))
    ]
    if layer.cross_attention is not None and layer.cross_attention_residual is not None:
        steps = _attention(layer.cross_attention, calls, memory)
        sublayers.append(sublayer("cross_attention", layer.cross_attention_residual, steps))
    sublayers.append(sublayer("sublayer", layer.feed_forward_residual, _feed_forward(layer.feed_forward, calls)))
    if layer.parallel:
        sublayers[-1].steps.append(Step("parallel", calls.output(layer)))
    return sublayers


def _attention(layer: MultiHeadAttention, calls: _Calls, keys: str) -> list[Step]:
    (query, key, value, visible), context = calls.latest(layer.attend)
    weights = layer.attend.weights(query, key, visible)
    scale = query.shape[-1] ** -0.5 if layer.attend.scale is None else layer.attend.scale
    per_query = mg.repeat(key, query.shape[1] // key.shape[1], axis=1)  # a head of keys may serve several of queries
    scores = query @ per_query.mT * scale
    arguments = calls.latest(layer)[0]  # query, memory, mask, and in self-attention cache and rotation
    turned = len(arguments) > 4 and arguments[4] is not None
    done = "normed_" if layer.query_norm is not None else "rotated_" if turned else ""
    scaled = "" if layer.attend.scale is None else "unscaled_" if layer.attend.scale == 1.0 else "rescaled_"
    steps = [
        Step(f"{done}query", _array(query)),
        Step(f"{done}key", _array(key)),
        Step("value", _array(value)),
        Step(f"{scaled}scores", _array(scores), keys),
    ]
    if layer.attend.softcap is not None:
        scores = mg.tanh(scores / layer.attend.softcap) * layer.attend.softcap
        steps.append(Step("capped_scores", _array(scores), keys))
    if visible.bias is not None:
        steps.append(Step("biased_scores", _array(scores + visible.bias), keys))
    mask = visible.allowed(*weights.shape[-2:])
    if not mask.all():
        steps.append(Step("mask", mask, keys))
    return [
        *steps,
        Step("weights", _array(weights), keys),
        Step("context", _array(context)),
        Step("joined", calls.output(layer)),
    ]


def _feed_forward(network: FeedForward, calls: _Calls) -> list[Step]:
    hidden = "hidden" if network.gate is None else "gated"
    return [Step(hidden, calls.input(network.dropout)), Step("feed_forward", calls.output(network))]
