"""Model directories: ``config.json``, ``model.safetensors`` and ``tokenizer.json``, replaced together or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from minigrad.io import files_in, from_bytes, replace_files, to_bytes
from transformer.config import TransformerConfig
from transformer.models import Transformer
from transformer.tokenizers import Tokenizer

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"


def save_pretrained(model: Transformer, tokenizer: Tokenizer, directory: str | os.PathLike[str]) -> None:
    """Write a model directory.

    The three files take the place of earlier ones together; a crash leaves the previous model, and other files in the
    directory stay untouched.
    """
    replace_files(
        Path(directory),
        {
            CONFIG: model.config.to_json().encode(),
            TOKENIZER: tokenizer.to_json().encode(),
            WEIGHTS: to_bytes(model.state_dict()),
        },
    )


def from_pretrained(directory: str | os.PathLike[str]) -> tuple[Transformer, Tokenizer]:
    """Load the model, in evaluation mode, and the tokenizer of a model directory.

    Raises:
        FileNotFoundError: the directory or one of its files is missing.
        ValueError: a file is damaged, or the files do not fit together.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory}: no such model directory")
    paths = files_in(directory, (CONFIG, WEIGHTS, TOKENIZER))
    for name, path in paths.items():
        if not path.is_file():
            raise FileNotFoundError(f"{directory}: not a model directory, {name} is missing")
    try:
        config = TransformerConfig.from_json(paths[CONFIG].read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{directory / CONFIG}: {error}") from None
    try:
        tokenizer = Tokenizer(paths[TOKENIZER].read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{directory / TOKENIZER}: {error}") from None
    if tokenizer.vocab_size != config.vocab_size:
        raise ValueError(
            f"{directory}: {CONFIG} says vocab_size={config.vocab_size}, {TOKENIZER} has {tokenizer.vocab_size} tokens"
        )
    model = Transformer(config)
    try:
        model.load_state_dict(from_bytes(paths[WEIGHTS].read_bytes()))
    except ValueError as error:
        raise ValueError(f"{directory / WEIGHTS}: {error}") from None
    return model.eval(), tokenizer
