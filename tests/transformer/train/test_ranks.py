"""Trainings in several processes: the curve of one process, bit-identical repetition, checkpoints, resumption.

In double precision the curves agree to the last digits, so that nothing but the rounding of sums tells them apart.
float32 has 24 bits: sums of parts, each rounded, differ by some 1e-7. bfloat16 rounds the products' operands, which
are the same for every number of ranks as long as the weights are; a weight whose last bit differs may be rounded to
the other side, by 2⁻⁸.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.mpi import ROOT, needs_mpi, run_well
from tests.transformer.train.ranks import PARTS, RESUMED, SHARDED, STEPS
from tests.transformer.train.training import log_lines

pytestmark = [needs_mpi, pytest.mark.slow]

MODULE = "tests.transformer.train.ranks"
BOUNDS = {"double": 1e-12, "single": 1e-5, "narrow": 1e-2}  # of relative differences
ROUNDED = {"loss", "held_out_loss", "gradient_norm", "clip_factor"}
PER_PARAMETER = {"gradient_norms", "clipped_shares"}  # with 4 digits
Train = Callable[[int, str], Path]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Directory of the trainings of a part on so many ranks; one is a process without MPI."""
    folder, done = tmp_path_factory.mktemp("ranks"), set()

    def train(ranks: int, part: str) -> Path:
        if ranks not in done:
            done.add(ranks)
            if ranks == 1:
                run_alone(folder / "1", *PARTS)
            else:
                run_well(ranks, "-W", "error::RuntimeWarning", "-m", MODULE, folder / str(ranks), *PARTS)
        return folder / str(ranks) / part

    return train


def run_alone(directory: Path, *parts: str) -> None:
    command = [sys.executable, "-W", "error::RuntimeWarning", "-m", MODULE, str(directory), *parts]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def largest_difference(one: Path, other: Path) -> float:
    """Largest relative difference in two logs, which are of the same steps with the same data."""
    lines, others = log_lines(one)[1:], log_lines(other)[1:]
    assert len(lines) == len(others)
    largest = 0.0
    for line, line_of_other in zip(lines, others, strict=True):
        assert line.keys() == line_of_other.keys()
        for name in line.keys() - ROUNDED - PER_PARAMETER:
            assert line[name] == line_of_other[name], (one, name)
        for name in line.keys() & ROUNDED:
            largest = max(largest, abs(line[name] - line_of_other[name]) / abs(line[name]))
    return largest


def files(directory: Path) -> dict[str, bytes]:
    """Contents by name; but of the log, which has times, without them."""
    found = {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    timed = {name for name in found if name.endswith(("log.jsonl", ".commit.json"))}
    return {name: content for name, content in found.items() if name not in timed and "state.json" not in name}


@pytest.mark.parametrize("part", BOUNDS)
@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_the_curve_of_several_processes_is_that_of_one(
    ranks: int, part: str, trained: Train, record_property: Any
) -> None:
    one, several = trained(1, part), trained(ranks, part)
    differences = {name: largest_difference(one / name, several / name) for name in PARTS[part]}
    record_property("largest relative difference", max(differences.values()))
    assert max(differences.values()) < BOUNDS[part], differences


def test_a_training_repeats_to_the_bit(trained: Train, tmp_path: Path) -> None:
    run_well(3, "-m", MODULE, tmp_path, "single")
    for name in PARTS["single"]:
        assert log_lines(tmp_path / "single" / name) == log_lines(trained(3, "single") / name)
        assert files(tmp_path / "single" / name) == files(trained(3, "single") / name) != {}


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_checkpoints_of_sharded_optimizers_have_the_bytes_of_whole_ones(ranks: int, trained: Train) -> None:
    whole, sharded = trained(ranks, "single"), trained(ranks, "sharded")
    for name in SHARDED:
        assert log_lines(whole / name)[1:] == log_lines(sharded / name)[1:]
        assert files(whole / name) == files(sharded / name) != {}


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 4), (4, 1), (2, 2)])
def test_a_training_goes_on_with_another_number_of_ranks(
    before: int, after: int, trained: Train, tmp_path: Path
) -> None:
    for ranks, what in ((before, "begin"), (after, "go on")):
        if ranks == 1:
            run_alone(tmp_path, what)
        else:
            run_well(ranks, "-m", MODULE, tmp_path, what)
    for name in RESUMED:
        resumed, whole = tmp_path / "resumed" / name, trained(before, "single") / name
        assert len(log_lines(resumed)) == len(log_lines(whole)) <= STEPS + 1
        assert largest_difference(whole, resumed) < BOUNDS["single"]
        if before == after:
            assert log_lines(resumed)[1:] == log_lines(whole)[1:]
            newest = {n: c for n, c in files(resumed).items() if "previous" not in n}
            assert newest and newest.items() <= files(whole).items()
