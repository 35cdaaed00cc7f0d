"""The command line of the reproductions."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from tests.reproduction import tatoeba
from tests.reproduction.training import TrainingError


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.reproduction", description="Results that others can re-run.")
    results = parser.add_subparsers(required=True, metavar="RESULT")
    described = "Train one English–German translator by the package and by PyTorch: same data, batches, first weights, "
    described += (
        "steps and decoder. Progress on standard error; a table of BLEU, chrF, loss and time on standard output."
    )
    command = results.add_parser("tatoeba", help="a translator, beside the same in PyTorch", description=described)
    tatoeba.add_arguments(command)
    command.set_defaults(run=tatoeba.main)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the result that was asked for; returns the exit status."""
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # trainings are ended on the way out
    try:
        options.run(options)
    except (ValueError, FileNotFoundError, ModuleNotFoundError) as error:
        print(f"reproduction: {error}", file=sys.stderr)
        return 2
    except TrainingError as error:
        print(f"reproduction: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("reproduction: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
