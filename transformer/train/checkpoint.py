"""All that a training needs to go on to the last bit, in one directory that changes as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

from minigrad import nn
from minigrad.io import files_in, from_bytes, replace_files, to_bytes
from minigrad.random import Generator, default_generator

STATE, WEIGHTS, OPTIMIZER, KEPT = "state.json", "weights.safetensors", "optimizer.safetensors", "kept.safetensors"
ARRAYS = (WEIGHTS, OPTIMIZER, KEPT)

Arrays = Mapping[str, Any]


@dataclass(frozen=True)
class Position:
    """Where a training stands after a step, but for its arrays."""

    step: int = 0  # steps made
    epoch: int = 0  # that the next batch comes from
    batches: int = 0  # of that epoch, used up
    log_length: int = 0  # bytes


@dataclass(frozen=True)
class Checkpoint:
    """A training between two steps."""

    identity: Mapping[str, Any]  # what must be the same when it goes on: model, data, config
    position: Position
    random: Mapping[str, Any]  # the state of each generator
    rates: Mapping[str, Any]  # what of the optimizer and the schedule is no array
    arrays: Mapping[str, Arrays]  # of WEIGHTS, OPTIMIZER and KEPT

    def save(self, directory: Path) -> None:
        """Write all files, which take the place of earlier ones together."""
        state = {name: getattr(self, name) for name in ("identity", "random", "rates")}
        state["position"] = vars(self.position)
        contents = {name: to_bytes(self.arrays[name]) for name in ARRAYS}
        replace_files(directory, {**contents, STATE: json.dumps(state, indent=1).encode()})

    @classmethod
    def load(cls, directory: Path) -> Checkpoint | None:
        """Read what was saved last; None where there is nothing.

        Raises:
            ValueError: a file is missing or damaged.
        """
        if not Checkpoint.exists(directory):
            return None
        paths = files_in(directory, (STATE, *ARRAYS))
        name = STATE
        try:
            state = json.loads(paths[STATE].read_text("utf-8"))
            position = Position(**state["position"])
            arrays = {}
            for name in ARRAYS:
                arrays[name] = {key: value.numpy() for key, value in from_bytes(paths[name].read_bytes()).items()}
            return cls(state["identity"], position, state["random"], state["rates"], arrays)
        except (ValueError, KeyError, TypeError, FileNotFoundError) as error:
            raise ValueError(f"{directory / name}: not a whole checkpoint ({error})") from None

    @staticmethod
    def exists(directory: Path) -> bool:
        """Whether something was saved."""
        return files_in(directory, (STATE,))[STATE].exists()

    @staticmethod
    def discard(directory: Path) -> None:
        """Remove what was saved, the file that says so first."""
        for path in files_in(directory, (STATE, *ARRAYS)).values():
            path.unlink(missing_ok=True)


def generators(model: nn.Module) -> dict[str, Generator]:
    """Every source of random numbers that a model draws from, by name."""
    found: dict[str, Generator] = {"default": default_generator}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, Generator) and all(value is not other for other in found.values()):
                found[f"{path}.{name}" if path else name] = value
    return found


def model_identity(model: nn.Module) -> dict[str, Any]:
    """A model's type, its configuration where it has one, and its parameters and buffers with their shapes."""
    config = getattr(model, "config", None)  # much of it, such as how many heads there are, shows in no shape
    settings = {"config": asdict(config)} if is_dataclass(config) and not isinstance(config, type) else {}
    tensors = {name: f"{tensor.dtype} {tensor.shape}" for name, tensor in model.state_dict().items()}
    return {"type": type(model).__name__, **settings, **tensors}


def first_difference(saved: Any, now: Any, name: str = "") -> str | None:
    """Where two trees of JSON values differ first: the name, what was saved and what is there now."""
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
