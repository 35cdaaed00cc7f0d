"""Tensors: creation, repr, and conversion to NumPy."""

from __future__ import annotations

import ast
import copy
import inspect
import pickle
from pathlib import Path
from types import FunctionType

import numpy as np
import pytest

import minigrad as mg


def test_default_dtypes() -> None:
    assert mg.tensor(1.5).dtype == mg.float32
    assert mg.tensor([1, 2]).dtype == mg.int64
    assert mg.tensor([True]).dtype == mg.bool
    assert mg.tensor(np.ones(2)).dtype == mg.float64
    assert mg.arange(3).dtype == mg.int64
    assert mg.arange(0.0, 1.0, 0.5).dtype == mg.float32
    for made in (mg.zeros(2), mg.ones(2), mg.full(2, 1.5), mg.eye(2), mg.linspace(0, 1, 3), mg.empty((1,))):
        assert made.dtype == mg.float32
    assert mg.zeros_like(mg.ones(2, dtype=mg.float64)).dtype == mg.float64


def test_complex_numbers_and_strings_are_refused() -> None:
    for data in (1j, ["a"]):
        with pytest.raises(TypeError, match=r"expected a (boolean, integer|tensor, an array)"):
            mg.tensor(data)


def test_tensor_copies_and_asarray_shares() -> None:
    array = np.zeros(2, np.float32)
    copied, shared = mg.tensor(array), mg.asarray(array)
    array[0] = 1
    assert copied.tolist() == [0, 0]
    assert shared.tolist() == [1, 0]
    assert mg.asarray(shared) is shared


def test_a_tensor_prints_its_values_and_what_matters() -> None:
    assert repr(mg.tensor([1.0, 2.0])) == "tensor([1., 2.])"
    assert repr(mg.tensor([1.0], dtype=mg.float64)) == "tensor([1.], dtype=float64)"
    x = mg.tensor([1.0], requires_grad=True)
    assert repr(x) == "tensor([1.], requires_grad=True)"
    assert repr(x * 2) == "tensor([2.], grad_fn=<multiply>)"


@pytest.mark.parametrize("shape", [(), (1,), (9,), (40,), (3, 9), (2, 3, 11), (0, 3), (2000,)])
@pytest.mark.parametrize("dtype", [mg.float32, mg.float64, mg.int8, mg.bool])
def test_what_a_tensor_prints_fits_numpys_line_width(shape: tuple[int, ...], dtype: np.dtype) -> None:
    x = mg.asarray(np.random.default_rng(0).uniform(-2, 100, shape).astype(dtype))
    shown = [repr(x)]
    if x.dtype.kind == "f":
        x.requires_grad = True
        shown += [repr(x), repr(mg.log_softmax(x.reshape(-1), axis=-1)), repr(x * 2)]
    for text in shown:
        lines = text.splitlines()
        assert max(map(len, lines)) <= np.get_printoptions()["linewidth"]
        assert all(line.startswith(" " * len("tensor(")) for line in lines[1:] if line)
    ours, numpys = repr(x.detach()), np.array2string(x.data, separator=", ", prefix="tensor(", suffix=")")
    assert ours.startswith(f"tensor({numpys}") or len(ours.splitlines()) > len(numpys.splitlines())
    with np.printoptions(linewidth=40):
        assert max(map(len, repr(x).splitlines())) <= 40


def test_leaves_can_be_copied_and_pickled_and_histories_cannot() -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    for made in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert made.tolist() == [1, 2] and made.requires_grad and not np.shares_memory(made.data, x.data)
    assert pickle.loads(pickle.dumps(x.detach()[1:])).tolist() == [2]
    with pytest.raises(RuntimeError, match="history"):
        copy.deepcopy(x * 2)


def test_a_tensor_is_a_sequence_of_its_rows() -> None:
    x = mg.tensor([[1, 2], [3, 4]])
    assert [row.tolist() for row in x] == [[1, 2], [3, 4]]
    assert 3 in x and 5 not in x and len(x) == 2
    with pytest.raises(TypeError, match="0-d"):
        iter(mg.tensor(1))


