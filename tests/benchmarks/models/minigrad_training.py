"""A training step in minigrad: forward, backward, clipping, AdamW."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import cycle, islice

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.optim import AdamW, clip_grad_norm_
from tests.benchmarks.inputs import Array
from tests.benchmarks.job import Program
from tests.benchmarks.models import gpt, settings
from tests.benchmarks.models.gpt import GPTSize


def _adamw(parameters: Iterable[Tensor]) -> AdamW:
    return AdamW(parameters, lr=settings.LR, betas=settings.BETAS, weight_decay=settings.WEIGHT_DECAY, eps=settings.EPS)


def training(model: nn.Module, losses: Sequence[Callable[[], Tensor]]) -> Program:
    """A program that makes one step for each of the losses."""
    optimizer = _adamw(model.parameters())

    def backward(loss_of: Callable[[], Tensor]) -> float:
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        return float(loss.item())

    def step(loss_of: Callable[[], Tensor]) -> float:
        loss = backward(loss_of)
        clip_grad_norm_(model.parameters(), settings.CLIP_NORM)
        optimizer.step()
        return loss

    def steps() -> list[float]:
        return [step(loss_of) for loss_of in losses]

    def results() -> dict[str, Array]:
        backward(losses[0])
        gradients = {
            f"gradient of {name}": parameter.grad.numpy().copy()
            for name, parameter in model.named_parameters()
            if parameter.grad is not None
        }
        checked = [step(loss_of) for loss_of in islice(cycle(losses), settings.CHECKED_STEPS)]
        return gradients | {"losses": np.array(checked, np.float32)}

    return Program(steps, results)


def clipped_adamw(size: GPTSize) -> Program:
    """Clipping and AdamW alone, on random gradients; a falling limit keeps clipping at work."""
    parameters = {name: nn.Parameter(array) for name, array in gpt.weights(size).items()}
    for name, gradient in gpt.gradients(size).items():
        parameters[name].grad = mg.tensor(gradient)
    optimizer = _adamw(parameters.values())
    limit = settings.CLIP_NORM

    def step() -> None:
        nonlocal limit
        clip_grad_norm_(parameters.values(), limit)
        optimizer.step()
        limit *= settings.FALLING_LIMIT

    def results() -> dict[str, Array]:
        for _ in range(settings.CHECKED_STEPS):
            step()
        return {name: parameter.detach().numpy().copy() for name, parameter in parameters.items()}

    return Program(step, results)
