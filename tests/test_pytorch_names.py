"""PyTorch's names and arguments: each works, or the error names ours."""

from __future__ import annotations

import builtins
import importlib
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn import functional as F
from minigrad.ops import aliases
from minigrad.pytorch_names import ALIASES, ARGUMENTS, FUNCTIONS, HINTS
from transformer import huggingface_names

OWNERS: dict[str, Any] = {
    "mg.Tensor": mg.ones((2, 3)),
    "mg": mg,
    "mg.nn": nn,
    "mg.nn.functional": F,
    "mg.nn.init": nn.init,
    "mg.nn.Module": nn.Linear(2, 2),
    "mg.optim": mg.optim,
    "mg.optim.Optimizer": mg.optim.SGD([mg.ones(1)], lr=1.0),
    "mg.optim.lr_scheduler": mg.optim.lr_scheduler,
    "mg.autograd": mg.autograd,
}


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner in HINTS for name in HINTS[owner]])
def test_a_name_of_pytorch_is_an_error_that_names_ours(owner: str, name: str) -> None:
    thing = OWNERS[owner]
    assert not hasattr(thing, name) and name not in dir(thing)
    with pytest.raises(AttributeError, match=f"^{name}: ") as error:
        getattr(thing, name)
    assert HINTS[owner][name] in str(error.value)


def test_what_the_tables_name_is_there() -> None:
    """Words of the form mg.a.b, and single words, are attributes of the package or of the owner."""
    for owner, names in HINTS.items():
        for ours in names.values():
            words = [word.split("(")[0].rstrip(",;:)") for word in ours.split() if word.startswith(("mg.", "nn."))]
            for word in words:
                found: Any = mg
                for part in word.removeprefix("mg.").split("."):
                    found = getattr(found, part)
            if ours.split("(")[0].isidentifier():
                assert any(hasattr(where, ours.split("(")[0]) for where in (OWNERS[owner], mg, F, builtins)), (
                    owner,
                    ours,
                )
    assert all(hasattr(mg, name) for name in FUNCTIONS.split())


def test_an_import_says_so_too() -> None:
    for package, name in (("minigrad", "cat"), ("minigrad.nn", "Transformer"), ("transformer", "AutoModel")):
        with pytest.raises(ImportError, match=f"^{name}: use "):
            exec(f"from {package} import {name}")
        with pytest.raises(ImportError, match="cannot import name 'xyzzy'"):
            exec(f"from {package} import xyzzy")


def test_an_argument_that_is_known_is_not_the_error() -> None:
    with pytest.raises(TypeError, match="only floating"):
        mg.tensor([1, 2], requires_grad=True)


def test_an_unknown_name_stays_unknown() -> None:
    for owner in OWNERS.values():
        with pytest.raises(AttributeError, match="attribute"):
            _ = owner.xyzzy


X = mg.ones((2, 3))
CALLS = {  # with PyTorch's arguments
    "x.sum(dim=1)": "sum: dim: use axis",
    "x.mean(dim=1)": "mean: dim: use axis",
    "x.std(unbiased=False)": "std: unbiased: use correction",
    "x.flatten(start_dim=1)": "flatten: start_dim: use start_axis",
    "mg.sum(x, axis=1, keepdim=True)": "sum: keepdim: use keepdims",
    "mg.stack([x, x], dim=1)": "stack: dim: use axis",
    "mg.argmax(x, dim=1)": "argmax: dim: use axis",
    "mg.linalg.vector_norm(x, dim=1)": "vector_norm: dim: use axis",
    "mg.tril(x, diagonal=1)": "tril: diagonal: use k",
    "mg.tensor([1.0], device='cpu')": "tensor: device: leave it out",
    "mg.zeros(2, 3)": "zeros: use one shape, zeros((2, 3))",
    "mg.ones(2, 3, 4)": "ones: use one shape, ones((2, 3, 4))",
    "F.softmax(x, dim=-1)": "softmax: dim: use axis",
    "F.normalize(x, dim=-1)": "normalize: dim: use axis",
    "nn.Softmax(dim=-1)": "Softmax: dim: use axis",
    "nn.LogSoftmax(dim=-1)": "LogSoftmax: dim: use axis",
    "nn.Flatten(start_dim=1)": "Flatten: start_dim: use start_axis",
    "F.relu(x, inplace=True)": "relu: inplace: leave it out",
    "mg.optim.Adam([x], fused=True)": "Adam: fused: leave it out",
    "mg.optim.lr_scheduler.StepLR(mg.optim.SGD([x]), 3, last_epoch=3)": "StepLR: last_epoch: use load_state_dict",
    "nn.ReLU(inplace=True)": "ReLU: inplace: leave it out",
    "nn.Linear(2, 3, device='cpu')": "Linear: device: leave it out",
    "mg.eye(n=3)": "eye: n: use n_rows",
    "mg.linspace(0, 1, steps=5)": "linspace: steps: use num",
    "mg.arange(3, requires_grad=True)": "arange: requires_grad: use mg.tensor(data",
    "mg.zeros(2, 3, device='cpu')": "zeros: use one shape, zeros((2, 3))",
    "mg.max(x, x)": "max: use maximum(x, y)",
    "x.min(x)": "min: use minimum(x, y)",
    "mg.subtract(x, x, alpha=2)": "subtract: alpha: use x + alpha * y",
    "mg.load('weights', map_location='cpu')": "load: map_location: leave it out",
    "nn.ReLU(True)": "ReLU: expected no argument, got True",
    "nn.init.constant_(x, val=1)": "constant_: val: use value",
    "nn.Sequential([nn.ReLU()])": "modules: expected modules, got a list",
    "nn.Sequential({'a': nn.ReLU()})": "modules: expected modules, got a dict; use a ModuleDict",
    "nn.ModuleDict({'a': mg.exp})": "modules: expected modules, got a",
    "mg.optim.SGD(nn.Linear(2, 3))": "params: expected tensors or groups, as model.parameters(), got a Linear",
    "mg.optim.SGD(x)": "params: expected tensors or groups, as model.parameters(), got a Tensor",
    "mg.optim.SGD([('x', x)])": "params: expected leaf tensors, got a tuple",
    "mg.optim.SGD([x]).step(lambda: x)": "gradient_scale: expected a number",
    "mg.save(x, 'weights')": "tensors: expected tensors by name, as of a state_dict(), got Tensor",
    "mg.save({'model': {}}, 'weights')": "tensors: expected a tensor by each name, got a mapping for 'model'",
    "x.sum(axis=[0])": "axis: expected an integer or a tuple of them, got [0]",
    "x.repeat(2, 1, 1)": "repeat: use tile((2, 1, 1))",
    "x.tile(2, 1)": "tile: use tile((2, 1))",
    "x.flip(0, 1)": "flip: too many positional arguments",
    "x.size()": "size(): use shape;",
    "x.size(0)": "size(): use shape[0];",
}


