"""The ``transformer`` command."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from transformer import console, demo
from transformer.config import PRESETS, TransformerConfig
from transformer.decode import GenerationConfig
from transformer.draw import draw_attention
from transformer.evaluate import transduce
from transformer.options import add_options, given
from transformer.pretrained import from_pretrained, load_tokenizer
from transformer.tasks import (
    PLACEHOLDER,
    TASKS,
    Candidate,
    DataChoice,
    Defaults,
    Settings,
    Task,
    continuation,
    fill,
    read_task,
    train,
)
from transformer.tasks.corpora import NAMES
from transformer.tokenizers import Tokenizer
from transformer.train import OPTIMIZERS, SCHEDULES, TrainingConfig

INTERRUPTED = 130  # what shells report for Ctrl-C

ARCHITECTURE = {
    "d_model": "width of the model",
    "num_heads": "attention heads",
    "num_kv_heads": "heads of keys and values, each shared by several of the queries' (default: as many)",
    "d_k": "width of a head (default: the model's, shared by the heads)",
    "d_ff": "width inside the feed-forward network",
    "max_length": "positions: tokens of the longest text, or of the context",
    "positions": "how tokens know where they stand",
    "norm": "kind of normalisation",
    "norm_first": "normalise before each sublayer instead of after it",
    "activation": "inside the feed-forward network",
    "bias": "of linear layers and norms",
    "window": "positions that self-attention looks back (default: all)",
    "tie": "which of the source's, target's and output's matrices are one",
    "dropout": "probability of dropping an element in training",
    "attention_dropout": "probability of dropping an attention weight",
    "layer_drop": "probability of leaving out a layer in training",
    "scale_scores": "divide attention scores by the root of the head's width",
}
TRAINING = {
    "steps": "updates of the parameters",
    "accumulate": "batches of a step, which count as one larger batch",
    "optimizer": f"one of {', '.join(OPTIMIZERS)}",
    "betas": "decay rates of Adam's means",
    "weight_decay": "of matrices",
    "schedule": f"of the learning rate: one of {', '.join(SCHEDULES)}",
    "warmup": "steps until the learning rate's peak",
    "lr": "peak of the learning rate (default: the paper's)",
    "lr_factor": "on the paper's peak",
    "final_factor": "share of the peak that linear and cosine schedules end at",
    "label_smoothing": "probability spread over wrong tokens",
    "clip_norm": "limit on the gradients' joint norm",
    "clip_value": "limit on each element of the gradients (default: none)",
    "precision": "float32 or bfloat16, of the weights as the model computes with them",
    "seed": "of everything random",
    "evaluate_every": "steps from one evaluation on held-out examples to the next",
    "patience": "evaluations without improvement before it stops early (default: never)",
    "average": "evaluations, the last ones, whose weights' mean is the result",
    "checkpoint_every": "steps from one checkpoint to the next",
}
SEARCH = {
    "num_beams": "hypotheses to keep; 1 is greedy",
    "length_penalty": "α that favours longer texts among beams",
    "length_penalty_form": "log P / length^α, or the paper's ((5 + length) / 6)^α",
    "max_new_tokens": "longest text",
    "repetition_penalty": "above 1: what was said becomes less likely",
    "no_repeat_ngram_size": "no so many tokens in a row twice; 0 is off",
}
SAMPLING = {
    "temperature": "below 1 bolder in the likely, above 1 more varied",
    "top_k": "only the k likeliest tokens",
    "top_p": "only the likeliest tokens that have this probability together",
    "min_p": "only tokens with this share of the likeliest one's probability",
    "repetition_penalty": "above 1: what was said becomes less likely",
    "no_repeat_ngram_size": "no so many tokens in a row twice; 0 is off",
    "stop_strings": "end before the first of these",
    "seed": "the same seed writes the same text (default: another one each time)",
}
PAPER_SEARCH: dict[str, Any] = {"length_penalty": 0.6, "length_penalty_form": "paper"}  # section 6.1
DEFAULT_SAMPLING: dict[str, Any] = {"temperature": 0.8, "top_k": 50}
DEFAULT_NEW_TOKENS = 200

EXAMPLES = {
    "demo": "transformer demo --to fr --out demo-fr",
    "train": "transformer train translate --data pairs.tsv.gz --reverse --out my-model",
    "translate": 'transformer translate --model demo/model --num-beams 4 "May 3, 2024"',
    "summarize": "transformer summarize --model my-model < article.txt",
    "fill": f'transformer fill --model my-model "the {PLACEHOLDER} statement"',
    "generate": 'transformer generate --model my-model --prompt "ROMEO:" --temperature 0.8',
    "evaluate": "transformer evaluate --model my-model --num-beams 4",
    "draw": 'transformer draw --model demo/model --layer decoder.layers.0.self_attention "May 3, 2024" -o own.svg',
}


class _Parser(argparse.ArgumentParser):
    """Wrong usage is one line on standard error and exit status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (try {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="transformer",
        description="Train Transformers on this machine's CPU, use them, and look inside.",
        epilog="start with:  transformer demo",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for add in (
        _add_demo,
        _add_train,
        _add_translate,
        _add_summarize,
        _add_generate,
        _add_fill,
        _add_evaluate,
        _add_draw,
    ):
        add(commands)
    return parser


def _command(commands: Any, name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
    summary = text.split(".", maxsplit=1)[0]
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary[0].lower() + summary[1:],
        description=text,
        epilog=f"for example:  {EXAMPLES[name]}",
    )
    parser.set_defaults(run=run)
    return parser


# demo


def _add_demo(commands: Any) -> None:
    text = (
        "Train a translator of dates, numbers, names and units on this CPU and picture its attention. Takes some four "
        "minutes on two cores. Needs no files: the phrases are those that the Unicode CLDR translates."
    )
    parser = _command(commands, "demo", _run_demo, text)
    config = demo.DemoConfig()
    parser.add_argument("--from", dest="source", default=config.source, metavar="LANG", help="language to translate")
    parser.add_argument("--to", dest="target", default=config.target, metavar="LANG", help="language to translate into")
    parser.add_argument("--out", type=Path, default=config.out, metavar="DIR", help="where the results go")
    parser.add_argument("--count", type=int, default=config.count, metavar="N", help="phrase pairs to generate")
    parser.add_argument("--held-out", type=int, default=config.held_out, metavar="N", help="pairs kept for the test")
    _add_settings(parser, demo.DEFAULTS)


def _run_demo(args: argparse.Namespace) -> None:
    config = {f.name: getattr(args, f.name) for f in dataclasses.fields(demo.DemoConfig) if f.name in vars(args)}
    demo.run(demo.DemoConfig(**config), _settings(args, demo.DEFAULTS))


# train


def _add_settings(parser: argparse.ArgumentParser, defaults: Defaults) -> None:
    group = parser.add_argument_group("model")
    group.add_argument("--preset", choices=list(PRESETS), help="begin with the architecture of this name")
    layers = max(defaults.architecture.get(name, 0) for name in ("encoder_layers", "decoder_layers"))
    group.add_argument("--layers", type=int, metavar="N", help=f"in each stack (default: {layers})")
    vocabulary = "tokens of the byte-pair encoding" if defaults.vocab_size else "0: a token for each character"
    group.add_argument(
        "--vocab-size",
        type=int,
        default=defaults.vocab_size,
        metavar="N",
        help=f"{vocabulary} (default: {defaults.vocab_size})",
    )
    add_options(parser, "architecture", TransformerConfig, ARCHITECTURE, defaults.architecture)
    add_options(parser, "training", TrainingConfig, TRAINING, dataclasses.asdict(defaults.training))
    parser.add_argument(
        "--batch-tokens",
        type=int,
        default=defaults.batch_tokens,
        metavar="N",
        help=f"padded tokens of a batch (default: {defaults.batch_tokens})",
    )


def _settings(args: argparse.Namespace, defaults: Defaults) -> Settings:
    architecture = dict(PRESETS[args.preset] if args.preset else defaults.architecture)
    architecture.pop("vocab_size", None)
    if args.layers is not None:
        stacks = [name for name in ("encoder_layers", "decoder_layers") if architecture.get(name, 1)]
        architecture |= dict.fromkeys(stacks, args.layers)
    return Settings(
        architecture={**architecture, **given(args, ARCHITECTURE)},
        vocab_size=args.vocab_size,
        batch_tokens=args.batch_tokens,
        training=dataclasses.replace(defaults.training, **given(args, TRAINING)),
    )


def _add_data(parser: argparse.ArgumentParser, unit: str, data: Sequence[str] | None, held_out: int | None) -> None:
    """Which examples; None where the model's own training says."""
    otherwise = "as in the model's training"
    shown = "" if data == () else f" (default: {otherwise if data is None else ' '.join(data)})"
    parser.add_argument(
        "--data",
        nargs="+",
        required=data == (),
        default=data or None,
        metavar="FILE",
        help=f"files (plain, .gz, or a .zip holding one), or a corpus by name: {NAMES}{shown}",
    )
    parser.add_argument(
        "--held-out",
        type=int,
        default=held_out,
        metavar="N",
        help=f"{unit} kept out of the training (default: {otherwise if held_out is None else held_out})",
    )
    parser.add_argument("--reverse", action="store_true", default=None, help="swap the two sides of pairs")
    parser.add_argument("--split-seed", type=int, metavar="N", help="which examples are held out")
    parser.add_argument("--skip-bad", action="store_true", default=None, help="leave bad lines out, and say how many")


def _choice(args: argparse.Namespace, before: DataChoice | None = None) -> DataChoice:
    names = [field.name for field in dataclasses.fields(DataChoice)]
    values = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if "data" in values:
        values["data"] = tuple(values["data"])
    return dataclasses.replace(before, **values) if before else DataChoice(**values)


def _add_train(commands: Any) -> None:
    text = "Train a model. It is written to a directory, with a log of each step and checkpoints to resume from."
    parser = _command(commands, "train", _run_train, text)
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK", parser_class=_Parser)
    for task in TASKS.values():
        one = tasks.add_parser(task.name, help=task.aim.lower(), description=f"{task.aim}: train a model to.")
        one.add_argument("--out", type=Path, required=True, metavar="DIR", help="the model directory to write")
        one.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
        one.add_argument("--overwrite", action="store_true", help="begin anew where there is a model in --out")
        one.add_argument("--tensorboard", type=Path, metavar="DIR", help="write TensorBoard's event files there, too")
        _add_data(one, task.held_out_unit, task.defaults.data, task.defaults.held_out)
        _add_settings(one, task.defaults)


def _run_train(args: argparse.Namespace) -> None:
    task = TASKS[args.task]
    choice, settings = _choice(args), _settings(args, task.defaults)
    examples = task.read(choice)
    trained = train(
        task,
        examples,
        choice,
        settings,
        args.out,
        resume=args.resume,
        overwrite=args.overwrite,
        tensorboard=args.tensorboard,
    )
    if examples.held_out:
        report = task.evaluate(trained.model, trained.tokenizer, examples.held_out, {})
        console.out.print(f"held out: {report.line}")
    console.out.print(f"model in {args.out}")


# Using a model


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="a model directory")


def _load(directory: Path, task: Task[Any]) -> tuple[Any, Tokenizer]:
    model = from_pretrained(directory)
    if not isinstance(model, task.model):
        raise ValueError(
            f"{directory}: expected a {task.model.__name__} to {task.name} with, got a {type(model).__name__}"
        )
    return model, load_tokenizer(directory)


def _add_writer(commands: Any, name: str, text: str, what: str) -> argparse.ArgumentParser:
    parser = _command(commands, name, _run_writer, text)
    _add_model(parser)
    parser.add_argument("texts", nargs="*", metavar="TEXT", help=what)
    add_options(parser, "search", GenerationConfig, SEARCH, PAPER_SEARCH)
    return parser


def _add_translate(commands: Any) -> None:
    text = "Translate sentences. They are arguments, or lines of standard input; translations are lines of the output."
    _add_writer(commands, "translate", text, "a sentence")


def _add_summarize(commands: Any) -> None:
    text = "Summarize texts. They are arguments, or standard input as one text; summaries are lines of the output."
    _add_writer(commands, "summarize", text, "a text")


def _run_writer(args: argparse.Namespace) -> None:
    model, tokenizer = _load(args.model, TASKS[args.command])
    if args.command == "translate":
        sources = args.texts or [line.rstrip("\n") for line in sys.stdin]
    else:
        sources = [" ".join(text.split()) for text in args.texts or [sys.stdin.read()]]
    if not all(source.strip() for source in sources) or not sources:
        raise ValueError("texts: expected some text, got an empty one")
    cut = args.command == "summarize"
    for target in transduce(model, tokenizer, sources, cut=cut, **PAPER_SEARCH | given(args, SEARCH)):
        print(" ".join(target.splitlines()))  # a line each, whatever an untrained model writes


def _add_generate(commands: Any) -> None:
    text = "Go on with a text. It appears as it is written."
    parser = _command(commands, "generate", _run_generate, text)
    _add_model(parser)
    parser.add_argument("--prompt", default="\n", metavar="TEXT", help="what to go on with (default: a line's end)")
    parser.add_argument(
        "--max-new-tokens",
        type=int,
        default=DEFAULT_NEW_TOKENS,
        metavar="N",
        help=f"longest text, which may go beyond the model's context (default: {DEFAULT_NEW_TOKENS})",
    )
    parser.add_argument("--greedy", action="store_true", help="always the likeliest token")
    add_options(parser, "sampling", GenerationConfig, SAMPLING, DEFAULT_SAMPLING)


def _run_generate(args: argparse.Namespace) -> None:
    model, tokenizer = _load(args.model, TASKS["generate"])
    if args.max_new_tokens < 1:
        raise ValueError(f"max_new_tokens: expected at least 1, got {args.max_new_tokens}")
    choices = given(args, SAMPLING)
    if not args.greedy:
        choices = {"do_sample": True, **DEFAULT_SAMPLING, **choices}
    pieces = continuation(model, tokenizer, args.prompt, args.max_new_tokens, **choices)
    _print_pieces([args.prompt], pieces)


def _print_pieces(*parts: Iterable[str]) -> None:
    for pieces in parts:
        for piece in pieces:
            print(piece, end="", flush=True)
    print()


def _add_fill(commands: Any) -> None:
    text = f"Fill in missing words. Each {PLACEHOLDER} of a text gets its likeliest tokens, with their probabilities."
    parser = _command(commands, "fill", _run_fill, text)
    _add_model(parser)
    parser.add_argument("text", metavar="TEXT", help=f"a text with {PLACEHOLDER} in it")
    parser.add_argument("--count", type=int, default=5, metavar="N", help="candidates to list (default: 5)")


def _run_fill(args: argparse.Namespace) -> None:
    model, tokenizer = _load(args.model, TASKS["fill"])
    for number, candidates in enumerate(fill(model, tokenizer, args.text, args.count)):
        if number:
            print()
        _print_candidates(args.text, number, candidates)


def _print_candidates(text: str, number: int, candidates: list[Candidate]) -> None:
    parts = text.split(PLACEHOLDER)
    before, after = PLACEHOLDER.join(parts[: number + 1]), PLACEHOLDER.join(parts[number + 1 :])
    for candidate in candidates:
        print(f"{candidate.probability:6.1%}  {before}{candidate.text.strip() or candidate.text!r}{after}")


def _add_evaluate(commands: Any) -> None:
    text = "Score a model on held-out examples. Which these are, the directory of a model trained here says."
    parser = _command(commands, "evaluate", _run_evaluate, text)
    _add_model(parser)
    parser.add_argument("--task", choices=list(TASKS), help="what it is to do (default: what it was trained for)")
    _add_data(parser, "examples", None, None)
    add_options(parser, "search", GenerationConfig, SEARCH, {})


def _run_evaluate(args: argparse.Namespace) -> None:
    if args.task is not None and args.data is not None and args.held_out is not None:
        task, choice = TASKS[args.task], _choice(args)
    else:
        name, before = read_task(args.model)
        task, choice = TASKS[args.task or name], _choice(args, before)
    model, tokenizer = _load(args.model, task)
    examples = task.read(choice)
    for note in examples.notes:
        console.err.print(note)
    if not examples.held_out:
        raise ValueError("held_out: expected at least 1, got 0")
    console.out.print(task.evaluate(model, tokenizer, examples.held_out, given(args, SEARCH)).line)


def _add_draw(commands: Any) -> None:
    text = "Draw the attention of a text: the computation graph of one block with each head's weights."
    parser = _command(commands, "draw", _run_draw, text)
    _add_model(parser)
    parser.add_argument("text", metavar="TEXT", help="what the model reads")
    parser.add_argument("--target", metavar="TEXT", help="its translation; the model's own unless given")
    parser.add_argument("--layer", metavar="NAME", help="an attention layer; the last one unless given")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("attention.svg"), metavar="FILE", help=".svg .png .pdf .dot"
    )


def _run_draw(args: argparse.Namespace) -> None:
    model, tokenizer = from_pretrained(args.model), load_tokenizer(args.model)
    draw_attention(model, tokenizer, args.text, args.target, layer=args.layer).save(args.output)
    console.out.print(f"wrote {args.output}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, 2 for bad input, 130 when interrupted."""
    args = _parser().parse_args(arguments)
    try:
        args.run(args)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone; there is nobody to tell
        return 0
    except (ValueError, TypeError, IndexError, OSError, ImportError, RuntimeError) as error:
        message = " ".join(str(error).split()) or type(error).__name__
        print(f"transformer {args.command}: error: {message}", file=sys.stderr)
        return 2
    return 0
