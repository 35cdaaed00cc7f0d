"""Trainings in several processes: ``mpiexec -n 2 python -m tests.transformer.train.ranks DIRECTORY PART``.

Each training of a part has a directory of its own in DIRECTORY. All are seconds long; a job makes many of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.distributed import world
from tests.transformer.conftest import small
from tests.transformer.train.training import Listed, bigrams, config, data
from transformer import CausalLM, MaskedLM, Transformer
from transformer.data.batches import IGNORED, Batch, MaskedBatches, PairBatches, WindowBatches
from transformer.train import Trainer

STEPS, STOP = 10, 5  # of whole trainings, and of those that are resumed elsewhere
CLIPPED = {"clip_norm": 0.1, "clip_value": 0.02}
LABELLED_ELSEWHERE = [  # the first batch has no label at all, the second one only in its first row
    Batch((np.ones((3, 4), np.int64),), np.full((3, 4), IGNORED)),
    Batch((np.full((3, 4), 2),), np.array([[1, 2, 3, 4], *[[IGNORED] * 4] * 2])),
]


def bigram_trainer(directory: Path, *, dtype: Any = np.float32, source: Any = None, **changes: Any) -> Trainer:
    settings = config(**{"steps": STEPS, "checkpoint_every": 4, **changes})
    held_out = data(6, seed=1) if settings.evaluate_every else None
    model = bigrams(dropout=0.3, dtype=dtype)
    return Trainer(model, source or data(), settings, held_out=held_out, directory=directory)


def _pairs() -> PairBatches:
    rng = np.random.default_rng(0)
    pairs = [[[*rng.integers(4, 99, length).tolist(), 2] for length in rng.integers(2, 9, 2)] for _ in range(20)]
    return PairBatches([(source, target) for source, target in pairs], tokens=60, pad_id=0, bos_id=1, seed=0)


def _sentences(seed: int = 0) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(4, 99, length).tolist() for length in rng.integers(3, 12, 20)]


FAMILIES: dict[str, tuple[Any, Callable[[], Any]]] = {
    "encoder-decoder": (Transformer, _pairs),
    "causal": (CausalLM, lambda: WindowBatches(np.random.default_rng(0).integers(4, 99, 500), block=8, batch=5)),
    "masked": (MaskedLM, lambda: MaskedBatches(_sentences(), tokens=60, vocab_size=300, mask_id=3, pad_id=0)),
}


def family_trainer(directory: Path, family: str, *, dtype: Any = np.float32, **changes: Any) -> Trainer:
    kind, source = FAMILIES[family]
    mg.manual_seed(0)
    sizes = {"encoder_layers": 1, "decoder_layers": 1}
    model = kind(small(dropout=0.2, attention_dropout=0.1, **sizes)).astype(dtype)
    settings = config(**{"steps": STEPS, "lr": 0.003, "evaluate_every": 6, **changes})
    return Trainer(model, source(), settings, held_out=source(), directory=directory)


SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no smoothing": {"label_smoothing": 0.0},
    "accumulating": {"accumulate": 3, "optimizer": "adamw", "weight_decay": 0.1, "schedule": "cosine"},
    "best": {"evaluate_every": 1, "patience": 3, "lr": 1.0, "optimizer": "adafactor"},
    "mean": {"evaluate_every": 3, "average": 3, "optimizer": "sgd"},
    "clipped": {**CLIPPED, "optimizer": "sgd"},
    "single rows": {"source": data(tokens=1)},
    "labels of some ranks": {"source": Listed(LABELLED_ELSEWHERE), "accumulate": 2},
}
Make = Callable[[Path], Trainer]


def _bigrams(**changes: Any) -> Make:
    return lambda directory: bigram_trainer(directory, **changes)


def _family(name: str, **changes: Any) -> Make:
    return lambda directory: family_trainer(directory, name, **changes)


DOUBLE: dict[str, Make] = {name: _bigrams(dtype=np.float64, **changes) for name, changes in SETTINGS.items()}
DOUBLE |= {name: _family(name, dtype=np.float64) for name in FAMILIES}
SINGLE: dict[str, Make] = {name: _bigrams(**changes) for name, changes in SETTINGS.items()}
SINGLE |= {name: _family(name) for name in FAMILIES}
NARROW: dict[str, Make] = {name: _family(name, precision="bfloat16") for name in FAMILIES}
SHARDED: dict[str, Make] = {
    name: _bigrams(shard_optimizer=True, **SETTINGS[name]) for name in ("plain", "accumulating", "best", "mean")
}
PARTS: dict[str, Mapping[str, Make]] = {"double": DOUBLE, "single": SINGLE, "narrow": NARROW, "sharded": SHARDED}
RESUMED = (
    "accumulating",
    "best",
    "mean",
)  # best: the model is trained with its last weights, and has others in the end


def train(directory: Path, part: str) -> None:
    for name, make in PARTS[part].items():
        for _ in make(directory / name):
            pass


def begin(directory: Path) -> None:
    """Stop trainings between two steps."""
    for name in RESUMED:
        for step in SINGLE[name](directory / name):
            if step.number == STOP:
                break


def go_on(directory: Path) -> None:
    for name in RESUMED:
        trainer = SINGLE[name](directory / name)
        assert trainer.resume() == STOP
        for _ in trainer:
            pass


def main(directory: str, *parts: str) -> None:
    for part in parts:
        if part == "begin":
            begin(Path(directory, "resumed"))
        elif part == "go on":
            go_on(Path(directory, "resumed"))
        else:
            train(Path(directory, part), part)
    world().barrier()


if __name__ == "__main__":
    main(*sys.argv[1:])
