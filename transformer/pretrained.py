"""Model directories: ``config.json``, ``model.safetensors`` and ``tokenizer.json``, replaced together or not at all."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, ClassVar, Self

from minigrad import nn
from minigrad.io import files_in, from_bytes, replace_files, to_bytes
from transformer.config import TransformerConfig, json_object
from transformer.tokenizers import Tokenizer

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"


class PretrainedModel(nn.Module):
    """A model that is defined by its configuration and can be written to a directory and read back.

    :func:`from_pretrained` finds a subclass by its name.
    """

    kinds: ClassVar[dict[str, type[PretrainedModel]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        PretrainedModel.kinds[cls.__name__] = cls

    def __init__(self, config: TransformerConfig) -> None:
        self.config = config

    def save_pretrained(self, directory: str | os.PathLike[str], tokenizer: Tokenizer | None = None) -> None:
        """Write the model, and the tokenizer if one is given.

        The files take the place of earlier ones together; a crash leaves the previous model, and other files in the
        directory stay untouched.

        Raises:
            ValueError: the tokenizer has not as many tokens as the model.
        """
        document = {
            "model_type": "transformer",
            "architectures": [type(self).__name__],
            **dataclasses.asdict(self.config),
        }
        contents = {CONFIG: (json.dumps(document, indent=2) + "\n").encode(), WEIGHTS: to_bytes(self.state_dict())}
        if tokenizer is not None:
            _check_vocabulary(self.config, tokenizer, Path(directory))
            contents[TOKENIZER] = tokenizer.to_json().encode()
        replace_files(Path(directory), contents)

    def load_weights(self, path: Path) -> Self:
        """Read the weights of a safetensors file; returns the model, in evaluation mode."""
        try:
            self.load_state_dict(from_bytes(path.read_bytes()))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        return self.eval()


def from_pretrained(directory: str | os.PathLike[str]) -> PretrainedModel:
    """Load the model of a directory, in evaluation mode.

    Raises:
        FileNotFoundError: the directory or one of its files is missing.
        ValueError: a file is damaged, or the files do not fit together.
    """
    paths = _files(directory, CONFIG, WEIGHTS)
    kind, config = _read_config(paths[CONFIG])
    return PretrainedModel.kinds[kind](config).load_weights(paths[WEIGHTS])


def _read_config(path: Path) -> tuple[str, TransformerConfig]:
    """The name of the model's class, and its configuration."""
    try:
        fields = json_object(path.read_text("utf-8"))
        if fields.pop("model_type", None) != "transformer":
            raise ValueError("model_type: expected 'transformer'")
        (kind,) = fields.pop("architectures", ["Transformer"])
        if kind not in PretrainedModel.kinds:
            raise ValueError(f"architectures: expected one of {', '.join(PretrainedModel.kinds)}, got {kind!r}")
        return kind, TransformerConfig.from_fields(fields)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def load_tokenizer(directory: str | os.PathLike[str]) -> Tokenizer:
    """Load the tokenizer of a model directory.

    Raises:
        FileNotFoundError: the directory or the file is missing.
        ValueError: the file is damaged, or does not fit the model beside it.
    """
    paths = _files(directory, CONFIG, TOKENIZER)
    try:
        tokenizer = Tokenizer(paths[TOKENIZER].read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{paths[TOKENIZER]}: {error}") from None
    _check_vocabulary(_read_config(paths[CONFIG])[1], tokenizer, Path(directory))
    return tokenizer


def _files(directory: str | os.PathLike[str], *names: str) -> dict[str, Path]:
    """Where the files of a model directory are to be read."""
    directory = Path(directory)
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory}: no such model directory")
    paths = files_in(directory, names)
    for name, path in paths.items():
        if not path.is_file():
            raise FileNotFoundError(f"{directory}: not a model directory, {name} is missing")
    return paths


def _check_vocabulary(config: TransformerConfig, tokenizer: Tokenizer, directory: Path) -> None:
    if tokenizer.vocab_size != config.vocab_size:
        raise ValueError(
            f"{directory}: the model has vocab_size={config.vocab_size}, the tokenizer {tokenizer.vocab_size} tokens"
        )
