"""Recording, the backward pass, hooks, and freeing."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor, autograd


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _leaf(value: object = 3.0) -> Tensor:
    return mg.tensor(value, dtype=mg.float64, requires_grad=True)


def _grad(x: Tensor) -> np.ndarray:
    assert x.grad is not None
    return x.grad.numpy()


def test_uses_of_one_tensor_add_their_gradients() -> None:
    x = _leaf()
    (x * x + x + mg.exp(x * 0)).backward()
    assert _grad(x) == 7


def test_a_second_call_of_backward_adds_to_grad() -> None:
    x = _leaf()
    (2 * x).backward()
    (3 * x).backward()
    assert _grad(x) == 5


def test_a_second_backward_through_a_freed_graph_is_an_error_not_a_wrong_number() -> None:
    x = _leaf()
    y = x * x
    y.backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        y.backward()


def test_retain_graph_allows_a_second_backward() -> None:
    x = _leaf()
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert _grad(x) == 12


def test_gradients_do_not_share_buffers() -> None:
    x, y = _leaf([1.0, 2.0]), _leaf([3.0, 4.0])
    total = x + y
    seed = mg.tensor([1.0, 1.0], dtype=mg.float64)
    total.backward(seed)
    assert x.grad is not None
    assert y.grad is not None
    arrays = [x.grad.data, y.grad.data, seed.data]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[i + 1 :])


def test_a_sums_gradient_is_a_buffer_of_its_own_and_writable() -> None:
    x = _leaf(np.ones((3, 4)))
    x.sum().backward()
    _grad(x)[0, 0] = 5
    assert _grad(x).sum() == 16


def test_grads_of_every_order_through_create_graph() -> None:
    x = _leaf(2.0)
    value = x**4
    for expected in (32, 48, 48, 24):
        (value,) = autograd.grad(value, x, create_graph=True)
        assert value.item() == pytest.approx(expected)


def test_grad_of_intermediates_and_of_unused_inputs() -> None:
    x, unused = _leaf(), _leaf()
    middle = x * x
    (found,) = autograd.grad(middle * 5, middle, retain_graph=True)
    assert found is not None
    assert found.item() == 5
    assert x.grad is None
    with pytest.raises(RuntimeError, match="allow_unused"):
        autograd.grad(middle * 5, [middle, unused], retain_graph=True)
    assert autograd.grad(middle * 5, [middle, unused], allow_unused=True)[1] is None


def test_grad_outputs_and_several_outputs() -> None:
    x = _leaf([1.0, 2.0])
    (found,) = autograd.grad([x * x, x * 3], x, [mg.tensor([1.0, 10.0]), mg.tensor([1.0, 1.0])])
    assert found is not None
    np.testing.assert_array_equal(found.numpy(), [5, 43])
    with pytest.raises(ValueError, match=r"expected the output's shape \(2,\)"):
        autograd.grad(x * x, x, mg.ones(3))
    with pytest.raises(RuntimeError, match="not a scalar"):
        (x * x).backward()


def test_a_tensor_without_a_graph_says_so() -> None:
    with pytest.raises(RuntimeError, match="does not require a gradient"):
        mg.ones(()).backward()
    with pytest.raises(TypeError, match="only floating tensors"):
        mg.tensor([1, 2], requires_grad=True)


def test_hooks_see_the_whole_gradient_and_may_replace_it() -> None:
    x = _leaf()
    seen: list[float] = []
    handle = x.register_hook(lambda g: seen.append(g.item()))
    middle = x * 1
    middle.register_hook(lambda g: g * 100)
    (middle * middle + middle).backward()
    assert seen == [700]
    assert _grad(x) == 700
    handle.remove()
    x.grad = None
    (x * 2).backward()
    assert seen == [700]


def test_a_leaf_is_complete_right_after_the_last_operation_that_uses_it() -> None:
    early, late = mg.ones(3).requires_grad_(), mg.ones(3).requires_grad_()
    seen: list[object] = []
    middle = late * 2
    middle.register_hook(lambda g: seen.append("middle"))
    for name, leaf in (("early", early), ("late", late)):
        leaf.register_post_accumulate_grad_hook(lambda leaf, name=name: seen.append((name, leaf.grad.sum().item())))
    output = (middle * early + early).sum()
    output.backward(retain_graph=True)
    assert seen == [("early", 9.0), "middle", ("late", 6.0)]
    output.backward()
    assert seen[3] == ("early", 18.0)  # accumulated, as the hook is shown
    with pytest.raises(RuntimeError, match="expected a leaf"):
        middle.register_post_accumulate_grad_hook(print)


def test_retain_grad_fills_grad_of_a_computed_tensor() -> None:
    x = _leaf()
    y = x * 2
    y.retain_grad()
    (y * y).backward()
    assert _grad(y) == 12


def test_changing_data_that_backward_needs_is_detected() -> None:
    parameter = mg.nn.Parameter(np.ones(3, np.float32))
    loss = (parameter * parameter).sum()
    parameter.grad = mg.ones(3)
    mg.optim.SGD([parameter], lr=0.1).step()
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


def test_optimizer_steps_between_passes_raise_no_false_alarm() -> None:
    parameter = mg.nn.Parameter(np.ones(3, np.float32))
    optimizer = mg.optim.SGD([parameter], lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        (parameter * parameter).sum().backward()
        optimizer.step()
    np.testing.assert_allclose(parameter.data, 0.8**3, rtol=1e-6)


def test_modes_return_after_an_exception_and_nest_and_decorate() -> None:
    with pytest.raises(KeyError), mg.no_grad():
        raise KeyError
    assert mg.is_grad_enabled()
    with mg.no_grad():
        with mg.enable_grad():
            assert mg.is_grad_enabled()
        assert not mg.is_grad_enabled()

    @mg.no_grad()
    def inside() -> bool:
        return mg.is_grad_enabled()

    assert not inside()
    assert mg.is_grad_enabled()
    with mg.set_grad_enabled(False):
        assert not mg.is_grad_enabled()
    assert mg.is_grad_enabled()


def test_modes_are_separate_in_each_thread() -> None:
    found: list[bool] = []
    with mg.no_grad():
        thread = threading.Thread(target=lambda: found.append(mg.is_grad_enabled()))
        thread.start()
        thread.join()
    assert found == [True]


@pytest.mark.usefixtures("_no_collector")
def test_a_chain_of_100_000_operations_backpropagates_and_is_freed_without_the_collector() -> None:
    x = _leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y * 1.0
    node = weakref.ref(y.node)
    y.backward()
    assert _grad(x) == 1
    del y
    assert node() is None


@pytest.mark.slow
def test_a_fan_in_of_100_000_backpropagates() -> None:
    x = _leaf(1.0)
    mg.stack([x * 1.0 for _ in range(100_000)]).sum().backward()
    assert _grad(x) == 100_000


@pytest.mark.usefixtures("_no_collector")
def test_dropping_the_last_tensor_frees_its_graph_by_reference_counting() -> None:
    layer = mg.nn.Linear(4, 4)
    y = layer(mg.ones((2, 4)))
    z = mg.softmax(y.exp()).sum()
    nodes = [weakref.ref(y.node), weakref.ref(z.node)]
    z.backward()
    del y, z
    assert [node() for node in nodes] == [None, None]


def test_only_what_derivatives_need_is_kept() -> None:
    x = _leaf(np.ones(4))
    kept = (x + 1).node
    assert kept is not None
    assert kept.saved == {}
    constant = mg.ones(4)
    node = (x * constant).node
    assert node is not None
    assert list(node.saved or ()) == ["b"]  # the constant, for x's gradient; x itself is not needed


def test_float32_gradients_are_float32_without_a_detour_through_float64() -> None:
    x = mg.ones((3, 4)).requires_grad_()
    dtypes: list[object] = []
    middle = mg.softmax(mg.exp(x) / np.sqrt(2)) * 2.0
    middle.register_hook(lambda g: dtypes.append(g.dtype))
    mg.maximum(middle, 0.1).mean().backward()
    assert dtypes == [mg.float32]
    assert _grad(x).dtype == np.float32


def test_a_fused_operations_recorded_gradient_counts_related_inputs_once() -> None:
    x = _leaf([0.5, -1.0, 2.0])

    def loss() -> Tensor:
        return (mg.nn.functional.layer_norm(x * x, (3,), x) * mg.asarray(np.arange(3.0))).sum()

    (plain,) = autograd.grad(loss(), x)
    (recorded,) = autograd.grad(loss(), x, create_graph=True)
    assert plain is not None and recorded is not None
    np.testing.assert_allclose(recorded.detach().numpy(), plain.numpy(), rtol=1e-12)


def test_hooks_run_once_also_on_the_input_of_a_fused_operation() -> None:
    x = _leaf([0.5, -1.0, 2.0])
    middle = x * 1
    calls: list[Tensor] = []
    middle.register_hook(calls.append)
    autograd.grad((mg.nn.functional.layer_norm(middle, (3,)) ** 2).sum(), x, create_graph=True)
    assert len(calls) == 1


def test_promoted_inputs_return_to_their_dtype_in_recorded_gradients() -> None:
    x = mg.ones(3).requires_grad_()
    w = _leaf([1.0, 2.0, 3.0])
    y = mg.softmax(x * 2) * w
    (first,) = autograd.grad((y * y).sum(), w, create_graph=True)
    assert first is not None
    (second,) = autograd.grad(first.sum(), x)
    assert second is not None
    assert second.dtype == mg.float32


def test_a_target_of_grad_keeps_its_own_graph() -> None:
    x = _leaf()
    middle = x * x
    autograd.grad(middle * 5, middle)
    middle.backward()
    assert _grad(x) == 6


def test_retain_grad_is_idempotent_and_shares_no_buffer() -> None:
    x = _leaf([1.0, 2.0])
    y = x * 2
    z = y + 1
    for tensor in (y, y, z):
        tensor.retain_grad()
    seed = mg.ones(2, dtype=mg.float64)
    z.backward(seed)
    np.testing.assert_array_equal(_grad(y), [1, 1])
    assert not np.shares_memory(_grad(y), _grad(z))
    assert not np.shares_memory(_grad(z), seed.numpy())
    with pytest.raises(RuntimeError, match="does not require"):
        mg.ones(1).retain_grad()


def test_a_hooks_result_must_be_a_gradient_of_the_same_kind() -> None:
    for wrong, error in ((np.ones(2), TypeError), (mg.ones((7, 2), dtype=mg.float64), ValueError)):
        x = _leaf([1.0, 2.0])
        x.register_hook(lambda g, wrong=wrong: wrong)
        with pytest.raises(error, match="hook: expected"):
            (x * 2).sum().backward()


def test_set_grad_enabled_can_be_entered_again() -> None:
    mode = mg.set_grad_enabled(False)
    for _ in range(2):
        with mode:
            assert not mg.is_grad_enabled()
        assert mg.is_grad_enabled()


def test_indices_changed_after_use_do_not_change_the_gradient() -> None:
    x = _leaf([1.0, 2.0, 3.0])
    index = np.array([0, 1])
    y = x[index]
    index[0] = 2
    y.sum().backward()
    np.testing.assert_array_equal(_grad(x), [1, 1, 0])
