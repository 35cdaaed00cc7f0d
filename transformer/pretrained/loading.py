"""Loading of models and tokenizers from a directory, in our format or in those of Hugging Face."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigrad import nn
from minigrad.io import as_single
from transformer.data.chat_template import DEFAULT, SETTING
from transformer.data.tokenizer import Tokenizer
from transformer.decode import GenerationConfig
from transformer.json_object import json_object
from transformer.model.config import TransformerConfig
from transformer.pretrained.adapters import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    base_directory,
    load_adapter,
    read_adapter_config,
)
from transformer.pretrained.directory import (
    ADDED_TOKENS,
    CHAT_TEMPLATE,
    CHAT_TEMPLATES,
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
from transformer.pretrained.quantizing import quantize_loaded
from transformer.pretrained.snapshot import Snapshot, read_snapshot

Arrays = dict[str, np.ndarray[Any, Any]]
STACKS = ("encoder.", "decoder.")  # of parameters: what is no head's
CLASSIFIER = "SequenceClassifier"


def load_model(directory: str | os.PathLike[str], quantization: str | None = None) -> Any:
    """Load the model of a directory: see ``PretrainedModel.from_pretrained``."""
    adapter = _adapter(directory, (ADAPTER_WEIGHTS,))
    if adapter is None:
        return _model(_read(directory, OF_MODEL, CONFIG), quantization)
    return _quantized(_adapted(adapter), quantization)


def _quantized(model: Any, quantization: str | None) -> Any:
    """Model with an adapter, which is merged into weights that are to be quantised."""
    return model if quantization is None else model.merge_and_unload().quantize(quantization)


def load_tokenizer(directory: str | os.PathLike[str]) -> Tokenizer:
    """Load the tokenizer of a model directory.

    Raises:
        FileNotFoundError: the directory or the file is missing.
        ValueError: the file is damaged, or does not fit the model beside it.
    """
    adapter = _adapter(directory, OF_TOKENIZER)
    if adapter is None:
        return _tokenizer(_read(directory, OF_TOKENIZER, CONFIG, TOKENIZER))
    return _tokenizer_beside(adapter)


def load_both(directory: str | os.PathLike[str], quantization: str | None = None) -> tuple[Any, Tokenizer]:
    """Load model and tokenizer of a directory from one snapshot, also while others write to it.

    Args:
        directory: of the model.
        quantization: format of the weights, for inference alone.

    Raises:
        FileNotFoundError: the directory or one of its files is missing.
        ValueError: a file is damaged, describes an unsupported model, or does not fit the others.
    """
    adapter = _adapter(directory, (ADAPTER_WEIGHTS, *OF_TOKENIZER))
    if adapter is not None:
        return _quantized(_adapted(adapter), quantization), _tokenizer_beside(adapter)
    saved = _read(directory, {*OF_MODEL, *OF_TOKENIZER}, CONFIG, TOKENIZER)
    return _model(saved, quantization), _tokenizer(saved)


def _adapter(directory: str | os.PathLike[str], names: Iterable[str]) -> Snapshot | None:
    """Read the files of an adapter's directory; None if it is another directory."""
    directory = Path(directory)
    if not directory.is_dir() or ADAPTER_CONFIG not in read_snapshot(directory, [ADAPTER_CONFIG]).contents:
        return None
    saved = read_snapshot(directory, {ADAPTER_CONFIG, *names})
    _check_undamaged(saved, ADAPTER_WEIGHTS, ADAPTER_CONFIG)
    return saved


def _base(adapter: Snapshot) -> Path:
    with _blaming(adapter.path(ADAPTER_CONFIG)):
        return base_directory(adapter.directory, adapter.contents[ADAPTER_CONFIG])


def _adapted(adapter: Snapshot) -> Any:
    """Model of an adapter's directory: its base, with the adapter."""
    if ADAPTER_WEIGHTS not in adapter.contents:
        raise FileNotFoundError(f"{adapter.directory}: not an adapter's directory, {ADAPTER_WEIGHTS} is missing")
    with _blaming(adapter.path(ADAPTER_CONFIG)):
        config = read_adapter_config(adapter.contents[ADAPTER_CONFIG])
    model = _model(_read(_base(adapter), OF_MODEL, CONFIG))
    with _blaming(adapter.path(ADAPTER_CONFIG)):
        model.add_adapter(config)
    with _blaming(adapter.path(ADAPTER_WEIGHTS)):
        load_adapter(model, config, adapter.contents[ADAPTER_WEIGHTS])
    return model


