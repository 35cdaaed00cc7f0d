"""In-place changes: as in NumPy without recording, as a step of the graph with it."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad import Tensor
from minigrad.testing import gradcheck, strategies

UPDATES = [operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.imod, operator.ipow]
INTEGER_UPDATES = [operator.ifloordiv, operator.iand, operator.ior, operator.ixor, operator.ilshift, operator.irshift]


@pytest.mark.parametrize("update", [*UPDATES, *INTEGER_UPDATES], ids=lambda f: f.__name__)
def test_updates_change_the_tensor_itself_as_in_numpy(update: Callable[[Any, Any], Any]) -> None:
    array = np.array([3, 4]) if update in INTEGER_UPDATES else np.array([1.5, 2.5])
    x = mg.tensor(array)
    view, other = x[1:], mg.tensor([2, 1])
    expected = update(array.copy(), other.numpy())
    assert update(x, other) is x
    np.testing.assert_array_equal(x.numpy(), expected)
    np.testing.assert_array_equal(view.numpy(), expected[1:])


def test_an_update_keeps_shape_and_dtype_or_is_refused() -> None:
    x = mg.ones(2, dtype=mg.float32)
    x += mg.ones(2, dtype=mg.float64)
    assert x.dtype == mg.float32
    with pytest.raises(ValueError, match="does not fit in place"):
        x += mg.ones((2, 2))
    i = mg.arange(2)
    with pytest.raises(TypeError, match="cannot be cast in place to int64"):
        i += 1.5


@given(strategies.arrays((3, 4)), st.sampled_from([1, (slice(None), -1), (..., None, 2), [0, 2], ([0, 1], [3, 3])]))
def test_assignment_is_numpys(x: np.ndarray, index: Any) -> None:
    tensor, array = mg.tensor(x), x.copy()
    tensor[index] = 7
    array[index] = 7
    np.testing.assert_array_equal(tensor.numpy(), array)


def test_assignment_by_a_mask_and_by_tensors() -> None:
    x = mg.arange(4)
    x[x > 1] = -1
    x[mg.tensor([0, 1])] = mg.tensor([5, 6])
    assert x.tolist() == [5, 6, -1, -1]


def test_recorded_assignment_has_both_derivatives() -> None:
    def assigned(x: Tensor, value: Tensor) -> Tensor:
        y = x * x
        y[1:, 0] = mg.sin(value)
        return y * y

    assert gradcheck(assigned, [np.arange(6.0).reshape(3, 2) / 5, np.array([0.3, -0.4])], order=2)


def test_a_recorded_loop_over_elements() -> None:
    w = mg.tensor(2.0, requires_grad=True)
    powers = mg.zeros(5)
    for i in range(5):
        powers[i] = w * (powers[i - 1] if i else 1)
    assert powers.tolist() == [2, 4, 8, 16, 32]
    powers.sum().backward()
    assert w.grad == sum(k * 2 ** (k - 1) for k in range(1, 6))


def test_recorded_updates_have_the_derivatives_of_the_plain_operators() -> None:
    def updated(x: Tensor, y: Tensor) -> Tensor:
        z = mg.sin(x)
        z += y
        z *= z
        z /= 2 + y * y
        return z

    assert gradcheck(updated, [np.array([0.3, 1.0]), np.array([2.0, -1.0])], order=2)


def test_results_computed_before_a_recorded_change_keep_their_derivative() -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = x * 3
    z = y * y
    y[0] = 100
    (z + y).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [18, 36 + 3]


def test_a_change_under_no_grad_of_what_backward_needs_is_detected() -> None:
    for change in (lambda x: x.__setitem__(0, 5), lambda x: operator.iadd(x, 1), lambda x: operator.iadd(x[1:], 1)):
        x = mg.tensor([1.0, 2.0], requires_grad=True)
        y = x * x
        with mg.no_grad():
            change(x)
        with pytest.raises(RuntimeError, match="changed in place"):
            y.sum().backward()


def test_a_change_through_detach_is_detected() -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    x.detach()[0] = 3
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()


def test_ndarrays_that_change_after_they_were_used_do_not_change_the_gradient() -> None:
    for convert in (np.asarray, mg.asarray):
        data = np.ones(2, np.float32)
        x = mg.ones(2).requires_grad_()
        y = x * convert(data)
        data[:] = 100
        y.sum().backward()
        assert x.grad is not None and x.grad.tolist() == [1, 1]


def test_a_leaf_that_requires_a_gradient_is_not_changed_while_recording() -> None:
    x = mg.ones(2).requires_grad_()
    with pytest.raises(RuntimeError, match="under no_grad"):
        x += 1
    with mg.no_grad():
        x += 1
    assert x.tolist() == [2, 2] and x.requires_grad and x.is_leaf


def test_a_recorded_change_of_a_part_reaches_the_whole() -> None:
    w = mg.tensor(2.0, requires_grad=True)
    x = mg.zeros((2, 2))
    x[0][1] = w
    row = x[1]
    row[0] = 3 * w
    x[1] += w
    assert x.tolist() == [[0, 2], [8, 2]] and row.tolist() == [6, 0]
    assert gradcheck(_rows_updated, [np.arange(4.0).reshape(2, 2), np.array([0.5, 2.0])], order=2)


def _rows_updated(x: Tensor, w: Tensor) -> Tensor:
    y = x * x
    y[0] *= w
    y[:, 1] += mg.sin(w)
    y[1][0] = y[0, 0] * w[1]
    return y


def test_a_batch_is_changed_in_parts_as_one_example_is() -> None:
    def f(x: Tensor) -> Tensor:
        y = mg.zeros((2, 2))
        row = y[0]
        row[0] = x
        y[1] += x
        return y

    assert mg.func.vmap(f)(mg.tensor([1.0, 2.0])).tolist() == [f(mg.tensor(v)).tolist() for v in (1.0, 2.0)]


def test_a_recorded_change_that_another_tensor_would_not_see_is_refused() -> None:
    w = mg.tensor(2.0, requires_grad=True)
    x = mg.zeros(4)
    with pytest.raises(RuntimeError, match="reshaped or transposed view"):
        x.reshape(2, 2)[0, 1] = w
    alone = mg.zeros(4).reshape(2, 2)  # a view, but nobody else can see the buffer
    alone[0, 1] = w
    assert alone.tolist() == [[0, 2], [0, 0]]


def test_a_view_that_a_recorded_change_left_behind_is_refused_not_stale() -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    part, whole = y[0], y.detach()
    y[0] = 0
    for use in (lambda: part * 2, lambda: whole.numpy(), lambda: operator.iadd(part, 1)):
        with pytest.raises(RuntimeError, match="take it again"):
            use()


def test_values_that_numpy_can_reach_do_not_change_the_gradient() -> None:
    def reshaped(array: np.ndarray) -> Tensor:
        return mg.reshape(array, (2,))

    def exposed(array: np.ndarray) -> Tensor:
        tensor = mg.tensor(array)
        exposed.array = tensor.numpy()  # type: ignore[attr-defined]
        return tensor

    for make in (reshaped, lambda a: np.broadcast_to(a, (2, 2)), lambda a: a[::-1], exposed):
        array, x = np.ones(2), mg.ones(2, dtype=mg.float64).requires_grad_()
        y = (x * make(array)).sum()
        getattr(make, "array", array)[:] = 100
        y.backward()
        assert x.grad is not None and set(x.grad.tolist()) <= {1.0, 2.0}


def test_a_parameter_has_a_buffer_of_its_own() -> None:
    for data in (np.ones(2), mg.ones(2, dtype=mg.float64)):
        parameter = mg.nn.Parameter(data)
        y = (parameter * parameter).sum()
        data += 99
        y.backward()
        assert parameter.grad is not None and parameter.grad.tolist() == [2, 2]


def test_results_of_vmap_do_not_share_memory() -> None:
    x = mg.ones(2)
    for f in (lambda a: a, lambda a: mg.zeros(2)):
        result = mg.func.vmap(f)(x)
        result += 1
        assert x.tolist() == [1, 1]


def test_a_change_of_a_promoted_operand_raises_no_false_alarm() -> None:
    p = mg.ones(2).requires_grad_()
    y = (p * mg.ones(2, dtype=mg.float64)).sum() + (p * mg.tensor(2.0, dtype=mg.float64)).sum()
    with mg.no_grad():
        p -= 1
    y.backward()


def test_complex_and_text_operands_are_refused() -> None:
    for other in (np.array([1j, 2]), np.array(["1", "2"]), np.array(["2000-01-01"], "datetime64[D]")):
        with pytest.raises(TypeError, match="expected a boolean, integer, float32 or float64"):
            mg.multiply(mg.ones(2), other)


def test_gradient_descent_by_hand() -> None:
    x = mg.tensor([5.0], requires_grad=True)
    for _ in range(100):
        x.grad = None
        ((x - 2) ** 2).sum().backward()
        with mg.no_grad():
            x -= 0.1 * x.grad
    assert x.item() == pytest.approx(2, abs=1e-4)


def test_an_empty_copy_is_no_view() -> None:
    y = mg.repeat(mg.tensor(0.7, requires_grad=True), 0)
    y += 1
    assert y.shape == (0,)
