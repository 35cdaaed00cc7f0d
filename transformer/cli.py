"""The ``transformer`` command."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from transformer import console, demo
from transformer.data import read_pairs, split_pairs
from transformer.draw import draw_attention
from transformer.evaluate import translate
from transformer.models import Transformer
from transformer.pretrained import from_pretrained, load_tokenizer
from transformer.task import ModelSizes, evaluate_translator, report, train_translator
from transformer.tokenizers import Tokenizer
from transformer.train import SCHEDULES, TrainingConfig

INTERRUPTED = 130  # what shells report for Ctrl-C

# Found by trying on two cores: the demo ends within four minutes of wall time, a training on one's own files of a
# hundred thousand sentences within twenty.
DEMO_SIZES = ModelSizes(d_model=128, d_ff=512, layers=2, vocab_size=2000)
DEMO_BATCH_TOKENS = 1024
DEMO_TRAINING = TrainingConfig(steps=1400, warmup=300, schedule="linear")
OWN_SIZES = ModelSizes(d_model=192, d_ff=768, layers=2, vocab_size=4000)
OWN_BATCH_TOKENS = 2048
OWN_TRAINING = TrainingConfig(steps=3000, warmup=400, schedule="linear")


class _Parser(argparse.ArgumentParser):
    """Wrong usage is one line on standard error and exit status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (try {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="transformer",
        description="Train Transformers on this machine's CPU, use them, and look inside.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="start with:  transformer demo",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    _add_demo(commands)
    _add_train(commands)
    _add_translate(commands)
    _add_evaluate(commands)
    _add_draw(commands)
    return parser


EXAMPLES = {
    "demo": "transformer demo --to fr --out demo-fr",
    "train": "transformer train translate --data pairs.tsv.gz --reverse --out my-model",
    "translate": 'transformer translate --model demo/model --num-beams 4 "May 3, 2024"',
    "evaluate": "transformer evaluate --model my-model --data pairs.tsv.gz --reverse",
    "draw": 'transformer draw --model demo/model --layer decoder.layers.0.self_attention "May 3, 2024" -o own.svg',
}


def _command(commands: Any, name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
    summary = text.split(".", maxsplit=1)[0]
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary[0].lower() + summary[1:],
        description=text,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog=f"for example:  {EXAMPLES[name]}",
    )
    parser.set_defaults(run=run)
    return parser


def _add_settings(parser: argparse.ArgumentParser, title: str, defaults: Any, texts: dict[str, str]) -> None:
    """One option for each field of a settings dataclass that has a text."""
    group = parser.add_argument_group(title)
    for field in dataclasses.fields(defaults):
        if field.name in texts:
            value = getattr(defaults, field.name)
            option = f"--{field.name.replace('_', '-')}"
            if isinstance(value, bool):
                group.add_argument(option, action="store_true", default=value, help=texts[field.name])
            else:
                metavar = "NAME" if isinstance(value, str) else "N"
                group.add_argument(option, type=type(value), default=value, metavar=metavar, help=texts[field.name])


def _settings(args: argparse.Namespace, defaults: Any) -> Any:
    """The settings dataclass with what the command line gave."""
    given = vars(args)
    return dataclasses.replace(
        defaults, **{f.name: given[f.name] for f in dataclasses.fields(defaults) if f.name in given}
    )


SIZES = {
    "d_model": "width of the model",
    "num_heads": "attention heads that share the width",
    "d_ff": "width inside the feed-forward network",
    "layers": "layers in the encoder and in the decoder",
    "dropout": "probability of dropping an element in training",
    "norm_first": "normalise before each sublayer instead of after it",
    "vocab_size": "tokens of the byte-pair encoding",
    "max_length": "tokens of the longest sentence",
}
TRAINING = {
    "steps": "updates of the parameters",
    "warmup": "steps until the learning rate's peak",
    "schedule": f"of the learning rate: {', '.join(SCHEDULES)}",
    "lr_factor": "factor on the paper's learning rate",
    "label_smoothing": "probability spread over wrong tokens",
    "clip_norm": "limit on the gradients' joint norm",
    "seed": "of everything random",
}


def _add_batch_tokens(parser: argparse.ArgumentParser, default: int) -> None:
    text = "padded tokens of a batch, on the longer side"
    parser.add_argument("--batch-tokens", type=int, default=default, metavar="N", help=text)


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
    _add_settings(parser, "model", DEMO_SIZES, SIZES)
    _add_settings(parser, "training", DEMO_TRAINING, TRAINING)
    _add_batch_tokens(parser, DEMO_BATCH_TOKENS)


def _run_demo(args: argparse.Namespace) -> None:
    training = _settings(args, DEMO_TRAINING)
    demo.run(_settings(args, demo.DemoConfig()), _settings(args, DEMO_SIZES), training, args.batch_tokens)


def _add_corpus(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        nargs="+",
        type=Path,
        required=True,
        metavar="FILE",
        help="a TSV of source<TAB>target lines (plain, .gz, or a .zip holding one), or two parallel text files",
    )
    parser.add_argument("--reverse", action="store_true", help="translate from the second column into the first")
    parser.add_argument("--held-out", type=int, default=500, metavar="N", help="pairs kept out of the training")
    parser.add_argument("--split-seed", type=int, default=0, metavar="N", help="which pairs are held out")


def _corpus(args: argparse.Namespace) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    if len(args.data) > 2:
        raise ValueError(f"--data: expected one or two files, got {len(args.data)}")
    pairs = read_pairs(*args.data, reverse=args.reverse)
    return split_pairs(pairs, held_out=args.held_out, seed=args.split_seed)


def _add_train(commands: Any) -> None:
    parser = _command(commands, "train", _run_train, "Train a model on your own files.")
    parser.add_argument("task", choices=["translate"], help="what the model shall learn")
    _add_corpus(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the model directory to write")
    _add_settings(parser, "model", OWN_SIZES, SIZES)
    _add_settings(parser, "training", OWN_TRAINING, TRAINING)
    _add_batch_tokens(parser, OWN_BATCH_TOKENS)


def _run_train(args: argparse.Namespace) -> None:
    sizes, training = _settings(args, OWN_SIZES), _settings(args, OWN_TRAINING)
    train, held_out = _corpus(args)
    trained = train_translator(train, held_out, sizes, training, args.batch_tokens, args.out)
    if held_out:
        _, score = evaluate_translator(trained.model, trained.tokenizer, held_out)
        console.out.print(f"{score.count:,} held-out pairs: {report(score)}")
    console.out.print(f"model in {args.out}")


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="a model directory")


def _translator(directory: Path) -> tuple[Transformer, Tokenizer]:
    model = from_pretrained(directory)
    if not isinstance(model, Transformer):
        raise ValueError(f"{directory}: expected a translation model, got {type(model).__name__}")
    return model, load_tokenizer(directory)


def _add_beams(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--num-beams", type=int, default=1, metavar="N", help="hypotheses to keep; 1 is greedy")
    parser.add_argument("--length-penalty", type=float, default=0.6, metavar="A", help="α that favours longer beams")


def _add_translate(commands: Any) -> None:
    text = "Translate sentences. They are arguments, or lines of standard input; translations are lines of the output."
    parser = _command(commands, "translate", _run_translate, text)
    _add_model(parser)
    parser.add_argument("sentences", nargs="*", metavar="SENTENCE", help="what to translate")
    _add_beams(parser)


def _run_translate(args: argparse.Namespace) -> None:
    model, tokenizer = _translator(args.model)
    sentences = args.sentences or [line.rstrip("\n") for line in sys.stdin]
    for translation in translate(
        model, tokenizer, sentences, num_beams=args.num_beams, length_penalty=args.length_penalty
    ):
        print(" ".join(translation.splitlines()))  # a line each, whatever an untrained model writes


def _add_evaluate(commands: Any) -> None:
    parser = _command(commands, "evaluate", _run_evaluate, "Score a translator on the held-out pairs of a corpus.")
    _add_model(parser)
    _add_corpus(parser)
    _add_beams(parser)


def _run_evaluate(args: argparse.Namespace) -> None:
    model, tokenizer = _translator(args.model)
    _, held_out = _corpus(args)
    _, score = evaluate_translator(model, tokenizer, held_out, args.num_beams, args.length_penalty)
    console.out.print(report(score))


def _add_draw(commands: Any) -> None:
    text = "Draw the attention of a translation: the computation graph of one block with each head's weights."
    parser = _command(commands, "draw", _run_draw, text)
    _add_model(parser)
    parser.add_argument("sentence", metavar="SENTENCE", help="the source")
    parser.add_argument("--target", metavar="TEXT", help="the target; the model's own translation unless given")
    parser.add_argument(
        "--layer", metavar="NAME", help="an attention layer; the decoder's last cross-attention unless given"
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("attention.svg"), metavar="FILE", help=".svg .png .pdf .dot"
    )


def _run_draw(args: argparse.Namespace) -> None:
    model, tokenizer = _translator(args.model)
    draw_attention(model, tokenizer, args.sentence, args.target, layer=args.layer).save(args.output)
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
