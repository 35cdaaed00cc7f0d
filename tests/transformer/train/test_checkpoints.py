"""Checkpoints in the background, the two newest ones, and the log's limit."""

from __future__ import annotations

import errno
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from tests.transformer.train.training import (
    PARTS,
    PREVIOUS,
    SETTINGS,
    STEPS,
    assert_same_bits,
    assert_same_training,
    bigrams,
    config,
    data,
    log_lines,
    losses_of,
    new_trainer,
    weights,
)
from transformer.pretrained.snapshot import write_snapshot
from transformer.train import Trainer, background, read_log
from transformer.train.log import thin

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
Write = Callable[..., None]


def _writing(monkeypatch: pytest.MonkeyPatch, write: Write) -> None:
    """Have another function write the checkpoints of trainings."""
    monkeypatch.setattr(background, "write_snapshot", write)


def test_steps_made_while_a_checkpoint_is_written_are_none_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = new_trainer(tmp_path / "whole", **SETTINGS["best"])
    losses = losses_of(list(whole))
    parts, later = new_trainer(tmp_path / "parts", **SETTINGS["best"]), threading.Event()

    def write(directory: Path, contents: Any, **options: Any) -> None:
        assert later.wait(60)
        write_snapshot(directory, contents, **options)
        if not (tmp_path / "copy").exists():
            shutil.copytree(directory, tmp_path / "copy")

    _writing(monkeypatch, write)
    steps = iter(parts)
    next(steps)
    next(steps)  # the checkpoint before its evaluation is begun
    assert not later.is_set()  # and did not hold it up
    later.set()
    steps.close()
    resumed = new_trainer(tmp_path / "copy", seed=99, **SETTINGS["best"])
    assert resumed.resume() == 1
    assert losses_of(list(resumed)) == losses[1:]
    assert_same_training(resumed, whole)


def test_one_checkpoint_at_a_time_is_copied_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    def write(*arguments: Any, **options: Any) -> None:
        write_snapshot(*arguments, **options)
        events.append("written")

    def companions() -> Iterable[tuple[str, bytes]]:
        events.append("copied")
        return [("notes", b"")]

    _writing(monkeypatch, write)
    list(Trainer(bigrams(), data(), config(STEPS, checkpoint_every=1), directory=tmp_path, companions=companions))
    assert events == ["copied", "written"] * STEPS


