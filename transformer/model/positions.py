"""Position encodings: attention itself is invariant to the order of its inputs.

A scheme acts in one of three places, and leaves the other two alone: on the embeddings, on queries and keys, or on the
scores of self-attention.
"""

from __future__ import annotations

import math

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.nn import functional as F
from transformer.model.config import TransformerConfig


class NoPositions(nn.Module):
    """No position encoding; a decoder's causal mask still gives positions (Haviv et al., 2022).

    Args:
        config: of the model.
        causal: True for a decoder.
    """

    def __init__(self, config: TransformerConfig, causal: bool) -> None:
        self.causal = causal

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """Embeddings (B, T, D) of tokens at the positions (T,) or (B, T)."""
        return x

    def rotation(self, positions: Tensor) -> Tensor | None:
        """Rotation angles for queries and keys at the positions (T,) or (B, T), applied by :func:`rotate`."""
        return None

    def bias(self, queries: int, keys: int) -> Tensor | None:
        """Attention bias (H, Q, K); the last query stands at the last key."""
        return None


def sinusoidal(length: int, d_model: int) -> Tensor:
    """Sinusoidal encoding sin(pos / 10000^(2i/d)) at 2i, cos at 2i+1: (length, d_model), float32.

    Each pair of columns is a rotation at its own frequency. A step of k positions turns each by a fixed angle, so
    relative positions are linear functions of the encodings.

    Source: "Attention Is All You Need", section 3.5.
    """
    position = np.arange(length)[:, None]
    frequency = 10000.0 ** (-np.arange(0, d_model, 2) / d_model)
    encoding = np.empty((length, d_model), np.float32)
    encoding[:, 0::2] = np.sin(position * frequency)
    encoding[:, 1::2] = np.cos(position * frequency)
    return mg.asarray(encoding)


class SinusoidalPositions(NoPositions):
    """Sinusoidal positions, added to the embeddings: see :func:`sinusoidal`."""

    def __init__(self, config: TransformerConfig, causal: bool) -> None:
        super().__init__(config, causal)
        # An ndarray, not a tensor: it is computed from two sizes and not saved with the weights.
        self.table = sinusoidal(config.max_length, config.d_model).numpy()

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        return x + F.embedding(positions, self.table).astype(x.dtype)


class SinusoidalHalvesPositions(SinusoidalPositions):
    """Sinusoidal positions with all sines before all cosines, as in Marian."""

    def __init__(self, config: TransformerConfig, causal: bool) -> None:
        super().__init__(config, causal)
        self.table = np.concatenate([self.table[:, 0::2], self.table[:, 1::2]], axis=1)


class FairseqPositions(NoPositions):
    """Sinusoidal positions as in tensor2tensor and fairseq: sines before cosines, of slightly other frequencies.

    The last frequency is 1/10000 itself, and the first position's number follows ``pad_id``.
    """

    def __init__(self, config: TransformerConfig, causal: bool) -> None:
        super().__init__(config, causal)
        half = config.d_model // 2
        frequency = np.exp(np.arange(half, dtype=np.float32) * np.float32(-math.log(10000) / (half - 1)))
        first = 1 + (config.pad_id or 0)
        angle = np.arange(first, config.max_length + first, dtype=np.float32)[:, None] * frequency
        self.table = np.concatenate([np.sin(angle), np.cos(angle)], axis=1)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        return x + F.embedding(positions, self.table).astype(x.dtype)


class LearnedPositions(NoPositions):
    """Learned positions, added to the embeddings. Gehring et al., 2017; Table 3, row E of the paper."""

    def __init__(self, config: TransformerConfig, causal: bool) -> None:
        super().__init__(config, causal)
        self.weight = nn.Parameter(mg.empty((config.max_length, config.embedding_width)))
        nn.init.normal_(self.weight, std=config.init_std or config.d_model**-0.5)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        return x + F.embedding(positions, self.weight)


