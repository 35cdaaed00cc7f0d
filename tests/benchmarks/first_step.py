"""A process that makes one training step and ends: ``python -m tests.benchmarks.first_step FRAMEWORK SIZE``."""

from __future__ import annotations

import os
import sys
from importlib import import_module

from tests.benchmarks.models.gpt import SIZES


def main() -> None:
    framework, size = sys.argv[1:]
    side = import_module(f"tests.benchmarks.frameworks.{framework}_side")
    side.start(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    side.train_gpt(SIZES[size]).call()


if __name__ == "__main__":
    main()
