"""Ablations: Table 3 of "Attention Is All You Need" at a small scale.

Translators of CLDR phrases, English to German, are trained alike but for one choice each, which the paper varied too:
(A) heads at a constant width, (B) the size of the keys, (C) layers and widths, (D) dropout and label smoothing, (E)
positions that are learned; and (S) dot products that are not scaled, of which section 3.2.1 speaks. The base has a
million parameters, a sixtieth of the paper's, and each model a few minutes at most, so the figures are others; the
question is whether they go in the same direction. Few training pairs make the task hard enough for differences to show.

Differences between seeds can hide a direction. The base is trained with at least three seeds, whose spread is the
yardstick: a difference within twice its standard error is called unclear. ``--seeds 3`` makes that error smaller.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

import minigrad as mg
from minigrad.io import replace_file
from transformer.cli import console
from transformer.data import Pair, cldr
from transformer.data.batches import PairBatches
from transformer.data.tokenizer import Tokenizer
from transformer.evaluate import score, transduce
from transformer.model.config import TransformerConfig
from transformer.pretrained import Transformer
from transformer.train import Step, Trainer, TrainingConfig, held_out_loss

BASE = "base"
BASE_SEEDS = 3  # at least
ERRORS = 2.0  # standard errors that a difference must exceed to count
VOCABULARY, BATCH_TOKENS = 1000, 1024
PEAK = 3e-3  # of the learning rate
ARCHITECTURE = {"d_model": 128, "num_heads": 8, "d_ff": 512, "encoder_layers": 2, "decoder_layers": 2}
WIDTH = 150  # columns of the table


@dataclass(frozen=True)
class Row:
    """Table row: a model that differs from the base in one choice, with the paper's result."""

    group: str
    change: str
    expected: str  # of the perplexity: worse, better or alike
    paper: float | None = None  # its perplexity in the paper, where the base has 4.92; None: not in the table
    architecture: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    against: str = BASE  # the change of the row that it is compared with


ROWS = (
    Row(BASE, BASE, "alike", 4.92),
    Row("A", "1 head", "worse", 5.29, {"num_heads": 1}),
    Row("A", "2 heads", "worse", None, {"num_heads": 2}),
    Row("A", "4 heads", "worse", 5.00, {"num_heads": 4}),
    Row("A", "16 heads", "alike", 4.91, {"num_heads": 16}),
    Row("A", "32 heads", "worse", 5.01, {"num_heads": 32}),
    # The paper kept the values as wide as they were; here they shrink with the keys.
    Row("B", "d_k ÷ 4", "worse", 5.16, {"d_k": 4}),
    Row("B", "d_k ÷ 2", "worse", 5.01, {"d_k": 8}),
    Row("C", "fewer layers", "worse", 6.11, {"encoder_layers": 1, "decoder_layers": 1}),
    Row("C", "d_model ÷ 2", "worse", 5.75, {"d_model": 64}),
    Row("C", "d_model × 2", "better", 4.66, {"d_model": 256}),
    Row("C", "d_ff ÷ 2", "worse", 5.12, {"d_ff": 256}),
    Row("C", "d_ff × 2", "better", 4.75, {"d_ff": 1024}),
    Row("D", "dropout 0", "worse", 5.77, {"dropout": 0.0}),
    Row("D", "dropout 0.2", "alike", 4.95, {"dropout": 0.2}),
    Row("D", "label smoothing 0", "better", 4.67, {}, {"label_smoothing": 0.0}),
    Row("D", "label smoothing 0.2", "worse", 5.47, {}, {"label_smoothing": 0.2}),
    Row("E", "learned positions", "alike", 4.92, {"positions": "learned"}),
    Row("S", "not scaled", "worse", None, {"scale_scores": False}),
    Row("S", "1 head, not scaled", "worse", None, {"num_heads": 1, "scale_scores": False}, against="1 head"),
)


@dataclass(frozen=True)
class Corpus:
    """Corpus of all rows."""

    train: Sequence[Pair]
    held_out: Sequence[Pair]
    tokenizer: Tokenizer


