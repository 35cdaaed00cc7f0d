"""Layers: outputs, parameters, state and repr."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn import functional as F

IMAGES = np.random.default_rng(0).standard_normal((2, 4, 6, 5)).astype(np.float32)
SERIES, VOLUMES = IMAGES[..., 0], IMAGES[..., None]

# Each layer, an input, the function it stands for, and how it shows itself
LAYERS: list[tuple[nn.Module, np.ndarray, Callable[..., Any], str]] = [
    (
        nn.Conv1d(4, 6, 3, 2, padding=1, groups=2),
        SERIES,
        lambda m, x: F.conv1d(x, m.weight, m.bias, 2, 1, 1, 2),
        "Conv1d(4, 6, kernel_size=(3,), stride=(2,), padding=(1,), groups=2)",
    ),
    (
        nn.Conv2d(4, 3, (3, 2), padding="same", dilation=2, bias=False),
        IMAGES,
        lambda m, x: F.conv2d(x, m.weight, None, 1, "same", 2),
        "Conv2d(4, 3, kernel_size=(3, 2), stride=(1, 1), padding=same, dilation=(2, 2), bias=False)",
    ),
    (
        nn.Conv3d(4, 2, (2, 2, 1)),
        VOLUMES,
        lambda m, x: F.conv3d(x, m.weight, m.bias),
        "Conv3d(4, 2, kernel_size=(2, 2, 1), stride=(1, 1, 1))",
    ),
    (
        nn.ConvTranspose1d(4, 6, 3, 2),
        SERIES,
        lambda m, x: F.conv_transpose1d(x, m.weight, m.bias, 2),
        "ConvTranspose1d(4, 6, kernel_size=(3,), stride=(2,))",
    ),
    (
        nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
        IMAGES,
        lambda m, x: F.conv_transpose2d(x, m.weight, m.bias, 2, 1, 1, 2),
        "ConvTranspose2d(4, 6, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), output_padding=(1, 1), groups=2)",
    ),
    (
        nn.ConvTranspose3d(4, 2, 2),
        VOLUMES,
        lambda m, x: F.conv_transpose3d(x, m.weight, m.bias),
        "ConvTranspose3d(4, 2, kernel_size=(2, 2, 2), stride=(1, 1, 1))",
    ),
    (
        nn.MaxPool2d(3, 2, padding=1),
        IMAGES,
        lambda m, x: F.max_pool2d(x, 3, 2, 1),
        "MaxPool2d(kernel_size=3, stride=2, padding=1, dilation=1, ceil_mode=False)",
    ),
    (
        nn.AvgPool2d((2, 1)),
        IMAGES,
        lambda m, x: F.avg_pool2d(x, (2, 1)),
        "AvgPool2d(kernel_size=(2, 1), stride=(2, 1), padding=0)",
    ),
    (
        nn.MaxPool1d(2),
        SERIES,
        lambda m, x: F.max_pool1d(x, 2),
        "MaxPool1d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)",
    ),
    (
        nn.LayerNorm((6, 5)),
        IMAGES,
        lambda m, x: F.layer_norm(x, (6, 5), m.weight, m.bias),
        "LayerNorm((6, 5), eps=1e-05, elementwise_affine=True)",
    ),
    (
        nn.RMSNorm(5, elementwise_affine=False),
        IMAGES,
        lambda m, x: F.rms_norm(x, 5),
        "RMSNorm((5,), eps=None, elementwise_affine=False)",
    ),
    (
        nn.GroupNorm(2, 4),
        IMAGES,
        lambda m, x: F.group_norm(x, 2, m.weight, m.bias),
        "GroupNorm(2, 4, eps=1e-05, affine=True)",
    ),
    (
        nn.BatchNorm2d(4),
        IMAGES,
        lambda m, x: F.batch_norm(x, None, None, m.weight, m.bias, training=True),
        "BatchNorm2d(4, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)",
    ),
    (nn.ReLU(), IMAGES, lambda m, x: F.relu(x), "ReLU()"),
    (nn.GELU("tanh"), IMAGES, lambda m, x: F.gelu(x, "tanh"), "GELU(approximate='tanh')"),
    (nn.SiLU(), IMAGES, lambda m, x: F.silu(x), "SiLU()"),
    (nn.Tanh(), IMAGES, lambda m, x: F.tanh(x), "Tanh()"),
    (nn.Sigmoid(), IMAGES, lambda m, x: F.sigmoid(x), "Sigmoid()"),
    (nn.Softmax(1), IMAGES, lambda m, x: F.softmax(x, 1), "Softmax(axis=1)"),
    (nn.Dropout(0.0), IMAGES, lambda m, x: x, "Dropout(p=0.0)"),
]


@pytest.mark.parametrize(("layer", "x", "function", "shown"), LAYERS, ids=lambda value: type(value).__name__)
def test_a_layer_is_its_function_shows_its_settings_and_trains(
    layer: nn.Module, x: np.ndarray, function: Callable[..., Any], shown: str
) -> None:
    out = layer(mg.asarray(x))
    np.testing.assert_array_equal(out.detach().numpy(), mg.asarray(function(layer, mg.asarray(x))).detach().numpy())
    assert repr(layer) == shown
    if list(layer.parameters()):
        out.sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())


def test_convolutions_start_on_the_interval_that_pytorch_draws_from() -> None:
    for layer, fan_in in ((nn.Conv2d(8, 32, 3, groups=2), 4 * 9), (nn.ConvTranspose2d(32, 8, 3), 8 * 9)):
        bound = 1 / math.sqrt(fan_in)
        assert np.abs(layer.weight.data).max() <= bound
        assert layer.weight.data.var() == pytest.approx(bound**2 / 3, rel=0.1)
        assert layer.bias is not None and np.abs(layer.bias.data).max() <= bound
    with pytest.raises(ValueError, match="groups: expected a divisor of 3 and 4"):
        nn.Conv1d(3, 4, 1, groups=2)


def test_batch_norm_saves_its_running_statistics_and_evaluates_with_them() -> None:
    layer, x = nn.BatchNorm1d(4), mg.asarray(SERIES)
    layer(x)
    layer(2 * x)
    state = layer.state_dict()
    assert set(state) == {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    assert state["num_batches_tracked"].item() == 2
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    other = nn.BatchNorm1d(4)
    other.load_state_dict(state)
    layer.eval()
    other.eval()
    np.testing.assert_array_equal(layer(x).detach().numpy(), other(x).detach().numpy())
    before = layer.state_dict()["running_mean"].numpy().copy()
    layer(x)
    np.testing.assert_array_equal(layer.state_dict()["running_mean"].numpy(), before)


def test_without_momentum_all_batches_weigh_alike_and_without_statistics_none_are_kept() -> None:
    layer = nn.BatchNorm1d(4, momentum=None)
    batches = [SERIES, SERIES + 1, SERIES * 3]
    for batch in batches:
        layer(mg.asarray(batch))
    assert layer.running_mean is not None
    expected = np.mean([batch.mean((0, 2)) for batch in batches], axis=0)
    np.testing.assert_allclose(layer.running_mean.numpy(), expected, rtol=1e-5, atol=1e-6)
    free = nn.BatchNorm1d(4, affine=False, track_running_stats=False)
    assert not free.state_dict()
    np.testing.assert_allclose(free.eval()(mg.asarray(SERIES)).numpy().mean((0, 2)), np.zeros(4), atol=1e-6)


def test_an_embeddings_padding_row_starts_as_zeros_and_stays() -> None:
    layer = nn.Embedding(5, 3, padding_idx=1)
    layer(np.array([1, 2])).sum().backward()
    assert layer.weight.grad is not None
    assert not layer.weight.data[1].any() and not layer.weight.grad.numpy()[1].any()
    assert repr(layer) == "Embedding(5, 3, padding_idx=1)"
    with pytest.raises(ValueError, match="padding_idx: expected a row of 5"):
        nn.Embedding(5, 3, padding_idx=5)


def test_a_small_convolutional_network_learns(rng: np.random.Generator) -> None:
    x = rng.standard_normal((40, 1, 8, 8)).astype(np.float32)
    classes = (x[:, 0, :4].sum((1, 2)) > x[:, 0, 4:].sum((1, 2))).astype(np.int64)
    features = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)]
    model, head = nn.Sequential(*features), nn.Linear(8 * 16, 2)
    optimizer = mg.optim.AdamW([*model.parameters(), *head.parameters()], lr=0.01)
    losses = []
    for _ in range(15):
        loss = F.cross_entropy(head(model(mg.asarray(x)).reshape(40, -1)), classes)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]