class RotaryPositions(NoPositions):
    """Rotary positions (RoPE): rotate pairs of features of queries and keys by an angle proportional to the position.

    Their product then depends on the distance only. Pairs are (i, i + D/2), of the first D features if not all turn.
    Su et al., 2021, section 3.4.2.
    """

    def __init__(self, config: TransformerConfig, causal: bool) -> None:
        super().__init__(config, causal)
        width = config.head_size if config.rotary_width is None else config.rotary_width
        self.base, self.scaling = config.rotary_base, config.rotary_scaling
        self.frequency = (self.base ** (-np.arange(0, width, 2) / width)).astype("f4")

    def rotation(self, positions: Tensor) -> Tensor:
        """Rotation cos and sin of all angles: (2, T, D/2), or (2, B, 1, T, D/2), which broadcasts over heads."""
        frequency, amplitude = self.frequency, 1.0
        if self.scaling is not None:
            length = int(positions.numpy().max(initial=0)) + 1 if self.scaling.kind == "longrope" else 0
            frequency, amplitude = self.scaling.scale(frequency, self.base, length), self.scaling.amplitude()
        angle = mg.expand_dims(positions, -1).astype(mg.float32) * frequency
        angle = angle if positions.ndim == 1 else mg.expand_dims(angle, 1)
        turned = mg.stack([mg.cos(angle), mg.sin(angle)])
        return turned if amplitude == 1.0 else turned * amplitude


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Rotate the pairs of features of (B, H, T, D) by the angles of a :meth:`RotaryPositions.rotation`."""
    cos, sin = rotation[0].astype(x.dtype), rotation[1].astype(x.dtype)
    half = cos.shape[-1]
    first, second = x[..., :half], x[..., half : 2 * half]
    turned = [first * cos - second * sin, second * cos + first * sin]
    return mg.concat(turned if 2 * half == x.shape[-1] else [*turned, x[..., 2 * half :]], axis=-1)


class AlibiPositions(NoPositions):
    """ALiBi: scores minus distance times the head's slope, 2^(-8/H), 2^(-16/H), … Press et al., 2022.

    In an encoder the distance counts in both directions alike.
    """

    def __init__(self, config: TransformerConfig, causal: bool) -> None:
        super().__init__(config, causal)
        self.slopes = np.array(alibi_slopes(config.num_heads), np.float32)

    def bias(self, queries: int, keys: int) -> Tensor:
        return mg.asarray(-self.slopes[:, None, None] * np.abs(_distances(queries, keys)).astype(np.float32))


def alibi_slopes(heads: int) -> list[float]:
    """ALiBi slopes: geometric; if H is not a power of two, every other slope of the next power is added. Section 3."""
    power = 2 ** int(math.log2(heads))
    slopes = [2 ** (-8 * (head + 1) / power) for head in range(power)]
    return slopes if power == heads else slopes + alibi_slopes(2 * power)[0::2][: heads - power]


class RelativePositions(NoPositions):
    """Relative position bias, learned for each head and distance. Raffel et al., 2020 (T5), section 2.1.

    Distances share buckets: one each while they are short, ever wider ones up to ``relative_max_distance``, one beyond.
    """

    def __init__(self, config: TransformerConfig, causal: bool) -> None:
        super().__init__(config, causal)
        self.max_distance = config.relative_max_distance
        self.weight = nn.Parameter(mg.empty((config.relative_buckets, config.num_heads)))
        nn.init.normal_(self.weight, std=config.init_std or config.d_model**-0.5)

    def bias(self, queries: int, keys: int) -> Tensor:
        buckets = relative_buckets(_distances(queries, keys), self.weight.shape[0], self.max_distance, self.causal)
        return mg.permute_dims(F.embedding(buckets, self.weight), (2, 0, 1))


class LearnedRelativePositions(LearnedPositions):
    """Learned positions, added to the embeddings, and a relative bias besides. Song et al., 2020 (MPNet)."""

    def __init__(self, config: TransformerConfig, causal: bool) -> None:
        super().__init__(config, causal)
        self.relative = RelativePositions(config, causal)

    def bias(self, queries: int, keys: int) -> Tensor:
        return self.relative.bias(queries, keys)


def relative_buckets(distance: np.ndarray, buckets: int, max_distance: int, causal: bool) -> np.ndarray:
    """Relative position buckets of distances (key minus query); if not causal, half of them are for later keys."""
    offset = np.zeros_like(distance)
    if causal:
        distance = np.maximum(-distance, 0)
    else:
        buckets //= 2
        offset = np.where(distance > 0, buckets, 0)
        distance = np.abs(distance)
    exact = buckets // 2
    # float32, as in existing models: rounding decides at the edge between two buckets
    ratio = np.log(np.maximum(distance, 1).astype(np.float32) / np.float32(exact)) / np.float32(
        math.log(max_distance / exact)
    )
    wide = np.minimum(exact + (ratio * (buckets - exact)).astype(np.int64), buckets - 1)
    return offset + np.where(distance < exact, distance, wide)


def _distances(queries: int, keys: int) -> np.ndarray:
    """Distances (Q, K): the key's position minus the query's."""
    return np.arange(keys)[None, :] - np.arange(keys - queries, keys)[:, None]


POSITIONS: dict[str, type[NoPositions]] = {
    "sinusoidal": SinusoidalPositions,
    "sinusoidal_halves": SinusoidalHalvesPositions,
    "sinusoidal_fairseq": FairseqPositions,
    "learned": LearnedPositions,
    "learned_relative": LearnedRelativePositions,
    "rotary": RotaryPositions,
    "alibi": AlibiPositions,
    "relative": RelativePositions,
    "none": NoPositions,
}
