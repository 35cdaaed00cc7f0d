"""New tensors: NumPy's values, float32 by default, memory shared where it can be, clear refusals."""

from __future__ import annotations

import array
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad import func
from minigrad.testing import gradcheck, strategies

SHAPES = st.one_of(st.integers(0, 4), strategies.shapes(min_side=0))


# Of one value


@pytest.mark.parametrize("name", ["zeros", "ones", "empty"])
@given(shape=SHAPES, dtype=st.one_of(st.none(), strategies.dtypes()))
def test_arrays_of_one_value_are_numpys_but_float32_by_default(
    name: str, shape: int | tuple[int, ...], dtype: Any
) -> None:
    result = getattr(mg, name)(shape, dtype=dtype, device="cpu")
    expected = getattr(np, name)(shape, dtype or np.float32)
    assert (result.shape, result.dtype) == (expected.shape, expected.dtype)
    if name != "empty":
        np.testing.assert_array_equal(result.numpy(), expected)


@pytest.mark.parametrize("name", ["zeros_like", "ones_like", "empty_like"])
@given(data=st.data())
def test_arrays_like_another_have_its_shape_and_dtype(name: str, data: st.DataObject) -> None:
    x = data.draw(strategies.arrays(strategies.shapes(min_side=0), data.draw(strategies.dtypes())))
    dtype = data.draw(st.one_of(st.none(), strategies.dtypes()))
    for like in (x, mg.asarray(x)):
        result = getattr(mg, name)(like, dtype=dtype)
        assert (result.shape, result.dtype) == (x.shape, dtype or x.dtype)
        assert not np.shares_memory(result.numpy(), x)


@given(shape=SHAPES, dtype=strategies.dtypes(), value=st.integers(0, 100))
def test_full_takes_its_dtype_from_the_value_unless_one_is_given(
    shape: int | tuple[int, ...], dtype: Any, value: int
) -> None:
    np.testing.assert_array_equal(mg.full(shape, value, dtype=dtype).numpy(), np.full(shape, value, dtype))
    like = mg.zeros(shape, dtype=dtype)
    np.testing.assert_array_equal(mg.full_like(like, value).numpy(), np.full(like.shape, value, dtype))
    given_ = [mg.full(shape, v).dtype for v in (True, 1, 1.0, np.float64(1), mg.tensor(1, dtype=mg.int8))]
    assert given_ == [mg.bool, mg.int64, mg.float32, mg.float64, mg.int8]


def test_a_tensor_as_fill_value_stays_connected() -> None:
    assert gradcheck(lambda v: mg.full((2, 3), v * v), 0.7, order=2)
    assert func.vmap(lambda v: mg.full(2, v))(mg.arange(2)).tolist() == [[0, 0], [1, 1]]


def test_arrays_like_an_example_of_a_batch_need_only_its_shape() -> None:
    def f(x: mg.Tensor) -> mg.Tensor:
        return mg.zeros_like(x) + mg.ones_like(x) + mg.full_like(x, 2) + 0 * mg.empty_like(x, dtype=mg.int64) + x

    np.testing.assert_array_equal(func.vmap(f)(mg.ones((3, 2))).numpy(), np.full((3, 2), 4))


@given(rows=st.integers(0, 4), columns=st.one_of(st.none(), st.integers(0, 4)), k=st.integers(-6, 6))
def test_eye_is_numpys(rows: int, columns: int | None, k: int) -> None:
    np.testing.assert_array_equal(mg.eye(rows, columns, k=k).numpy(), np.eye(rows, columns, k))
    assert mg.eye(rows).dtype == mg.float32
    assert mg.eye(rows, dtype=mg.bool).dtype == mg.bool


# Ranges


@given(
    start=st.integers(-9, 9),
    stop=st.one_of(st.none(), st.integers(-9, 9)),
    step=st.integers(-3, 3).filter(bool),
    dtype=st.one_of(st.none(), strategies.dtypes("if")),
)
def test_arange_of_integers_is_numpys(start: int, stop: int | None, step: int, dtype: Any) -> None:
    expected = np.arange(start, stop, step, dtype) if stop is not None else np.arange(0, start, step, dtype)
    result = mg.arange(start, stop, step, dtype=dtype)
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result.numpy(), expected)


@given(start=st.floats(-5, 5), length=st.floats(0, 5), step=st.floats(0.1, 3))
def test_arange_of_floats_is_numpys_rounded_once(start: float, length: float, step: float) -> None:
    expected = np.arange(start, start + length, step)
    assert mg.arange(start, start + length, step).dtype == mg.float32
    np.testing.assert_array_equal(mg.arange(start, start + length, step).numpy(), expected.astype(np.float32))
    np.testing.assert_array_equal(mg.arange(start, start + length, step, dtype=mg.float64).numpy(), expected)


