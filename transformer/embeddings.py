"""Sentence embeddings: one vector for a text. Reimers and Gurevych, 2019: "Sentence-BERT"."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from transformer.data.batches import pad
from transformer.data.normalization import check_texts
from transformer.data.tokenizer import Tokenizer
from transformer.json_object import json_object
from transformer.model.config import Pooling
from transformer.model.pooling import pool
from transformer.pretrained import Decoder, Encoder, load_stack

Array = np.ndarray[Any, Any]

MODULES, SENTENCES, PROMPTS = "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"
POOLINGS: dict[str, Pooling] = {
    "cls": "first",
    "max": "max",
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean_sqrt",
    "lasttoken": "last",
}
SWITCHES = {  # of earlier versions, in the order of the joined vectors
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


@dataclass(frozen=True)
class SentenceEncoder:
    """Sentence encoder: an encoder, its tokenizer, and the pooling of its vectors.

    Args:
        model: an encoder, or a decoder without a memory.
        tokenizer: of the model.
        pooling: of the tokens' vectors, special tokens included; the results of several are joined.
        normalize: divide embeddings by their length, so that products are cosines.
        max_length: tokens of a text that are read, at most; None: all that the model has positions for.
        lowercase: read texts in lower case.
        prompts: beginnings that texts of some purpose have, by name.
        prompt: the name of that which all texts have, if any.

    Example:
        >>> from transformer import Encoder, SentenceEncoder, Tokenizer, TransformerConfig
        >>> tokenizer = Tokenizer.train(["to be or not to be"], vocab_size=270)
        >>> model = Encoder(TransformerConfig(vocab_size=270, decoder_layers=0)).eval()
        >>> SentenceEncoder(model, tokenizer).embed(["to be", "or not"]).shape
        (2, 128)
    """

    model: Encoder | Decoder
    tokenizer: Tokenizer
    pooling: tuple[Pooling, ...] = ("mean",)
    normalize: bool = False
    max_length: int | None = None
    lowercase: bool = False
    prompts: dict[str, str] = field(default_factory=dict)
    prompt: str | None = None

    @classmethod
    def from_pretrained(cls, directory: str | os.PathLike[str]) -> SentenceEncoder:
        """Load the encoder of a model directory, with the modules of ``sentence-transformers`` that it may name.

        Without them an embedding is the mean of the tokens' vectors, as it is.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file is damaged, or names a module or a pooling that is not known here.
        """
        directory = Path(directory)
        folder, choices = directory, dict[str, Any]()
        if (directory / MODULES).exists():
            folder, choices = _read_modules(directory)
        model, tokenizer = load_stack(folder)
        return cls(model, tokenizer, **choices, **_read_prompts(directory / PROMPTS))

    def embed(self, texts: Sequence[str], *, prompt: str | None = None, batch_size: int = 32) -> Array:
        """Embed texts: (N, D), float32. Those that are too long are truncated.

        Args:
            texts: the texts.
            prompt: the name of their beginning, in the place of the encoder's own.
            batch_size: texts that are read at once, of similar length.

        Raises:
            ValueError: there is no such prompt, or a text without tokens.
        """
        check_texts("texts", texts)
        name = self.prompt if prompt is None else prompt
        if name is not None and name not in self.prompts:
            raise ValueError(f"prompt: expected one of {', '.join(self.prompts) or 'none'}, got {name!r}")
        beginning = "" if name is None else self.prompts[name]
        rows = [self._ids(beginning + text) for text in texts]
        for number, row in enumerate(rows, 1):
            if not row:
                raise ValueError(f"texts: expected some text, number {number} has no tokens")
        order = np.argsort([len(row) for row in rows], kind="stable")
        found = np.empty((len(rows), len(self.pooling) * self.model.config.d_model), np.float32)
        with mg.no_grad(), self.model.evaluating():
            for start in range(0, len(rows), batch_size):
                places = order[start : start + batch_size]
                found[places] = self._embed([rows[place] for place in places])
        return found

    def _ids(self, text: str) -> list[int]:
        (ids,) = self.tokenizer.encode([text.lower() if self.lowercase else text])
        limits = (self.max_length, self.model.config.position_limit)
        limit = min((limit for limit in limits if limit is not None), default=len(ids))
        if len(ids) <= limit:
            return ids
        ends = limit > 1 and ids[-1] == self.tokenizer.eos_id
        return [*ids[: limit - 1], ids[-1]] if ends else ids[:limit]

    def _embed(self, rows: list[list[int]]) -> Array:
        lengths = np.array([len(row) for row in rows])
        real = mg.asarray(np.arange(lengths.max()) < lengths[:, None])
        x = self.model(pad(rows, self.model.config.pad_id or 0), attention_mask=real)
        vectors = mg.concat([pool(x, real, pooling) for pooling in self.pooling], axis=-1)
        if self.normalize:
            vectors = vectors / mg.clip(mg.sqrt(mg.sum(vectors * vectors, axis=-1, keepdims=True)), 1e-12)
        return vectors.numpy()


def _read_modules(directory: Path) -> tuple[Path, dict[str, Any]]:
    """Directory of the model, and fields of an encoder, from ``modules.json`` and the files that it names."""
    path = directory / MODULES
    folder, choices = directory, dict[str, Any]()
    for module in _list(path):
        kind, place = str(module.get("type")).rpartition(".")[2], Path(str(module.get("path", "")))
        if place.is_absolute() or ".." in place.parts:
            raise ValueError(f"{path}: path: expected a directory within {directory}, got {str(place)!r}")
        if kind == "Transformer":
            folder = directory / place
            settings = _object(folder / SENTENCES) if (folder / SENTENCES).exists() else {}
            choices |= {"max_length": settings.get("max_seq_length"), "lowercase": bool(settings.get("do_lower_case"))}
        elif kind == "Pooling":
            choices["pooling"] = _read_pooling(directory / place / "config.json")
        elif kind == "Normalize":
            choices["normalize"] = True
        else:
            raise ValueError(f"{path}: type: modules here are Transformer, Pooling and Normalize, got {kind!r:.80}")
    return folder, choices


def _read_pooling(path: Path) -> tuple[Pooling, ...]:
    settings = _object(path)
    if settings.get("include_prompt") is False:
        raise ValueError(f"{path}: include_prompt: poolings here know only true, got false")
    names = settings.get("pooling_mode", [name for switch, name in SWITCHES.items() if settings.get(switch)]) or "mean"
    names = [names] if isinstance(names, str) else names
    if unknown := [name for name in names if name not in POOLINGS]:
        raise ValueError(f"{path}: pooling_mode: expected some of {', '.join(POOLINGS)}, got {unknown[0]!r:.80}")
    return tuple(POOLINGS[name] for name in names)


def _read_prompts(path: Path) -> dict[str, Any]:
    settings = _object(path) if path.exists() else {}
    return {"prompts": settings.get("prompts") or {}, "prompt": settings.get("default_prompt_name")}


def _object(path: Path) -> dict[str, Any]:
    try:
        return json_object(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _list(path: Path) -> list[dict[str, Any]]:
    try:
        modules = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise ValueError(f"{path}: expected a list of modules, got {modules!r:.80}")
    return modules
