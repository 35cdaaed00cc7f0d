"""``python -m transformer.examples NAME``: one of the examples."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from types import ModuleType

from transformer.cli import console
from transformer.examples import (
    attention_scale,
    bad_batch,
    both_sides,
    embedding,
    heads,
    induction,
    masks,
    memory,
    modular_addition,
    order,
    path_length,
    recipe,
    residuals,
    self_and_cross,
    soft_lookup,
    sorting,
    table3,
    why_transformers,
)

INTERRUPTED = 130  # exit status of Ctrl-C in shells

# A module says what it is in its docstring, `add_arguments(parser)` its options, and `run(args)` does the work.
EXAMPLES: dict[str, ModuleType] = {
    "sorting": sorting,
    "induction": induction,
    "modular-addition": modular_addition,
    "table3": table3,
    "why-transformers": why_transformers,
    "attention-scale": attention_scale,
    "path-length": path_length,
    "soft-lookup": soft_lookup,
    "heads": heads,
    "self-and-cross": self_and_cross,
    "embedding": embedding,
    "order": order,
    "masks": masks,
    "memory": memory,
    "residuals": residuals,
    "both-sides": both_sides,
    "bad-batch": bad_batch,
    "recipe": recipe,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an example; returns its exit status: 0, 2 for bad input, 130 when interrupted."""
    console.prepare_output()
    args = _parser().parse_args(arguments)
    try:
        args.run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        console.discard_output()
        return 0
    except (ValueError, TypeError, OSError, ImportError, RuntimeError) as error:
        message = " ".join(str(error).split()) or type(error).__name__
        print(f"transformer.examples {args.example}: error: {message}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m transformer.examples", description=__doc__)
    examples = parser.add_subparsers(dest="example", required=True, metavar="NAME")
    for name, module in EXAMPLES.items():
        text = module.__doc__ or ""
        command = examples.add_parser(
            name,
            help=text.splitlines()[0],
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
