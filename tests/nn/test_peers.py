"""PyTorch as an oracle for functional layers: values, first and second derivatives, over their arguments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import autograd
from minigrad.nn import functional as F

torch = pytest.importorskip("torch", reason="PyTorch is an optional peer: pip install torch")
pytestmark = pytest.mark.peers

RNG = np.random.default_rng(0)
SERIES, IMAGE, VOLUME = (RNG.normal(size=(2, 4, *size)) for size in ((9,), (7, 6), (5, 4, 6)))
SQUARE, OTHER = RNG.normal(size=(2, 4, 5))
PROBABILITY, TARGET = RNG.uniform(0.05, 0.95, (2, 4, 5))
CLASSES, MAP = RNG.integers(0, 4, (4,)), RNG.integers(0, 4, (2, 7, 6))
MAP[0, 0] = -100
SIGNS = RNG.choice([-1.0, 1.0], (4, 5))


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape)


# Name, the differentiable arguments, and the others; `axis` is PyTorch's `dim`.
CASES: list[tuple[str, tuple[np.ndarray, ...], dict[str, Any]]] = [
    ("conv1d", (SERIES, normal(6, 2, 3), normal(6)), {"stride": 2, "padding": 2, "dilation": 2, "groups": 2}),
    ("conv2d", (IMAGE, normal(3, 4, 3, 2), normal(3)), {"padding": "same", "dilation": (1, 2)}),
    ("conv2d", (IMAGE[0], normal(8, 1, 3, 3)), {"stride": (3, 1), "padding": (0, 2), "groups": 4}),
    ("conv3d", (VOLUME, normal(3, 4, 2, 2, 3), normal(3)), {"stride": (1, 2, 1), "padding": 1}),
    ("conv_transpose1d", (SERIES, normal(4, 2, 3), normal(4)), {"stride": 3, "output_padding": 2, "groups": 2}),
    ("conv_transpose2d", (IMAGE, normal(4, 3, 3, 2), normal(3)), {"stride": 2, "padding": 1, "dilation": (2, 3)}),
    ("conv_transpose3d", (VOLUME[0], normal(4, 2, 2, 1, 2)), {"stride": (2, 1, 1), "padding": (1, 0, 0)}),
    ("max_pool1d", (SERIES,), {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 2}),
    ("max_pool2d", (IMAGE,), {"kernel_size": (3, 2), "stride": 2, "ceil_mode": True}),
    ("max_pool3d", (VOLUME[0],), {"kernel_size": 2}),
    ("avg_pool1d", (SERIES,), {"kernel_size": 4, "stride": 3, "padding": 2, "ceil_mode": True}),
    ("avg_pool2d", (IMAGE,), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ("avg_pool2d", (IMAGE,), {"kernel_size": 3, "padding": 1, "count_include_pad": False, "ceil_mode": True}),
    ("avg_pool3d", (VOLUME,), {"kernel_size": (2, 1, 3), "divisor_override": 5}),
    ("adaptive_avg_pool1d", (SERIES,), {"output_size": 4}),
    ("adaptive_avg_pool2d", (IMAGE,), {"output_size": (None, 3)}),
    ("adaptive_max_pool2d", (IMAGE,), {"output_size": (3, 4)}),
    ("group_norm", (IMAGE,), {"num_groups": 2, "weight": normal(4), "bias": normal(4)}),
    ("instance_norm", (SERIES,), {"eps": 0.1}),
    ("local_response_norm", (IMAGE,), {"size": 3, "alpha": 0.5}),
    ("normalize", (SQUARE,), {"p": 3.0, "axis": 0}),
    ("cosine_similarity", (SQUARE, OTHER), {"axis": 0}),
    ("pairwise_distance", (SQUARE, OTHER), {"p": 1.5, "keepdim": True}),
    ("prelu", (SERIES, normal(4)), {}),
    ("glu", (SERIES,), {"axis": 1}),
    ("threshold", (SQUARE,), {"threshold": 0.2, "value": -1.0}),
    ("softplus", (SQUARE * 20,), {"beta": 0.7, "threshold": 9}),
    ("celu", (SQUARE,), {"alpha": 0.5}),
    ("softmin", (SQUARE,), {"axis": 0}),
    ("bilinear", (SQUARE, OTHER, normal(3, 5, 5), normal(3)), {}),
    ("pad", (IMAGE,), {"pad": (2, -1, 1, 3), "value": 0.5}),
    ("pad", (IMAGE,), {"pad": (2, 1, 0, 3), "mode": "reflect"}),
    ("pad", (IMAGE,), {"pad": (7, -1, 0, 3), "mode": "replicate"}),
    ("pad", (IMAGE,), {"pad": (-2, 1, 1, 0), "mode": "circular"}),
    ("unfold", (IMAGE,), {"kernel_size": (2, 3), "dilation": 2, "padding": 1, "stride": (2, 1)}),
    ("fold", (normal(2, 12, 16),), {"output_size": (7, 6), "kernel_size": (2, 2), "padding": 1, "stride": 2}),
    ("cross_entropy", (IMAGE,), {"target": MAP, "weight": np.abs(normal(4)), "label_smoothing": 0.2}),
    ("cross_entropy", (IMAGE,), {"target": MAP, "reduction": "none"}),
    ("cross_entropy", (SQUARE, PROBABILITY), {"weight": np.abs(normal(5)), "label_smoothing": 0.1}),
    ("cross_entropy", (SQUARE[:, 0],), {"target": np.array(2)}),
    ("nll_loss", (IMAGE,), {"target": MAP, "weight": np.abs(normal(4)), "reduction": "sum"}),
    ("binary_cross_entropy", (PROBABILITY, TARGET), {"weight": np.abs(normal(5))}),
    ("binary_cross_entropy_with_logits", (SQUARE, TARGET), {"pos_weight": np.abs(normal(5)), "reduction": "sum"}),
    ("kl_div", (SQUARE, TARGET), {"reduction": "batchmean"}),
    ("poisson_nll_loss", (SQUARE,), {"target": PROBABILITY * 4, "full": True}),
    ("gaussian_nll_loss", (SQUARE, OTHER, PROBABILITY[:, 0]), {"full": True}),
    ("smooth_l1_loss", (SQUARE, OTHER), {"beta": 0.5}),
    ("huber_loss", (SQUARE, OTHER), {"delta": 0.5}),
    ("margin_ranking_loss", (SQUARE, OTHER), {"target": SIGNS, "margin": 0.3}),
    ("hinge_embedding_loss", (SQUARE,), {"target": SIGNS, "margin": 0.3}),
    ("cosine_embedding_loss", (SQUARE, OTHER), {"target": SIGNS[:, 0], "margin": -0.2}),
    ("triplet_margin_loss", (SQUARE, OTHER, TARGET), {"swap": True, "margin": 3.0}),
]


@pytest.mark.parametrize(
    ("name", "points", "arguments"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
def test_values_and_two_derivatives_are_pytorchs(
    name: str, points: tuple[np.ndarray, ...], arguments: dict[str, Any]
) -> None:
    ours = [mg.tensor(point, requires_grad=True) for point in points]
    theirs = [torch.tensor(point, requires_grad=True) for point in points]
    translated = {
        "dim" if key == "axis" else key: torch.tensor(value) if isinstance(value, np.ndarray) else value
        for key, value in arguments.items()
    }
    found = list(derivatives(getattr(F, name)(*ours, **arguments), ours, autograd.grad))
    expected = list(derivatives(getattr(torch.nn.functional, name)(*theirs, **translated), theirs, torch.autograd.grad))
    for our, their in zip(found, expected, strict=True):
        zeros = np.zeros(1)  # where one sees that nothing depends on a point, the other may find zeros
        np.testing.assert_allclose(
            zeros if our is None else our.detach().numpy(),
            zeros if their is None else their.detach().numpy(),
            rtol=1e-7,
            atol=1e-9,
        )


def derivatives(out: Any, points: list[Any], grad: Any) -> Iterator[Any]:
    """The value; the gradients of the sum of its squares; and the gradients of the sum of their squares."""
    yield out
    first = grad((out * out).sum(), points, create_graph=True)
    yield from first
    total = sum(((gradient * gradient).sum() for gradient in first[1:]), (first[0] * first[0]).sum())
    yield from grad(total, points, allow_unused=True)
