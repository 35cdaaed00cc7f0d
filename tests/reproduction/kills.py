"""Kill campaign: trainings in several processes, killed at random instants and resumed until they are finished.

Each training starts on two to four ranks. After a random time a random process of the job (a rank, the process that
watches over one, the launcher, or its proxy) gets SIGKILL or SIGTERM; ``--resume`` goes on, with another random number
of ranks. Nothing may be lost: checkpoints are whole and never older than before, the job ends within a minute, and in
the end the curve is that of one process that nobody has killed, and the directory has the same files.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.mpi import Job, send
from transformer.train import read_log
from transformer.train.checkpoint import Checkpoint

PAIRS = [(f"{a} and {b}", f"{a} und {b}") for a in range(10) for b in range(10)]
STEPS = 200
MODEL = ("--d-model", 16, "--num-heads", 2, "--d-ff", 32, "--layers", 1, "--vocab-size", 300, "--held-out", 5)
TRAINING = ("--batch-tokens", 200, "--optimizer", "sgd", "--lr", 0.02, "--schedule", "constant", "--warmup", 20)
OFTEN = ("--evaluate-every", 40, "--average", 3, "--checkpoint-every", 3, "--accumulate", 2, "--shard-optimizer")
RANKS = (2, 3, 4)
LONGEST = 3.0  # seconds before a kill
AFTER_STEPS = 0.7  # share of the kills that come after the first steps; the others may come before
MINUTE = 60.0  # within which a job ends
BOUND = 1e-3  # of the losses' relative difference: roundings grow with the steps


@dataclass
class Tally:
    """Tally of a campaign."""

    kills: Counter[str] = field(default_factory=Counter)
    losses: list[str] = field(default_factory=list)
    trainings: int = 0
    slowest_end: float = 0.0  # seconds from a kill to the end of the job's last process
    slowest: str = ""  # that kill
    difference: float = 0.0  # of the curves, at most

    def __str__(self) -> str:
        by_kind = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kills.items()))
        return (
            f"{self.kills.total()} kills ({by_kind}) of {self.trainings} trainings, {len(self.losses)} losses; "
            f"ended within {self.slowest_end:.1f} s ({self.slowest}); "
            f"largest relative difference of a loss {self.difference:.2g}"
        )


def arguments(folder: Path, name: str, *more: object) -> list[object]:
    data = folder / "pairs.tsv"
    data.write_text("".join(f"{source}\t{target}\n" for source, target in PAIRS))
    command = ["-m", "transformer", "train", "translate", "--data", data, "--out", folder / name]
    return [*command, *MODEL, "--steps", STEPS, *TRAINING, *OFTEN, *more]


def steps_saved(directory: Path) -> int:
    """Steps in the checkpoint of a directory, which must be whole."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checkpoint = Checkpoint.load(directory)
    return 0 if checkpoint is None else checkpoint.position.step


def victim(job: Job, rng: random.Random) -> tuple[int, str]:
    """Random process of a job, and its kind."""
    pid = rng.choice([job.process.pid, *job.processes()])
    if pid == job.process.pid:
        return pid, "launcher"
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return pid, "ended process"
    return pid, "process of a rank" if b"transformer" in words else "proxy"


def logged_steps(log: Path) -> int:
    return max(log.read_bytes().count(b"\n") - 1, 0) if log.exists() else 0  # a header, and a line a step


def wait_for_steps(job: Job, log: Path) -> None:
    """Wait until a training has logged steps."""
    before = logged_steps(log)
    while job.process.poll() is None and logged_steps(log) <= before:
        time.sleep(0.01)


def killed(folder: Path, name: str, rng: random.Random, tally: Tally, longest: float) -> bool:
    """Run a training until it is finished, or killed; True if it is finished."""
    before = steps_saved(folder / name)
    resume = ["--resume"] if (folder / name / "log.jsonl").exists() else []
    ranks = rng.choice(RANKS)
    with tempfile.TemporaryFile("w+") as said, Job(ranks, *arguments(folder, name, *resume), stderr=said) as job:
        if rng.random() < AFTER_STEPS:
            wait_for_steps(job, folder / name / "log.jsonl")
        try:
            job.wait(timeout=rng.uniform(0.0, longest))
        except subprocess.TimeoutExpired:
            pid, kind = victim(job, rng)
            # MPICH's proxy does not heed SIGTERM
            number = signal.SIGKILL if kind == "proxy" else rng.choice((signal.SIGKILL, signal.SIGTERM))
            start = time.monotonic()
            send(pid, number)
            what = f"{number.name} to a {kind}"
            tally.kills[what] += 1
            if not job.all_gone(MINUTE):
                left = {pid: Path(f"/proc/{pid}/cmdline").read_bytes()[:40] for pid in job.processes()}
                tally.losses.append(f"{name}: {what} ({pid}): not ended within a minute: {left}")
            if (seconds := time.monotonic() - start) > tally.slowest_end:
                tally.slowest_end, tally.slowest = seconds, f"{what} of {ranks} ranks"
        said.seek(0)
        words = said.read()
        if job.process.poll() == 2 or "Traceback" in words:
            tally.losses.append(f"{name}: {words[-1000:]}")
            raise RuntimeError(words)
        finished = job.process.poll() == 0
    if (after := steps_saved(folder / name)) < before:
        tally.losses.append(f"{name}: step {after} after step {before}")
    return finished


def campaign(kills: int, seed: int, longest: float = LONGEST, say: Callable[[str], None] = print) -> Tally:
    """Kill trainings until so many kills are made, and the last training is finished."""
    rng, tally = random.Random(seed), Tally()
    with tempfile.TemporaryDirectory(prefix="kills-") as temporary:
        folder = Path(temporary)
        command = [sys.executable, *map(str, arguments(folder, "whole"))]
        subprocess.run(command, check=True, capture_output=True)
        whole = [step.loss for step in read_log(folder / "whole" / "log.jsonl")[1]]
        while tally.kills.total() < kills:
            tally.trainings += 1
            name = f"training-{tally.trainings}"
            while not killed(folder, name, rng, tally, longest if tally.kills.total() < kills else MINUTE * 10):
                pass
            losses = [step.loss for step in read_log(folder / name / "log.jsonl")[1]]
            differences = [abs(one - other) / other for one, other in zip(losses, whole, strict=True)]
            tally.difference = max(tally.difference, *differences)
            if max(differences) > BOUND:
                tally.losses.append(f"{name}: another curve, by {max(differences):.2g}")
            if (found := files(folder / name)) != (expected := files(folder / "whole")):
                tally.losses.append(f"{name}: other files: {sorted(found ^ expected)}")
            say("\n".join([str(tally), *tally.losses]))
            shutil.rmtree(folder / name)
    return tally


def files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--kills", type=int, default=200, metavar="N", help="kills, at least (default: 200)")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of the victims and the instants")


def main(options: argparse.Namespace) -> None:
    tally = campaign(options.kills, options.seed, say=lambda line: print(line, flush=True))
    print("\n".join([*tally.losses, str(tally)]))
    if tally.losses:
        raise SystemExit(1)
