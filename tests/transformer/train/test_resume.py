"""A training killed at any moment and resumed equals the uninterrupted one to the last bit."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from tests.transformer.train.training import (
    PARTS,
    PREVIOUS,
    SETTINGS,
    STEPS,
    Bigrams,
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
from transformer import CausalLM, TransformerConfig
from transformer.train import Trainer, TrainingConfig

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("stop", [1, 4, 9])
def test_a_training_stopped_after_any_step_resumes_to_the_same_result(kind: str, stop: int, tmp_path: Path) -> None:
    whole = new_trainer(tmp_path / "whole", **SETTINGS[kind])
    losses = losses_of(list(whole))
    begun = new_trainer(tmp_path / "parts", **SETTINGS[kind])
    for step in begun:
        if step.number == stop:
            break
    resumed = new_trainer(tmp_path / "parts", seed=99, **SETTINGS[kind])  # other weights to start from
    assert resumed.resume() == stop
    assert losses_of(list(resumed)) == losses[stop:]
    assert_same_training(resumed, whole)


def test_a_stopped_training_continues_in_the_same_trainer(tmp_path: Path) -> None:
    whole, parts = new_trainer(tmp_path / "whole"), new_trainer(tmp_path / "parts")
    list(whole)
    while not parts.finished:
        for step in parts:
            if step.number % 5 == 0:
                break
    assert_same_training(parts, whole)


CHILD = """
import os, signal, sys
from pathlib import Path
from tests.transformer.train.training import new_trainer
directory, last = Path(sys.argv[1]), int(sys.argv[2])
for step in new_trainer(directory):
    if step.number == last:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="a signal of POSIX systems")
def test_a_killed_process_resumes_to_the_same_result(tmp_path: Path) -> None:
    last = int(np.random.default_rng(os.getpid()).integers(1, STEPS))  # any step will do
    print(f"killed after step {last}")
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", CHILD, str(tmp_path / "parts"), str(last)]
    killed = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(log_lines(tmp_path / "parts")) == 1 + last  # more than the checkpoint knows of
    resumed, whole = new_trainer(tmp_path / "parts"), new_trainer(tmp_path / "whole")
    newest = last // 4 * 4
    assert resumed.resume() in {newest, max(newest - 4, 0)}  # the newest one may have been under way
    list(resumed)
    list(whole)
    assert_same_training(resumed, whole)


