"""``transformer demo``: train a translator from scratch and draw its attention."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import graphviz

from minigrad.optional_imports import require
from minigrad.viz.render import render
from transformer.cli import console
from transformer.cli.config_file import CONFIG_FILE, config_document
from transformer.cli.parser import add_command
from transformer.cli.settings import add_settings, settings_of
from transformer.plots.attention import draw_attention
from transformer.plots.loss_curve import save_loss_curve
from transformer.tasks import TASKS, DataChoice, Defaults, Settings, save_scores, train
from transformer.tasks.training import DRAWN, LOSSES, check_no_links
from transformer.train import LOG, TrainingConfig, read_log

SHOWN = 12  # held-out translations in the table
PICTURED = 36  # maximum characters of a phrase in a picture
PICTURES = ("svg", "png", "dot")


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """Demo settings: the corpus and the output directory."""

    source: str = "en"
    target: str = "de"
    count: int = 40_000  # pairs to generate
    held_out: int = 1000
    out: Path = Path("demo")
    resume: bool = False  # go on from the checkpoint in ``out``


# Found by trying: the demo ends within four minutes of wall time on two cores.
DEFAULTS = Defaults(
    data=("cldr:en-de",),
    held_out=1000,
    vocab_size=2000,
    batch_tokens=1024,
    architecture={"d_model": 128, "d_ff": 512, "encoder_layers": 2, "decoder_layers": 2},
    training=TrainingConfig(steps=1400, warmup=300, schedule="linear"),
)


def add_demo(commands: Any) -> None:
    text = (
        "Train a translator of dates, numbers, names and units on the CPU and draw its attention. Takes about four "
        "minutes on two cores. Needs no files: the phrases are translations of the Unicode CLDR."
    )
    parser = add_command(commands, "demo", _run_demo, text)
    config = DemoConfig()
    parser.add_argument(
        "--from", dest="source", default=config.source, metavar="LANG", help="language to translate (default: en)"
    )
    parser.add_argument(
        "--to", dest="target", default=config.target, metavar="LANG", help="language to translate into (default: de)"
    )
    parser.add_argument(
        "--out", type=Path, default=config.out, metavar="DIR", help="directory of the results (default: demo)"
    )
    parser.add_argument(
        "--count",
        type=int,
        default=config.count,
        metavar="N",
        help=f"phrase pairs to generate (default: {config.count})",
    )
    parser.add_argument(
        "--held-out", type=int, default=config.held_out, metavar="N", help="held-out pairs among these (default: 1000)"
    )
    parser.add_argument("--resume", action="store_true", help="resume from the checkpoint in --out")
    add_settings(parser, DEFAULTS)


def _run_demo(args: argparse.Namespace) -> None:
    config = {f.name: getattr(args, f.name) for f in dataclasses.fields(DemoConfig) if f.name in vars(args)}
    run(DemoConfig(**config), settings_of(args, DEFAULTS), args)


def run(config: DemoConfig, settings: Settings, args: argparse.Namespace) -> None:
    """Run the demo: generate the corpus, train, evaluate, write the pictures, and suggest next commands."""
    start = time.perf_counter()
    if config.held_out < 1:
        raise ValueError(f"held_out: expected at least 1, got {config.held_out}")
    require("matplotlib", "draw")  # check for missing packages before the training
    render(graphviz.Digraph(), "svg")
    config.out.mkdir(parents=True, exist_ok=True)
    check_no_links(config.out, LOSSES, *(f"attention.{suffix}" for suffix in PICTURES))
    task = TASKS["translate"]
    choice = DataChoice(data=(f"cldr:{config.source}-{config.target}:{config.count}",), held_out=config.held_out)
    trained = train(
        task,
        choice,
        settings,
        config.out / "model",
        resume=config.resume,
        overwrite=not config.resume,
        reporter=console,
        companions={CONFIG_FILE: config_document(task, args, choice, settings)},
    )
    held_out = trained.examples.held_out
    report = task.evaluate(trained.model, trained.tokenizer, held_out, {}, console.counting)
    save_scores(config.out / "model", report)
    rows = [(source, reference, text) for (source, reference), text in zip(held_out, report.texts, strict=True)]
    save_loss_curve(read_log(config.out / "model" / LOG, most=DRAWN)[1], config.out / LOSSES)
    picture = draw_attention(trained.model, trained.tokenizer, _example_for_picture(rows))
    for suffix in PICTURES:
        picture.save(config.out / f"attention.{suffix}")
    console.out.print(console.translations_table(rows[:SHOWN]))  # after all is saved, as the pipe may be closed
    console.out.print(f"\n{len(rows):,} held-out phrases, none of them in the training: {report.line}")
    console.out.print(f"{time.perf_counter() - start:.0f} seconds in all\n")
    _print_paths(config.out, rows[0][0])


def _example_for_picture(rows: list[tuple[str, str, str]]) -> str:
    """Example for the picture: the longest source among the first exact translations that fits."""
    exact = [source for source, reference, translation in rows[:100] if translation == reference]
    return max((source for source in exact if len(source) <= PICTURED), key=len, default=rows[0][0])


def _print_paths(out: Path, sentence: str) -> None:
    """Print the paths of the files, and three commands that work as printed."""
    started = Path(sys.argv[0])
    command = f"{shlex.quote(sys.executable)} -m transformer" if started.suffix == ".py" else shlex.quote(str(started))
    model, phrase = shlex.quote(str(out / "model")), shlex.quote(sentence)
    console.out.print(
        f"""model      {out / "model"}
loss       {out / LOSSES}
attention  {", ".join(str(out / f"attention.{suffix}") for suffix in PICTURES)}

next, try:
  {command} translate --model {model} {phrase}
  {command} train translate --data YOUR.tsv --out my-model
  {command} draw --model {model} --layer encoder.layers.0.self_attention {phrase} -o picture.svg"""
    )
