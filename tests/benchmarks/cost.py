"""Model of the time of a data-parallel training step: compute, latency, bandwidth and overlap.

A process computes t tokens in ``fixed + slope t`` seconds, and shares its gradients' bytes B with the N - 1 others in m
buckets. Each bucket is 2 (N - 1) messages of a bucket's N-th part, as of
:class:`~minigrad.distributed.group.Sum`: together ``2 (N - 1) m latency + 2 (N - 1) / N B / bandwidth`` seconds. These
are hidden behind the part of the backward pass that is left when the first bucket is complete; the last bucket's, which
is complete only at the end, are not. What copies and additions take of a core is never hidden.

Source: Thakur, Rabenseifner and Gropp, "Optimization of Collective Communication Operations in MPICH", 2005, section 3,
for the costs of messages.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import least_squares

from minigrad.distributed.gradients import BUCKET_BYTES
from tests.benchmarks.distributed.workload import Workload
from tests.benchmarks.models.gpt import GPTSize
from tests.benchmarks.models.seq2seq import Seq2SeqSize

FITTED = ((1, 2), (2, 1), (4, 1))  # processes and threads of the runs that the model is fitted on


@dataclass(frozen=True)
class Network:
    """Network between processes: seconds of a message, and bytes a second."""

    latency: float
    bandwidth: float


@dataclass(frozen=True)
class Model:
    """Cost of a model: numbers of parameters, of operations for each token, and bytes of its last bucket."""

    parameters: int
    token_flops: float
    last_bytes: int

    @classmethod
    def of(cls, size: GPTSize | Seq2SeqSize) -> Model:
        """That of the benchmarks' sizes; the token embedding, which is the head as well, is complete last."""
        flops = size.step_flops if isinstance(size, GPTSize) else size.flops / len(size.lengths)
        return cls(size.parameters, flops / size.tokens, 4 * size.vocabulary * size.width)

    @property
    def bytes(self) -> int:
        """Bytes of all gradients."""
        return 4 * self.parameters


class Run(NamedTuple):
    """Measured run: its setup, and the seconds of a step and of its sums alone."""

    processes: int
    threads: int
    tokens: int  # of a whole batch
    seconds: float
    alone: float | None


@dataclass(frozen=True)
class Cost:
    """Fitted model of the cost, for processes of one thread each.

    Args:
        parameter: seconds for each parameter, of clipping and the optimizer.
        flop: seconds for each operation of the forward and backward passes.
        node: time of a process with all threads of the machine, relative to one thread's.
        copy: seconds for each byte of gradients that is copied and added.
        network: between processes.
        backward: share of the backward pass in the compute.
        overlap: share of the backward pass that is left when the first bucket is complete.
        cores: of the machine.
    """

    parameter: float
    flop: float
    node: float
    copy: float
    network: Network
    backward: float
    overlap: float
    cores: int

    def compute(self, model: Model, tokens: float) -> float:
        """Seconds of a step's compute in one thread."""
        return self.parameter * model.parameters + self.flop * model.token_flops * tokens

    def sums(self, bytes: float, ranks: int, network: Network) -> float:
        """Seconds of the sums of buckets, one after the other."""
        messages = 2 * (ranks - 1) * math.ceil(bytes / BUCKET_BYTES)
        return messages * network.latency + 2 * (ranks - 1) / ranks * bytes / network.bandwidth

    def step(
        self, model: Model, tokens: float, ranks: int, network: Network | None = None, *, load: float = 1.0
    ) -> float:
        """Seconds of a step.

        Args:
            model: of which each process has a replica.
            tokens: of the whole batch.
            ranks: number of processes.
            network: another one than the fitted.
            load: time of a process's compute, relative to that of one thread on a core of its own.
        """
        computing = load * self.compute(model, tokens / ranks)
        if ranks == 1:
            return computing
        network = network or self.network
        hiding = self.overlap * self.backward * computing
        rest = self.sums(model.bytes - model.last_bytes, ranks, network)
        exposed = self._last(model, ranks, network) + max(0.0, rest - hiding)
        return computing + self.copy * model.bytes + exposed

    def _last(self, model: Model, ranks: int, network: Network) -> float:
        messages = 2 * (ranks - 1) * network.latency
        return messages + 2 * (ranks - 1) / ranks * model.last_bytes / network.bandwidth

    def on_this_machine(self, model: Model, processes: int, threads: int, tokens: float) -> float:
        """Seconds of a step of processes that share the machine's cores."""
        crowd = max(1.0, processes * threads / self.cores)
        alone = replace(self, copy=self.copy * crowd)
        load = crowd * (self.node if threads > 1 else 1.0)
        return alone.step(model, tokens, processes, self._shared(crowd), load=load)

    def sums_on_this_machine(self, model: Model, processes: int) -> float:
        """Seconds of the sums alone, of processes that share the machine's cores."""
        crowd = max(1.0, processes / self.cores)
        return self.copy * crowd * model.bytes + self.sums(model.bytes, processes, self._shared(crowd))

    def _shared(self, crowd: float) -> Network:
        """The network between processes of which several take turns on a core."""
        return Network(self.network.latency * crowd, self.network.bandwidth / crowd)

    def efficiency(self, model: Model, tokens: float, nodes: int, network: Network, speed: float = 1.0) -> float:
        """Speed-up of nodes over one, divided by their number, for a fixed whole batch.

        Args:
            model: of which each node trains a replica with all its threads.
            tokens: of the whole batch.
            nodes: number of them.
            network: between them.
            speed: of a node, relative to this machine.
        """
        load = self.node / speed
        faster = replace(self, copy=self.copy / speed)
        whole = faster.step(model, tokens, 1, network, load=load)
        return whole / (nodes * faster.step(model, tokens, nodes, network, load=load))


