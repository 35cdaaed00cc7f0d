"""Tasks of a Transformer, each with data that needs no hub.

task (the base class) → corpora (data by name) → text_to_text, masked, causal, classification (the tasks) → training;
reporting has the callbacks of trainings and evaluations.
"""

from typing import Any

from transformer.tasks.causal import NEW_TOKENS, Generation, continuation
from transformer.tasks.chat import check_no_special_tokens, reply
from transformer.tasks.classification import Classification, Prediction, classify
from transformer.tasks.corpora import files_among
from transformer.tasks.fine_tuning import load_for_task, merge_adapter
from transformer.tasks.information import model_info
from transformer.tasks.masked import Candidate, Filling, fill
from transformer.tasks.reporting import Progress, Reporter, Sample
from transformer.tasks.task import (
    TASK,
    DataChoice,
    Defaults,
    Examples,
    Report,
    Task,
    digest,
    is_trusted,
    read_task,
    save_scores,
)
from transformer.tasks.text_to_text import PAPER_SEARCH, Summarization, TextToText, Translation, between_languages
from transformer.tasks.training import Settings, Trained, train

TASKS: dict[str, Task[Any]] = {
    task.name: task for task in (Translation(), Summarization(), Filling(), Generation(), Classification())
}

__all__ = [
    "NEW_TOKENS",
    "PAPER_SEARCH",
    "TASK",
    "TASKS",
    "Candidate",
    "Classification",
    "DataChoice",
    "Defaults",
    "Examples",
    "Filling",
    "Generation",
    "Prediction",
    "Progress",
    "Report",
    "Reporter",
    "Sample",
    "Settings",
    "Summarization",
    "Task",
    "TextToText",
    "Trained",
    "Translation",
    "between_languages",
    "check_no_special_tokens",
    "classify",
    "continuation",
    "digest",
    "files_among",
    "fill",
    "is_trusted",
    "load_for_task",
    "merge_adapter",
    "model_info",
    "read_task",
    "reply",
    "save_scores",
    "train",
]
