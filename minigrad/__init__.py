"""A small tensor autograd engine: NumPy's array functions, PyTorch's autograd, Numba kernels for the CPU.

>>> import minigrad as mg
>>> x = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> y = (x * x).sum()
>>> y.backward()
>>> x.grad
tensor([2., 4., 6.])
"""

from minigrad import autograd, nn, operators, optim, random, testing, viz
from minigrad.dtypes import (
    bool,
    e,
    finfo,
    float32,
    float64,
    iinfo,
    inf,
    int8,
    int16,
    int32,
    int64,
    nan,
    newaxis,
    pi,
    uint8,
    uint16,
    uint32,
    uint64,
)
from minigrad.graph import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from minigrad.io import load, save
from minigrad.ops.creation import (
    arange,
    asarray,
    empty,
    empty_like,
    eye,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)
from minigrad.ops.elementwise import (
    abs,
    acos,
    acosh,
    add,
    asin,
    asinh,
    astype,
    atan,
    atanh,
    bitwise_and,
    bitwise_invert,
    bitwise_or,
    bitwise_xor,
    ceil,
    clip,
    cos,
    cosh,
    divide,
    equal,
    exp,
    expm1,
    floor,
    floor_divide,
    greater,
    greater_equal,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    log,
    log1p,
    log2,
    log10,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    pow,
    reciprocal,
    relu,
    remainder,
    round,
    sigmoid,
    sign,
    sin,
    sinh,
    softplus,
    sqrt,
    square,
    subtract,
    tan,
    tanh,
    trunc,
    where,
)
from minigrad.ops.indexing import take_along_axis, tril, triu
from minigrad.ops.linalg import matmul
from minigrad.ops.normalization import log_softmax, softmax
from minigrad.ops.reductions import all, any, argmax, argmin, cumsum, logsumexp, max, mean, min, sum, var
from minigrad.ops.shape import (
    broadcast_to,
    concat,
    expand_dims,
    flatten,
    flip,
    matrix_transpose,
    permute_dims,
    reshape,
    squeeze,
    stack,
    swapaxes,
    transpose,
)
from minigrad.random import manual_seed
from minigrad.tensor import Tensor

__version__ = "0.1.0"
