"""The command line of the reproductions."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from tests.reproduction import kills, long_run, tatoeba
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
    described = "Kill trainings in several processes at random instants, and resume them, until they are finished."
    command = results.add_parser("kills", help="trainings that are killed and lose nothing", description=described)
    kills.add_arguments(command)
    command.set_defaults(run=kills.main)
    described = "Train in several processes, and compare their memory and file descriptors early and late."
    command = results.add_parser("long-run", help="memory and files over 10,000 steps", description=described)
    long_run.add_arguments(command)
    command.set_defaults(run=long_run.main)
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
