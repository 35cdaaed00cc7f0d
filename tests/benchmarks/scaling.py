"""Simulated scaling to many machines: ``python -m tests.benchmarks.scaling --runs FILE``.

The cost of a step is fitted on measured runs, those that ``python -m tests.benchmarks.distributed --tokens 1024 2048
4096 --json FILE`` saves, checked against runs that it was not fitted on, and asked about other models and networks.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.cost import Cost, Model, Network, Run, fit, runs_of, split
from tests.benchmarks.models.gpt import GPTSize
from tests.benchmarks.models.seq2seq import Seq2SeqSize
from tests.benchmarks.report import duration
from tests.benchmarks.roofline import check_plot
from transformer.plots.style import new_figure, save_figure, tidy

# Networks, assumed: latencies of messages over Ethernet, and over one that bypasses the kernel.
PAYLOAD = 0.9 / 8  # bytes of content for each bit of the line
NETWORKS = {
    "1 Gbit/s": Network(50e-6, 1e9 * PAYLOAD),
    "10 Gbit/s": Network(30e-6, 10e9 * PAYLOAD),
    "100 Gbit/s": Network(5e-6, 100e9 * PAYLOAD),
}
PAYS = 0.5  # efficiency
SPEEDS = (1.0, 16.0)  # of a node, relative to the machine of the runs: one of 32 cores, if that has two


@dataclass(frozen=True)
class Case:
    """A model, the tokens of a whole batch, and its rows, of which each node takes one at least."""

    model: Model
    tokens: int
    rows: int


# GPT-2's sizes with a batch of half a million tokens (Brown et al., "Language Models are Few-Shot Learners", 2020,
# table 2.1), and the translator of "Attention Is All You Need" with the batch of section 5.1.
CASES = {
    "GPT small": Case(Model.of(GPTSize(512, 1024, 12, 12, 768, 50257)), 512 * 1024, 512),
    "GPT medium": Case(Model.of(GPTSize(512, 1024, 24, 16, 1024, 50257)), 512 * 1024, 512),
    "base translator": Case(Model.of(Seq2SeqSize(6, 8, 512, 37000, 25_000, (32,))), 25_000, 25_000 // 32),
}


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.scaling",
        description="How many machines pay: simulated, by a model of the cost that is fitted on measured runs.",
    )
    text = "JSON of python -m tests.benchmarks.distributed, with three sizes of batches or more"
    parser.add_argument("--runs", type=Path, required=True, metavar="PATH", help=text)
    parser.add_argument("--plot", type=Path, metavar="PATH", help="draw the efficiency: .svg, .png or .pdf")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit, check and predict."""
    options = parser().parse_args(arguments)
    try:
        if options.plot is not None:
            check_plot(options.plot)
        content = json.loads(options.runs.read_text())
        model, runs, backward, overlap = runs_of(content)
        fitted, checked = split(runs)
    except (OSError, ValueError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    cost = fit(model, fitted, backward, overlap, content["machine"]["cores"])
    show(cost, model, fitted, checked, Console(highlight=False, width=None if sys.stdout.isatty() else 160))
    if options.plot is not None:
        save_plot(cost, options.plot)
    return 0


def most_nodes(cost: Cost, case: Case, network: Network, speed: float) -> int:
    """The most nodes that pay, as all fewer ones do; at most one for each row."""
    nodes = 1
    while nodes < case.rows and cost.efficiency(case.model, case.tokens, nodes + 1, network, speed) >= PAYS:
        nodes += 1
    return nodes


def show(cost: Cost, model: Model, fitted: Sequence[Run], checked: Sequence[Run], console: Console) -> None:
    """Print the fit, the check and the predictions."""
    console.print(
        f"fitted: {1 / cost.flop / 1e9:.1f} GFLOP/s a thread, {1 / cost.flop / cost.node / 1e9:.1f} with all threads; "
        f"clipping and update {duration(cost.parameter * 1e6)} for a million parameters; copies "
        f"{1 / cost.copy / 1e9:.2f} GB/s; messages {duration(cost.network.latency)} and "
        f"{cost.network.bandwidth / 1e9:.2f} GB/s; backward pass {cost.backward:.0%} of a step, "
        f"{cost.overlap:.0%} of it after the first bucket"
    )
    table = _table("runs", "processes × threads", "tokens", "measured", "predicted", "error")
    for kind, runs in (("fitted", fitted), ("checked", checked)):
        for run in runs:
            expected = cost.on_this_machine(model, run.processes, run.threads, run.tokens)
            setup = f"{run.processes} × {run.threads}"
            figures = (duration(run.seconds), duration(expected), f"{expected / run.seconds - 1:+.0%}")
            table.add_row(kind, setup, f"{run.tokens:,}", *figures)
    console.print(table)
    errors = [abs(cost.on_this_machine(model, *run[:3]) / run.seconds - 1) for run in checked]
    console.print(f"mean error of the checked runs {sum(errors) / len(errors):.0%}, largest {max(errors):.0%}\n")
    console.print(f"Simulated: nodes that pay, with an efficiency of {PAYS:.0%} at least, for a fixed whole batch")
    table = _table("model", "tokens of a batch", "node", "network", "nodes that pay", "speed-up", "efficiency of 8")
    for name, case, speed, network, nodes in _predictions(cost):
        of_most, of_eight = (cost.efficiency(case.model, case.tokens, n, NETWORKS[network], speed) for n in (nodes, 8))
        count = f"{'all ' if nodes == case.rows else ''}{nodes}"
        figures = (count, f"{nodes * of_most:.1f}", f"{of_eight:.0%}")
        table.add_row(name, f"{case.tokens:,}", f"× {speed:.0f}", network, *figures)
    console.print(table)


def _predictions(cost: Cost) -> Iterator[tuple[str, Case, float, str, int]]:
    for name, case in CASES.items():
        for speed in SPEEDS:
            for network in NETWORKS:
                yield name, case, speed, network, most_nodes(cost, case, NETWORKS[network], speed)


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, justify="left" if title in ("runs", "model", "network") else "right", no_wrap=True)
    return table


def save_plot(cost: Cost, path: Path) -> None:
    """Draw the efficiency against the number of nodes, in the format that the path's suffix names."""
    figure = new_figure(11, 4)
    plots: Any = figure.subplots(1, len(CASES), sharey=True)
    for axes, (name, case) in zip(plots, CASES.items(), strict=True):
        nodes = [2**power for power in range(case.rows.bit_length())]
        for network, colour in zip(NETWORKS, ("#d9480f", "#0b7285", "#2b8a3e"), strict=True):
            for speed, line in zip(SPEEDS, ("--", "-"), strict=True):
                reached = [cost.efficiency(case.model, case.tokens, n, NETWORKS[network], speed) for n in nodes]
                label = f"{network}, node × {speed:.0f}"
                axes.plot(nodes, reached, line, color=colour, linewidth=1.5, label=label)
        axes.axhline(PAYS, color="black", linewidth=0.8, alpha=0.5)
        axes.set_xscale("log", base=2)
        axes.set(title=f"{name}, {case.tokens:,} tokens a step", xlabel="nodes", ylim=(0, 1.05))
        axes.set_xticks(nodes[::2], [str(n) for n in nodes[::2]])
        tidy(axes)
    plots[0].set_ylabel("efficiency (simulated)")
    plots[0].legend(frameon=False, fontsize=8, loc="lower left")
    save_figure(figure, path)


if __name__ == "__main__":
    sys.exit(main())
