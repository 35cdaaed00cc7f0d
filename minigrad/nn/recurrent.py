"""Recurrent layers: RNN, LSTM and GRU, of any depth and in one or both directions of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from minigrad.engine.tensor import Tensor
from minigrad.nn.functional import recurrent
from minigrad.nn.functional.dropout import check_probability, dropout
from minigrad.nn.linear import uniform_parameter
from minigrad.nn.module import Module
from minigrad.ops.creation import asarray, zeros
from minigrad.ops.joining import concat, stack
from minigrad.ops.shape import permute_dims, reshape


class _Recurrent(Module):
    """Base of the recurrent layers: each a recurrence over time, or two of them, of which one runs backward.

    The parameters have PyTorch's names and shapes, ``l0`` being the first layer, of ``gates`` blocks of rows:
    ``weight_ih_l0`` (gates·H, inputs), ``weight_hh_l0`` (gates·H, H), ``bias_ih_l0`` and ``bias_hh_l0`` (gates·H,), and
    the same with ``_reverse`` behind for the other direction. All start uniform on ±1/√H.
    """

    gates: ClassVar[int]
    states: ClassVar[int] = 1  # how many arrays a step hands on to the next one

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
            if size < 1:
                raise ValueError(f"{name}: expected a positive number, got {size}")
        check_probability(dropout)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = dropout
        self.bidirectional = bidirectional
        self.directions = ("", "_reverse") if bidirectional else ("",)
        for layer in range(num_layers):
            inputs = input_size if layer == 0 else hidden_size * len(self.directions)
            for direction in self.directions:
                self._add_parameters(f"l{layer}{direction}", inputs)

    def _add_parameters(self, place: str, inputs: int) -> None:
        rows = self.gates * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, inputs), "weight_hh": (rows, self.hidden_size)}
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        for name, shape in shapes.items():
            setattr(self, f"{name}_{place}", uniform_parameter(shape, self.hidden_size))

    def recur(self, x: Any, weights: Sequence[Any], states: Sequence[Any], reverse: bool) -> list[Any]:
        """One layer in one direction.

        Args:
            x: (T, B, inputs).
            weights: weight_ih, weight_hh, bias_ih, bias_hh; the latter two None without biases.
            states: (B, H) each.
            reverse: from the last time step to the first.

        Returns:
            All hidden states (T, B, H), then the last states.
        """
        raise NotImplementedError

    def run(self, input: Any, states: Sequence[Any] | None) -> tuple[Tensor, list[Tensor]]:
        """All layers: the top's output, and the last states of every layer and direction, (layers·directions, B, H)."""
        x = asarray(input)
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size:
            axes = "(B, T, {0}) or (T, {0})" if self.batch_first else "(T, B, {0}) or (T, {0})"
            raise ValueError(f"input: expected shape {axes.format(self.input_size)}, got {x.shape}")
        time = 1 if self.batch_first and x.ndim == 3 else 0
        if not x.shape[time]:
            raise ValueError(f"input: expected at least one time step, got shape {x.shape}")
        single = x.ndim == 2
        if single:
            x = reshape(x, (x.shape[0], 1, x.shape[1]))
        elif self.batch_first:
            x = permute_dims(x, (1, 0, 2))
        starts = self._starts(x, states, single)
        lasts: list[list[Any]] = [[] for _ in starts]
        for layer in range(self.num_layers):
            if layer:
                x = dropout(x, self.dropout, self.training)
            outs = []
            for number, direction in enumerate(self.directions, layer * len(self.directions)):
                weights = [
                    getattr(self, f"{name}_l{layer}{direction}", None)
                    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                ]
                out, *last = self.recur(x, weights, [start[number] for start in starts], direction == "_reverse")
                outs.append(out)
                for found, state in zip(lasts, last, strict=True):
                    found.append(state)
            x = concat(outs, axis=-1) if len(outs) > 1 else outs[0]
        ends = [stack(found) for found in lasts]
        if single:
            return x[:, 0], [end[:, 0] for end in ends]
        return permute_dims(x, (1, 0, 2)) if self.batch_first else x, ends

    def _starts(self, x: Tensor, states: Sequence[Any] | None, single: bool) -> list[Tensor]:
        """The first states of every layer and direction: those given, or zeros."""
        shape = (self.num_layers * len(self.directions), x.shape[1], self.hidden_size)
        if states is None:
            return [zeros(shape, dtype=x.dtype) for _ in range(self.states)]
        allowed = (shape[0], shape[2]) if single else shape
        starts = [asarray(state) for state in states]
        for start in starts:
            if start.shape != allowed:
                raise ValueError(f"state: expected shape {allowed}, got {start.shape}")
        return [reshape(start, shape) for start in starts]

    def extra_repr(self) -> str:
        usual = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        shown = [f"{name}={getattr(self, name)}" for name, value in usual.items() if getattr(self, name) != value]
        return ", ".join([str(self.input_size), str(self.hidden_size), *shown])


