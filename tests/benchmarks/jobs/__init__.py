"""All benchmarks, in the order of the table, and the goals of their groups."""

from __future__ import annotations

from fnmatch import fnmatchcase

from tests.benchmarks.job import Goal, Job
from tests.benchmarks.jobs import attention, models, products, rows

JOBS: list[Job] = [*products.JOBS, *rows.JOBS, *attention.JOBS, *models.JOBS]
GOALS: dict[str, Goal] = products.GOALS | rows.GOALS | attention.GOALS | models.GOALS


def select(patterns: list[str]) -> list[Job]:
    """The jobs of these names, or all if there are none.

    A name is a group's or a job's full one, either with ``*`` and ``?`` for what may vary.

    Raises:
        ValueError: a pattern fits no job.
    """
    if not patterns:
        return JOBS
    chosen = {pattern: [job for job in JOBS if _fits(job, pattern)] for pattern in patterns}
    for pattern, jobs in chosen.items():
        if not jobs:
            raise ValueError(f"unknown benchmark {pattern!r}; --list shows all")
    wanted = {job.full_name for jobs in chosen.values() for job in jobs}
    return [job for job in JOBS if job.full_name in wanted]


def _fits(job: Job, pattern: str) -> bool:
    return fnmatchcase(job.group, pattern) or fnmatchcase(job.full_name, pattern)
