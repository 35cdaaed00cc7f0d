"""Commands under ``mpiexec``: one voice, the scores of one process, errors, signals and deaths."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.mpi import Job, needs_mpi, needs_proc, run, run_well, send
from tests.transformer.cli.conftest import CHARACTERS, SIZES, TINY, run as run_here
from transformer.pretrained import load_both
from transformer.pretrained.snapshot import exclusive
from transformer.train import read_log
from transformer.train.checkpoint import Checkpoint

pytestmark = [needs_mpi, pytest.mark.slow]

COMMAND = ("-m", "transformer")
# Signals that the tests' own runner ignores, as programs in the background do, count again.
LISTENING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
LONG = (*TINY, "--steps", 100_000, "--checkpoint-every", 5, "--batch-tokens", 200, "--lr", 0.001, "--shard-optimizer")
BOUND = 1e-5


def losses(directory: Path) -> list[float]:
    return [step.loss for step in read_log(directory / "log.jsonl")[1]]


def steps_saved(directory: Path) -> int:
    checkpoint = Checkpoint.load(directory)
    assert checkpoint is not None
    return checkpoint.position.step


def left_over(directory: Path) -> list[str]:
    return [
        path.name for path in directory.iterdir() if path.name.startswith((".pending", "..")) or path.name == ".data"
    ]


TASKS: dict[str, tuple[str, int, tuple[Any, ...]]] = {  # corpus, number of ranks, options
    "translate": ("pairs.tsv.gz", 4, TINY),
    "fill": ("sentences.txt", 2, TINY),
    "generate": ("verse.txt", 2, CHARACTERS),
    "classify": ("reviews.tsv", 2, (*TINY, "--held-out", 8)),
}


@pytest.mark.parametrize("task", TASKS)
def test_a_training_and_its_evaluation_are_those_of_one_process(task: str, folder: Path, tmp_path: Path) -> None:
    name, ranks, options = TASKS[task]
    train = ("train", task, "--data", folder / name, *options, "--evaluate-every", 2)
    one = run_here(*train, "--out", tmp_path / "one")
    scores = run_here("evaluate", "--model", tmp_path / "one")
    out = tmp_path / "several"
    said = run_well(ranks, *COMMAND, *train, "--out", out)
    assert said.replace(str(out), str(tmp_path / "one")) == one.out  # once, with the same scores
    assert losses(out) == pytest.approx(losses(tmp_path / "one"), rel=BOUND)
    assert run_well(ranks, *COMMAND, "evaluate", "--model", tmp_path / "one") == scores.out
    assert {path.name for path in out.rglob("*")} == {path.name for path in (tmp_path / "one").rglob("*")}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "translate", "--out", "m", "--steps", "none"], "invalid int value"),
        (["train", "translate", "--out", "m", "--data", "missing.tsv"], "missing.tsv: no such file"),
        (["train", "translate", "--out", "m", "--data", "{pairs}", *SIZES, "--lr", -1], "lr: expected a positive"),
        (["evaluate", "--model", "missing"], "missing"),
        (["translate", "--model", "missing", "one"], "expected one process, got 2"),
    ],
)
def test_bad_input_is_one_line_and_status_2(words: list[Any], message: str, folder: Path, tmp_path: Path) -> None:
    words = [str(word).replace("{pairs}", str(folder / "pairs.tsv.gz")) for word in words]
    words = [str(tmp_path / "m") if word == "m" else word for word in words]
    done = run(2, *COMMAND, *words, timeout=60)
    errors = [line for line in done.err.splitlines() if "error: " in line]
    assert done.status == 2 and len(errors) == 1 and message in errors[0], done.err
    assert "Traceback" not in done.err and not done.out


def test_a_directory_in_use_is_one_line(folder: Path, tmp_path: Path) -> None:
    with exclusive(tmp_path / "m"):
        arguments = ("train", "translate", "--data", folder / "pairs.tsv.gz", "--out", tmp_path / "m", *TINY)
        done = run(2, *COMMAND, *arguments, timeout=60)
    assert done.status == 2 and done.err.count("another training is writing to it") == 1, done.err


FAILING = """
import sys
from transformer import cli
from transformer.cli import ranks
from transformer.train import Trainer, trainer
trainer.PATIENCE = ranks.PATIENCE = 1.0
step = Trainer._step
def failing(self, batches):
    if self.group.rank == {rank} and self.steps_made == 2:
        raise ValueError("flour: out of it")
    return step(self, batches)
