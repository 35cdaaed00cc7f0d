"""PyTorch's names that are others here: using one is an error that names ours.

One thing has one name: arrays those of the Array API standard, autograd and layers PyTorch's own. A name of PyTorch's
that means something else here, or exists under another one, is an error rather than a guess: ``x.max(dim=0)`` gives a
pair there, and ``x.std()`` divides by n - 1. ``docs/coming-from-pytorch.md`` lists these tables.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from types import FunctionType
from typing import Any, NoReturn

from minigrad.name_hints import check_keywords

ALIASES = {  # what works → the same here; ``minigrad.ops.aliases`` has the functions of two names
    "optimizer.param_groups": "optimizer.groups",
    "module.register_buffer(name, x)": "module.name = x",
    "StepLR(optimizer, …) and its like": "LRScheduler(optimizer, function of the step)",
}
# Tensor methods that are functions here
FUNCTIONS = """
    amax amin median quantile nansum nanmean sort unique where index_select masked_select isclose allclose
    logical_and logical_or logical_not logical_xor maximum minimum lerp outer inner cross diff kron rsqrt reciprocal
    log2 log10 exp2 expm1 sinh cosh asin acos atan erf erfc erfinv lgamma digamma logit sinc trunc fmod remainder
    heaviside copysign hypot nan_to_num cummax cummin logcumsumexp count_nonzero bincount broadcast_to diag vdot
    negative subtract multiply divide index_fill scatter unfold rot90 fliplr
