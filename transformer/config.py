"""What a model is made of."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

KINDS: dict[str, tuple[tuple[type, ...], str]] = {  # of the fields below, by annotation
    "int": ((int,), "an integer"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
}


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """The sizes and choices that define an encoder-decoder Transformer.

    The defaults are a small model for a laptop; "Attention Is All You Need", Table 3 (base), has ``d_model=512``,
    ``num_heads=8``, ``d_ff=2048``, six layers each and ``dropout=0.1``.

    Raises:
        ValueError: a value is out of range or two contradict each other; the message says which.

    Example:
        >>> TransformerConfig(vocab_size=1000, d_model=128, num_heads=4).head_size
        32
    """

    vocab_size: int
    d_model: int = 128  # the width of the residual stream
    num_heads: int = 4
    d_ff: int = 512  # the width inside the feed-forward network
    encoder_layers: int = 3
    decoder_layers: int = 3
    dropout: float = 0.1
    norm_first: bool = False  # False: norm(x + f(x)), as in the paper; True: x + f(norm(x))
    max_length: int = 512  # positions
    pad_id: int = 0
    bos_id: int = 1
    eos_id: int = 2

    def __post_init__(self) -> None:
        for name, kind in self.__annotations__.items():
            value = getattr(self, name)
            types, words = KINDS[kind]
            if not isinstance(value, types) or (isinstance(value, bool) and kind != "bool"):
                raise ValueError(f"{name}: expected {words}, got {value!r}")
        for name in ("vocab_size", "d_model", "num_heads", "d_ff", "encoder_layers", "decoder_layers", "max_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.d_model % self.num_heads:
            raise ValueError(f"num_heads: {self.num_heads} heads cannot share d_model={self.d_model} evenly")
        if self.d_model % 2:
            raise ValueError(
                f"d_model: sinusoidal positions come in pairs, expected an even number, got {self.d_model}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: expected a probability in [0, 1), got {self.dropout}")
        for name in ("pad_id", "bos_id", "eos_id"):
            if not 0 <= getattr(self, name) < self.vocab_size:
                raise ValueError(
                    f"{name}: expected a token below vocab_size={self.vocab_size}, got {getattr(self, name)}"
                )

    @property
    def head_size(self) -> int:
        return self.d_model // self.num_heads

    def to_json(self) -> str:
        """The configuration as a JSON document."""
        return json.dumps({"model_type": "transformer", **dataclasses.asdict(self)}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> TransformerConfig:
        """The configuration that :meth:`to_json` wrote.

        Raises:
            ValueError: it is not JSON, or a name is missing or unknown, or a value is not allowed.
        """
        try:
            fields: Any = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"not valid JSON ({error})") from None
        if not isinstance(fields, dict):
            raise ValueError(f"expected a JSON object, got {type(fields).__name__}")
        if fields.pop("model_type", "transformer") != "transformer":
            raise ValueError("model_type: expected 'transformer'")
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(fields) - known):
            raise ValueError(f"unknown setting {unknown[0]!r}; allowed are {', '.join(sorted(known))}")
        if "vocab_size" not in fields:
            raise ValueError("vocab_size: missing")
        return cls(**fields)
