"""Training log: a report of each step, as crash-safe JSON lines; thinned when it grows long."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from minigrad.io import naming, open_file, read_file, write_whole
from transformer.json_object import json_object
from transformer.pretrained.snapshot import Member

LOG = "log.jsonl"
LIMIT = 2**25  # bytes, at which a log is thinned: some 50,000 steps of a model with 40 parameters
EVALUATED = b'"held_out_loss"'  # in the line of a step that was followed by an evaluation
LISTS = ("gradient_norms", "clipped_shares")


@dataclass(frozen=True)
class Step:
    """Report of one training step."""

    number: int  # counted from 1
    loss: float  # mean over the target tokens, label smoothing included
    tokens: int  # that the model read, padding not counted
    seconds: float  # without evaluation and files
    lr: float
    gradient_norm: float  # of all gradients together, before clipping
    epoch: int = 0  # of the step's last batch, counted from 0
    held_out_loss: float | None = None  # where the step was followed by an evaluation; without label smoothing
    clip_factor: float = 1.0  # factor of clipping by norm; 1 where it was not clipped
    gradient_norms: tuple[float, ...] = ()  # of each parameter, before clipping
    clipped_shares: tuple[float, ...] = ()  # of each gradient's elements, cut by clip_value; empty without it

    def to_json(self) -> str:
        """Serialize to one line: floats in full, those of single parameters with 4 digits; ``seconds`` last."""
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
        """Parse the step of a line.

        Raises:
            ValueError: the line is damaged.
        """
        try:
            values = json_object(line)
            values["number"] = values.pop("step", None)
            for name in LISTS:
                values[name] = _numbers(values.get(name, []))
            _numbers([value for name, value in values.items() if name not in LISTS])
            return cls(**values)
        except (TypeError, ValueError) as error:  # TypeError: a name is missing, or unknown
            raise ValueError(f"not a step of a training log ({error}): {line[:60]!r}") from None


def _numbers(values: Any) -> tuple[float, ...]:
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        raise ValueError(f"expected numbers, got {values!r:.60}")
    return tuple(values)


def _short(values: tuple[float, ...]) -> list[float]:
    return [float(f"{value:.4g}") for value in values]


class Log:
    """Log file of JSON lines under construction, with a running checksum.

    Args:
        path: the file.
        beginning: the prefix to keep; later lines of a crashed run are removed.

    Raises:
        ValueError: the file does not begin so, or is a link to elsewhere.
    """

    def __init__(self, path: Path, beginning: Member) -> None:
        self._path = path
        if path.is_symlink():
            raise ValueError(f"{path}: expected a file, found a symbolic link")
        self._open(beginning)

    def _open(self, beginning: Member) -> None:
        found = read_file(self._path) if self._path.exists() else b""
        if len(found) < beginning.size:
            raise ValueError(
                f"{self._path}: expected at least {beginning.size} bytes, as the checkpoint says, got {len(found)}"
            )
        self._digest, self._size = hashlib.sha256(found[: beginning.size]), beginning.size
        if beginning.sha256 not in ("", self._digest.hexdigest()):
            raise ValueError(f"{self._path}: damaged, or changed by another program since the checkpoint was saved")
        self._file = open(self._path, "ab", buffering=0)  # noqa: SIM115  # closed by the with block that uses the log
        self._file.truncate(beginning.size)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, line: str) -> None:
        """Append a line."""
        content = line.encode() + b"\n"
        write_whole(self._file, content, self._path)
        self._digest.update(content)
        self._size += len(content)

    @property
    def written(self) -> Member:
        """Prefix of the file that was written."""
        return Member(self._size, self._digest.hexdigest())

    def sync(self) -> None:
        """Sync all lines to disk."""
        with naming(self._path):
            os.fsync(self._file.fileno())

    def thinned(self) -> bytes | None:
        """Content to replace a file by that has passed the limit: :func:`thin`; None for a shorter one."""
        return thin(read_file(self._path)[: self._size]) if self._size > LIMIT else None

    @contextmanager
    def replaced(self, content: bytes) -> Iterator[None]:
        """Close the file for a block that replaces it by this content, then continue with the file that is there."""
        before, written = os.fstat(self._file.fileno()), self.written
        self._file.close()
        try:
            yield
        finally:  # an error of the block may come before the replacement, or after
            same = os.path.samestat(before, self._path.stat())
            self._open(written if same else Member.of(content))


def thin(content: bytes) -> bytes:
    """Thin the lines of a log: the header, every step with an evaluation, and every second one of the others.

    Counted from the last step, which stays. The log covers the whole training, at a resolution that falls as it goes
    on. Where evaluations make up more than half of it, they are thinned like the others: about a quarter goes anyway.
    """
    header, *lines = content.splitlines(keepends=True)
    spared = {line for line in lines if EVALUATED in line}
    if 2 * sum(map(len, spared)) > len(content):
        spared = set()
    every_second = cycle((True, False))
    kept = [line for line in reversed(lines) if line in spared or next(every_second)]
    return b"".join([header, *reversed(kept)])


def read_log(path: str | os.PathLike[str], most: int | None = None) -> tuple[Mapping[str, Any], list[Step]]:
    """Read the header and the steps of a training log, also while it is being written.

    Args:
        path: the file.
        most: of a log with more steps, only so many, evenly spaced, and those with an evaluation; None: all.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no training log; the message names the line.
    """
    path = Path(path)
    with open_file(path) as file:
        length = sum(1 for line in file if line.endswith(b"\n"))  # a last line without its end is still being written
        file.seek(0)
        header = _header(path, file.readline() if length else b"")
        count = max(length - 1, 0)
        spaced = range(count) if most is None or count <= most else (count - 1) * np.arange(most) // max(most - 1, 1)
        due = frozenset(map(int, spaced))
        lines = enumerate(islice(file, count))
        chosen = ((number, line) for number, line in lines if number in due or EVALUATED in line)
        return header, [_step(path, number + 2, line, len(header["parameters"])) for number, line in chosen]


def _header(path: Path, line: bytes) -> Mapping[str, Any]:
    try:
        header = json_object(line.decode("utf-8"))
        parameters = header["parameters"]
        if not isinstance(parameters, list) or not all(isinstance(name, str) for name in parameters):
            raise TypeError
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: not a training log, its first line is no header") from None
    return header


def _step(path: Path, number: int, line: bytes, parameters: int) -> Step:
    try:
        step = Step.from_json(line.decode("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}, line {number}: {error}") from None
    if len(step.gradient_norms) != parameters:
        raise ValueError(
            f"{path}, line {number}: expected {parameters} gradient_norms, one a parameter, "
            f"got {len(step.gradient_norms)}"
        )
    return step