def test_an_interrupt_during_an_evaluation_costs_no_more_than_its_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = new_trainer(tmp_path / "whole", evaluate_every=3)
    list(whole)
    interrupted = new_trainer(tmp_path / "parts", evaluate_every=3)
    with monkeypatch.context() as patch:
        patch.setattr("transformer.train.trainer.held_out_loss", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            list(interrupted)
    resumed = new_trainer(tmp_path / "parts", evaluate_every=3)
    assert resumed.resume() == 2
    list(resumed)
    assert_same_training(resumed, whole)


def _interrupt(*args: Any) -> None:
    raise KeyboardInterrupt


class Crash(BaseException):
    """The process stops here."""


@pytest.mark.parametrize("moment", range(20))
def test_a_crash_between_any_two_files_of_a_checkpoint_does_no_harm(
    moment: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = new_trainer(tmp_path / "whole")
    list(whole)
    replace, count = os.replace, 0

    def crashing(source: str, target: str) -> None:
        nonlocal count
        if count == moment:
            raise Crash  # and so for all later ones: nothing is written any more
        count += 1
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", crashing)
        with pytest.raises(Crash):
            list(new_trainer(tmp_path / "parts"))
    # Two renames begin the log. Of the first checkpoint one decides and four carry it out; of later ones nine do.
    last = 4 * sum(moment > deciding for deciding in (2, 7, 17))
    resumed = new_trainer(tmp_path / "parts", seed=99 if last else 0)
    assert resumed.resume() == last
    list(resumed)
    assert_same_training(resumed, whole)


def test_a_line_cut_off_by_a_crash_is_cut_back(tmp_path: Path) -> None:
    whole, begun = new_trainer(tmp_path / "whole"), new_trainer(tmp_path / "parts")
    list(whole)
    steps = iter(begun)
    for _ in range(5):
        next(steps)
    steps.close()
    with open(tmp_path / "parts" / "log.jsonl", "ab") as log:
        log.write(b'{"step": 6, "los')
    resumed = new_trainer(tmp_path / "parts")
    resumed.resume()
    list(resumed)
    assert_same_training(resumed, whole)


def test_an_interrupt_within_an_update_saves_nothing_torn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, begun = new_trainer(tmp_path / "whole"), new_trainer(tmp_path / "parts")
    list(whole)
    update = type(begun.optimizer).update

    def interrupted(self: Any, *arguments: Any) -> None:
        update(self, *arguments)
        if max(map(max, self.steps)) == 7:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(type(begun.optimizer), "update", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(begun)
    with pytest.raises(RuntimeError, match="during an update of the weights; resume it"):
        list(begun)
    assert begun.resume() == 4
    list(begun)
    assert_same_training(begun, whole)


@pytest.mark.usefixtures("heeded")
def test_ctrl_c_waits_for_the_end_of_an_update(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, begun = new_trainer(tmp_path / "whole"), new_trainer(tmp_path / "parts")
    list(whole)
    update, keys = type(begun.optimizer).update, [signal.SIGINT]

    def interrupted(self: Any, *arguments: Any) -> None:
        if max(map(max, self.steps)) == 7 and keys:  # a second one would not wait
            signal.raise_signal(keys.pop())
        update(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(type(begun.optimizer), "update", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(begun)
    assert begun.steps_made == 7
    list(begun)
    assert_same_training(begun, whole)


def test_an_interrupt_within_the_forward_pass_loses_no_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, begun = new_trainer(tmp_path / "whole"), new_trainer(tmp_path / "parts")
    list(whole)
    forward, calls = Bigrams.forward, 0

    def interrupted(self: Bigrams, ids: Any) -> mg.Tensor:
        nonlocal calls
        calls += 1
        if calls == 7:
            raise KeyboardInterrupt
        return forward(self, ids)

    with monkeypatch.context() as patched:
        patched.setattr(Bigrams, "forward", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(begun)
    resumed = new_trainer(tmp_path / "parts", seed=99)
    assert resumed.resume() == 6
    list(resumed)
    assert_same_training(resumed, whole)


def test_a_directory_of_an_earlier_version_resumes_to_the_same_result(tmp_path: Path) -> None:
    whole, begun = new_trainer(tmp_path / "whole"), new_trainer(tmp_path / "parts")
    list(whole)
    steps = iter(begun)
    for _ in range(6):
        next(steps)
    steps.close()
    (tmp_path / "parts" / ".commit.json").unlink()  # which it did not write
    path = tmp_path / "parts" / "checkpoint" / "state.json"
    state = json.loads(path.read_text())
    del state["identity"]["settings"]
    path.rename(path.with_name(".pending-state.json")).write_text(json.dumps(state))
    (path.parent / ".commit").write_text("state.json")  # and was killed at the last moment of its checkpoint
    resumed = new_trainer(tmp_path / "parts", seed=99)
    assert resumed.resume() == 6
    list(resumed)
    assert_same_training(resumed, whole)
    assert sorted(found.name for found in path.parent.iterdir()) == sorted([*PARTS, *PREVIOUS])


@pytest.mark.parametrize("kind", ["best", "mean", "plain"])
def test_a_finished_training_resumed_has_its_result_and_no_more_steps(kind: str, tmp_path: Path) -> None:
    whole = new_trainer(tmp_path, **SETTINGS[kind])
    list(whole)
    again = new_trainer(tmp_path, seed=99, **SETTINGS[kind])
    assert again.resume() == whole.steps_made
    assert list(again) == []
    assert_same_training(again, whole)
    assert not again.model.training


def test_without_a_checkpoint_resuming_starts_at_the_beginning(tmp_path: Path) -> None:
    trainer = new_trainer(tmp_path / "new")
    assert trainer.resume() == 0
    assert next(iter(trainer)).number == 1


def test_a_new_training_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    list(new_trainer(tmp_path))
    steps = iter(new_trainer(tmp_path, lr=0.5))
    next(steps)
    # Killed now, the directory must not pass for the earlier training.
    assert new_trainer(tmp_path).resume() == 0
    steps.close()
    assert len(log_lines(tmp_path)) == 2


def _others() -> Iterator[tuple[str, Any]]:
    base = config(STEPS, checkpoint_every=4)
    yield "config.lr was 0.02, is 0.5", (bigrams(0.3), data(), config(STEPS, lr=0.5))
    yield "config.betas was [0.9, 0.98], is [0.9, 0.99]", (bigrams(0.3), data(), config(STEPS, betas=(0.9, 0.99)))
    yield "model.embedding.weight was float32 (11, 6), is float32 (11, 7)", (Bigrams(0.3, width=7), data(), base)
    yield "model.embedding.weight was float32 (11, 6), is float64 (11, 6)", (bigrams(0.3, dtype="f8"), data(), base)
    yield "data was", (bigrams(0.3), data(13), base)
    yield "data was", (bigrams(0.3), data(tokens=25), base)


@pytest.mark.parametrize(("message", "arguments"), list(_others()))
def test_the_checkpoint_of_another_training_is_refused_with_the_first_difference(
    message: str, arguments: tuple[Any, Any, TrainingConfig], tmp_path: Path
) -> None:
    next(iter(new_trainer(tmp_path)))
    before = weights(arguments[0])
    with pytest.raises(ValueError) as caught:
        Trainer(*arguments, directory=tmp_path).resume()
    assert f"of another training: {message}" in str(caught.value)
    assert_same_bits(weights(arguments[0]), before)


@pytest.mark.parametrize(("name", "value"), [("num_heads", 4), ("dropout", 0.5), ("activation", "gelu"), ("window", 2)])
def test_a_model_that_computes_something_else_with_the_same_weights_is_another(
    name: str, value: Any, tmp_path: Path
) -> None:
    sizes: dict[str, Any] = {"vocab_size": 11, "d_model": 16, "num_heads": 2, "d_ff": 16, "decoder_layers": 1}
    next(iter(Trainer(CausalLM(TransformerConfig(**sizes)), data(), config(STEPS), directory=tmp_path)))
    other = CausalLM(TransformerConfig(**{**sizes, name: value}))
    with pytest.raises(ValueError, match=f"of another training: model.config.{name} was .*, is {value}"):
        Trainer(other, data(), config(STEPS), directory=tmp_path).resume()


def test_the_checkpoint_interval_may_change(tmp_path: Path) -> None:
    next(iter(new_trainer(tmp_path)))
    assert Trainer(bigrams(0.3), data(), config(STEPS, checkpoint_every=1), directory=tmp_path).resume() == 1


def test_resuming_needs_a_directory() -> None:
    with pytest.raises(ValueError, match="directory: expected one to resume from"):
        new_trainer(None).resume()


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("known", [True, False], ids=["", "without its commit"])
@pytest.mark.parametrize("damage", [lambda content: content[:-9], lambda content: b"", lambda content: b"[]", None])
def test_a_damaged_checkpoint_is_refused_by_name(name: str, known: bool, damage: Any, tmp_path: Path) -> None:
    next(iter(new_trainer(tmp_path)))
    path = tmp_path / "checkpoint" / name
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage(path.read_bytes()))
    if not known:
        (tmp_path / ".commit.json").unlink()
    if name == "state.json" and damage is None and not known:
        assert new_trainer(tmp_path).resume() == 0  # as if there had never been one
        return
    with pytest.raises(ValueError, match=f"{name}: not a whole checkpoint"):
        new_trainer(tmp_path).resume()


@pytest.mark.parametrize("name", PARTS)
def test_one_flipped_bit_anywhere_in_a_checkpoint_is_refused_by_name(name: str, tmp_path: Path) -> None:
    list(new_trainer(tmp_path, **SETTINGS["best"]))
    for previous in PREVIOUS:  # which would be used instead
        (tmp_path / "checkpoint" / previous).unlink()
    path = tmp_path / "checkpoint" / name
    whole = path.read_bytes()
    for at in np.random.default_rng(0).integers(0, len(whole), 20):
        path.write_bytes(bytes([*whole[:at], whole[at] ^ (1 << at % 8), *whole[at + 1 :]]))
        with pytest.raises(ValueError, match=f"{name}: not a whole checkpoint .damaged, or changed"):
            new_trainer(tmp_path, **SETTINGS["best"]).resume()


def test_a_flipped_bit_in_the_log_is_reported(tmp_path: Path) -> None:
    list(new_trainer(tmp_path))
    path = tmp_path / "log.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"loss": 2', b'"loss": 3', 1))
    trainer = new_trainer(tmp_path)
    trainer.resume()
    with pytest.raises(ValueError, match=r"log.jsonl: damaged, or changed by another program"):
        list(trainer)


def _change(state: Any, keys: tuple[str, ...], value: Any) -> None:
    *path, last = keys
    for key in path:
        state = state[key]
    if value is None:
        del state[last]
    else:
        state[last] = value


@pytest.mark.parametrize(
    "keys",
    [
        ("position",),
        ("position", "step"),
        ("identity",),
        ("random",),
        ("random", "default"),
        ("rates",),
        ("rates", "optimizer"),
        ("rates", "optimizer", "groups"),
        ("rates", "schedule"),
        ("rates", "schedule", "base"),
    ],
)
@pytest.mark.parametrize("value", [None, 7, [], "x", {}, [[[]]], -1, True])
def test_an_invalid_state_is_one_error_even_without_a_checksum(
    keys: tuple[str, ...], value: Any, tmp_path: Path
) -> None:
    if keys == ("position", "step") and value == 7:
        return  # which it may be
    next(iter(new_trainer(tmp_path)))
    (tmp_path / ".commit.json").unlink()
    path = tmp_path / "checkpoint" / "state.json"
    state = json.loads(path.read_text())
    _change(state, keys, value)
    path.write_text(json.dumps(state))
    with pytest.raises(ValueError, match=r"not a whole checkpoint|of another training"):
        new_trainer(tmp_path).resume()


def test_deeply_nested_json_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    next(iter(new_trainer(tmp_path)))
    (tmp_path / ".commit.json").unlink()
    (tmp_path / "checkpoint" / "state.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"state.json: not a whole checkpoint .not valid JSON"):
        new_trainer(tmp_path).resume()


def test_a_second_training_is_refused_while_the_first_one_runs(tmp_path: Path) -> None:
    steps = iter(new_trainer(tmp_path))
    next(steps)
    with pytest.raises(BlockingIOError, match="another training is writing to it"):
        next(iter(new_trainer(tmp_path)))
    steps.close()
    assert next(iter(new_trainer(tmp_path))).number == 1


def test_a_log_that_is_a_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.jsonl").symlink_to(tmp_path / "mine")
    next(iter(new_trainer(tmp_path / "run")))
    assert (tmp_path / "mine").read_text() == "mine" and len(log_lines(tmp_path / "run")) == 2
    shutil.rmtree(tmp_path / "run" / "checkpoint")
    (tmp_path / "run" / "checkpoint").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="checkpoint: expected a directory, found a symbolic link"):
        next(iter(new_trainer(tmp_path / "run")))
    assert not (tmp_path / "state.json").exists()


def test_a_full_disk_loses_the_step_and_nothing_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts = new_trainer(tmp_path / "whole"), new_trainer(tmp_path / "parts")
    list(whole)
    steps = iter(parts)
    for _ in range(4):
        next(steps)
    parts.save()  # waits for the checkpoint in the background
    for _ in range(2):
        next(steps)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"No space left on device: '.*log.jsonl'"):
            list(steps)
    for again in (parts, new_trainer(tmp_path / "parts", seed=99)):  # in the same process, and in a new one
        if again is not parts:
            shutil.rmtree(tmp_path / "parts")
            shutil.copytree(tmp_path / "copy", tmp_path / "parts")
            assert again.resume() == 4
        else:
            shutil.copytree(tmp_path / "parts", tmp_path / "copy")
        list(again)
        assert_same_training(again, whole)


def test_a_lost_log_is_reported(tmp_path: Path) -> None:
    next(iter(new_trainer(tmp_path)))
    (tmp_path / "log.jsonl").unlink()
    trainer = new_trainer(tmp_path)
    trainer.resume()
    with pytest.raises(ValueError, match=r"log.jsonl: expected at least \d+ bytes, as the checkpoint says, got 0"):
        next(iter(trainer))


def test_nothing_but_json_and_safetensors_is_written(tmp_path: Path) -> None:
    list(new_trainer(tmp_path, **SETTINGS["best"]))
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".json", ".jsonl", ".safetensors"}
