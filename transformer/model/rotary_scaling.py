"""Scaling of rotary positions: slower rotations, for more positions than a model has first been trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

Array = np.ndarray


@dataclass(frozen=True, kw_only=True)
class RotaryScaling:
    """Scaling of rotary frequencies. Names are those of ``rope_scaling`` in Hugging Face's ``config.json``.

    ============ ==================================================================================================
    ``linear``   every frequency divided by ``factor``. Chen et al., 2023: "Extending context window"
    ``llama3``   low ones alone, those that turn less than ``low_freq_factor`` times in ``original_length``
                 positions; a ramp up to ``high_freq_factor`` times. Dubey et al., 2024: "The Llama 3 herd"
    ``yarn``     the same with a ramp over the pairs' numbers, from ``beta_fast`` turns to ``beta_slow``, and sharper
                 attention. Peng et al., 2024: "YaRN", section 3
    ``longrope`` each pair divided by a factor of its own, of two lists: texts longer than ``original_length`` have
                 the second. Ding et al., 2024: "LongRoPE"
    ============ ==================================================================================================
    """

    kind: Literal["linear", "llama3", "yarn", "longrope"]
    factor: float = 1.0
    original_length: int = 8192
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    short_factor: tuple[float, ...] = ()
    long_factor: tuple[float, ...] = ()
    attention_factor: float | None = None  # of both rotations' sizes; None: the papers'

    def check(self, width: int) -> None:
        """Check the factors of a rotation of so many features.

        Raises:
            ValueError: a number is not positive, or there are not as many as pairs.
        """
        for name in ("factor", "original_length", "low_freq_factor", "high_freq_factor", "beta_fast", "beta_slow"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"rotary_scaling: {name}: expected a positive number, got {getattr(self, name)}")
        for name in ("short_factor", "long_factor") if self.kind == "longrope" else ():
            factors = getattr(self, name)
            if len(factors) != width // 2 or not all(0 < factor < float("inf") for factor in factors):
                raise ValueError(f"rotary_scaling: {name}: expected {width // 2} positive numbers, got {factors!r:.80}")

    def amplitude(self) -> float:
        """Factor of rotated vectors: queries and keys have it both, so that scores have its square."""
        if self.kind not in ("yarn", "longrope"):
            return 1.0
        if self.attention_factor is not None:
            return self.attention_factor
        if self.factor <= 1:
            return 1.0
        if self.kind == "yarn":
            return 0.1 * math.log(self.factor) + 1
        return math.sqrt(1 + math.log(self.factor) / math.log(self.original_length))

    def scale(self, frequency: Array, base: float, length: int) -> Array:
        """Scale the frequencies (D/2,) of a text of some length."""
        slow = frequency / np.float32(self.factor)
        if self.kind == "linear":
            return slow
        if self.kind == "longrope":
            factors = self.long_factor if length > self.original_length else self.short_factor
            return frequency / np.array(factors, np.float32)
        turns = self.original_length * frequency / (2 * np.pi)
        if self.kind == "llama3":
            ramp = (turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)
        else:
            ramp = self._yarn_ramp(2 * len(frequency), base)
        kept = np.clip(ramp, 0, 1).astype(np.float32)
        return slow * (1 - kept) + frequency * kept

    def _yarn_ramp(self, width: int, base: float) -> Array:
        """Share of each frequency that stays: 1 up to the pair that turns ``beta_fast`` times, falling to 0."""
        first, last = (
            width * math.log(self.original_length / (turns * 2 * math.pi)) / (2 * math.log(base))
            for turns in (self.beta_fast, self.beta_slow)
        )
        start, stop = max(math.floor(first), 0), min(math.ceil(last), width - 1)
        return 1 - (np.arange(width // 2) - start) / max(stop - start, 1e-3)
