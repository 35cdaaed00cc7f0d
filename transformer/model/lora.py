"""Low-rank adaptation of linear layers. Hu et al., 2021: "LoRA: Low-rank adaptation of large language models"."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.nn import functional as F
from transformer.model.kinds import check_kinds

ALL_LINEAR = "all-linear"


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Configuration of adapters, by the names of PEFT's.

    Raises:
        ValueError: a value is out of range.

    Example:
        >>> LoraConfig(r=4, lora_alpha=8).scaling
        2.0
    """

    r: int = 8  # rank of the update
    lora_alpha: float = 8  # the update is multiplied by lora_alpha / r
    lora_dropout: float = 0.0  # of the update's input
    use_rslora: bool = False  # divide by √r instead: Kalajdzievski, 2023
    target_modules: tuple[str, ...] | str | None = None  # endings of names in the model's files; a regular expression
    # for whole names; "all-linear"; or None, the projections of queries and values

    def __post_init__(self) -> None:
        check_kinds(self, ("r", "lora_alpha", "lora_dropout", "use_rslora"))
        if self.r < 1:
            raise ValueError(f"r: expected at least 1, got {self.r}")
        if not 0 < self.lora_alpha < float("inf"):
            raise ValueError(f"lora_alpha: expected a positive number, got {self.lora_alpha}")
        if not 0 <= self.lora_dropout < 1:
            raise ValueError(f"lora_dropout: expected a probability in [0, 1), got {self.lora_dropout}")

    @property
    def scaling(self) -> float:
        """Factor of the update."""
        return self.lora_alpha / (self.r**0.5 if self.use_rslora else self.r)


class LoraLinear(nn.Linear):
    """Linear layer with a low-rank update: y = x Wᵀ + b + s · dropout(x) Aᵀ Bᵀ. Section 4.1, equation 3.

    W and b are the layer's own, under their names, and frozen. B begins as zeros, so that y is at first what it was.

    Args:
        layer: the linear layer, which this one takes the place of.
        lora_A: A (r, in_features); several layers with the same input may share it.
        config: of the adapters.
    """

    def __init__(self, layer: nn.Linear, lora_A: nn.Parameter, config: LoraConfig) -> None:
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.weight, self.bias = layer.weight, layer.bias
        self.lora_A = lora_A
        self.lora_B = nn.Parameter(mg.zeros((layer.out_features, config.r)))
        self.dropout = nn.Dropout(config.lora_dropout)
        self.scaling = config.scaling

    def forward(self, x: Tensor) -> Tensor:
        narrow = F.linear(self.dropout(x), self.lora_A) * self.scaling
        return super().forward(x) + F.linear(narrow, self.lora_B)

    def merged(self) -> nn.Linear:
        """Linear layer with the weights W + s B A.

        Raises:
            ValueError: W is quantised.
        """
        if not isinstance(self.weight, nn.Parameter):
            raise ValueError("quantization: expected none, as weights that are quantised cannot take up an adapter")
        layer = nn.Linear(0, 0)
        layer.in_features, layer.out_features = self.in_features, self.out_features
        layer.weight, layer.bias = self.weight, self.bias
        layer.weight.data += self.scaling * (self.lora_B.data @ self.lora_A.data)
        layer.weight.storage.version += 1
        return layer


def add_lora(model: nn.Module, groups: Iterable[Iterable[str]], config: LoraConfig) -> None:
    """Put adapters into linear layers of a model, and freeze all that is no adapter.

    Args:
        model: changed in place.
        groups: names of layers that share A.
        config: of the adapters.
    """
    model.requires_grad_(False)
    modules = dict(model.named_modules())
    for group in groups:
        lora_A: nn.Parameter | None = None
        for name in group:
            layer = modules[name]
            assert isinstance(layer, nn.Linear)
            if lora_A is None:
                lora_A = nn.Linear(layer.in_features, config.r, bias=False).weight  # He et al.'s bound, as in PEFT
            _replace(modules, name, LoraLinear(layer, lora_A, config).train(layer.training))


def merge_lora(model: nn.Module) -> None:
    """Fold all adapters into the weights that they update, and train all weights again."""
    modules = dict(model.named_modules())
    layers = {name: layer.merged() for name, layer in modules.items() if isinstance(layer, LoraLinear)}
    for name, layer in layers.items():
        _replace(modules, name, layer.train(modules[name].training))
    model.requires_grad_()


def _replace(modules: dict[str, nn.Module], name: str, layer: nn.Linear) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(modules[parent], attribute, layer)