def test_a_gradient_is_asked_for_only_where_there_can_be_one() -> None:
    x = mg.ones(2)
    x.requires_grad = True
    assert (x * 2).requires_grad
    with pytest.raises(TypeError, match="only floating tensors have gradients"):
        mg.arange(2).requires_grad = True
    with pytest.raises(ValueError, match="detach"):
        (x * 2).requires_grad = False


def test_lists_beside_float64_keep_their_digits() -> None:
    x = mg.ones(2, dtype=mg.float64)
    assert (x * [0.1, 0.2]).tolist() == [0.1, 0.2]
    assert (mg.ones(2) * [0.1, 0.2]).dtype == mg.float32


def test_a_scalar_formats_as_its_number() -> None:
    assert f"{mg.tensor(1.2345):.2f} {mg.tensor([1.0])}" == "1.23 tensor([1.])"


def test_numpy_is_refused_where_a_gradient_would_be_lost_silently() -> None:
    x = mg.ones(2).requires_grad_()
    with pytest.raises(RuntimeError, match=r"use .detach\(\).numpy\(\)"):
        x.numpy()
    with pytest.raises(RuntimeError):
        np.asarray(x)
    np.testing.assert_array_equal(np.asarray(x.detach()), [1, 1])


def test_arrays_on_the_left_leave_the_work_to_the_tensor() -> None:
    x = mg.ones(2, dtype=mg.float64).requires_grad_()
    for result in (np.ones(2) * x, np.float64(2) + x, np.ones((3, 2)) @ x, 1 - x):
        assert isinstance(result, mg.Tensor)
        assert result.requires_grad


def test_saving_and_loading_gives_back_every_bit(tmp_path) -> None:
    path = tmp_path / "tensors.safetensors"
    tensors = {"a": mg.random.normal((3, 4)), "b": mg.arange(5), "c": mg.tensor(np.ones((2, 3)).T)}
    mg.save(tensors, path)
    loaded = mg.load(path)
    assert set(loaded) == set(tensors)
    for name, value in tensors.items():
        np.testing.assert_array_equal(loaded[name].numpy(), value.numpy())
        assert loaded[name].dtype == value.dtype


def test_damaged_and_missing_files_are_named(tmp_path) -> None:
    path = tmp_path / "tensors.safetensors"
    mg.save({"a": mg.ones(100)}, path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match="not a complete safetensors file"):
        mg.load(path)
    with pytest.raises(FileNotFoundError):
        mg.load(tmp_path / "nothing")


def test_generators_repeat_and_resume() -> None:
    first = mg.random.normal((3,)).tolist()
    state = mg.random.default_generator.state
    second = mg.random.uniform((3,)).tolist()
    mg.random.default_generator.state = state
    assert mg.random.uniform((3,)).tolist() == second
    mg.manual_seed(0)
    assert mg.random.normal((3,)).tolist() == first
    own = mg.random.Generator(5)
    assert mg.random.randint(0, 9, 4, generator=own).shape == (4,)
    assert sorted(mg.random.permutation(5, own).tolist()) == [0, 1, 2, 3, 4]


def test_type_checkers_see_every_operator_and_method_that_the_class_has() -> None:
    (definition,) = ast.parse(inspect.getsource(mg.Tensor)).body
    stub = ast.parse(Path(inspect.getfile(mg.Tensor)).with_name("methods.pyi").read_text())
    (methods,) = (part for part in stub.body if isinstance(part, ast.ClassDef))
    assert isinstance(definition, ast.ClassDef)
    declared = {part.name if isinstance(part, ast.FunctionDef) else part.target.id for part in methods.body}
    written = {part.name for part in definition.body if isinstance(part, ast.FunctionDef)}
    callables = {name for name, value in vars(mg.Tensor).items() if isinstance(value, (FunctionType, property))}
    assert declared == callables - written


def test_asarray_converts_a_tensor_to_the_dtype_asked_for() -> None:
    assert mg.asarray(mg.ones(2), dtype=mg.float64).dtype == mg.float64


def test_draws_stay_float32_beside_numpys_scalars() -> None:
    assert mg.random.normal((2,), std=np.sqrt(2)).dtype == mg.float32
    assert mg.random.uniform((2,), high=np.float64(3)).dtype == mg.float32