@pytest.mark.parametrize("stop", [4, 5, None])
def test_an_error_of_the_background_is_raised_by_the_next_checkpoint_and_the_last_state_is_saved(
    stop: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = new_trainer(tmp_path / "whole"), new_trainer(tmp_path / "parts")
    list(whole)
    made: list[int] = []
    failing = iter([True])

    def write(*arguments: Any, **options: Any) -> None:
        if next(failing, False):
            raise OSError(errno.ENOSPC, "No space left on device")
        write_snapshot(*arguments, **options)

    _writing(monkeypatch, write)
    steps = iter(parts)
    with pytest.raises(OSError, match="No space left on device"), closing(steps):
        made.extend(step.number for step in islice(steps, stop))
    assert made == list(range(1, (stop or 7) + 1))  # that of step 4 failed, which was found out after step 8
    resumed = new_trainer(tmp_path / "parts", seed=99)
    assert resumed.resume() == (stop or 8)
    for again in (parts, resumed):
        if again is resumed:
            again.resume()
        list(again)
        assert_same_training(again, whole)


def test_a_save_is_on_disk_when_it_returns(tmp_path: Path) -> None:
    trainer = new_trainer(tmp_path / "run")
    for step in trainer:
        trainer.save()
        shutil.copytree(tmp_path / "run", tmp_path / "copy")
        assert new_trainer(tmp_path / "copy").resume() == step.number
        shutil.rmtree(tmp_path / "copy")


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("fails", [False, True])
def test_ctrl_c_loses_no_checkpoint_that_is_being_written(
    fails: bool, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = new_trainer(tmp_path / "whole"), new_trainer(tmp_path / "parts")
    list(whole)
    failing = iter([fails])

    def write(*arguments: Any, **options: Any) -> None:
        if parts.finished:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)
            if next(failing, False):
                raise OSError(errno.EIO, "Input/output error")
        write_snapshot(*arguments, **options)

    _writing(monkeypatch, write)
    with pytest.raises(KeyboardInterrupt):
        list(parts)
    resumed = new_trainer(tmp_path / "parts", seed=99)
    assert resumed.resume() == STEPS
    list(resumed)
    assert_same_training(resumed, whole)


def _damage(path: Path, damage: str) -> None:
    content = path.read_bytes()
    path.unlink()
    if damage == "cut short":
        path.write_bytes(content[:-9])
    elif damage == "flipped":
        at = len(content) // 2
        path.write_bytes(bytes([*content[:at], content[at] ^ 1, *content[at + 1 :]]))


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("damage", ["cut short", "flipped", "missing"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_continues_to_the_same_result(
    name: str, damage: str, tmp_path: Path
) -> None:
    whole, parts = new_trainer(tmp_path / "whole"), new_trainer(tmp_path / "parts")
    losses = losses_of(list(whole))
    for step in parts:
        if step.number == 10:
            break
    _damage(tmp_path / "parts" / "checkpoint" / name, damage)
    resumed = new_trainer(tmp_path / "parts", seed=99)
    with pytest.warns(UserWarning, match=f"{name}: .*; the previous checkpoint, of step 8, is used instead"):
        assert resumed.resume() == 8
    steps = iter(resumed)
    rest = [next(steps).loss]
    assert len(log_lines(tmp_path / "parts")) == 1 + 9
    shutil.copytree(tmp_path / "parts", tmp_path / "killed")  # as if killed now
    assert losses_of([*steps]) == losses[9:] and rest == losses[8:9]
    assert_same_training(resumed, whole)
    again = new_trainer(tmp_path / "killed", seed=99)
    assert again.resume() == 8  # without a warning: it is the newest one again
    list(again)
    assert_same_training(again, whole)


@pytest.mark.parametrize("name", PREVIOUS)
def test_of_two_damaged_checkpoints_the_newest_is_named(name: str, tmp_path: Path) -> None:
    list(new_trainer(tmp_path))
    folder = tmp_path / "checkpoint"
    _damage(folder / "weights.safetensors", "flipped")
    _damage(folder / name, "flipped")
    with pytest.raises(ValueError, match=r"/weights.safetensors: not a whole checkpoint .damaged, or changed"):
        new_trainer(tmp_path).resume()


def test_without_its_commit_too_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path) -> None:
    whole, parts = new_trainer(tmp_path / "whole"), new_trainer(tmp_path / "parts")
    list(whole)
    list(parts)
    (tmp_path / "parts" / ".commit.json").unlink()
    (tmp_path / "parts" / "checkpoint" / "state.json").unlink()
    resumed = new_trainer(tmp_path / "parts", seed=99)
    with pytest.warns(UserWarning, match=r"checkpoint/state.json: missing; the previous checkpoint, of step 16"):
        assert resumed.resume() == 16
    list(resumed)
    assert_same_training(resumed, whole)


@pytest.mark.parametrize("links", [True, False], ids=["", "without hard links"])
def test_the_checkpoint_before_is_kept_and_not_written_again(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:

        def refuse(*arguments: Any) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    trainer = new_trainer(tmp_path / "run")
    steps, folder = iter(trainer), tmp_path / "run" / "checkpoint"
    next(steps)
    trainer.save()
    before = {name: (folder / name).read_bytes() for name in PARTS}
    numbers = {name: (folder / name).stat().st_ino for name in PARTS}
    next(steps)
    trainer.save()
    for name in PARTS:
        kept = folder / f"previous-{name}"
        assert kept.read_bytes() == before[name]
        assert (kept.stat().st_ino == numbers[name]) == links


def test_a_new_training_leaves_neither_checkpoint_of_an_earlier_one(tmp_path: Path) -> None:
    list(new_trainer(tmp_path))
    steps = iter(new_trainer(tmp_path))
    next(steps)
    assert not any((tmp_path / "checkpoint").iterdir())
    steps.close()


# A log that has passed its limit.

LINES = st.lists(st.tuples(st.booleans(), st.integers(0, 30)), min_size=1, max_size=60)


@given(LINES)
def test_a_thinned_log_covers_the_training(kinds: list[tuple[bool, int]]) -> None:
    lines = [
        json.dumps({"step": number, **({"held_out_loss": 1.0} if evaluated else {}), "rest": "x" * length}) + "\n"
        for number, (evaluated, length) in enumerate(kinds, 1)
    ]
    header, *kept = thin("".join(["{}\n", *lines]).encode()).decode().splitlines(keepends=True)
    assert header == "{}\n"
    numbers = [json.loads(line)["step"] for line in kept]
    assert kept == [lines[number - 1] for number in numbers] and numbers == sorted(set(numbers))
    evaluations = {number for number, (evaluated, _) in enumerate(kinds, 1) if evaluated}
    size = sum(len(lines[number - 1]) for number in evaluations)
    if 2 * size <= sum(map(len, lines)):
        assert evaluations <= set(numbers)
        others = [number for number in range(1, len(lines) + 1) if number not in evaluations]
        assert [number for number in numbers if number not in evaluations] == others[::-2][::-1]
    assert len(kept) <= len(lines) * 3 / 4 + 1 or len(evaluations) > len(lines) / 2


def _assert_thinned(parts: Trainer, whole: Trainer, limit: int) -> None:
    """The same weights, and a log of the same lines without some."""
    assert parts.directory is not None and whole.directory is not None and parts.finished
    assert_same_bits(weights(parts.model), weights(whole.model))
    complete, kept = log_lines(whole.directory), log_lines(parts.directory)
    places = [complete.index(line) for line in kept]
    assert places == sorted(set(places)) and places[0] == 0 and places[-1] == whole.steps_made
    assert {place for place, line in enumerate(complete) if "held_out_loss" in line} <= set(places)
    assert len(kept) < len(complete)
    assert (parts.directory / "log.jsonl").stat().st_size < limit + 4 * 500  # bytes of a step, of which four may follow
    assert len(read_log(parts.directory / "log.jsonl")[1]) == len(kept) - 1


class Crash(BaseException):
    """The process stops here."""


LIMIT = 1500  # bytes: the header and a few steps


def _crash(patched: pytest.MonkeyPatch, moment: int) -> None:
    """Have no file change its place after so many of them."""
    replace, count = os.replace, 0

    def crashing(*arguments: Any) -> None:
        nonlocal count
        if count == moment:
            raise Crash
        count += 1
        replace(*arguments)

    patched.setattr(os, "replace", crashing)


@pytest.mark.parametrize("damaged", [False, True], ids=["", "and damage"])
@pytest.mark.filterwarnings("ignore:.*the previous checkpoint, of step .*, is used instead")
def test_a_long_log_is_thinned_and_a_crash_at_any_moment_does_no_harm(
    damaged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _evaluated(tmp_path / "whole")
    list(whole)
    monkeypatch.setattr("transformer.train.log.LIMIT", LIMIT)
    for moment in range(3, 100):
        begun = _evaluated(tmp_path / "parts")
        with monkeypatch.context() as patched:
            _crash(patched, moment)
            try:
                list(begun)
                break
            except Crash:
                pass
        if damaged and (tmp_path / "parts" / "checkpoint" / "previous-state.json").exists():
            (tmp_path / "parts" / "checkpoint" / "weights.safetensors").write_bytes(b"")
        resumed = _evaluated(tmp_path / "parts", seed=99)
        assert resumed.resume()
        list(resumed)
        _assert_thinned(resumed, whole, LIMIT)
        shutil.rmtree(tmp_path / "parts")
    else:
        raise AssertionError("it never came to its end")
    assert moment > 30
    _assert_thinned(begun, whole, LIMIT)


def _evaluated(directory: Path, seed: int = 0) -> Trainer:
    settings = config(9, evaluate_every=6, checkpoint_every=4)  # with checkpoints after steps 4, 5, 8 and 9
    return Trainer(bigrams(0.3, seed), data(), settings, held_out=data(6, seed=1), directory=directory)


def test_an_error_while_a_log_is_replaced_leaves_one_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = new_trainer(tmp_path / "whole")
    list(whole)
    monkeypatch.setattr("transformer.train.log.LIMIT", LIMIT)
    for after in (False, True):
        parts, failing = new_trainer(tmp_path / str(after)), True

        def write(directory: Path, contents: Any, after: bool = after, **options: Any) -> None:
            nonlocal failing
            contents = list(contents)
            fails = failing and contents[0][0] == "log.jsonl"
            if after or not fails:
                write_snapshot(directory, contents, **options)
            if fails:
                failing = False
                raise OSError(errno.EIO, "Input/output error")

        _writing(monkeypatch, write)
        with pytest.raises(OSError, match="Input/output error"):
            list(parts)
        list(parts)
        _assert_thinned(parts, whole, LIMIT)
        resumed = new_trainer(tmp_path / str(after), seed=99)
        assert resumed.resume() == STEPS and list(resumed) == []


# Long runs.


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="file descriptors as Linux lists them")
def test_descriptors_threads_and_memory_are_flat_over_many_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformer.train.log.LIMIT", 10 * LIMIT)
    seen: list[tuple[int, int, int]] = []
    trainer = Trainer(bigrams(), data(), config(200, checkpoint_every=1), directory=tmp_path)
    tracemalloc.start()
    try:
        for step in trainer:
            if step.number % 50 == 0:
                trainer.save()
                gc.collect()
                open_files = len(os.listdir("/proc/self/fd"))
                seen.append((open_files, threading.active_count(), tracemalloc.get_traced_memory()[0]))
    finally:
        tracemalloc.stop()
    (files, threads, memory), *later = seen
    assert all(found[:2] == (files, threads) for found in later)
    assert max(found[2] for found in later) < memory + 50_000  # less than a kilobyte a checkpoint
    assert {path.name for path in tmp_path.rglob("*")} == {
        ".commit.json", "log.jsonl", "checkpoint", *PARTS, *PREVIOUS
    }  # fmt: skip


KILLING = """
import os, random, signal, sys
from pathlib import Path
from tests.transformer.train.test_checkpoints import _killed_trainer

def run(directory, kill):
    trainer = _killed_trainer(directory)
    trainer.resume()
    kill()
    list(trainer)

def at_once():
    os.kill(os.getpid(), signal.SIGKILL)

def at_a_change(moment):
    count = iter(range(moment))
    for name in ("replace", "fsync", "link", "unlink", "mkdir"):
        def changing(*arguments, change=getattr(os, name), **options):
            if next(count, None) is None:
                at_once()
            return change(*arguments, **options)
        setattr(os, name, changing)

list(_killed_trainer(None))  # loads the kernels, for all of them
directory, kills = Path(sys.argv[1]), int(sys.argv[2])
draw = random.Random(int(sys.argv[3]))
done = killed = 0
while killed < kills:
    child = os.fork()
    if not child:
        if killed % 2:
            run(directory / str(done), lambda: at_a_change(draw.randrange(60)))
        else:
            run(directory / str(done), lambda: signal.setitimer(signal.ITIMER_REAL, draw.uniform(0.001, 0.1)))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    draw.random()
    if os.WIFSIGNALED(status):
        killed += 1
    elif status:
        sys.exit("a training failed")
    else:
        done += 1
print(killed, "killed,", done, "finished")
"""


def _killed_trainer(directory: Path | None) -> Trainer:
    return new_trainer(directory, evaluate_every=5, average=2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="of POSIX systems")
def test_trainings_killed_at_random_instants_again_and_again_resume_to_the_same_result(tmp_path: Path) -> None:
    whole = _killed_trainer(tmp_path / "whole")
    list(whole)
    seed = int(np.random.default_rng(os.getpid()).integers(2**31))  # any instants will do
    command = [sys.executable, "-c", KILLING, str(tmp_path / "parts"), "100", str(seed)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    print(seed, said.stdout)
    assert not said.returncode, said.stderr
    trainings = sorted((tmp_path / "parts").iterdir())
    for directory in trainings:
        resumed = _killed_trainer(directory)
        resumed.resume()
        list(resumed)
        assert_same_training(resumed, whole)
        left = {path.name for path in directory.rglob("*")}
        assert left == {".commit.json", "log.jsonl", "checkpoint", *PARTS, *PREVIOUS}
