"""Losses as modules: options first, then the call with inputs; see :mod:`minigrad.nn.functional`.

>>> import minigrad as mg
>>> loss = mg.nn.CrossEntropyLoss(ignore_index=0)
>>> loss(mg.zeros((2, 4)), mg.tensor([3, 0]))
tensor(1.3862944)
"""

from __future__ import annotations

from minigrad.nn import functional
from minigrad.nn.function_module import FunctionModule


class BCELoss(FunctionModule, function=functional.binary_cross_entropy):
    """Binary cross-entropy of probabilities."""


class BCEWithLogitsLoss(FunctionModule, function=functional.binary_cross_entropy_with_logits):
    """Binary cross-entropy of logits."""


class CosineEmbeddingLoss(FunctionModule, function=functional.cosine_embedding_loss):
    """Cosine embedding loss of two vectors that are alike, or not."""


class CrossEntropyLoss(FunctionModule, function=functional.cross_entropy):
    """Cross-entropy of logits and classes."""


class GaussianNLLLoss(FunctionModule, function=functional.gaussian_nll_loss):
    """Negative log-likelihood under normal distributions."""


class HingeEmbeddingLoss(FunctionModule, function=functional.hinge_embedding_loss):
    """Hinge embedding loss."""


class HuberLoss(FunctionModule, function=functional.huber_loss):
    """Huber loss: quadratic for small differences, linear for large ones."""


class KLDivLoss(FunctionModule, function=functional.kl_div):
    """Kullback–Leibler divergence."""


class L1Loss(FunctionModule, function=functional.l1_loss):
    """Absolute error."""


class MSELoss(FunctionModule, function=functional.mse_loss):
    """Squared error."""


class MarginRankingLoss(FunctionModule, function=functional.margin_ranking_loss):
    """Margin ranking loss."""


class NLLLoss(FunctionModule, function=functional.nll_loss):
    """Negative log-likelihood of classes, from log-probabilities."""


class PoissonNLLLoss(FunctionModule, function=functional.poisson_nll_loss):
    """Negative log-likelihood of counts."""


class SmoothL1Loss(FunctionModule, function=functional.smooth_l1_loss):
    """Smooth absolute error."""


class SoftMarginLoss(FunctionModule, function=functional.soft_margin_loss):
    """Soft margin loss."""


class TripletMarginLoss(FunctionModule, function=functional.triplet_margin_loss):
    """Triplet loss."""
