"""What a training reports of each step, and its log: JSON lines that a crash cannot spoil."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Step:
    """What one step of training reports."""

    number: int  # counted from 1
    loss: float  # mean over the target tokens, label smoothing included
    tokens: int  # that the model read, padding not counted
    seconds: float  # without evaluation and files
    lr: float
    gradient_norm: float  # of all gradients together, before clipping
    epoch: int = 0  # of the step's last batch, counted from 0
    held_out_loss: float | None = None  # where the step was followed by an evaluation; without label smoothing
    clip_factor: float = 1.0  # what clip_norm left of the gradients; 1 where they were not clipped
    gradient_norms: tuple[float, ...] = ()  # of each parameter, before clipping
    clipped_shares: tuple[float, ...] = ()  # of each gradient's elements, cut by clip_value; empty without it

    def to_json(self) -> str:
        """One line: floats in full, those of single parameters with 4 digits; ``seconds``, never twice alike, last."""
        line = {
            "step": self.number,
            "epoch": self.epoch,
            "loss": self.loss,
            **({} if self.held_out_loss is None else {"held_out_loss": self.held_out_loss}),
            "lr": self.lr,
            "tokens": self.tokens,
            "gradient_norm": self.gradient_norm,
            "clip_factor": self.clip_factor,
            "gradient_norms": _short(self.gradient_norms),
            **({"clipped_shares": _short(self.clipped_shares)} if self.clipped_shares else {}),
            "seconds": round(self.seconds, 4),
        }
        return json.dumps(line)

    @classmethod
    def from_json(cls, line: str) -> Step:
        """The step that a line tells of.

        Raises:
            ValueError: the line is damaged.
        """
        try:
            values = json.loads(line)
            for name in ("gradient_norms", "clipped_shares"):
                values[name] = tuple(values.get(name, ()))
            return cls(number=values.pop("step"), **values)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a step of a training log: {line[:60]!r}") from error


def _short(values: tuple[float, ...]) -> list[float]:
    return [float(f"{value:.4g}") for value in values]


class Log:
    """A file of JSON lines that is being written.

    Args:
        path: the file.
        length: the bytes to keep of what is there; what a crashed run wrote after them is cut off.

    Raises:
        ValueError: the file is shorter.
    """

    def __init__(self, path: Path, length: int = 0) -> None:
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115  # closed by the with block that uses the log
        if (found := self._file.tell()) < length:
            self._file.close()
            raise ValueError(f"{path}: expected at least {length} bytes, as the checkpoint says, got {found}")
        self._file.truncate(length)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, line: str) -> None:
        """Append a line."""
        self._file.write(line.encode() + b"\n")

    def sync(self) -> int:
        """Have all lines on the disk; returns the file's length in bytes."""
        os.fsync(self._file.fileno())
        return self._file.seek(0, os.SEEK_END)


def read_log(path: str | os.PathLike[str]) -> tuple[Mapping[str, Any], list[Step]]:
    """The header and the steps of a training's log, also while it is being written.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no training log; the message names the line.
    """
    lines = Path(path).read_text("utf-8").split("\n")[:-1]  # a last line without its end is still being written
    try:
        header = json.loads(lines[0])
        parameters = header["parameters"]
    except (IndexError, ValueError, KeyError, TypeError):
        raise ValueError(f"{os.fspath(path)}: not a training log, its first line is no header") from None
    steps = []
    for number, line in enumerate(lines[1:], 2):
        try:
            steps.append(Step.from_json(line))
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)}, line {number}: {error}") from None
        if len(steps[-1].gradient_norms) != len(parameters):
            raise ValueError(
                f"{os.fspath(path)}, line {number}: expected {len(parameters)} gradient_norms, one a parameter, "
                f"got {len(steps[-1].gradient_norms)}"
            )
    return header, steps
