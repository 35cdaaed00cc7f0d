"""Recurrent baselines: a language model and a translator of about a Transformer's size."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeVar, get_args

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.nn import functional as F
from transformer.decode import GenerationConfig
from transformer.decode.state import inference
from transformer.model.attention import MultiHeadAttention, Visibility
from transformer.model.inputs import check_ids, real_tokens

Ids = np.ndarray[Any, Any]
Kind = Literal["RNN", "LSTM", "GRU"]
HEADS = 4  # of attention over the states
KINDS: dict[str, type[nn.RNN | nn.LSTM | nn.GRU]] = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig:
    """Configuration of a recurrent model.

    Raises:
        ValueError: the kind is unknown, or a size is below 1.
    """

    kind: Kind
    vocab_size: int
    d_model: int = 128  # the length of a token's vector
    hidden_size: int = 128  # units of a layer
    layers: int = 2  # of each stack
    dropout: float = 0.1  # of embeddings, between layers, and of what leaves them
    max_length: int = 512  # tokens of a text; a limit of the data, not of the model
    pad_id: int | None = None
    bos_id: int | None = None
    eos_id: int | None = None

    @property
    def position_limit(self) -> int:
        """Maximum length of texts."""
        return self.max_length

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind: expected one of {', '.join(get_args(Kind))}, got {self.kind!r}")
        for name in ("vocab_size", "d_model", "hidden_size", "layers", "max_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")


class TokenVectors(nn.Module):
    """Tied token embedding and output projection: Press and Wolf, 2017."""

    def __init__(self, config: RecurrentConfig) -> None:
        self.scale = config.d_model**0.5
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.projection = nn.Linear(config.hidden_size, config.d_model)
        self.dropout = nn.Dropout(config.dropout)
        nn.init.normal_(self.embedding.weight, std=config.d_model**-0.5)

    def read(self, ids: Any) -> Tensor:
        """Embed ids (B, T) as vectors (B, T, D) of about unit variance."""
        return self.dropout(self.embedding(ids) * self.scale)

    def write(self, hidden: Tensor) -> Tensor:
        """Project hidden states (B, T, H) to logits (B, T, V)."""
        return F.linear(self.projection(self.dropout(hidden)), self.embedding.weight)


def recurrent_layers(config: RecurrentConfig) -> Any:
    """Stack of recurrent layers, batch first. An LSTM starts with its forget gates open.

    Source: Jozefowicz, Zaremba and Sutskever, 2015, section 2.2: a bias of 1 closes the gap between LSTM and GRU.
    """
    layers = KINDS[config.kind](
        config.d_model, config.hidden_size, config.layers, batch_first=True, dropout=config.dropout
    )
    if isinstance(layers, nn.LSTM):
        for name, parameter in layers.named_parameters():
            if name.startswith("bias_ih"):
                parameter.data[config.hidden_size : 2 * config.hidden_size] = 1.0
    return layers


class RecurrentLM(nn.Module):
    """Recurrent language model: Mikolov et al., 2010.

    Costs O(T) sequential steps for T tokens, each O(B · H²), and O(B · H) memory to go on writing.

    Example:
        >>> import numpy as np
        >>> RecurrentLM(RecurrentConfig(kind="GRU", vocab_size=10))(np.array([[5, 6, 7]])).shape
        (1, 3, 10)
    """

    def __init__(self, config: RecurrentConfig) -> None:
        self.config = config
        self.tokens = TokenVectors(config)
        self.layers = recurrent_layers(config)

    def forward(self, input_ids: Any) -> Tensor:
        """Logits (B, T, V) for the token after each token (B, T), which may be padded at the end."""
        return self.tokens.write(self.states(self.tokens.read(check_ids("input_ids", input_ids))))

    def states(self, x: Tensor) -> Tensor:
        """Hidden states (B, T, H) after each of the vectors (B, T, D)."""
        hidden: Tensor = self.layers(x)[0]
        return hidden


class RecurrentAttentionLM(RecurrentLM):
    """Recurrent language model with attention: each state also attends to itself and the earlier ones.

    The attention is the Transformer's, over the states of the recurrence instead of the layer below. Attention over
    recurrent states: Bahdanau, Cho and Bengio, 2015, in a translator; Cheng, Dong and Lapata, 2016, in a language
    model.

    Example:
        >>> import numpy as np
        >>> config = RecurrentConfig(kind="RNN", vocab_size=10)
        >>> RecurrentAttentionLM(config)(np.array([[5, 6, 7]])).shape
        (1, 3, 10)
    """

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__(config)
        self.attention = MultiHeadAttention(config.hidden_size, HEADS)
        self.norm = nn.LayerNorm(config.hidden_size)

    def states(self, x: Tensor) -> Tensor:
        hidden = super().states(x)
        return self.norm(hidden + self.attention(hidden, hidden, Visibility(causal=True)))


class RecurrentTranslator(nn.Module):
    """Recurrent encoder-decoder without attention: Sutskever, Vinyals and Le, 2014.

    The source is read in reverse (section 3.3), so that its first words are near when
    the target begins. Whatever its length, the decoder gets only ``layers · hidden_size`` numbers of it (twice
    as many for an LSTM).

    Example:
        >>> import numpy as np
        >>> config = RecurrentConfig(kind="LSTM", vocab_size=50, pad_id=0, bos_id=1, eos_id=2)
        >>> RecurrentTranslator(config)(np.array([[5, 6, 7, 2]]), np.array([[1, 8, 9]])).shape
        (1, 3, 50)
    """

    generation: GenerationConfig

    def __init__(self, config: RecurrentConfig) -> None:
        self.config = config
        self.generation = GenerationConfig()
        self.tokens = TokenVectors(config)
        self.encoder = recurrent_layers(config)
        self.decoder = recurrent_layers(config)

    def encode(self, input_ids: Any, attention_mask: Any = None) -> list[Tensor]:
        """Encode sources (B, S) as the final state: an array (layers, B, H), or two for an LSTM.

        A padded source gives the same state as alone: the reversed rows have their padding first, and each joins
        the recurrence where its tokens begin.

        Raises:
            ValueError: a source is all padding.
        """
        ids = check_ids("input_ids", input_ids).data
        found = real_tokens(mg.asarray(ids), attention_mask, self.config.pad_id)
        real = np.ones(ids.shape, np.bool_) if found is None else found.data
        length = ids.shape[1]
        begins = length - real.sum(1)
        if not length or (begins == length).any():
            raise ValueError("input_ids: expected at least one token in each row, got only padding")
        backward, real = ids[:, ::-1], real[:, ::-1]
        padding_first = np.argsort(real, axis=1, kind="stable")
        longest_first = np.argsort(begins, kind="stable")
        x = self.tokens.read(np.take_along_axis(backward, padding_first, 1)[longest_first])
        states: list[Tensor] | None = None
        for start, stop in pairwise([*np.unique(begins).tolist(), length]):
            rows = int(np.count_nonzero(begins <= start))
            if states is not None:
                states = [_joined(state, rows) for state in states]
            _, states = self.encoder.run(x[:rows, start:stop], states)
        assert states is not None
        as_given = np.argsort(longest_first)
        return [state[:, as_given] for state in states]

    def forward(self, input_ids: Any, decoder_input_ids: Any, attention_mask: Any = None) -> Tensor:
        """Logits (B, T, V) for the token after each target token (B, T), given the source (B, S).

        Args:
            input_ids: the source, padded on either side.
            decoder_input_ids: the target, beginning with the start token, padded at its end.
            attention_mask: (B, S), true or 1 where the source is not padding; by default, where it is not ``pad_id``.
        """
        target = check_ids("decoder_input_ids", decoder_input_ids)
        hidden, _ = self.decoder.run(self.tokens.read(target), self.encode(input_ids, attention_mask))
        return self.tokens.write(hidden)

    def begin(self, input_ids: Any, attention_mask: Any = None, *, use_cache: bool = True) -> RecurrentDecoding:
        """Begin decoding the targets of some sources (B, S). The state is the memory; there is no cache.

        Raises:
            ValueError: the model has no ``bos_id``.
        """
        if self.config.bos_id is None:
            raise ValueError("bos_id: this model has no start token of targets")
        with inference(self):
            states = self.encode(input_ids, attention_mask)
        return RecurrentDecoding(self, states)


class RecurrentDecoding:
    """Decoding state of targets. A token costs O(B · H²), at any length.

    Args:
        model: the translator.
        states: (layers, B, H) each, as the encoder left them.
    """

    def __init__(self, model: RecurrentTranslator, states: list[Tensor]) -> None:
        self.prompt = np.full((states[0].shape[1], 1), model.config.bos_id, np.int64)
        self.prompt_mask = np.ones(self.prompt.shape, np.bool_)
        self._model, self._states = model, states

    def step(self, tokens: Ids) -> Ids:
        """Read (B, n) tokens; returns the logits (B, V) of the next token."""
        with inference(self._model):
            hidden, self._states = self._model.decoder.run(self._model.tokens.read(tokens), self._states)
            logits: Ids = self._model.tokens.write(hidden[:, -1:])[:, 0].data
        return logits

    def reorder(self, rows: Ids) -> None:
        """Reorder the batch: keep these rows, in this order, with repetitions."""
        self._states = [state[:, rows] for state in self._states]


Model = TypeVar("Model", RecurrentLM, RecurrentTranslator)


def of_size(model: type[Model], config: RecurrentConfig, parameters: int) -> Model:
    """Make a model with the number of hidden units that gives about ``parameters`` parameters.

    Raises:
        ValueError: that is less than a model of one unit.

    Example:
        >>> lm = of_size(RecurrentLM, RecurrentConfig(kind="RNN", vocab_size=10, d_model=8), 10_000)
        >>> lm.config.hidden_size, size(lm)
        (54, 9916)
    """

    def made(hidden_size: int) -> Model:
        return model(dataclasses.replace(config, hidden_size=hidden_size))

    units = (1, 2, 3)
    sizes = [size(made(hidden_size)) for hidden_size in units]
    if parameters < sizes[0]:
        raise ValueError(f"parameters: expected at least {sizes[0]:,}, those of one hidden unit, got {parameters:,}")
    square, linear, constant = np.polyfit(units, sizes, 2)  # exact: the count is quadratic in the units
    return made(round(max(np.roots([square, linear, constant - parameters]).real)))


def size(model: nn.Module) -> int:
    """Number of parameters of a model."""
    return sum(parameter.size for parameter in model.parameters())


def _joined(state: Tensor, rows: int) -> Tensor:
    """Append zeros to states (L, B, H) for rows that begin now, up to ``rows``."""
    layers, before, hidden = state.shape
    return mg.concat([state, mg.zeros((layers, rows - before, hidden), dtype=state.dtype)], axis=1)
