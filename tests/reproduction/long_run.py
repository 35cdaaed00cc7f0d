"""Long run: memory and file descriptors of every process of a training in several, over thousands of steps."""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.mpi import Job
from tests.reproduction.kills import MODEL, PAIRS, logged_steps

SECONDS = 1.0  # between two samples
WARM_UP = 0.2  # share of the steps
COMPARED = 10  # samples after the warm-up, and at the end
MORE_MEMORY, MORE_FILES = 4 << 20, 2  # at the end than after the warm-up, at most


class Sample(NamedTuple):
    """Sample of one process."""

    step: int
    memory: int  # bytes
    files: int  # descriptors


def sample(pid: int, step: int) -> Sample | None:
    """Sample of a process; None if it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return Sample(step, pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(f"/proc/{pid}/fd")))
    except OSError:
        return None


def long_run(ranks: int, steps: int) -> dict[int, list[Sample]]:
    """Train, and sample the last process of each rank, which is the one that trains."""
    samples: dict[int, list[Sample]] = {rank: [] for rank in range(ranks)}
    with tempfile.TemporaryDirectory(prefix="long-run-") as temporary, tempfile.TemporaryFile("w+") as said:
        folder = Path(temporary)
        (folder / "pairs.tsv").write_text("".join(f"{source}\t{target}\n" for source, target in PAIRS))
        often = ("--checkpoint-every", 50, "--evaluate-every", max(steps // 100, 1), "--average", 10)
        more = (*often, "--accumulate", 2, "--shard-optimizer", "--batch-tokens", 200, "--steps", steps)
        command = ("-m", "transformer", "train", "translate", "--data", folder / "pairs.tsv", "--out", folder / "model")
        with Job(ranks, *command, *MODEL, *more, stdout=subprocess.DEVNULL, stderr=said) as job:
            while job.process.poll() is None:
                step = logged_steps(folder / "model" / "log.jsonl")
                for rank, found in samples.items():
                    if step and (one := sample(job.processes(rank)[-1:][0], step)) is not None:
                        found.append(one)
                try:
                    job.process.wait(SECONDS)
                except subprocess.TimeoutExpired:
                    continue
            said.seek(0)
            if job.process.returncode:
                raise RuntimeError(f"the training has failed: {said.read()[-2000:]}")
        if (found_steps := logged_steps(folder / "model" / "log.jsonl")) != steps:
            raise RuntimeError(f"expected {steps} steps in the log, got {found_steps}")
    return samples


def is_flat(samples: list[Sample], steps: int, say: Callable[[str], None] = print) -> bool:
    """Compare medians after the warm-up and at the end of the training; the pictures after it take memory once."""
    trained = [one for one in samples if WARM_UP * steps <= one.step < steps]
    first, last = trained[:COMPARED], trained[-COMPARED:]
    memory = [median(one.memory for one in part) for part in (first, last)]
    files = [median(one.files for one in part) for part in (first, last)]
    say(
        f"{len(trained)} samples, steps {trained[0].step:,} to {trained[-1].step:,}: memory {memory[0] / 2**20:.1f} → "
        f"{memory[1] / 2**20:.1f} MiB (at most {max(one.memory for one in trained) / 2**20:.1f}), file descriptors "
        f"{files[0]:.0f} → {files[1]:.0f} (at most {max(one.files for one in trained)})"
    )
    return memory[1] <= memory[0] + MORE_MEMORY and files[1] <= files[0] + MORE_FILES


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--ranks", type=int, default=2, metavar="N", help="processes (default: 2)")
    command.add_argument("--steps", type=int, default=10_000, metavar="N", help="steps (default: 10000)")


def main(options: argparse.Namespace) -> None:
    flat = True
    for rank, samples in long_run(options.ranks, options.steps).items():
        flat &= is_flat(samples, options.steps, lambda line, rank=rank: print(f"rank {rank}: {line}"))  # type: ignore[misc]
    if not flat:
        raise SystemExit("memory or file descriptors have grown")