def _tokenizer_beside(adapter: Snapshot) -> Tokenizer:
    """Tokenizer of an adapter's directory, or else of its base."""
    base = _read(_base(adapter), OF_TOKENIZER, CONFIG)
    if TOKENIZER not in adapter.contents:
        return _tokenizer(_read(base.directory, OF_TOKENIZER, CONFIG, TOKENIZER))
    config = {CONFIG: base.contents[CONFIG]}
    return _tokenizer(Snapshot(adapter.directory, adapter.members, {**adapter.contents, **config}))


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


def load_classifier(directory: str | os.PathLike[str], labels: Sequence[str]) -> Any:
    """Load the stack of a directory's model as a ``SequenceClassifier`` of texts.

    Args:
        directory: of a model of any class.
        labels: of the classifier. Its head is new, as far as the files have none of this shape.

    Raises:
        FileNotFoundError: the directory or one of its files is missing.
        ValueError: a file is damaged, describes an unsupported model, or one without classifiers.
    """
    return _model(_read(directory, OF_MODEL, CONFIG), labels=labels)


def _read(directory: str | os.PathLike[str], names: Iterable[str], *needed: str) -> Snapshot:
    """Read the files of a model directory from one snapshot."""
    directory = Path(directory)
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory}: no such model directory")
    saved = read_snapshot(directory, names, (WEIGHTS,))
    for name in needed:
        if name not in saved.contents:
            raise FileNotFoundError(f"{directory}: not a model directory, {name} is missing")
    _check_undamaged(saved, WEIGHTS, CONFIG)
    return saved


def _check_undamaged(saved: Snapshot, name: str, config: str) -> None:
    """Refuse weights with a wrong checksum, unless length or configuration differ: another program saved a model."""
    weights, known = saved.contents.get(name), saved.members.get(name)
    if weights is None or known is None or len(weights) != known.size or saved.fault(config):
        return
    if fault := saved.fault(name):
        raise ValueError(f"{saved.path(name)}: {fault}")


def _model(
    saved: Snapshot, quantization: str | None = None, alone: bool = False, labels: Sequence[str] | None = None
) -> Any:
    described = _described(saved, labels)
    if quantization is not None:
        described = described.with_quantization(quantization)
    if alone and described.family is not None:
        described = described._replace(architecture=described.family.headless or described.architecture)
    if described.differences:
        differences = "; ".join(described.differences)
        warnings.warn(f"{saved.path(CONFIG)}: a further training here differs: {differences}", stacklevel=4)
    path = saved.path(WEIGHTS if WEIGHTS in saved.contents else INDEX)
    arrays = read_weights(saved.directory, saved.contents)
    saved.contents.pop(WEIGHTS, None)  # the arrays are copies of it
    with _blaming(path):
        model = described.build(arrays, saved.directory, alone, labels is not None)
    name = GENERATION if GENERATION in saved.contents else CONFIG  # generation settings of old directories
    if model.generation is not None and (name == GENERATION or described.family is not None):
        with _blaming(saved.path(name)):
            model.generation = _generation(saved.text(name), model.config, described.ends)
        model.config = _started(model.config, model.generation)
    model.name_or_path = str(saved.directory.resolve())
    return model


def _tokenizer(saved: Snapshot) -> Tokenizer:
    names = _settings(saved, TOKENIZER_CONFIG) if TOKENIZER_CONFIG in saved.contents else {}
    if ADDED_TOKENS not in names and SPECIAL_TOKENS in saved.contents:
        names = _settings(saved, SPECIAL_TOKENS) | names
    if CHAT_TEMPLATE in saved.contents:
        names[SETTING] = _chat_templates(saved)
    with _blaming(saved.path(TOKENIZER)):
        tokenizer = Tokenizer(saved.text(TOKENIZER), names)
    config = _described(saved).config
    with _blaming(saved.directory):
        check_vocabulary(config, tokenizer)
    return tokenizer


def _chat_templates(saved: Snapshot) -> list[dict[str, str]]:
    """Chat templates of their own files, as the setting has them."""
    others = sorted(saved.path(CHAT_TEMPLATES).glob("*.jinja"))
    templates = read_snapshot(saved.directory, [f"{CHAT_TEMPLATES}/{path.name}" for path in others]).contents
    found = []
    for name, content in {CHAT_TEMPLATE: saved.contents[CHAT_TEMPLATE], **templates}.items():
        with _blaming(saved.path(name)):
            given = DEFAULT if name == CHAT_TEMPLATE else Path(name).stem
            found.append({"name": given, "template": content.decode("utf-8")})
    return found