class RNN(_Recurrent):
    """Simple recurrent network: h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh), or relu. Elman, 1990.

    Args:
        input_size, hidden_size: the lengths of x and h.
        num_layers: of which each takes the hidden states of the one below as its input.
        nonlinearity: "tanh" or "relu".
        bias: whether there are the two biases.
        batch_first: whether ``input`` and ``output`` are (B, T, …) instead of (T, B, …).
        dropout: the probability with which inputs of all layers but the first are zeroed in training.
        bidirectional: whether each layer also runs from the end of time to its beginning; ``output`` has both.

    Called with ``input`` (T, B, input_size), or (T, input_size) for one example, and optionally the first states
    ``h_0`` (num_layers · directions, B, hidden_size), zeros by default, it returns ``output`` (T, B, directions ·
    hidden_size), the hidden states of the last layer, and ``h_n``, the last ones of every layer and direction.

    Example:
        >>> import minigrad as mg
        >>> output, h_n = mg.nn.RNN(3, 5, num_layers=2)(mg.ones((7, 2, 3)))
        >>> output.shape, h_n.shape
        ((7, 2, 5), (2, 2, 5))
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        if nonlinearity not in recurrent.NONLINEARITIES:
            allowed = " or ".join(map(repr, recurrent.NONLINEARITIES))
            raise ValueError(f"nonlinearity: expected {allowed}, got {nonlinearity!r}")
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, h_0: Any = None) -> tuple[Tensor, Tensor]:
        output, (h_n,) = self.run(input, None if h_0 is None else [h_0])
        return output, h_n

    def recur(self, x: Any, weights: Sequence[Any], states: Sequence[Any], reverse: bool) -> list[Any]:
        weight_ih, weight_hh, bias_ih, bias_hh = weights
        bias = bias_ih + bias_hh if self.bias else None
        found: list[Any] = recurrent.rnn(x, weight_ih, weight_hh, bias, *states, self.nonlinearity, reverse)
        return found


class LSTM(_Recurrent):
    """Long short-term memory. Hochreiter and Schmidhuber, 1997; forget gate: Gers, Schmidhuber and Cummins, 2000.

    i, f, g, o = σ, σ, tanh, σ of W_ih x_t + b_ih + W_hh h_(t-1) + b_hh, in this order of blocks;
    c_t = f · c_(t-1) + i · g and h_t = o · tanh(c_t).

    Arguments, ``input`` and ``output`` are those of :class:`RNN`, but for ``nonlinearity``; the states are pairs:
    ``layer(input, (h_0, c_0))`` returns ``output, (h_n, c_n)``.

    Example:
        >>> import minigrad as mg
        >>> output, (h_n, c_n) = mg.nn.LSTM(3, 5, bidirectional=True)(mg.ones((7, 2, 3)))
        >>> output.shape, h_n.shape, c_n.shape
        ((7, 2, 10), (2, 2, 5), (2, 2, 5))
    """

    gates = 4
    states = 2

    def forward(self, input: Any, state: tuple[Any, Any] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        if state is not None and len(state) != 2:
            raise ValueError(f"state: expected the pair (h_0, c_0), got {len(state)} of them")
        output, (h_n, c_n) = self.run(input, state)
        return output, (h_n, c_n)

    def recur(self, x: Any, weights: Sequence[Any], states: Sequence[Any], reverse: bool) -> list[Any]:
        weight_ih, weight_hh, bias_ih, bias_hh = weights
        bias = bias_ih + bias_hh if self.bias else None
        found: list[Any] = recurrent.lstm(x, weight_ih, weight_hh, bias, *states, reverse)
        return found


class GRU(_Recurrent):
    """Gated recurrent unit. Cho et al., 2014; with PyTorch's place of r, in front of a bias of its own.

    r, z = σ of W_ih x_t + b_ih + W_hh h_(t-1) + b_hh; n = tanh(W_in x_t + b_in + r · (W_hn h_(t-1) + b_hn)), the
    blocks in the order r, z, n; h_t = (1 - z) · n + z · h_(t-1).

    Arguments, call and results are those of :class:`RNN`, but for ``nonlinearity``.

    Example:
        >>> import minigrad as mg
        >>> output, h_n = mg.nn.GRU(3, 5, batch_first=True)(mg.ones((2, 7, 3)))
        >>> output.shape, h_n.shape
        ((2, 7, 5), (1, 2, 5))
    """

    gates = 3

    def forward(self, input: Any, h_0: Any = None) -> tuple[Tensor, Tensor]:
        output, (h_n,) = self.run(input, None if h_0 is None else [h_0])
        return output, h_n

    def recur(self, x: Any, weights: Sequence[Any], states: Sequence[Any], reverse: bool) -> list[Any]:
        found: list[Any] = recurrent.gru(x, *weights, *states, reverse)
        return found
