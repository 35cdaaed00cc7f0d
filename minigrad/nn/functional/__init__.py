"""Layers as functions, with PyTorch's names and signatures (``dim`` reads ``axis`` here).

Every function takes tensors, ndarrays, numbers and nested lists, and returns tensors.
"""

from typing import TYPE_CHECKING

from minigrad.name_hints import module_hints
from minigrad.nn.functional.activations import *
from minigrad.nn.functional.attention import *
from minigrad.nn.functional.classification import *
from minigrad.nn.functional.convolution import *
from minigrad.nn.functional.distances import *
from minigrad.nn.functional.dropout import *
from minigrad.nn.functional.embedding import *
from minigrad.nn.functional.linear import *
from minigrad.nn.functional.losses import *
from minigrad.nn.functional.normalization import *
from minigrad.nn.functional.padding import *
from minigrad.nn.functional.pooling import *
from minigrad.ops.reductions import logsumexp
from minigrad.pytorch_names import HINTS, with_argument_hints

globals().update({name: with_argument_hints(value, __name__) for name, value in globals().items() if callable(value)})

if not TYPE_CHECKING:
    __getattr__ = module_hints(__name__, HINTS["mg.nn.functional"])