def test_arange_counts_to_the_end_of_every_integer_dtype() -> None:
    top = 2**64
    assert mg.arange(top - 3, top - 1, dtype=mg.uint64).tolist() == [top - 3, top - 2]
    assert mg.arange(mg.tensor(3)).tolist() == [0, 1, 2]


@given(start=st.floats(-5, 5), stop=st.floats(-5, 5), num=st.integers(0, 9), endpoint=st.booleans())
def test_linspace_is_numpys(start: float, stop: float, num: int, endpoint: bool) -> None:
    expected = np.linspace(start, stop, num, endpoint)
    np.testing.assert_array_equal(mg.linspace(start, stop, num, dtype=mg.float64, endpoint=endpoint).numpy(), expected)
    result = mg.linspace(start, stop, num, endpoint=endpoint)
    assert result.dtype == mg.float32
    np.testing.assert_array_equal(result.numpy(), expected.astype(np.float32))


def test_linspace_between_tensors_has_both_gradients() -> None:
    for endpoint in (True, False):
        found = mg.linspace(mg.tensor([0.0, 1.0]), 2, 3, endpoint=endpoint)
        np.testing.assert_allclose(found.numpy(), np.linspace([0.0, 1.0], 2, 3, endpoint=endpoint), rtol=1e-6)
    assert gradcheck(lambda a, b: mg.linspace(a, b, 5), [np.array([1.0, 2.0]), np.array(3.0)], order=2)


@pytest.mark.parametrize("indexing", ["xy", "ij"])
@pytest.mark.parametrize("count", range(4))
def test_meshgrid_is_numpys_with_derivatives(indexing: Any, count: int) -> None:
    lines = tuple(np.linspace(0.5, 1, n + 1) for n in range(count))
    results = mg.meshgrid(*lines, indexing=indexing)
    for result, expected in zip(results, np.meshgrid(*lines, indexing=indexing), strict=True):
        np.testing.assert_array_equal(result.numpy(), expected)
    if count:
        assert gradcheck(lambda *t: mg.meshgrid(*(x * x for x in t), indexing=indexing), lines, order=2)


# From data


def test_asarray_shares_memory_where_it_can_and_copies_as_asked() -> None:
    x = np.arange(3.0)
    assert np.shares_memory(mg.asarray(x).numpy(), x)
    assert np.shares_memory(mg.asarray(x, copy=False).numpy(), x)
    assert not np.shares_memory(mg.asarray(x, copy=True).numpy(), x)
    t = mg.asarray(x)
    assert mg.asarray(t) is t
    assert mg.asarray(t, dtype=mg.float64, copy=False) is t
    assert not np.shares_memory(mg.asarray(t, copy=True).numpy(), x)
    assert mg.asarray(np.zeros((0, 3)), copy=False).shape == (0, 3)
    assert not np.shares_memory(mg.tensor(x).numpy(), x)


@pytest.mark.parametrize("data", [[1, 2], 1.0, (1.0, 2.0)])
def test_data_that_must_be_copied_is_refused_with_copy_false(data: Any) -> None:
    with pytest.raises(ValueError, match="copy"):
        mg.asarray(data, copy=False)


def test_a_conversion_that_must_copy_is_refused_with_copy_false() -> None:
    for x in (np.zeros(2), mg.zeros(2)):
        with pytest.raises(ValueError, match="copy"):
            mg.asarray(x, dtype=mg.int64, copy=False)


def test_pythons_numbers_get_the_default_dtypes_and_arrays_keep_theirs() -> None:
    given_ = {
        mg.bool: (True, [True, False], np.True_),
        mg.int64: (1, [1, 2], [True, 2], np.int64(1)),
        mg.float32: (1.0, [1, 2.0], [[1.0]], [], np.float32(1), mg.ones(2)),
        mg.float64: (np.float64(1), np.ones(2), memoryview(array.array("d", [1.0])), array.array("d", [1.0])),
        mg.uint8: (np.uint8(1), b"a" and np.frombuffer(b"a", np.uint8)),
    }
    for dtype, values in given_.items():
        for value in values:
            assert mg.asarray(value).dtype == dtype
            assert mg.tensor(value).dtype == dtype


def test_nested_lists_may_contain_tensors_which_stay_connected() -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = mg.asarray([[x[0], 3], [mg.tensor(4), x[1] * x[1]]])
    assert y.tolist() == [[1, 3], [4, 4]]
    assert y.dtype == mg.float32
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1, 4]
    assert mg.asarray(mg.unstack(x), dtype=mg.float64).dtype == mg.float64
    with pytest.warns(UserWarning, match="a new leaf"):
        assert not mg.tensor([x[0], x[1]]).requires_grad
    with mg.no_grad():
        assert mg.tensor([x[0], x[1]]).tolist() == [1, 2]


