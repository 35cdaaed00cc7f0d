"""Labels of classifiers, in the settings that ``config.json`` has of them."""

from __future__ import annotations

from typing import Any

from transformer.model.config import TransformerConfig
from transformer.pretrained.huggingface.family import Setting, Settings

MOST_LABELS = 2**20


def _unnamed(settings: Settings) -> dict[str, str]:
    """Labels of a model that only says how many it has: two, if it does not even say that."""
    count = settings.get("num_labels")
    if isinstance(count, int) and count > MOST_LABELS:
        raise ValueError(f"num_labels: expected at most {MOST_LABELS:,}, got {count:,}")
    return {str(number): f"LABEL_{number}" for number in range(2 if count is None else count)}


def _labels(names: Any, settings: Settings) -> tuple[str, ...]:
    """Labels by their numbers.

    Raises:
        ValueError: numbers are missing.
    """
    by_number = {int(number) if str(number).isdecimal() else -1: label for number, label in names.items()}
    if sorted(by_number) != list(range(len(names))):
        raise ValueError(f"id2label: expected labels of 0 to {len(names) - 1}, got {', '.join(names):.200}")
    return tuple(by_number[number] for number in range(len(by_number)))


def _by_number(config: TransformerConfig) -> dict[str, str]:
    return {str(number): label for number, label in enumerate(config.labels)}


def _numbers(config: TransformerConfig) -> dict[str, int]:
    return {label: number for number, label in enumerate(config.labels)}


LABELS = (
    Setting("id2label", "labels", _unnamed, convert=_labels, revert=_by_number),
    # Others read the numbers of labels here; where the two differ, those above count, as they do there.
    Setting(
        "label2id",
        "labels",
        convert=lambda numbers, settings: _labels(settings.get("id2label") or _unnamed(settings), settings),
        revert=_numbers,
    ),
    Setting("problem_type", "problem_type"),
)


def head_dropout(theirs: str, default: float) -> Setting:
    """Setting of the dropout before the output."""
    return Setting(theirs, "head_dropout", default)
