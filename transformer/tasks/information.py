"""Information about a model directory: architecture, parameters, training, data and scores."""

from __future__ import annotations

import os
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from transformer.json_object import json_object
from transformer.model.lora import LoraConfig
from transformer.pretrained import PretrainedModel, from_pretrained
from transformer.pretrained.adapters import ADAPTER_CONFIG
from transformer.pretrained.directory import CONFIG, OWN
from transformer.pretrained.snapshot import read_snapshot
from transformer.tasks.task import SCORES, TASK, read_task
from transformer.train import LOG, Step, read_log

SHOWN = ("d_model", "num_heads", "num_kv_heads", "d_k", "d_ff", "activation", "norm", "norm_first")
POSITIONS = ("positions", "window", "max_length", "vocab_size", "tie", "dropout")
TRAINING = ("optimizer", "schedule", "warmup", "label_smoothing", "precision", "seed")

Section = dict[str, Any]


def model_info(directory: str | os.PathLike[str]) -> dict[str, Section]:
    """Information about a model of ours or of Hugging Face, also of an unfinished training: sections of named values.

    Raises:
        FileNotFoundError: there is no such directory, or it holds neither a model nor a training.
        ValueError: a file in it is damaged.
    """
    directory = Path(directory)
    names = (CONFIG, ADAPTER_CONFIG, TASK, SCORES)
    contents = read_snapshot(directory, names).contents if directory.is_dir() else {}
    sections: dict[str, Section] = {}
    if {CONFIG, ADAPTER_CONFIG} & contents.keys() or not (
        directory / LOG
    ).exists():  # without either, loading says what is missing
        model = from_pretrained(directory)
        kind = OWN if model.family is None else model.family
        sections = {"architecture": _architecture(model, kind), "parameters": _parameters(model)}
        if model.adapter is not None:
            sections["adapter"] = {"base": model.name_or_path, **_adapter(model.adapter)}
    if (directory / LOG).exists():
        sections["training"] = _training(directory)
    if TASK in contents:
        task, choice = read_task(directory)
        held_out = choice.held_out if choice.held_out_digests is None else len(choice.held_out_digests)
        sections["data"] = {"task": task, "data": " ".join(choice.data), "held out": held_out}
    if SCORES in contents:
        sections["scores"] = {"held out": _score(directory, contents[SCORES])}
    return sections


def _architecture(model: PretrainedModel, kind: Any) -> Section:
    config = model.config
    layers = {"encoder_layers": config.encoder_layers, "decoder_layers": config.decoder_layers}
    fields = {**layers, **{name: getattr(config, name) for name in SHOWN + POSITIONS}}
    written = "this package's format" if kind == OWN else f"Hugging Face's {kind}"
    named = {name: value for name, value in fields.items() if value is not None and (name not in layers or value)}
    return {"model": f"{type(model).__name__}, {written}", **named}


def _adapter(adapter: LoraConfig) -> Section:
    wanted = adapter.target_modules
    names = [wanted] if isinstance(wanted, str) else sorted({name.rpartition(".")[2] for name in wanted or ()})
    return {"rank": adapter.r, "scaling": adapter.scaling, "modules": " ".join(names)}


def _parameters(model: PretrainedModel) -> Section:
    parts: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        parts["embeddings" if "tokens" in name else name.partition(".")[0]] += parameter.size
    return {"in all": model.num_parameters(), **parts}


def _training(directory: Path) -> Section:
    header, steps = read_log(directory / LOG)
    config = header.get("config", {})
    made = steps[-1].number if steps else 0
    found: Section = {"steps": f"{made:,} of {config['steps']:,}" if "steps" in config else made}
    found |= {name: config[name] for name in TRAINING if name in config}
    evaluated = [step for step in steps if step.held_out_loss is not None]
    if steps:
        spans = np.diff([0, *(step.number for step in steps)])  # a line of a thinned log stands for several steps
        seconds = float(spans @ [step.seconds for step in steps])
        found |= {
            "tokens": int(spans @ [step.tokens for step in steps]),
            "time": str(timedelta(seconds=round(seconds))),
        }
        found |= {"peak lr": max(step.lr for step in steps), "loss": steps[-1].loss}
    if evaluated:
        best: Step = min(evaluated, key=lambda step: step.held_out_loss or 0.0)
        found["held-out loss"] = evaluated[-1].held_out_loss
        found["lowest"] = f"{best.held_out_loss:.4g} at step {best.number:,}"
    return found


def _score(directory: Path, content: bytes) -> str:
    line = json_object(content.decode("utf-8")).get("line")
    if not isinstance(line, str):
        raise ValueError(f"{directory / SCORES}: line: expected a text, got {line!r:.80}")
    return line