def test_converting_a_tensor_is_recorded() -> None:
    x = mg.ones(2).requires_grad_()
    assert mg.asarray(x, dtype=mg.float64).requires_grad
    assert mg.asarray(x, copy=True).requires_grad


COMPLEX: dict[str, Callable[[], Any]] = {
    "a number": lambda: mg.asarray(1j),
    "an array": lambda: mg.asarray(np.zeros(2, np.complex64)),
    "a list": lambda: mg.tensor([1.0, 2j]),
    "a dtype": lambda: mg.zeros(2, dtype=np.complex128),
    "a fill value": lambda: mg.full(2, 1j),
    "a range's dtype": lambda: mg.arange(2, dtype=np.complex64),
    "text": lambda: mg.asarray("a"),
    "text's dtype": lambda: mg.asarray(1, dtype="U1"),
    "DLPack": lambda: mg.from_dlpack(np.zeros(2, np.complex64)),
}


@pytest.mark.parametrize("case", COMPLEX)
def test_data_that_is_not_real_is_a_type_error(case: str) -> None:
    with pytest.raises(TypeError, match=r"(dtype|obj|x): expected a (boolean, integer, float32|tensor, an array)"):
        COMPLEX[case]()


OVERFLOWS: dict[str, Callable[[], Any]] = {
    "asarray": lambda: mg.asarray(300, dtype=mg.int8),
    "asarray of a list": lambda: mg.asarray([1, -1], dtype=mg.uint8),
    "tensor": lambda: mg.tensor(2**40, dtype=mg.int32),
    "full": lambda: mg.full(2, 256, dtype=mg.uint8),
    "full_like": lambda: mg.full_like(mg.ones(2, dtype=mg.uint16), -1),
}


@pytest.mark.parametrize("case", OVERFLOWS)
def test_python_integers_out_of_range_are_overflow_errors(case: str) -> None:
    with pytest.raises(OverflowError, match="out of bounds"):
        OVERFLOWS[case]()


DEVICES: dict[str, Callable[[Any], Any]] = {
    "arange": lambda d: mg.arange(3, device=d),
    "asarray": lambda d: mg.asarray(1, device=d),
    "empty": lambda d: mg.empty(3, device=d),
    "empty_like": lambda d: mg.empty_like(mg.ones(1), device=d),
    "eye": lambda d: mg.eye(3, device=d),
    "from_dlpack": lambda d: mg.from_dlpack(np.ones(1), device=d),
    "full": lambda d: mg.full(3, 1, device=d),
    "full_like": lambda d: mg.full_like(mg.ones(1), 1, device=d),
    "linspace": lambda d: mg.linspace(0, 1, 3, device=d),
    "ones": lambda d: mg.ones(3, device=d),
    "ones_like": lambda d: mg.ones_like(mg.ones(1), device=d),
    "zeros": lambda d: mg.zeros(3, device=d),
    "zeros_like": lambda d: mg.zeros_like(mg.ones(1), device=d),
}


@pytest.mark.parametrize("name", DEVICES)
def test_the_only_device_is_the_cpu(name: str) -> None:
    assert isinstance(DEVICES[name]("cpu"), mg.Tensor)
    with pytest.raises(ValueError, match="device: expected 'cpu' or None, got 'cuda'"):
        DEVICES[name]("cuda")


def test_meshgrid_names_what_it_cannot_use() -> None:
    with pytest.raises(ValueError, match="indexing: expected 'xy' or 'ij', got 'yx'"):
        mg.meshgrid([1], indexing="yx")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected vectors"):
        mg.meshgrid([[1]])


# DLPack


@given(dtype=strategies.dtypes(), shape=strategies.shapes(min_dims=1, min_side=0))
def test_numpy_and_minigrad_exchange_arrays_without_a_copy(dtype: Any, shape: tuple[int, ...]) -> None:
    x = np.ones(shape, dtype)
    t = mg.from_dlpack(x)
    assert (t.shape, t.dtype) == (x.shape, x.dtype)
    back = np.from_dlpack(t)
    if x.size:
        assert np.shares_memory(t.numpy(), x)
        assert np.shares_memory(back, x)
        assert not np.shares_memory(mg.from_dlpack(x, copy=True).numpy(), x)


@pytest.mark.peers
def test_pytorch_and_minigrad_exchange_arrays_without_a_copy() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    theirs = torch.zeros(3, dtype=torch.float64)
    ours = mg.from_dlpack(theirs)
    theirs[0] = 5
    assert ours.tolist() == [5, 0, 0]
    torch.from_dlpack(ours)[1] = 6
    assert ours.tolist() == [5, 6, 0]
    assert mg.asarray(theirs).dtype == mg.float64
