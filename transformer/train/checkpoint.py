"""Training checkpoints for bitwise exact resumption, in one snapshot with the log and the model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from minigrad import nn
from minigrad.io import from_bytes, to_bytes
from minigrad.random import Generator, default_generator
from transformer.json_object import json_object
from transformer.pretrained.snapshot import CHECKPOINT, read_snapshot

STATE, WEIGHTS, OPTIMIZER, KEPT = "state.json", "weights.safetensors", "optimizer.safetensors", "kept.safetensors"
ARRAYS = (WEIGHTS, OPTIMIZER, KEPT)
FILES = tuple(f"{CHECKPOINT}/{name}" for name in (STATE, *ARRAYS))

Arrays = Mapping[str, Any]


@dataclass(frozen=True)
class Position:
    """Position of a training after a step, without its arrays."""

    step: int = 0  # steps made
    epoch: int = 0  # that the next batch comes from
    batches: int = 0  # of that epoch, used up
    log_length: int = 0  # bytes


@dataclass(frozen=True)
class Checkpoint:
    """Checkpoint of a training between two steps."""

    identity: Mapping[str, Any]  # must be the same on resumption: model, data, config
    position: Position
    random: Mapping[str, Any]  # the state of each generator
    rates: Mapping[str, Any]  # scalar state of optimizer and schedule
    arrays: Mapping[str, Arrays]  # of WEIGHTS, OPTIMIZER and KEPT

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Names and contents of its files, one at a time."""
        for name in ARRAYS:
            yield f"{CHECKPOINT}/{name}", to_bytes(self.arrays[name])
        state = {name: getattr(self, name) for name in ("identity", "random", "rates")}
        state["position"] = vars(self.position)
        yield f"{CHECKPOINT}/{STATE}", json.dumps(state, indent=1).encode()

    @classmethod
    def load(cls, directory: Path) -> Checkpoint | None:
        """Load the last checkpoint of a directory; None if there is none.

        Raises:
            ValueError: a file is missing or damaged.
        """
        saved = read_snapshot(directory, FILES)
        if not saved.has(f"{CHECKPOINT}/{STATE}"):
            return None
        name = STATE
        try:
            for name in (STATE, *ARRAYS):
                if fault := saved.fault(f"{CHECKPOINT}/{name}"):
                    raise ValueError(fault)
                if not saved.has(f"{CHECKPOINT}/{name}"):
                    raise ValueError("missing")
            name = STATE
            state = json_object(saved.contents[f"{CHECKPOINT}/{STATE}"].decode("utf-8"))
            identity, random, rates = (_table(state, key) for key in ("identity", "random", "rates"))
            position = Position(**_counts(state))
            arrays = {}
            for name in ARRAYS:
                content = saved.contents.pop(f"{CHECKPOINT}/{name}")
                arrays[name] = {key: value.numpy() for key, value in from_bytes(content).items()}
            return cls(identity, position, random, rates, arrays)
        except ValueError as error:
            raise ValueError(f"{directory / CHECKPOINT / name}: not a whole checkpoint ({error})") from None

    @staticmethod
    def exists(directory: Path) -> bool:
        """True if a directory has a checkpoint."""
        return FILES[0] in read_snapshot(directory, FILES[:1]).contents


def _table(state: Mapping[str, Any], key: str) -> dict[str, Any]:
    if not isinstance(value := state.get(key), dict):
        raise ValueError(f"{key}: expected a table, got {value!r:.80}")
    return value


def _counts(state: Mapping[str, Any]) -> dict[str, int]:
    """Count fields of a position."""
    counts = _table(state, "position")
    names = [field.name for field in fields(Position)]
    if sorted(counts) != sorted(names) or not all(type(count) is int and count >= 0 for count in counts.values()):
        raise ValueError(f"position: expected the counts {', '.join(names)}, got {counts!r:.80}")
    return counts


def generators(model: nn.Module) -> dict[str, Generator]:
    """Random generators of a model, by name."""
    found: dict[str, Generator] = {"default": default_generator}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, Generator) and all(value is not other for other in found.values()):
                found[f"{path}.{name}" if path else name] = value
    return found


def model_identity(model: nn.Module) -> dict[str, Any]:
    """Identity of a model: its type, its configuration if any, and the shapes of parameters and buffers."""
    config = getattr(model, "config", None)  # some settings, such as the number of heads, do not affect shapes
    settings = {"config": asdict(config)} if is_dataclass(config) and not isinstance(config, type) else {}
    tensors = {name: f"{tensor.dtype} {tensor.shape}" for name, tensor in model.state_dict().items()}
    return {"type": type(model).__name__, **settings, **tensors}


def first_difference(saved: Any, now: Any, name: str = "") -> str | None:
    """First difference of two trees of JSON values: the name, the saved value and the current one."""
    if isinstance(saved, Mapping) and isinstance(now, Mapping):
        for key in {**now, **saved}:
            below = f"{name}.{key}" if name else str(key)
            difference = first_difference(saved.get(key), now.get(key), below)
            if difference:
                return difference
        return None
    return None if saved == now else f"{name} was {_shown(saved)}, is {_shown(now)}"


def _shown(value: Any) -> str:
    return "absent" if value is None else str(value)