@pytest.mark.parametrize("call", CALLS)
def test_an_argument_of_pytorch_is_an_error_that_names_ours(call: str) -> None:
    with pytest.raises(TypeError) as error:
        eval(call, {"mg": mg, "F": F, "nn": nn, "x": X})
    assert str(error.value).startswith(CALLS[call])


@pytest.mark.parametrize("call", ["mg.std(x, nonsense=1)", "x.sum(nonsense=1)", "nn.Softmax(nonsense=1)", "mg.zeros()"])
def test_other_errors_stay_as_they_are(call: str) -> None:
    with pytest.raises(TypeError, match=r"nonsense|missing"):
        eval(call, {"mg": mg, "nn": nn, "x": X})


def test_two_axes_of_more_do_not_transpose() -> None:
    with pytest.raises(ValueError, match="swapaxes"):
        mg.ones((2, 3, 4)).transpose(0, 1)


def test_size_is_a_number() -> None:
    assert X.size == 6 and isinstance(X.size, int) and repr(X.size) == "6" and np.zeros(X.size).shape == (6,)


def test_public_functions_are_pickled_by_name() -> None:
    for function in (mg.std, F.normalize, mg.linalg.vector_norm):
        assert pickle.loads(pickle.dumps(function)) is function


def test_aliases_are_the_functions_themselves() -> None:
    for name in aliases.__all__:
        assert getattr(aliases, name) is not None and getattr(mg, name) is getattr(mg, getattr(aliases, name).__name__)


@pytest.mark.peers
def test_every_told_name_is_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    theirs = {
        "mg.Tensor": torch.ones(1, 1),
        "mg": torch,
        "mg.nn": torch.nn,
        "mg.nn.functional": torch.nn.functional,
        "mg.nn.init": torch.nn.init,
        "mg.nn.Module": torch.nn.Linear(1, 1),
        "mg.optim": torch.optim,
        "mg.optim.Optimizer": torch.optim.Optimizer,
        "mg.optim.lr_scheduler": importlib.import_module("torch.optim.lr_scheduler"),
        "mg.autograd": torch.autograd,
    }
    wrong = [f"{owner}.{name}" for owner, names in HINTS.items() for name in names if not hasattr(theirs[owner], name)]
    assert wrong == []


def _tables() -> dict[str, dict[str, str]]:
    """The tables of the page: name → ours."""
    functions = {f"mg.{name}": f"mg.{getattr(aliases, name).__name__}" for name in aliases.__all__}
    theirs = {f"of {owner}" if owner == "model" else owner: names for owner, names in huggingface_names.HINTS.items()}
    return {
        "aliases": functions | ALIASES,
        **HINTS,
        "arguments": ARGUMENTS,
        "Hugging Face's that work": huggingface_names.ALIASES,
        **theirs,
        "arguments of a model's call": huggingface_names.OF_CALL,
        "arguments of a tokenizer's call": huggingface_names.OF_TOKENIZER,
        "arguments of a training": huggingface_names.OF_TRAINING,
    }


def _rows(names: dict[str, str]) -> str:
    """Rows of a table, names of the same meaning in one."""
    groups: dict[str, list[str]] = {}
    for name, ours in names.items():
        key = "the function: mg.name(x, …)" if ours == f"mg.{name}(x, …)" else ours
        groups.setdefault(key, []).append(f"`{name}`")
    return "".join(f"| {', '.join(theirs)} | {ours} |\n" for ours, theirs in groups.items())


def test_the_page_lists_the_tables() -> None:
    page = (Path(__file__).parents[1] / "docs" / "coming-from-pytorch.md").read_text("utf-8")
    found = dict(re.findall(r"<!-- (.+?) -->\n\|[^\n]+\n\|---\|---\|\n((?:\|[^\n]+\n)+)", page))
    assert found == {name: _rows(names) for name, names in _tables().items()}