"""

CPU = "leave it out: all tensors are in the CPU's memory"
FUSED = "leave it out: steps are fused kernels over all parameters"
COMPILED = "leave it out: kernels are compiled on first use"
OPERATORS = {
    "add": "x + y",
    "sub": "x - y",
    "mul": "x * y",
    "div": "x / y",
    "neg": "-x",
    "mm": "x @ y",
    "bmm": "x @ y",
    "mv": "x @ y",
    "eq": "x == y",
    "ne": "x != y",
    "lt": "x < y",
    "le": "x <= y",
    "gt": "x > y",
    "ge": "x >= y",
}
DTYPES = {
    "float": "float32",
    "double": "float64",
    "half": "float32",
    "bfloat16": "float32",
    "long": "int64",
    "int": "int32",
    "short": "int16",
}

HINTS: dict[str, dict[str, str]] = {  # by owner: its attribute → ours
    "mg.Tensor": {
        **{name: f"mg.{name}(x, …)" for name in FUNCTIONS.split()},
        **OPERATORS,
        **{name: f"astype(mg.{dtype})" for name, dtype in DTYPES.items()},
        "bool": "astype(mg.bool)",
        "byte": "astype(mg.uint8)",
        "to": "astype(dtype), and no device",
        "type": "astype(dtype)",
        "type_as": "astype(other.dtype)",
        "cpu": CPU,
        "cuda": CPU,
        "is_cuda": CPU,
        "pin_memory": CPU,
        "view": "reshape",
        "view_as": "reshape(other.shape)",
        "reshape_as": "reshape(other.shape)",
        "unsqueeze": "expand_dims",
        "permute": "transpose(axes), as NumPy's, or mg.permute_dims",
        "t": "T",
        "swapdims": "swapaxes",
        "movedim": "moveaxis",
        "expand": "mg.broadcast_to(x, shape)",
        "expand_as": "mg.broadcast_to(x, other.shape)",
        "contiguous": "leave it out: every memory layout will do",
        "is_contiguous": "leave it out: every memory layout will do",
        "dim": "ndim",
        "ndimension": "ndim",
        "numel": "size",
        "nelement": "size",
        "element_size": "itemsize",
        "clone": "copy",
        "clamp": "clip",
        "clamp_min": "clip(min=…)",
        "clamp_max": "clip(max=…)",
        "chunk": "mg.array_split(x, count, axis)",
        "split": "mg.split(x, indices, axis), which takes the places of the cuts",
        "unbind": "mg.unstack(x, axis=…)",
        "narrow": "an index: x[start:stop]",
        "select": "an index: x[i]",
        "repeat_interleave": "repeat",
        "take_along_dim": "mg.take_along_axis",
        "masked_scatter": "mg.where",
        "addmm": "c + a @ b",
        "baddbmm": "c + a @ b",
        "det": "mg.linalg.det(x)",
        "inverse": "mg.linalg.inv(x)",
        "svd": "mg.linalg.svd(x)",
        "multinomial": "mg.nn.functional.gumbel_softmax(x, hard=True)",
        "bernoulli": "mg.random.uniform(x.shape) < x",
        "new_zeros": "mg.zeros(shape, dtype=x.dtype)",
        "new_ones": "mg.ones(shape, dtype=x.dtype)",
        "new_full": "mg.full(shape, value, dtype=x.dtype)",
        "new_tensor": "mg.tensor(data, dtype=x.dtype)",
        "zero_": "x[...] = 0",
        "fill_": "x[...] = value",
        "copy_": "x[...] = other",
        "add_": "x += y",
        "sub_": "x -= y",
        "mul_": "x *= y",
        "div_": "x /= y",
        "clamp_": "x[...] = x.clip(…)",
        "normal_": "mg.nn.init.normal_(x)",
        "uniform_": "mg.nn.init.uniform_(x)",
        "detach_": "x = x.detach()",
        "unflatten": "reshape",
    },
    "mg": {
        **DTYPES,
        "float16": "float32",
        "FloatTensor": "tensor(data)",
        "LongTensor": "tensor(data, dtype=mg.int64)",
        "BoolTensor": "tensor(data, dtype=mg.bool)",
        "Size": "a tuple",
        "dtype": "NumPy's dtypes: mg.float32, …",
        "cat": "concat",
        "chunk": "array_split(x, count, axis)",
        "unbind": "unstack",
        "unsqueeze": "expand_dims",
        "permute": "permute_dims",
        "t": "matrix_transpose",
        "swapdims": "swapaxes",
        "movedim": "moveaxis",
        "clamp": "clip",
        "sub": "subtract",
        "mul": "multiply",
        "div": "divide",
        "neg": "negative",
        "eq": "equal",
        "ne": "not_equal",
        "lt": "less",
        "le": "less_equal",
        "gt": "greater",
        "ge": "greater_equal",
        "mm": "matmul",
        "bmm": "matmul",
        "mv": "matmul",
        "ger": "outer",
        "addmm": "c + a @ b",
        "baddbmm": "c + a @ b",
        "inverse": "linalg.inv",
        "det": "linalg.det",
        "svd": "linalg.svd",
        "qr": "linalg.qr",
        "trapz": "trapezoid",
        "repeat_interleave": "repeat",
        "take_along_dim": "take_along_axis",
        "bucketize": "searchsorted",
        "rand": "random.uniform(shape)",
        "randn": "random.normal(shape)",
        "rand_like": "random.uniform(x.shape)",
        "randn_like": "random.normal(x.shape)",
        "randint": "random.randint(low, high, shape)",
        "randperm": "random.permutation(n)",
        "normal": "random.normal(shape, mean, std)",
        "bernoulli": "random.uniform(p.shape) < p",
        "multinomial": "nn.functional.gumbel_softmax(logits, hard=True)",
        "Generator": "random.Generator",
        "seed": "manual_seed",
        "as_tensor": "asarray",
        "from_numpy": "asarray",
        "is_tensor": "the class: isinstance(x, mg.Tensor)",
        "numel": "x.size",
        "clone": "x.copy()",
        "narrow": "an index: x[start:stop]",
        "logspace": "10 ** linspace(…)",
        "broadcast_tensors": "broadcast_arrays",
        "promote_types": "result_type",
        "vmap": "func.vmap",
        "inference_mode": "no_grad",
        "set_default_dtype": "dtype= where a tensor is made",
        "get_default_dtype": "float32",
        "set_printoptions": "numpy.set_printoptions",
        "set_num_threads": "numba.set_num_threads",
        "get_num_threads": "numba.get_num_threads",
        "device": CPU,
        "cuda": CPU,
        "backends": CPU,
        "compile": COMPILED,
        "jit": COMPILED,
        "utils": "mg.optim.clip_grad_norm_, mg.autograd.checkpoint, and any iterator in place of a DataLoader",
    },
    "mg.nn": {
        "MultiheadAttention": "transformer.MultiHeadAttention, or nn.functional.scaled_dot_product_attention",
        "Transformer": "transformer.Transformer",
        "TransformerEncoder": "transformer.Encoder",
        "TransformerEncoderLayer": "transformer.Encoder",
        "TransformerDecoder": "transformer.Decoder",
        "TransformerDecoderLayer": "transformer.Decoder",
        "ParameterList": "attributes, or a ModuleList of modules with a parameter each",
        "ParameterDict": "attributes, or a ModuleDict of modules with a parameter each",
        "Buffer": "a plain tensor attribute",
        "Bilinear": "nn.functional.bilinear",
        "PReLU": "nn.functional.prelu(x, weight)",
        "Dropout1d": "nn.functional.dropout1d",
        "Dropout2d": "nn.functional.dropout2d",
        "Dropout3d": "nn.functional.dropout3d",
        "InstanceNorm1d": "nn.functional.instance_norm",
        "InstanceNorm2d": "nn.functional.instance_norm",
        "InstanceNorm3d": "nn.functional.instance_norm",
        "ZeroPad2d": "nn.functional.pad",
        "ConstantPad1d": "nn.functional.pad",
        "ConstantPad2d": "nn.functional.pad",
        "AdaptiveAvgPool1d": "nn.functional.adaptive_avg_pool1d",
        "AdaptiveAvgPool2d": "nn.functional.adaptive_avg_pool2d",
        "AdaptiveMaxPool2d": "nn.functional.adaptive_max_pool2d",
        "Unflatten": "reshape",
        "CosineSimilarity": "nn.functional.cosine_similarity",
        "LSTMCell": "nn.LSTM, one step at a time",
        "GRUCell": "nn.GRU, one step at a time",
        "RNNCell": "nn.RNN, one step at a time",
        "DataParallel": "leave it out: kernels use all cores",
        "utils": "mg.optim.clip_grad_norm_ and clip_grad_value_",
    },
    "mg.nn.functional": {
        "one_hot": "mg.one_hot",
        "multi_head_attention_forward": "transformer.MultiHeadAttention",
    },
    "mg.nn.Module": {
        "to": "astype(dtype), and no device",
        "cpu": CPU,
        "cuda": CPU,
        "float": "astype(mg.float32)",
        "double": "astype(mg.float64)",
        "half": "astype(mg.float32)",
        "type": "astype(dtype)",
        "named_children": "children(), which gives the names too",
        "add_module": "an attribute: self.name = module",
        "register_module": "an attribute: self.name = module",
        "register_parameter": "an attribute: self.name = nn.Parameter(data)",
        "register_forward_pre_hook": "register_forward_hook, or forward itself",
        "get_submodule": "dict(module.named_modules())[name]",
        "get_parameter": "dict(module.named_parameters())[name]",
        "compile": COMPILED,
    },
    "mg.optim": {
        "RMSprop": "Adam",
        "Adagrad": "Adafactor or Adam",
        "NAdam": "Adam",
        "RAdam": "AdamW with a warm-up",
        "LBFGS": "SGD or Adam",
    },
    "mg.optim.Optimizer": {"add_param_group": "groups in the constructor: [{'params': …, 'lr': …}, …]"},
    "mg.optim.lr_scheduler": {
        "LinearLR": "LRScheduler(optimizer, linear(warmup, total))",
        "OneCycleLR": "LRScheduler(optimizer, cosine(warmup, total))",
        "CosineAnnealingWarmRestarts": "LambdaLR(optimizer, function)",
        "SequentialLR": "LambdaLR(optimizer, function)",
        "ReduceLROnPlateau": "optimizer.lr = value",
    },
}

ARGUMENTS = {  # keyword → ours
    "dim": "axis",
    "dims": "axis or axes",
    "dim0": "axis1",
    "dim1": "axis1 or axis2",
    "dim2": "axis2",
    "start_dim": "start_axis",
    "end_dim": "end_axis",
    "keepdim": "keepdims",
    "unbiased": "correction: 1 divides by n - 1, and 0, the default, by n",
    "other": "the second argument, without a name",
    "diagonal": "k",
    "inplace": "leave it out: layers and functions return new tensors",
    "device": CPU,
    "size": "shape",
    "requires_grad": "mg.tensor(data, requires_grad=True), or x.requires_grad_()",
    "fused": FUSED,
    "foreach": FUSED,
    "last_epoch": "load_state_dict",
    "size_average": "reduction",
    "split_size_or_sections": "the places of the cuts",
}
OURS = {"axis", "axes", "axis1", "start_axis", "keepdims", "shape", "k", "data"}  # arguments of what is wrapped


class Size(int):
    """Number of elements; a call of it, as of PyTorch's method, is an error that names ours."""

    def __call__(self, *axis: Any) -> NoReturn:
        raise TypeError(f"size(): use shape{str(list(axis)) if axis else ''}; size is the number of elements")


def hint_arguments(kind: type) -> None:
    """Let the constructor of a class name our arguments where PyTorch's were given."""
    construct: Callable[..., None] = kind.__init__  # type: ignore[misc]

    @wraps(construct)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            construct(self, *args, **kwargs)
        except TypeError:
            check_keywords(kind.__name__, kwargs, ARGUMENTS)
            raise

    kind.__init__ = init  # type: ignore[misc]


@cache
def with_argument_hints(function: Any, owner: str) -> Any:
    """Public function whose error names ours where PyTorch's arguments were given; other objects as they are."""
    code = function.__code__ if isinstance(function, FunctionType) else None
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if code else ()
    if not OURS & {*names}:
        return function

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except TypeError:
            check_keywords(function.__name__, kwargs, ARGUMENTS)
            if "shape" in names and len(args) > 1 and all(type(arg) is int for arg in args):
                raise TypeError(f"{function.__name__}: use one shape, {function.__name__}({args})") from None
            raise

    call.__module__ = owner  # where pickle finds it
    return call
