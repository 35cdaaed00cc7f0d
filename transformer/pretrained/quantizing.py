"""Quantisation while a model is loaded: a layer at a time, and weights of bfloat16 stay where the file has them."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import Tensor, kernels, nn
from minigrad.io import BFLOAT16, as_single
from minigrad.nn.quantized import QuantizedWeight
from transformer.model.layers import LINEAR, TokenEmbedding

Arrays = dict[str, np.ndarray[Any, Any]]


def quantize_loaded(model: nn.Module, arrays: Arrays, format: str) -> None:
    """Give all linear layers quantised weights of these arrays, and the embeddings too where these are in the format.

    Args:
        model: whose weights have no values yet.
        arrays: of its parameters by name, or in their places ``values`` and ``scales`` that were quantised before.
            Those that are used are removed.
        format: of the weights.

    Raises:
        ValueError: values are not of the format, or an array is missing.
    """
    shared = {id(parameter): name for name, parameter in model.named_parameters()}
    made: dict[str, QuantizedWeight] = {}
    for path, module in model.named_modules():
        if not isinstance(module, (*LINEAR, TokenEmbedding)):
            continue
        names = (f"{path}.weight", shared[id(vars(module)["weight"])])  # its own, and that of a shared matrix
        name = next((name for name in names if name in made or f"{name}.values" in arrays), names[1])
        if isinstance(module, TokenEmbedding) and not _stays(arrays, made, name, format):
            continue
        if name not in made:
            made[name] = _weight(arrays, name, format)
        setattr(module, "weight", made[name])  # noqa: B010  # it is typed as a parameter
    model.requires_grad_(False)
    for name in made.keys() - {name for name, _ in model.named_parameters()}:
        arrays.pop(name, None)


def _stays(arrays: Arrays, made: dict[str, QuantizedWeight], name: str, format: str) -> bool:
    """True for an embedding whose values are in the format already."""
    stored = name in arrays and format == "bfloat16" and arrays[name].dtype == BFLOAT16
    return stored or name in made or f"{name}.values" in arrays


def _weight(arrays: Arrays, name: str, format: str) -> QuantizedWeight:
    if f"{name}.values" in arrays:
        values, scales = arrays.pop(f"{name}.values"), arrays.pop(f"{name}.scales", None)
    elif name not in arrays:
        raise ValueError(f"missing {name}")
    elif format == "bfloat16" and arrays[name].dtype == BFLOAT16:
        values, scales = np.require(arrays[name]["bits"], requirements=("C", "A")), None
    else:
        return QuantizedWeight(Tensor(np.ascontiguousarray(as_single(arrays[name]))), format)
    try:
        return QuantizedWeight.of(kernels.quantized_matrix(values, scales, format))
    except TypeError as error:
        raise ValueError(f"{name}.{error}") from None
