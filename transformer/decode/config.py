"""Generation configuration: decoding settings, by the names of Hugging Face's ``generation_config.json``."""

from __future__ import annotations

import dataclasses
import json
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from transformer.json_object import json_object

LENGTH_PENALTIES: dict[str, Callable[[int, float], float]] = {
    "plain": lambda length, alpha: float(length**alpha),
    "paper": lambda length, alpha: float(((5 + length) / 6) ** alpha),
}


class Refused(NamedTuple):
    """Invalid value of a file: an error only if its mode is used."""

    value: Any


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """Settings of :func:`~transformer.decode.generate`, named as in Hugging Face's ``generation_config.json``.

    A setting means the same as there; ``length_penalty_form`` and ``seed`` are additions. Where none is
    made the limits differ: texts have up to the model's positions, not 20 tokens; sampling is from all tokens,
    not the 50 likeliest; and a beam search continues while a better text is possible. A file that sets sampling
    or for beams means the last two as they are there.

    Lists become tuples.

    Raises:
        ValueError: a value is not allowed; the message names it and says what is.

    Example:
        >>> GenerationConfig.from_json('{"num_beams": 4, "eos_token_id": [1, 2]}')
        GenerationConfig(eos_token_id=(1, 2), num_beams=4, early_stopping=False)
        >>> GenerationConfig(temperature=0)
        Traceback (most recent call last):
        ValueError: temperature: expected a number from 1e-100 to 1e100, got 0
    """

    # where a text ends
    max_new_tokens: int | None = None  # comes before max_length where both are given
    max_length: int | None = None  # the prompt included: an encoder-decoder's is its start token
    min_new_tokens: int | None = None  # comes before min_length where both are given
    min_length: int = 0  # the prompt included
    stop_strings: tuple[str, ...] = ()  # a text ends before the first of these
    eos_token_id: int | tuple[int, ...] | None = None  # None: the model's; (): none
    # search
    num_beams: int = 1
    num_return_sequences: int = 1  # for each input
    early_stopping: bool | Literal["never"] = "never"  # True: at num_beams texts; False: Hugging Face's heuristic
    length_penalty: float = 1.0  # α: texts are compared by log P / penalty
    length_penalty_form: Literal["plain", "paper"] = "plain"  # length^α; ((5 + length) / 6)^α: Wu et al., 2016, eq. 14
    # sampling
    do_sample: bool | None = None  # None: no, where nothing else is usual
    temperature: float = 1.0
    top_k: int | None = None  # the k likeliest tokens; 0 as None
    top_p: float = 1.0  # the likeliest tokens that together have this probability. Holtzman et al., 2020
    min_p: float | None = None  # tokens with this share of the likeliest one's probability. Nguyen et al., 2024
    seed: int | None = None  # None: a new seed each time
    # constraints on tokens
    repetition_penalty: float = 1.0  # above 1 makes repeated tokens less likely. Keskar et al., 2019, section 4.1
    no_repeat_ngram_size: int = 0  # no n tokens twice; 0 is off. Paulus et al., 2017, section 2.5
    bad_words_ids: tuple[tuple[int, ...], ...] = ()
    suppress_tokens: tuple[int, ...] = ()
    begin_suppress_tokens: tuple[int, ...] = ()  # not as the first token
    forced_bos_token_id: int | None = None  # as the first token after the start token
    forced_eos_token_id: int | tuple[int, ...] | None = None  # as the last token that the limit allows
    renormalize_logits: bool = False  # beams are compared by probabilities that add up to 1 again
    # the model's own
    use_cache: bool = True
    pad_token_id: int | None = None  # padding in the absence of an attention_mask, unless texts end with it
    bos_token_id: int | None = None  # not used here: a text begins with its prompt
    decoder_start_token_id: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.stop_strings, str):
            object.__setattr__(self, "stop_strings", (self.stop_strings,))
        for field in dataclasses.fields(self):
            value = _tupled(getattr(self, field.name))
            object.__setattr__(self, field.name, value)
            if not (isinstance(value, Refused) or (field.default is None and value is None)):
                _check(field.name, value)
        if self.max_new_tokens is not None and (self.min_new_tokens or 0) > self.max_new_tokens:
            raise ValueError(
                f"min_new_tokens: expected at most max_new_tokens={self.max_new_tokens}, got {self.min_new_tokens}"
            )

    def __repr__(self) -> str:
        return f"GenerationConfig({', '.join(f'{name}={value!r}' for name, value in self._changed_settings().items())})"

    def _changed_settings(self) -> dict[str, Any]:
        """Settings that differ from the defaults."""
        values = ((field, getattr(self, field.name)) for field in dataclasses.fields(self))
        return {field.name: _of_file(value) for field, value in values if value != field.default}

    def to_json(self) -> str:
        """Content of ``generation_config.json``: settings that were made, and those that Hugging Face would add."""
        settings = self._changed_settings()
        if self.num_beams > 1:
            settings["early_stopping"] = _of_file(self.early_stopping)
        if self.do_sample:
            settings["top_k"] = _of_file(self.top_k) or 0
        return json.dumps(settings, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> GenerationConfig:
        """Read ``generation_config.json``, or ``config.json`` with the same settings in old directories.

        As in ``transformers``, a value of sampling or of beams that is not allowed is an error only where these are
        used, a negative special token is none, and ``force_bos_token_to_be_generated`` in ``config.json`` forces
        ``bos_token_id``. Values of null, and other names, are ignored.

        Warns:
            UserWarning: for each unsupported setting that would change the text, with its name.

        Raises:
            ValueError: it is not a JSON object, or a value is not allowed in any mode.
        """
        values = {name: value for name, value in json_object(text).items() if value is not None}
        modes = _modes(values)
        for name, (mode, changes) in NOT_HERE.items():
            if name in values and mode in modes and changes(values[name]):
                warnings.warn(f"{name}: not known here, so that texts differ from transformers'", stacklevel=2)
        if {SAMPLING, BEAMS} <= modes:
            warnings.warn(
                "num_beams: sampling is for one beam here, so that texts differ from transformers'", stacklevel=2
            )
            values["num_beams"] = 1
        for mode, (name, value) in THEIR_DEFAULTS.items():
            if mode in modes:
                values.setdefault(name, value)
        of_model = "model_type" in values or values.get("_from_model_config")  # may have BART's old name
        if of_model and values.get("force_bos_token_to_be_generated") and "bos_token_id" in values:
            values["forced_bos_token_id"] = values["bos_token_id"]
        for name in SPECIAL_TOKENS & values.keys():
            values[name] = _without_negatives(name, values[name])
        least, most = values.get("min_new_tokens"), values.get("max_new_tokens")
        if isinstance(least, int) and isinstance(most, int) and least > most > 0:
            values["min_new_tokens"] = most  # the maximum prevails
        known = {name: _tupled(value) for name, value in values.items() if name in ALLOWED and value is not None}
        refused = {name: Refused(known[name]) for name in MODE if name in known and not ALLOWED[name][1](known[name])}
        return cls(**{**known, **refused})

    def check_used(self) -> None:
        """Refuse values of a file that are invalid in the mode that it uses.

        Raises:
            ValueError: with the first of them.
        """
        modes = _modes({"do_sample": self.do_sample, "num_beams": self.num_beams})
        for name, mode in MODE.items():
            if isinstance(value := getattr(self, name), Refused) and mode in modes:
                _check(name, value.value)

    def override(self, choices: Mapping[str, Any]) -> GenerationConfig:
        """Copy with other settings; one that is None is ignored.

        A maximum length below the minimum lowers the minimum, too.

        Raises:
            TypeError: a name is not a generation setting.
            ValueError: a value is not allowed.
        """
        if unknown := sorted(choices.keys() - ALLOWED.keys()):
            raise TypeError(f"{unknown[0]}: not a generation setting; those are {', '.join(ALLOWED)}")
        given = {name: value for name, value in choices.items() if value is not None}
        most = given.get("max_new_tokens")
        if self.min_new_tokens is not None and "min_new_tokens" not in given and isinstance(most, int):
            given["min_new_tokens"] = min(self.min_new_tokens, max(most, 0))
        return dataclasses.replace(self, **given)

    def penalty(self, length: int) -> float:
        """Length penalty: the divisor of the log-probability of a text of ``length`` tokens, its end included.

        Example:
            >>> GenerationConfig(length_penalty=2.0).penalty(3)
            9.0
        """
        return LENGTH_PENALTIES[self.length_penalty_form](length, self.length_penalty)


SAMPLING, BEAMS, ANY = "sampling", "beams", "any"  # modes
MODE = {  # the mode in which a setting applies; others always apply
    **dict.fromkeys(("temperature", "top_k", "top_p", "min_p"), SAMPLING),
    **dict.fromkeys(("early_stopping", "length_penalty", "length_penalty_form"), BEAMS),
}
THEIR_DEFAULTS: dict[str, tuple[str, Any]] = {
    SAMPLING: ("top_k", 50),
    BEAMS: ("early_stopping", False),
}  # other than ours
SPECIAL_TOKENS = {f"{name}_token_id" for name in ("pad", "bos", "eos", "decoder_start", "forced_bos", "forced_eos")}
NOT_HERE: dict[str, tuple[str, Callable[[Any], bool]]] = {  # the mode, and which values change a text
    "typical_p": (SAMPLING, lambda value: value != 1),
    "top_h": (SAMPLING, lambda value: True),
    "epsilon_cutoff": (SAMPLING, bool),
    "eta_cutoff": (SAMPLING, bool),
    "num_beam_groups": (BEAMS, lambda value: value != 1),
    "diversity_penalty": (BEAMS, bool),
    "constraints": (ANY, bool),
    "force_words_ids": (ANY, bool),
    "penalty_alpha": (ANY, bool),
    "dola_layers": (ANY, bool),
    "encoder_repetition_penalty": (ANY, lambda value: value != 1),
    "encoder_no_repeat_ngram_size": (ANY, bool),
    "exponential_decay_length_penalty": (ANY, bool),
    "sequence_bias": (ANY, bool),
    "guidance_scale": (ANY, lambda value: value != 1),
    "watermarking_config": (ANY, bool),
    "forced_decoder_ids": (ANY, bool),
    "token_healing": (ANY, bool),
    "max_time": (ANY, lambda value: True),
}


def _modes(values: dict[str, Any]) -> set[str]:
    """Modes that a file's settings use."""
    beams = values.get("num_beams", 1)
    return {ANY, *([SAMPLING] if values.get("do_sample") else []), *([BEAMS] if beams != 1 else [])}


def _without_negatives(name: str, value: Any) -> Any:
    """Special token or tokens without negative ids, which no text contains; a negative id alone means no end."""
    if isinstance(value, list):
        return [token for token in value if not (_is_integer(token) and token < 0)]
    if _is_integer(value) and value < 0:
        return [] if name == "eos_token_id" else None
    return value


def _tupled(value: Any) -> Any:
    return tuple(map(_tupled, value)) if isinstance(value, (list, tuple)) and not isinstance(value, Refused) else value


def _of_file(value: Any) -> Any:
    return value.value if isinstance(value, Refused) else value


def _check(name: str, value: Any) -> None:
    expected, allowed = ALLOWED[name]
    if not allowed(value):
        raise ValueError(f"{name}: expected {expected}, got {value!r}")


Rule = tuple[str, Callable[[Any], bool]]  # allowed values, as text and as a predicate


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_integer(value) or (isinstance(value, float) and math.isfinite(value))


def _at_least(least: int) -> Rule:
    return f"an integer of at least {least}", lambda value: _is_integer(value) and value >= least


def _is_ids(value: Any) -> bool:
    return isinstance(value, tuple) and all(_is_integer(i) and i >= 0 for i in value)


# Beyond this the result does not change, but scores multiplied by it overflow.
FACTOR: Rule = "a number from 1e-100 to 1e100", lambda value: _is_number(value) and 1e-100 <= value <= 1e100
PROBABILITY: Rule = "a number from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1
BOOL: Rule = "True or False", lambda value: isinstance(value, bool)
ID: Rule = "a token id", lambda value: _is_integer(value) and value >= 0
IDS: Rule = "a list of token ids", _is_ids
ID_OR_IDS: Rule = "a token id or a list of them", lambda value: ID[1](value) or _is_ids(value)

ALLOWED: dict[str, Rule] = {
    "max_new_tokens": _at_least(1),
    "max_length": _at_least(1),
    "min_new_tokens": _at_least(0),
    "min_length": _at_least(0),
    "stop_strings": (
        "strings of at least one character",
        lambda value: isinstance(value, tuple) and all(isinstance(s, str) and s for s in value),
    ),
    "eos_token_id": ID_OR_IDS,
    "num_beams": ("an integer from 1 to 10,000", lambda value: _is_integer(value) and 1 <= value <= 10_000),
    "num_return_sequences": _at_least(1),
    "early_stopping": ("True, False or 'never'", lambda value: isinstance(value, bool) or value == "never"),
    "length_penalty": ("a number from -50 to 50", lambda value: _is_number(value) and abs(value) <= 50),
    "length_penalty_form": (
        " or ".join(map(repr, LENGTH_PENALTIES)),
        lambda value: isinstance(value, str) and value in LENGTH_PENALTIES,
    ),
    "do_sample": BOOL,
    "temperature": FACTOR,
    "top_k": _at_least(0),
    "top_p": PROBABILITY,
    "min_p": PROBABILITY,
    "seed": _at_least(0),
    "repetition_penalty": FACTOR,
    "no_repeat_ngram_size": _at_least(0),
    "bad_words_ids": (
        "lists of token ids",
        lambda value: isinstance(value, tuple) and all(_is_ids(word) and word for word in value),
    ),
    "suppress_tokens": IDS,
    "begin_suppress_tokens": IDS,
    "forced_bos_token_id": ID,
    "forced_eos_token_id": ID_OR_IDS,
    "renormalize_logits": BOOL,
    "use_cache": BOOL,
    "pad_token_id": ID,
    "bos_token_id": ID,
    "decoder_start_token_id": ID,
}