@dataclass(frozen=True)
class Run:
    """Training run of a row."""

    seed: int
    parameters: int
    perplexity: float  # of a held-out token, without label smoothing
    exact_match: float  # percent of the held-out phrases
    bleu: float  # sacreBLEU
    seconds: float  # of the training's steps


Results = dict[str, list[Run]]  # the runs of each change


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    number: dict[str, Any] = {"type": int, "metavar": "N"}
    groups = sorted({row.group for row in ROWS} - {BASE})
    parser.add_argument(
        "--rows", default=",".join(groups), metavar="A,B,…", help="groups to run (default: %(default)s)"
    )
    parser.add_argument("--steps", default=500, **number, help="steps of each training (default: %(default)s)")
    parser.add_argument("--seeds", default=1, **number, help="trainings of each row (default: %(default)s)")
    parser.add_argument("--seed", default=0, **number, help="first seed (default: %(default)s)")
    parser.add_argument("--pairs", default=4000, **number, help="training phrases (default: %(default)s)")
    parser.add_argument("--held-out", default=500, **number, help="held-out phrases (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="directory for table3.json and table3.md")


def run(args: argparse.Namespace) -> None:
    """Run the study: train row after row, then print the table."""
    if args.seeds < 1:
        raise ValueError(f"seeds: expected at least 1, got {args.seeds}")
    if args.held_out < 1:
        raise ValueError(f"held_out: expected at least 1, got {args.held_out}")
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
    rows = select(args.rows.split(","))
    train, held_out = cldr.corpus("en", "de", count=args.pairs + args.held_out, held_out=args.held_out)
    corpus = Corpus(train, held_out, Tokenizer.train((text for pair in train for text in pair), VOCABULARY))
    results: Results = {}
    for row in rows:
        seeds = max(args.seeds, BASE_SEEDS) if row.change == BASE else args.seeds
        results[row.change] = [measure(row, corpus, args.steps, args.seed + number) for number in range(seeds)]
        if args.out is not None:
            write(rows, results, vars(args), args.out)
    console.out.print(as_markdown(rows, results))


def select(groups: Sequence[str]) -> list[Row]:
    """Select the rows of some groups, and those that they are compared with.

    Raises:
        ValueError: a group is unknown.
    """
    known = list(dict.fromkeys(row.group for row in ROWS))
    if unknown := [group for group in groups if group not in known]:
        raise ValueError(f"rows: expected some of {', '.join(known)}, got {unknown[0]!r}")
    needed = {BASE, *(row.against for row in ROWS if row.group in groups)}
    return [row for row in ROWS if row.group in groups or row.change in needed]


def measure(row: Row, corpus: Corpus, steps: int, seed: int) -> Run:
    """Train the model of a row, and evaluate it."""
    console.err.print(f"({row.group}) {row.change}, seed {seed}" if row.group != BASE else f"{BASE}, seed {seed}")
    tokenizer = corpus.tokenizer
    special = {"pad_id": tokenizer.pad_id, "bos_id": tokenizer.bos_id, "eos_id": tokenizer.eos_id}
    config = TransformerConfig.from_fields(
        {**ARCHITECTURE, **special, "vocab_size": tokenizer.vocab_size, "max_length": 128, **row.architecture}
    )
    # One peak for all widths: the paper's formula would give the narrow ones more.
    settings = TrainingConfig(
        **{"steps": steps, "schedule": "linear", "lr": PEAK, "warmup": max(steps // 4, 1), "seed": seed, **row.training}
    )
    mg.manual_seed(seed)
    model = Transformer(config)
    trained: list[Step] = []
    console.watch(Trainer(model, batches(corpus.train, tokenizer, seed), settings), steps, trained.append)
    loss = held_out_loss(model, batches(corpus.held_out, tokenizer, seed).epoch(0))
    with console.counting("translating", len(corpus.held_out)) as advance:
        translations = transduce(model, tokenizer, [source for source, _ in corpus.held_out], advance=advance)
    found = score(translations, [target for _, target in corpus.held_out])
    return Run(
        seed=seed,
        parameters=sum(parameter.size for parameter in model.parameters()),
        perplexity=math.exp(loss),
        exact_match=100 * found.exact_match,
        bleu=found.bleu,
        seconds=sum(step.seconds for step in trained),
    )


def batches(pairs: Sequence[Pair], tokenizer: Tokenizer, seed: int) -> PairBatches:
    """Batches of phrases, the same in the same order for all rows."""
    sources, targets = (tokenizer.encode([pair[side] for pair in pairs]) for side in (0, 1))
    encoded = list(zip(sources, targets, strict=True))
    return PairBatches(encoded, BATCH_TOKENS, tokenizer.pad_id or 0, tokenizer.bos_id or 0, seed)


def verdict(row: Row, results: Results) -> str:
    """Agreement of the perplexity's change with the paper's: yes, no, or unclear, as seeds can make of either."""
    if row.change == BASE:
        return ""
    own, other = (_log_perplexities(results[change]) for change in (row.change, row.against))
    difference = statistics.mean(own) - statistics.mean(other)
    error = spread(results) * math.sqrt(1 / len(own) + 1 / len(other))
    found = "alike" if abs(difference) <= ERRORS * error else "worse" if difference > 0 else "better"
    if found == row.expected:
        return "yes"
    return "unclear" if found == "alike" else f"no: {found}"


def spread(results: Results) -> float:
    """Spread between seeds: the standard deviation of the base's log perplexity."""
    return statistics.stdev(_log_perplexities(results[BASE]))


def _log_perplexities(runs: Sequence[Run]) -> list[float]:
    return [math.log(run.perplexity) for run in runs]


def _mean(runs: Sequence[Run], figure: str) -> float:
    return statistics.mean(getattr(run, figure) for run in runs)


def as_markdown(rows: Sequence[Row], results: Results) -> str:
    """Markdown table of the rows with results, and a legend."""
    table = Table(box=box.MARKDOWN)
    for column in ("", "change"):
        table.add_column(column)
    for column in ("parameters", "perplexity", "exact match", "BLEU", "seconds", "paper's perplexity"):
        table.add_column(column, justify="right")
    for column in ("in the paper", "here too"):
        table.add_column(column)
    for row in (row for row in rows if row.change in results):
        runs = results[row.change]
        table.add_row(
            "" if row.group == BASE else row.group,
            row.change,
            f"{runs[0].parameters:,}",
            f"{math.exp(statistics.mean(_log_perplexities(runs))):.3f}",
            f"{_mean(runs, 'exact_match'):.1f} %",
            f"{_mean(runs, 'bleu'):.1f}",
            f"{_mean(runs, 'seconds'):.0f}",
            "–" if row.paper is None else f"{row.paper:.2f}",
            "" if row.change == BASE else row.expected if row.against == BASE else f"{row.expected} than {row.against}",
            verdict(row, results),
        )
    page = Console(file=io.StringIO(), width=WIDTH)
    page.print(table)
    seeds = {len(runs) for change, runs in results.items() if change != BASE} or {len(results[BASE])}
    return (
        f"{page.file.getvalue().strip()}\n\n"  # type: ignore[attr-defined]
        "Perplexity is of a held-out token, without label smoothing; worse is higher, compared with the base unless "
        f"another row is named. The base was trained with {len(results[BASE])} seeds, whose perplexities differ by a "
        f"standard deviation of {100 * spread(results):.1f} %; the other rows with {max(seeds)}. A difference within "
        f"{ERRORS:g} standard errors counts as none: it is unclear, or alike where the paper's are alike.\n"
    )


def write(rows: Sequence[Row], results: Results, settings: Mapping[str, Any], directory: Path) -> None:
    """Write the results so far: all figures as JSON, the table as Markdown."""
    directory.mkdir(parents=True, exist_ok=True)
    options = {name: settings[name] for name in ("rows", "steps", "seeds", "seed", "pairs", "held_out")}
    runs = {change: [asdict(one) for one in found] for change, found in results.items()}
    document = {
        "options": options,
        "runs": runs,
        "verdicts": {row.change: verdict(row, results) for row in rows if row.change in runs},
    }
    replace_file(directory / "table3.json", (json.dumps(document, indent=2) + "\n").encode())
    replace_file(directory / "table3.md", as_markdown(rows, results).encode())