Trainer._step = failing
sys.exit(cli.main())
"""


@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_of_one_rank_names_it_and_ends_all(rank: int, folder: Path, tmp_path: Path) -> None:
    program = FAILING.format(rank=rank)
    arguments = ("train", "translate", "--data", folder / "pairs.tsv.gz", "--out", tmp_path / "m", *TINY)
    with Job(3, "-c", program, *arguments, "--shard-optimizer") as job:
        done = job.wait(60)
        assert job.all_gone(10)
    errors = [line for line in done.err.splitlines() if "error: " in line]
    assert errors == [f"transformer train: error: rank {rank}: flour: out of it"], done.err
    assert done.status != 0


def begun(job: Job, directory: Path, steps: int = 12) -> None:
    """Wait until a training has made some steps."""
    log = directory / "log.jsonl"
    while not log.exists() or log.read_bytes().count(b"\n") <= steps:
        assert job.process.poll() is None, job.process.communicate()
        time.sleep(0.01)


def long_training(folder: Path, out: Path, *more: object) -> tuple[object, ...]:
    return (*COMMAND, "train", "translate", "--data", folder / "pairs.tsv.gz", "--out", out, *LONG, *more)


@needs_proc
@pytest.mark.parametrize("rank", [0, 1])
def test_the_death_of_a_rank_is_one_line_and_loses_no_checkpoint(rank: int, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "m"
    with Job(2, *long_training(folder, out)) as job:
        begun(job, out)
        send(job.processes(rank)[-1], signal.SIGKILL)
        done = job.wait(60)
        assert job.all_gone(10)
    deaths = [line for line in done.err.splitlines() if "was killed" in line]
    assert done.status != 0 and deaths == [f"rank {rank} was killed: SIGKILL"], done.err
    before, saved = losses(out), steps_saved(out)
    assert saved >= 5
    with Job(2, *long_training(folder, out, "--resume")) as job:
        begun(job, out, len(before) + 10)
    assert losses(out)[:saved] == before[:saved]
    assert losses(out)[: len(before)] == before  # the lost steps are made again, with the same bits
    load_both(out)


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_job_writes_a_checkpoint_first_and_is_resumed_exactly(
    number: signal.Signals, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "m"
    with Job(
        2,
        "-c",
        f"{LISTENING}; from transformer.cli import main; import sys; sys.exit(main())",
        *long_training(folder, out)[2:],
    ) as job:
        begun(job, out)
        if number == signal.SIGTERM:  # as schedulers do: to each process, which its parents have sent it, too
            while ranks := [pid for rank in (0, 1) for pid in job.processes(rank)]:
                for pid in ranks:
                    send(pid, number)
        else:
            send(job.process.pid, number)
        done = job.wait(60)
        assert job.all_gone(10)
    assert done.status != 0 and "--resume continues" in done.err, done.err
    assert steps_saved(out) == len(losses(out))  # not a step is lost
    assert left_over(out) == [".data"]  # which the resumed training opens
    before = losses(out)
    with Job(2, *long_training(folder, out, "--resume")) as job:
        begun(job, out, len(before) + 3)
    assert losses(out)[: len(before)] == before


@needs_proc
def test_sigusr1_writes_a_checkpoint_and_the_training_goes_on(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "m"
    with Job(2, *long_training(folder, out, "--checkpoint-every", 100_000)) as job:
        begun(job, out)
        assert steps_saved(out) == 1  # the first step's
        send(job.process.pid, signal.SIGUSR1)
        while (saved := steps_saved(out)) == 1:
            assert job.process.poll() is None, job.process.communicate()
        begun(job, out, saved + 5)
        assert job.process.poll() is None


def test_an_interrupt_while_the_corpus_is_read_ends_all(folder: Path, tmp_path: Path) -> None:
    program = f"""
{LISTENING}
import sys, time
from transformer import cli
from transformer.tasks import TASKS
def slow(*arguments):
    print("reading", file=sys.stderr, flush=True)
    while True: time.sleep(0.01)
type(TASKS["translate"]).read = slow
sys.exit(cli.main())
"""
    arguments = ("train", "translate", "--data", folder / "pairs.tsv.gz", "--out", tmp_path / "m", *TINY)
    with Job(2, "-c", program, *arguments) as job:
        assert job.process.stderr is not None
        assert any(line.startswith("reading\n") for line in job.process.stderr)
        send(job.process.pid, signal.SIGINT)
        done = job.wait(60)
        assert job.all_gone(10)
    assert done.status != 0 and "Traceback" not in done.err


def test_an_adapter_trained_by_ranks_is_that_of_one_process(folder: Path, writer: Path, tmp_path: Path) -> None:
    options = ("--lora", 2, "--lora-targets", "all-linear", "--steps", 4, "--warmup", 2, "--max-length", 8)
    train = ("train", "generate", "--data", folder / "verse.txt", "--from", writer, *options)
    run_here(*train, "--out", tmp_path / "one")
    run_well(2, *COMMAND, *train, "--shard-optimizer", "--out", tmp_path / "two")
    one, two = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, array in one.items():
        np.testing.assert_allclose(two[name], array, atol=BOUND)
    np.testing.assert_allclose(losses(tmp_path / "two"), losses(tmp_path / "one"), atol=BOUND)
