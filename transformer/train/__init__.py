"""Training of any model from batch inputs to logits, on any stream of batches.

config (settings, schedules, optimizers) → objective (the loss) → clipping, weight_selection (gradients and
weights) → log, checkpoint, tensorboard, trace (files) → trainer (the loop).
"""

from minigrad.name_hints import hint_arguments as _hint_arguments
from transformer.huggingface_names import OF_TRAINING as _OF_TRAINING
from transformer.train.config import OPTIMIZERS, SCHEDULES, TrainingConfig
from transformer.train.log import Step, read_log
from transformer.train.objective import batch_loss, held_out_loss
from transformer.train.tensorboard import TensorBoard
from transformer.train.trace import Trace, hidden_share
from transformer.train.trainer import LOG, Trainer

__all__ = [
    "LOG",
    "OPTIMIZERS",
    "SCHEDULES",
    "Step",
    "TensorBoard",
    "Trace",
    "Trainer",
    "TrainingConfig",
    "batch_loss",
    "held_out_loss",
    "hidden_share",
    "read_log",
]

for _kind in (TrainingConfig, Trainer):
    _hint_arguments(_kind, _OF_TRAINING)
