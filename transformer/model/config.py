"""Model configuration and presets."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Literal, Self, get_type_hints

from transformer.json_object import json_object
from transformer.model.kinds import check_kinds
from transformer.model.presets import PRESETS
from transformer.model.rotary_scaling import RotaryScaling

Positions = Literal[
    "sinusoidal",
    "sinusoidal_halves",
    "sinusoidal_fairseq",
    "learned",
    "learned_relative",
    "rotary",
    "alibi",
    "relative",
    "none",
]
BOUNDED: tuple[Positions, ...] = (  # one number each for so many places
    "sinusoidal",
    "sinusoidal_halves",
    "sinusoidal_fairseq",
    "learned",
    "learned_relative",
)
Norm = Literal["layer", "rms", "rms_offset"]
Activation = Literal[
    "relu",
    "relu_squared",
    "gelu",
    "gelu_tanh",
    "gelu_sigmoid",
    "silu",
    "tanh",
    "reglu",
    "geglu",
    "geglu_exact",
    "swiglu",
]
Pooling = Literal["first", "last", "mean", "max", "mean_sqrt"]
ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
Tie = Literal["all", "output", "input", "none"]

LIMITS = {  # integers: at least, and less than
    **dict.fromkeys(("vocab_size", "d_model", "num_heads", "num_kv_heads", "d_k", "d_ff"), (1, 2**31)),
    **dict.fromkeys(("decoder_heads", "decoder_ff", "layer_groups", "d_embedding", "max_length"), (1, 2**31)),
    **dict.fromkeys(("window", "rotary_width", "relative_buckets", "relative_max_distance"), (1, 2**31)),
    **dict.fromkeys(("encoder_layers", "decoder_layers", "token_types"), (0, 2**31)),
}
PROBABILITIES = (
    "dropout",
    "embedding_dropout",
    "attention_dropout",
    "activation_dropout",
    "head_dropout",
    "layer_drop",
)
POSITIVE = (
    "norm_eps",
    "rotary_base",
    "rotary_local_base",
    "init_std",
    "scale_width",
    "softcap_scores",
    "softcap_output",
)
TOKENS = ("pad_id", "bos_id", "eos_id", "mask_id", "decoder_start_id")


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Configuration of a Transformer of any kind: encoder-decoder, encoder or decoder alone.

    The defaults are a small encoder-decoder for a laptop in the paper's architecture; :meth:`preset` has others. A
    model with one stack reads the layers of that one.

    Raises:
        ValueError: a value is out of range or two contradict each other; the message says which.

    Example:
        >>> TransformerConfig(vocab_size=1000, d_model=128, num_heads=4).head_size
        32
        >>> TransformerConfig.preset("base", vocab_size=37000).d_ff
        2048
    """

    vocab_size: int
    # Sizes
    d_model: int = 128  # the width of the residual stream
    num_heads: int = 4
    num_kv_heads: int | None = None  # fewer heads of keys and values, each shared by several queries'; None: as many
    d_k: int | None = None  # the width of a head; None: d_model / num_heads
    d_ff: int = 512  # the width inside the feed-forward network
    encoder_layers: int = 3
    decoder_layers: int = 3
    decoder_heads: int | None = None  # of a decoder beside an encoder, where it has others; None: num_heads
    decoder_ff: int | None = None  # the same for d_ff
    layer_groups: int | None = None  # sets of weights, each of them used by as many layers in a row; None: one a layer
    d_embedding: int | None = None  # the width of embeddings, which are then projected; None: d_model
    max_length: int = 512  # positions; where these are relative, of training only
    # Architecture
    positions: Positions = "sinusoidal"
    norm: Norm = "layer"  # "rms_offset": weights are stored less one
    norm_first: bool = False  # False: norm(x + f(x)), as in the paper; True: x + f(norm(x)), and a norm at the end
    norm_inputs: Literal["all", "all_but_first", "none"] = "all"  # with norm_first: sublayers that have one
    norm_outputs: bool = False  # a second norm after each sublayer, with norm_first: x + norm(f(norm(x)))
    norm_eps: float = 1e-5
    parallel: Literal["no", "one_norm", "two_norms"] = "no"  # attention and feed-forward network read the same x
    activation: Activation = "relu"  # of the feed-forward network; those that end in "glu" have a gate
    bias: bool = True  # of linear layers and norms
    attention_bias: bool | None = None  # of attention's four projections; None: as bias
    qkv_bias: bool | None = None  # of three of them; None: as attention_bias
    norm_bias: bool | None = None  # of norms; None: as bias
    norm_queries: Literal["no", "by_head", "all_heads"] = "no"  # and keys
    window: int | None = None  # sliding window of self-attention, the newest position included; None: all
    global_layers: tuple[int, ...] = ()  # layers, counted from 0, that have no window
    tie: Tie = "all"  # shared matrices of source, target, output; "output": the last two; "input": the first two
    output_bias: bool = False
    scale_scores: bool = True  # divide them by √d_k
    scale_width: float | None = None  # another width in the place of d_k
    scale_by_layer: bool = False  # divide scores by the layer's number, too, counted from 1
    softcap_scores: float | None = None  # bound c of c · tanh(scores / c)
    softcap_output: float | None = None  # the same of logits
    scale_embedding: bool = True  # multiply it by √d_model
    scale_output: bool = False  # divide its input by √d_model
    embedding_norm: bool = False
    token_types: int = 0  # number of segment types with an embedding; 0: none
    rotary_base: float = 10_000.0  # of the wavelengths of rotary positions
    rotary_local_base: float | None = None  # of layers with a window; None: the same, and scaled alike
    rotary_width: int | None = None  # features of a head that turn, the first ones; None: all
    rotary_scaling: RotaryScaling | None = None
    relative_buckets: int = 32  # of distances that relative positions tell apart
    relative_max_distance: int = 128  # where their last bucket begins
    relative_by_layer: bool = False  # a bias of its own in each layer
    # Head
    head: Literal["output", "transform", "transform_norm"] = "transform"  # a classifier's layers, the output at least
    head_activation: Activation | None = None  # of a masked model's or a classifier's transform; None: activation's
    head_bias: bool | None = None  # of this transform; None: as bias
    pooling: Pooling = "first"  # the vector that a classifier of texts reads
    labels: tuple[str, ...] = ()  # of classifiers
    problem_type: ProblemType | None = None  # of a classifier of texts; None: regression for one label, or single-label
    # Training
    dropout: float = 0.1  # of sublayers' outputs, and of embeddings
    embedding_dropout: float | None = None  # of embeddings; None: dropout
    attention_dropout: float = 0.0  # of attention weights
    activation_dropout: float = 0.0  # inside the feed-forward network
    head_dropout: float | None = None  # of what a classifier's output reads; None: dropout
    layer_drop: float = 0.0  # probability of skipping a whole layer
    init_std: float | None = None  # of all matrices, those that end a sublayer less; None: Xavier's, as wide as needed
    # Special tokens
    pad_id: int | None = 0  # where it is also one of the next three, padding needs a mask
    bos_id: int | None = 1
    eos_id: int | None = 2
    mask_id: int | None = None
    decoder_start_id: int | None = None  # start token of a decoder with an encoder; None: bos_id

    def __post_init__(self) -> None:
        check_kinds(self)
        for name, (least, below) in LIMITS.items():
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise ValueError(f"{name}: expected at least {least}, got {value}")
            if value is not None and value >= below:
                raise ValueError(f"{name}: expected less than 2**31, got {value}")
        for name in PROBABILITIES:
            if (value := getattr(self, name)) is not None and not 0 <= value < 1:
                raise ValueError(f"{name}: expected a probability in [0, 1), got {value}")
        for name in POSITIVE:
            if (value := getattr(self, name)) is not None and not 0 < value < float("inf"):
                raise ValueError(f"{name}: expected a positive number, got {value}")
        for name in TOKENS:
            if (value := getattr(self, name)) is not None and not 0 <= value < self.vocab_size:
                raise ValueError(f"{name}: expected a token below vocab_size={self.vocab_size}, got {value}")
        self._check_heads()
        self._check_layers()
        self._check_positions()

    def _check_heads(self) -> None:
        for name in ("num_heads", "decoder_heads"):
            heads = getattr(self, name) or self.num_heads
            if self.d_k is None and self.d_model % heads:
                raise ValueError(f"{name}: {heads} heads cannot share d_model={self.d_model} evenly")
            if heads % (self.num_kv_heads or heads):
                raise ValueError(f"num_kv_heads: {self.num_kv_heads} heads cannot serve {name}={heads} evenly")
        if self.decoder_layers and self.d_embedding is not None:
            raise ValueError(f"d_embedding: embeddings of decoders are as wide as d_model, got {self.d_embedding}")
        if len(set(self.labels)) < len(self.labels):
            raise ValueError(f"labels: expected each once, got {', '.join(self.labels):.200}")

    def _check_layers(self) -> None:
        if not (layers := max(self.encoder_layers, self.decoder_layers)):
            raise ValueError("encoder_layers, decoder_layers: expected layers in one of them, got 0 in both")
        if self.layer_groups is not None and self.layer_groups > layers:
            raise ValueError(f"layer_groups: expected at most one for each of {layers} layers, got {self.layer_groups}")
        if outside := [number for number in self.global_layers if not 0 <= number < layers]:
            raise ValueError(f"global_layers: expected numbers of layers from 0 to {layers - 1}, got {outside[0]}")
        norms = {
            "parallel": self.parallel != "no",
            "norm_outputs": self.norm_outputs,
            "norm_inputs": self.norm_inputs != "all",
        }
        for name, chosen in norms.items():
            if chosen and not self.norm_first:
                raise ValueError(f"{name}: {getattr(self, name)!r} is for layers with norm_first")

    def _check_positions(self) -> None:
        if self.positions.startswith("sinusoidal") and self.d_model % 2:
            raise ValueError(
                f"d_model: sinusoidal positions come in pairs, expected an even number, got {self.d_model}"
            )
        if self.positions == "rotary":
            width, name = (self.head_size, "d_k") if self.rotary_width is None else (self.rotary_width, "rotary_width")
            if width % 2 or width > self.head_size:
                raise ValueError(
                    f"{name}: rotary positions turn pairs, expected an even head size, got {width}"
                    if width <= self.head_size
                    else f"{name}: expected at most a head's size, {self.head_size}, got {width}"
                )
            if self.rotary_scaling is not None:
                self.rotary_scaling.check(width)
        if self.positions.endswith("relative"):
            least = 4 if self.encoder_layers else 2  # an encoder has half of them for each direction
            if self.relative_buckets < least:
                raise ValueError(f"relative_buckets: expected at least {least}, got {self.relative_buckets}")
            if self.relative_max_distance <= self.relative_buckets // 2:
                raise ValueError(
                    f"relative_max_distance: expected more than half of relative_buckets={self.relative_buckets}, got "
                    f"{self.relative_max_distance}"
                )

    @property
    def head_size(self) -> int:
        """Width of a head."""
        return self.d_model // self.num_heads if self.d_k is None else self.d_k

    @property
    def kv_heads(self) -> int:
        """Number of key-value heads."""
        return self.num_heads if self.num_kv_heads is None else self.num_kv_heads

    @property
    def problem(self) -> ProblemType:
        """Problem that a classifier of texts solves."""
        return self.problem_type or ("regression" if len(self.labels) == 1 else "single_label_classification")

    @property
    def embedding_width(self) -> int:
        """Width of embeddings."""
        return self.d_model if self.d_embedding is None else self.d_embedding

    @property
    def of_decoder(self) -> Self:
        """Configuration of the decoder's layers."""
        heads, width = self.decoder_heads or self.num_heads, self.decoder_ff or self.d_ff
        return dataclasses.replace(self, num_heads=heads, decoder_heads=None, d_ff=width, decoder_ff=None)

    @property
    def least_size(self) -> int:
        """Lower bound of a model's size: its parameters and its table of positions."""
        layers = self.encoder_layers + self.decoder_layers if self.layer_groups is None else self.layer_groups
        inner = min(self.num_heads, self.decoder_heads or self.num_heads) * self.head_size
        inner += min(self.d_ff, self.decoder_ff or self.d_ff)
        rows = self.vocab_size + (self.max_length if self.position_limit else 0) + self.token_types
        return self.embedding_width * rows + self.d_model * 2 * layers * inner

    @property
    def position_limit(self) -> int | None:
        """Number of positions; None where they are relative, and ``max_length`` is only that of training."""
        return self.max_length if self.positions in BOUNDED else None

    @property
    def padding_id(self) -> int | None:
        """Padding token in the absence of a mask: ``pad_id``, unless it has another meaning in a text."""
        return None if self.pad_id in (self.bos_id, self.eos_id, self.mask_id) else self.pad_id

    @property
    def is_encoder_decoder(self) -> bool:
        """True for a model with both stacks."""
        return self.encoder_layers > 0 and self.decoder_layers > 0

    @property
    def start_id(self) -> int | None:
        """Start token of a decoder with an encoder."""
        return self.bos_id if self.decoder_start_id is None else self.decoder_start_id

    @classmethod
    def preset(cls, name: str, *, vocab_size: int | None = None, **changes: Any) -> Self:
        """Preset configuration by name, with changes.

        ================================ ==================================================================
        ``nano``, ``small``, ``medium``  decoders of 0.8, 11 and 19 million parameters and a vocabulary: GPTs
                                         of laptop size, the first of them nanoGPT's recipe for a CPU
        ``llama-nano``                   a decoder as small, as they are built since 2023: rotary positions,
                                         RMSNorm, SwiGLU, grouped queries, no biases (Touvron et al., 2023)
        ``base``, ``big``                encoder-decoders of 63 and 214 million with the paper's 37,000 tokens:
                                         "Attention Is All You Need", Table 3, which says 65 and 213
        ``gpt2``                         a decoder of 124 million: the smallest of Radford et al., 2019
        ``bert-base``                    an encoder of 110 million: BASE of Devlin et al., 2019, uncased
        ================================ ==================================================================

        Args:
            name: one of these; ``PRESETS`` has the fields they set.
            vocab_size: needed where the preset has none of its own: all but the last two.
            changes: other fields to set.

        Raises:
            ValueError: the name or a field is unknown, a value is not allowed, or ``vocab_size`` is missing.
        """
        if name not in PRESETS:
            raise ValueError(f"preset: expected one of {', '.join(PRESETS)}, got {name!r}")
        fields = {**PRESETS[name], **changes}
        if vocab_size is not None:
            fields["vocab_size"] = vocab_size
        return cls.from_fields(fields)

    def to_json(self) -> str:
        """Serialize the configuration to JSON."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse a configuration written by :meth:`to_json`.

        Raises:
            ValueError: it is not a JSON object, or a name is missing or unknown, or a value is not allowed.
        """
        return cls.from_fields(json_object(text))

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        """Make a configuration from fields.

        Raises:
            ValueError: a name is missing or unknown, or a value is not allowed.
        """
        known = get_type_hints(cls)
        if unknown := sorted(set(fields) - set(known)):
            raise ValueError(f"unknown setting {unknown[0]!r}; allowed are {', '.join(sorted(known))}")
        if "vocab_size" not in fields:
            raise ValueError("vocab_size: missing")
        return cls(**fields)
