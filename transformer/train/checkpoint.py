"""Training checkpoints for bitwise exact resumption, in one snapshot with the log and the model."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from minigrad import nn
from minigrad.io import from_bytes, to_bytes
from minigrad.random import Generator, default_generator
from transformer.json_object import json_object
from transformer.pretrained.snapshot import CHECKPOINT, Member, Snapshot, read_snapshot
from transformer.train.log import LOG

STATE, WEIGHTS, OPTIMIZER, KEPT = "state.json", "weights.safetensors", "optimizer.safetensors", "kept.safetensors"
ARRAYS = (WEIGHTS, OPTIMIZER, KEPT)
FILES = tuple(f"{CHECKPOINT}/{name}" for name in (STATE, *ARRAYS))
PREVIOUS = "previous-"  # prefix of the checkpoint before the newest one
PREVIOUS_LOG = f"{CHECKPOINT}/{PREVIOUS}{LOG}"
RETAINED = {f"{CHECKPOINT}/{PREVIOUS}{name}": f"{CHECKPOINT}/{name}" for name in (STATE, *ARRAYS)} | {PREVIOUS_LOG: LOG}

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
    log: bytes | None = None  # to be restored with it, as it is not the newest one

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Names and contents of its files, one at a time."""
        for name in ARRAYS:
            yield f"{CHECKPOINT}/{name}", to_bytes(self.arrays[name])
        state = {name: getattr(self, name) for name in ("identity", "random", "rates")}
        state["position"] = vars(self.position)
        yield f"{CHECKPOINT}/{STATE}", json.dumps(state, indent=1).encode()

    @classmethod
    def load(cls, directory: Path) -> Checkpoint | None:
        """Load the newest checkpoint of a directory, or the one before if that is damaged; None if there is none.

        Raises:
            ValueError: a file is missing or damaged; of two checkpoints, the message is about the newest.
        """
        newest, damage = None, None
        try:
            newest = cls._read(read_snapshot(directory, FILES), prefix="")
        except ValueError as error:
            damage = error
        if newest is None and (previous := cls._read_previous(directory)) is not None:
            reason = damage or f"{directory / FILES[0]}: missing"
            step = previous.position.step
            warnings.warn(f"{reason}; the previous checkpoint, of step {step:,}, is used instead", stacklevel=3)
            return previous
        if damage is not None:
            raise damage
        return newest

    @classmethod
    def _read_previous(cls, directory: Path) -> Checkpoint | None:
        """Read the checkpoint before the newest one, with its log; None if it is not there, or not whole."""
        saved = read_snapshot(directory, RETAINED)
        try:
            checkpoint = cls._read(saved, PREVIOUS)
        except ValueError:
            return None
        if checkpoint is None or PREVIOUS_LOG not in saved.contents:
            return None
        size = checkpoint.position.log_length
        log = saved.contents[PREVIOUS_LOG][:size]  # the file may have grown since
        whole = len(log) == size and Member.of(log) == saved.members.get(PREVIOUS_LOG, Member.of(log))
        return replace(checkpoint, log=log) if whole else None

    @classmethod
    def _read(cls, saved: Snapshot, prefix: str) -> Checkpoint | None:
        """Read a checkpoint of a snapshot; None if there is no trace of it."""
        path = f"{CHECKPOINT}/{prefix}"
        if not saved.has(path + STATE):
            return None
        name = STATE
        try:
            for name in (STATE, *ARRAYS):
                if fault := saved.fault(path + name):
                    raise ValueError(fault)
                if not saved.has(path + name):
                    raise ValueError("missing")
            name = STATE
            state = json_object(saved.contents[path + STATE].decode("utf-8"))
            identity, random, rates = (_table(state, key) for key in ("identity", "random", "rates"))
            position = Position(**_counts(state))
            arrays = {}
            for name in ARRAYS:
                content = saved.contents.pop(path + name)
                arrays[name] = {key: value.numpy() for key, value in from_bytes(content).items()}
            return cls(identity, position, random, rates, arrays)
        except ValueError as error:
            raise ValueError(f"{saved.path(path + name)}: not a whole checkpoint ({error})") from None

    @staticmethod
    def exists(directory: Path) -> bool:
        """True if a directory has a checkpoint."""
        return bool(read_snapshot(directory, (FILES[0], f"{CHECKPOINT}/{PREVIOUS}{STATE}")).contents)


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
