"""Loading of models and tokenizers from a directory, in our format or in those of Hugging Face."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigrad import nn
from transformer.data.tokenizer import Tokenizer
from transformer.decode import GenerationConfig
from transformer.json_object import json_object
from transformer.model.config import TransformerConfig
from transformer.pretrained.directory import (
    ADDED_TOKENS,
    CONFIG,
    GENERATION,
    KINDS,
    OF_MODEL,
    OF_TOKENIZER,
    OWN,
    QUANTIZATION,
    SPECIAL_TOKENS,
    TOKENIZER,
    TOKENIZER_CONFIG,
    TOKENS,
    check_vocabulary,
)
from transformer.pretrained.huggingface import FAMILIES, INDEX, WEIGHTS, Architecture, Family, read_weights
from transformer.pretrained.snapshot import Snapshot, read_snapshot

Arrays = dict[str, np.ndarray[Any, Any]]


def load_model(directory: str | os.PathLike[str]) -> Any:
    """Load the model of a directory: see ``PretrainedModel.from_pretrained``."""
    return _model(_read(directory, OF_MODEL, CONFIG))


def load_tokenizer(directory: str | os.PathLike[str]) -> Tokenizer:
    """Load the tokenizer of a model directory.

    Raises:
        FileNotFoundError: the directory or the file is missing.
        ValueError: the file is damaged, or does not fit the model beside it.
    """
    return _tokenizer(_read(directory, OF_TOKENIZER, CONFIG, TOKENIZER))


def load_both(directory: str | os.PathLike[str]) -> tuple[Any, Tokenizer]:
    """Load model and tokenizer of a directory from one snapshot, also while others write to it.

    Raises:
        FileNotFoundError: the directory or one of its files is missing.
        ValueError: a file is damaged, describes an unsupported model, or does not fit the others.
    """
    saved = _read(directory, {*OF_MODEL, *OF_TOKENIZER}, CONFIG, TOKENIZER)
    return _model(saved), _tokenizer(saved)


def load_stack(directory: str | os.PathLike[str]) -> tuple[Any, Tokenizer]:
    """Load the encoder of a directory's model, or the decoder where it has no other stack, and the tokenizer.

    Heads, which are not needed, may be missing from the weights of Hugging Face's families.

    Raises:
        FileNotFoundError: the directory or one of its files is missing.
        ValueError: a file is damaged, describes an unsupported model, or does not fit the others.
    """
    saved = _read(directory, {*OF_MODEL, *OF_TOKENIZER}, CONFIG, TOKENIZER)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*no use for the weights")
        model = _model(saved, alone=True)
    inner = (getattr(model, name, None) for name in ("encoder", "decoder"))
    return next((stack for stack in inner if stack is not None), model), _tokenizer(saved)


def _read(directory: str | os.PathLike[str], names: Iterable[str], *needed: str) -> Snapshot:
    """Read the files of a model directory from one snapshot."""
    directory = Path(directory)
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory}: no such model directory")
    saved = read_snapshot(directory, names)
    for name in needed:
        if name not in saved.contents:
            raise FileNotFoundError(f"{directory}: not a model directory, {name} is missing")
    _check_undamaged(saved)
    return saved


def _check_undamaged(saved: Snapshot) -> None:
    """Refuse weights with a wrong checksum, unless length or config.json differ: another program saved a model."""
    weights, known = saved.contents.get(WEIGHTS), saved.members.get(WEIGHTS)
    if weights is None or known is None or len(weights) != known.size or saved.fault(CONFIG):
        return
    if fault := saved.fault(WEIGHTS):
        raise ValueError(f"{saved.path(WEIGHTS)}: {fault}")


def _model(saved: Snapshot, alone: bool = False) -> Any:
    described = _described(saved)
    if alone and described.family is not None:
        described = described._replace(architecture=described.family.headless or described.architecture)
    if described.differences:
        differences = "; ".join(described.differences)
        warnings.warn(f"{saved.path(CONFIG)}: a further training here differs: {differences}", stacklevel=4)
    path = saved.path(WEIGHTS if WEIGHTS in saved.contents else INDEX)
    arrays = read_weights(saved.directory, saved.contents)
    saved.contents.pop(WEIGHTS, None)  # the arrays are copies of it
    with _blaming(path):
        model = described.build(arrays, saved.directory)
    name = GENERATION if GENERATION in saved.contents else CONFIG  # generation settings of old directories
    if model.generation is not None and (name == GENERATION or described.family is not None):
        with _blaming(saved.path(name)):
            model.generation = _generation(saved.contents[name].decode("utf-8"), model.config, described.ends)
        model.config = _started(model.config, model.generation)
    return model


def _tokenizer(saved: Snapshot) -> Tokenizer:
    names = _settings(saved, TOKENIZER_CONFIG) if TOKENIZER_CONFIG in saved.contents else {}
    if ADDED_TOKENS not in names and SPECIAL_TOKENS in saved.contents:
        names = _settings(saved, SPECIAL_TOKENS) | names
    with _blaming(saved.path(TOKENIZER)):
        tokenizer = Tokenizer(saved.contents[TOKENIZER].decode("utf-8"), names)
    config = _described(saved).config
    with _blaming(saved.directory):
        check_vocabulary(config, tokenizer)
    return tokenizer


def _settings(saved: Snapshot, name: str) -> dict[str, Any]:
    with _blaming(saved.path(name)):
        return json_object(saved.contents[name].decode("utf-8"))


class _Described(NamedTuple):
    """Parsed ``config.json``."""

    config: TransformerConfig
    architecture: Architecture
    family: Family | None  # None: our own format
    differences: tuple[str, ...] = ()  # of a further training
    ends: tuple[int, ...] | None = None  # tokens that end a text, where there are several
    quantization: str | None = None  # the format of quantised weights

    def build(self, arrays: Arrays, directory: str | os.PathLike[str]) -> Any:
        """Build the model with these weights."""
        config, architecture, family = self.config, self.architecture, self.family
        if family is not None:
            arrays = family.canonical(arrays)
            config = family.settle_copies(config, arrays)
        _check_size(config, arrays)
        model = KINDS[architecture.kind](config)
        if self.quantization is not None:
            model.quantize(self.quantization)  # whatever weights it begins with
        own = {name: value.data for name, value in model.state_dict().items()}
        if family is None:
            for name in own.keys() & arrays.keys():
                if arrays[name].dtype.kind != own[name].dtype.kind:
                    raise ValueError(f"{name}: expected {own[name].dtype}, got {arrays[name].dtype}")
        else:
            model.purpose, model.family = family.purpose, family.model_type
            arrays, unused = family.unpack(architecture, config, own, arrays)
            if unused:
                warnings.warn(f"{directory}: no use for the weights {', '.join(unused)}", stacklevel=3)
        model.load_state_dict(arrays, strict=family is None)
        return model.eval()


def _described(saved: Snapshot) -> _Described:
    settings = _settings(saved, CONFIG)
    with _blaming(saved.path(CONFIG)):
        return _describe(settings)


def _describe(settings: dict[str, Any]) -> _Described:
    """Parse ``config.json``."""
    model_type, names = settings.pop("model_type", None), settings.pop("architectures", None)
    if model_type == OWN:
        quantization = settings.pop(QUANTIZATION, None)
        if quantization not in (None, *nn.quantized.FORMATS):
            raise ValueError(
                f"{QUANTIZATION}: expected one of {', '.join(nn.quantized.FORMATS)}, got {quantization!r:.80}"
            )
        kind = names[0] if isinstance(names, list) and names else names
        if not isinstance(kind, str) or kind not in KINDS:
            raise ValueError(f"architectures: expected one of {', '.join(KINDS)}, got {names!r}")
        config = TransformerConfig.from_fields(settings)
        return _Described(config, Architecture(kind), None, quantization=quantization)
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise ValueError(f"model_type: expected one of {', '.join([OWN, *FAMILIES])}, got {model_type!r:.80}")
    family = FAMILIES[model_type]
    architecture = family.architecture(names)
    config, differences = family.describe(settings, architecture)
    ends = settings.get("eos_token_id")
    several = tuple(i for i in ends if isinstance(i, int) and i >= 0) if isinstance(ends, list) else None
    return _Described(config, architecture, family, tuple(differences), several)


def _generation(text: str, config: TransformerConfig, ends: tuple[int, ...] | None) -> GenerationConfig:
    """Generation settings of a model.

    Special tokens that are not in the vocabulary, as defaults often are, are none; a text is no longer than the model
    has positions for.
    """
    generation = GenerationConfig.from_json(text)
    if generation.eos_token_id is None and ends is not None:
        generation = dataclasses.replace(generation, eos_token_id=ends)
    changes: dict[str, Any] = {}
    for name in (f"{name}_token_id" for name in TOKENS):
        token = getattr(generation, name)
        if isinstance(token, tuple):
            changes[name] = tuple(i for i in token if 0 <= i < config.vocab_size)
        elif token is not None and token >= config.vocab_size:
            changes[name] = None
    if (limit := config.position_limit) is not None:
        if (generation.max_length or 0) > limit + 1:  # the last token is never read
            changes["max_length"] = limit + 1
        if (generation.max_new_tokens or 0) > limit:
            changes["max_new_tokens"] = None
    return dataclasses.replace(generation, **changes)


def _started(config: TransformerConfig, generation: GenerationConfig) -> TransformerConfig:
    """Configuration with the start token that only the generation settings may name."""
    before = config.start_id
    candidates = [generation.decoder_start_token_id, before, generation.bos_token_id]
    start = next((token for token in candidates if token is not None), None)
    if start == before or not config.is_encoder_decoder:
        return config
    return dataclasses.replace(config, decoder_start_id=start)


@contextmanager
def _blaming(path: Path) -> Iterator[None]:
    """Prefix errors with the file's path."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _check_size(config: TransformerConfig, arrays: Arrays) -> None:
    """Refuse a configuration that is far larger than its weights, before memory is allocated."""
    layers = config.encoder_layers + config.decoder_layers
    if layers > len(arrays):
        raise ValueError(f"config.json describes {layers:,} layers, the weights are {len(arrays):,} arrays")
    stored = sum(array.size for array in arrays.values())
    if config.least_size > 16 * max(stored, 2**20):
        raise ValueError(
            f"config.json describes a model of at least {config.least_size:,} weights, there are {stored:,}"
        )
