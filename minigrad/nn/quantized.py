"""Quantised weights of linear layers, for inference: one or two bytes each."""

from __future__ import annotations

from typing import Any

from minigrad import kernels
from minigrad.engine.grad_mode import is_grad_enabled
from minigrad.engine.tensor import Array, Tensor
from minigrad.nn.module import Module
from minigrad.ops.primitive import primitive

FORMATS = ("int8", "int8-weights", "bfloat16")


class QuantizedWeight(Module):
    """Matrix of weights in a format of fewer bytes, in the place of a linear layer's parameter.

    Args:
        weight: (out, in), float32.
        format: "int8": weights by row, activations by token at run time. "int8-weights": weights alone. "bfloat16":
            weights alone, to the nearest.

    What is saved is ``values`` (out, in), int8 or the bits of bfloat16 as uint16, and for int8 ``scales`` (out,).

    Raises:
        ValueError: the weights are not finite, or there is no such format.
        TypeError: they are not float32.

    Example:
        >>> import minigrad as mg
        >>> weight = QuantizedWeight(mg.tensor([[1.0, 0.5], [0.0, -2.0]]), "bfloat16")
        >>> weight.linear(mg.tensor([1.0, 1.0]))
        tensor([ 1.5, -2. ])
    """

    def __init__(self, weight: Tensor, format: str) -> None:
        if format not in FORMATS:
            raise ValueError(f"format: expected one of {', '.join(FORMATS)}, got {format!r}")
        self._hold(kernels.quantize(weight.data, format))

    @classmethod
    def of(cls, matrix: kernels.QuantizedMatrix) -> QuantizedWeight:
        """Weights that are quantised already; their arrays are used as they are."""
        weight = cls.__new__(cls)
        weight._hold(matrix)
        return weight

    def _hold(self, matrix: kernels.QuantizedMatrix) -> None:
        self.format, self.shape = matrix.format, matrix.values.shape
        self._matrix = matrix
        self.values = Tensor(matrix.values)
        self.scales = None if matrix.format == "bfloat16" else Tensor(matrix.scales)
        self._versions = self._stamp()

    @property
    def matrix(self) -> kernels.QuantizedMatrix:
        """Values and scales as products read them; what is derived from them is renewed where others were loaded."""
        if self._versions != self._stamp():
            scales = None if self.scales is None else self.scales.data
            self._matrix = kernels.quantized_matrix(self.values.data, scales, self.format)
            self._versions = self._stamp()
        return self._matrix

    def _stamp(self) -> tuple[int, int]:
        return self.values.storage.version, 0 if self.scales is None else self.scales.storage.version

    def linear(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """``x @ weightᵀ + bias``: (…, in) to (…, out).

        Raises:
            RuntimeError: a gradient would be needed.
        """
        if is_grad_enabled() and (x.requires_grad or (bias is not None and bias.requires_grad)):
            raise RuntimeError("quantised weights have no gradients: use the model under no_grad, or train it before")
        return quantized_linear(x, bias, self.matrix)

    def rows(self, places: Array) -> Tensor:
        """Rows of the weights at integer places (…), as an embedding has them: (…, in), float32."""
        _, values, scales, _ = self.matrix
        rows = values[places]
        if self.format == "bfloat16":
            return Tensor(kernels.from_bfloat16(rows))
        return Tensor(rows * scales[places][..., None])

    def dequantized(self) -> Array:
        """(out, in), float32: the weights that products are with."""
        return self.matrix.dequantized()

    def extra_repr(self) -> str:
        return f"shape={self.shape}, format={self.format!r}"


@primitive
def quantized_linear(x: Array, bias: Array | None = None, /, weight: Any = None) -> Array:
    """``x @ weightᵀ + bias`` with quantised weights; see ``kernels.quantized_matmul``."""
    return kernels.quantized_matmul(x, weight, bias)


def quantize(module: Module, format: str, layers: tuple[type[Module], ...]) -> None:
    """Replace the weights of all layers of these types, and freeze what is left: it is for inference from now on.

    Raises:
        ValueError: there is no such format, weights are not finite, or they are quantised already.
        TypeError: weights are not float32.
    """
    found = [below for below in module.modules() if isinstance(below, layers)]
    if any(isinstance(vars(layer)["weight"], QuantizedWeight) for layer in found):
        raise ValueError(f"{type(module).__name__}: its weights are quantised already")
    quantized = [QuantizedWeight(vars(layer)["weight"], format) for layer in found]
    for layer, weight in zip(found, quantized, strict=True):
        setattr(layer, "weight", weight)  # noqa: B010  # not every module has one
    module.requires_grad_(False)