def _settings(saved: Snapshot, name: str) -> dict[str, Any]:
    with _blaming(saved.path(name)):
        return json_object(saved.text(name))


class _Described(NamedTuple):
    """Parsed ``config.json``."""

    config: TransformerConfig
    architecture: Architecture
    family: Family | None  # None: our own format
    differences: tuple[str, ...] = ()  # of a further training
    ends: tuple[int, ...] | None = None  # tokens that end a text, where there are several
    quantization: str | None = None  # the format of quantised weights

    def with_quantization(self, format: str) -> _Described:
        """The same model in a format.

        Raises:
            ValueError: there is no such format, or it has another one already.
        """
        if format not in nn.quantized.FORMATS:
            raise ValueError(f"quantization: expected one of {', '.join(nn.quantized.FORMATS)}, got {format!r:.80}")
        if self.quantization not in (None, format):
            raise ValueError(f"quantization: the weights are quantised already, as {self.quantization}")
        return self._replace(quantization=format)

    def build(
        self, arrays: Arrays, directory: str | os.PathLike[str], alone: bool = False, new_head: bool = False
    ) -> Any:
        """Build the model with these weights; one alone is a part of theirs, and another head takes no part in them."""
        config, architecture, family = self.config, self.architecture, self.family
        if family is not None:
            arrays = family.canonical(arrays)
            config = family.settle_copies(config, arrays)
        _check_size(config, arrays)
        with nullcontext() if new_head else nn.init.skip_init():
            model = KINDS[architecture.kind](config)
        own = {name: value.data for name, value in model.state_dict().items()}
        new = {name for name in own if new_head and not name.startswith(STACKS)}
        if family is None:
            if new_head:
                if not any(name.startswith(STACKS) for name in arrays):  # of a stack alone
                    arrays = {STACKS[config.encoder_layers == 0] + name: array for name, array in arrays.items()}
                arrays = {name: array for name, array in arrays.items() if name in own.keys() - new}
            for name in own.keys() & arrays.keys():
                if as_single(arrays[name][:0]).dtype.kind != own[name].dtype.kind:
                    raise ValueError(f"{name}: expected {own[name].dtype}, got {arrays[name].dtype}")
        else:
            model.purpose, model.family = family.purpose, family.model_type
            model.architecture = architecture
            arrays, unused = family.unpack(architecture, config, own, arrays, alone or new_head, new)
            if unused and not new_head:
                warnings.warn(f"{directory}: no use for the weights {', '.join(unused)}", stacklevel=3)
            arrays |= {name: np.zeros_like(own[name]) for name in own.keys() - arrays.keys() - new}  # that are optional
        arrays |= {name: own[name] for name in new - arrays.keys()}
        if self.quantization is not None:
            quantize_loaded(model, arrays, self.quantization)
            model.quantization = self.quantization
            arrays |= {name: value.data for name, value in model.named_buffers()}
        model.load_state_dict({name: _usable(array) for name, array in arrays.items()}, assign=True)
        return model.eval()


def _usable(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Array that kernels read: in single precision, its numbers side by side and at even addresses."""
    return np.require(as_single(array), requirements=("C", "A", "W"))


def _described(saved: Snapshot, labels: Sequence[str] | None = None) -> _Described:
    settings = _settings(saved, CONFIG)
    with _blaming(saved.path(CONFIG)):
        return _describe(settings if labels is None else _labelled(settings, labels))


def check_classifiers(model_type: str | None) -> list[str]:
    """Names of a family's classifiers of texts; none where the format is our own.

    Raises:
        ValueError: the family has none.
    """
    family = FAMILIES.get(model_type or OWN)
    names = [name for name, one in family.architectures.items() if one.kind == CLASSIFIER] if family else []
    if family and not names:
        raise ValueError(f"model_type: expected a family with classifiers of texts, got {model_type!r}")
    return names


def _labelled(settings: dict[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    """``config.json`` of a classifier with the stack of another model."""
    model_type = settings.get("model_type")
    if model_type not in FAMILIES:
        causal = {} if settings.get("encoder_layers", 1) else {"pooling": "last"}  # the first token sees no other
        return {**settings, "architectures": [CLASSIFIER], "labels": tuple(labels), **causal}
    names = check_classifiers(model_type)
    return {
        **settings,
        "architectures": names[:1],
        "problem_type": None,
        "id2label": {str(number): label for number, label in enumerate(labels)},
        "label2id": {label: number for number, label in enumerate(labels)},
    }


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
