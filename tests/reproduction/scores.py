"""Scores of a trained model, and a table of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from sacrebleu.metrics import BLEU, CHRF

from minigrad.io import replace_file
from tests.reproduction.corpus import batches
from tests.reproduction.recipe import Recipe
from transformer import Transformer, from_pretrained
from transformer.cli import console
from transformer.data import Pair
from transformer.evaluate import transduce
from transformer.pretrained import load_tokenizer
from transformer.train import held_out_loss

DECODERS = {"greedy": 1, "beam 4": 4}  # and their beams
LENGTH_PENALTY: dict[str, Any] = {"length_penalty": 0.6, "length_penalty_form": "paper"}  # section 6.1


@dataclass(frozen=True)
class Scores:
    """Of one model, on the held-out pairs."""

    figures: Mapping[str, Any]  # "loss", of a target token in nats, unsmoothed; "decoders", each with BLEU and chrF
    signatures: Mapping[str, str]  # sacreBLEU's account of how they were computed


def evaluate(directory: Path, held_out: Sequence[Pair], recipe: Recipe) -> Scores:
    """Score a model directory, and write its translations there, a sentence a line."""
    model, tokenizer = from_pretrained(directory), load_tokenizer(directory)
    assert isinstance(model, Transformer)
    sources, references = [source for source, _ in held_out], [target for _, target in held_out]
    loss = held_out_loss(model, batches(held_out, tokenizer, recipe).epoch(0))
    metrics = {"BLEU": BLEU(), "chrF": CHRF()}
    decoders = {}
    for name, beams in DECODERS.items():
        with console.counting(f"{directory.name}, {name}", len(sources)) as advance:
            texts = transduce(model, tokenizer, sources, num_beams=beams, advance=advance, **LENGTH_PENALTY)
        found = [" ".join(text.split()) for text in texts]
        replace_file(directory / f"{name.replace(' ', '-')}.txt", "".join(f"{line}\n" for line in found).encode())
        decoders[name] = {
            metric: float(scorer.corpus_score(found, [references]).score) for metric, scorer in metrics.items()
        }
    signatures = {name: str(scorer.get_signature()) for name, scorer in metrics.items()}
    return Scores({"loss": loss, "decoders": decoders}, signatures)


def table(results: Mapping[str, Mapping[str, Any]]) -> Table:
    """The frameworks' figures side by side, a framework a row."""
    view = Table(box=None, pad_edge=False, header_style="bold")
    view.add_column("")
    titles = [f"{metric} {name}" for name in DECODERS for metric in ("BLEU", "chrF")]
    for title in (*titles, "held-out loss", "training s", "tokens/s"):
        view.add_column(title, justify="right")
    for framework, result in results.items():
        figures = [f"{value:.2f}" for scores in result["decoders"].values() for value in scores.values()]
        speed = (f"{result['seconds']:,.0f}", f"{result['tokens_per_second']:,.0f}")
        view.add_row(framework, *figures, f"{result['loss']:.4f}", *speed)
    return view