def runs_of(content: Mapping[str, Any]) -> tuple[Model, list[Run], float, float]:
    """The model, our runs, and the shares of the backward pass and of its overlap, of the benchmark's JSON.

    Raises:
        ValueError: there are no runs of several processes.
    """
    found, backward, overlap = [], [], []
    for side in content["sides"]:
        if side["framework"] != "minigrad":
            continue
        model = Model.of(Workload(**side["workload"]).size)
        alone = [run["alone"] for run in side["runs"] if run["alone"]]
        backward += [run["backward"] for run in side["runs"] if run["backward"]]
        overlap += [run["overlap"] for run in side["runs"] if run["overlap"]]
        seconds = median(run["seconds"] for run in side["runs"])
        place = (side["processes"], side["threads"], side["tokens"])
        found.append(Run(*place, seconds, median(alone) if alone else None))
    if not overlap:
        raise ValueError("runs: expected some of several processes, got none")
    return model, found, median(backward), median(overlap)


def split(runs: Iterable[Run]) -> tuple[list[Run], list[Run]]:
    """Runs to fit the model on, and those to check it with: other setups, and the second largest batch.

    Raises:
        ValueError: there are less than three sizes of batches, or setups to fit on.
    """
    runs = list(runs)
    sizes = sorted({run.tokens for run in runs})
    if len(sizes) < 3 or not set(FITTED) <= {(run.processes, run.threads) for run in runs}:
        setups = ", ".join(f"{processes}x{threads}" for processes, threads in FITTED)
        raise ValueError(f"runs: expected at least three sizes of batches, and the setups {setups}")
    fitted = [run for run in runs if (run.processes, run.threads) in FITTED and run.tokens != sizes[-2]]
    return fitted, [run for run in runs if run not in fitted]


def fit(model: Model, runs: Sequence[Run], backward: float, overlap: float, cores: int) -> Cost:
    """Fit the cost on measured runs: least squares of the logarithms, so that errors count relative to the times."""

    def cost(logarithms: Any) -> Cost:
        parameter, flop, node, copy, latency, byte = np.exp(logarithms).tolist()
        return Cost(parameter, flop, node, copy, Network(latency, 1 / byte), backward, overlap, cores)

    def errors(logarithms: Any) -> list[float]:
        guess, found = cost(logarithms), []
        for run in runs:
            expected = guess.on_this_machine(model, run.processes, run.threads, run.tokens)
            found.append(math.log(expected / run.seconds))
            if run.alone is not None:
                found.append(math.log(guess.sums_on_this_machine(model, run.processes) / run.alone))
        return found

    start = np.log([1e-9, 2e-11, 0.6, 1e-10, 1e-5, 1e-9])
    return cost(least_squares(errors, start, bounds=(start - 9, start + 9), loss="soft_l1", f_scale=0.1).x)
