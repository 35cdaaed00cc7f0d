"""Custom functions, checkpointing, and anomaly detection."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor, autograd, func
from minigrad.autograd import Function, checkpoint, detect_anomaly
from minigrad.nn import functional as F
from minigrad.testing import GradientError, gradcheck


class Cube(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.scale = scale
        return x * x * x * scale

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return gradient * 3 * x * x * ctx.scale, None


class Exp(Function):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return mg.exp(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient * ctx.saved_tensors[0]


class SumAndSign(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        sign = mg.sign(a)
        ctx.mark_non_differentiable(sign)
        ctx.needs = ctx.needs_input_grad
        return a + b, sign

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, unused: Tensor) -> Any:
        assert not unused.numpy().any()
        return gradient, gradient


X = np.array([0.5, -1.5, 2.0])


def test_a_function_of_ones_own_is_differentiated_to_second_order() -> None:
    assert gradcheck(lambda x: Cube.apply(x, 2.0), X, order=2)
    assert gradcheck(Exp.apply, X, order=2)
    assert gradcheck(lambda x: Exp.apply(Cube.apply(x * 0.1, 1.0)), X, order=2)


def test_a_wrong_backward_is_found() -> None:
    class Wrong(Exp):
        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Any:
            return gradient * ctx.saved_tensors[0] * 2

    with pytest.raises(GradientError, match="constant factor of 2"):
        gradcheck(Wrong.apply, X)


def test_a_function_works_in_transforms() -> None:
    batch = mg.tensor(np.stack([X, 2 * X]))
    found = mg.func.vmap(mg.func.grad(lambda x: Cube.apply(x, 2.0).sum()))(batch)
    np.testing.assert_allclose(found.numpy(), 6 * batch.numpy() ** 2)
    np.testing.assert_allclose(
        mg.func.hessian(lambda x: Exp.apply(x).sum())(mg.tensor(X)).numpy(), np.diag(np.exp(X)), atol=1e-12
    )


def test_a_saved_tensor_returned_by_backward_is_read_only() -> None:
    class Half(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return (x * x).sum() * 0.5

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Any:
            return ctx.saved_tensors[0]

    x = mg.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(2):
        Half.apply(x).backward()
    assert x.tolist() == [1, 2]
    assert x.grad is not None and x.grad.tolist() == [2, 4]


def test_a_backward_cannot_spoil_the_gradient_it_is_given() -> None:
    class Zeroing(Exp):
        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Any:
            gradient *= 0
            return gradient

    x, z = mg.ones(2).requires_grad_(), mg.ones(2).requires_grad_()
    with pytest.raises(ValueError, match="read-only"):
        (Zeroing.apply(x) + z).sum().backward()


def test_a_function_that_returns_a_tensor_from_outside_leaves_it_alone() -> None:
    outside = mg.ones(2)

    class Constant(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return outside

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Any:
            return gradient

    assert Constant.apply(mg.ones(2).requires_grad_()).requires_grad
    assert not outside.requires_grad and outside.is_leaf


def test_tensors_given_to_a_function_by_keyword_would_lose_their_gradient() -> None:
    with pytest.raises(TypeError, match="positional"):
        Cube.apply(mg.ones(2), scale=mg.tensor(1.0, requires_grad=True))


def test_results_marked_as_constant_require_no_gradient() -> None:
    a, b = mg.ones(2).requires_grad_(), mg.ones((3, 2))
    total, sign = SumAndSign.apply(a, b)
    assert total.requires_grad and not sign.requires_grad
    total.sum().backward()
    assert a.grad is not None and a.grad.tolist() == [3, 3]  # broadcasting is undone here too


def test_a_function_that_returns_its_argument_gives_another_tensor() -> None:
    class Identity(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Any:
            return gradient * 10

    x = mg.tensor(1.0, requires_grad=True)
    Identity.apply(x).backward()
    assert x.grad == 10 and x.is_leaf


def test_a_backward_of_the_wrong_form_is_named() -> None:
    class TooMany(Exp):
        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Any:
            return gradient, gradient

    class WrongShape(Exp):
        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Any:
            return mg.ones(7)

    for function, message in ((TooMany, "TooMany.backward: expected a gradient"), (WrongShape, r"shape \(3,\)")):
        with pytest.raises(ValueError, match=message):
            function.apply(mg.tensor(X, requires_grad=True)).sum().backward()


def test_a_change_of_what_a_function_saved_is_detected() -> None:
    x = mg.tensor(X, requires_grad=True)
    y = Cube.apply(x, 1.0)
    with mg.no_grad():
        x[0] = 7
    with pytest.raises(RuntimeError, match="'Cube' needs was changed in place"):
        y.sum().backward()


def test_functions_are_freed_without_the_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        node = weakref.ref(Exp.apply(mg.tensor(X, requires_grad=True)).node)
        assert node() is None
    finally:
        gc.enable()


# Checkpoints


def _block(x: Tensor, weight: Tensor) -> Tensor:
    return F.dropout(mg.tanh(x @ weight), 0.5)


def _train(run: Any) -> list[Any]:
    mg.manual_seed(3)
    x, weight = (mg.random.normal((4, 4)).requires_grad_() for _ in range(2))
    hidden = run(lambda h: _block(h, weight), x)
    hidden = run(lambda h: run(lambda inner: _block(inner, weight), h) * 2, hidden)
    (hidden * hidden).sum().backward()
    assert x.grad is not None and weight.grad is not None
    return [hidden.tolist(), x.grad.tolist(), weight.grad.tolist(), mg.random.uniform((2,)).tolist()]


def test_a_checkpoint_gives_the_same_values_gradients_and_dropout_draws() -> None:
    assert _train(checkpoint) == _train(lambda f, *args: f(*args))


def test_a_checkpoint_keeps_no_intermediate_values() -> None:
    kept: list[weakref.ref[Any]] = []

    def f(x: Tensor) -> Tensor:
        middle = mg.exp(x)
        kept.append(weakref.ref(middle.data))
        return mg.sin(middle)

    x = mg.ones(3).requires_grad_()
    y = checkpoint(f, x)
    assert kept[0]() is None
    y.sum().backward()
    assert len(kept) == 2
    np.testing.assert_allclose(x.grad.numpy(), np.cos(np.exp(1)) * np.exp(1) * np.ones(3), rtol=1e-5)


def test_a_checkpoint_is_differentiated_to_second_order_and_by_grad() -> None:
    assert gradcheck(lambda x: checkpoint(lambda x: mg.sin(x) * x, x), X, order=2)
    assert mg.func.grad(lambda x: checkpoint(mg.exp, x))(0.0) == 1


def test_a_checkpoint_notices_a_change_of_what_it_read() -> None:
    x, weight = mg.ones((2, 2)).requires_grad_(), mg.ones((2, 2)).requires_grad_()
    y = checkpoint(_block, x, weight)
    with mg.no_grad():
        weight *= 2
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()


def test_a_checkpoint_notices_a_change_of_anything_it_read() -> None:
    table, array = mg.ones(2), np.ones(2)
    settings = {"scale": 2.0, "function": mg.sin}

    def f(x: Tensor) -> Tensor:
        return settings["function"](x) * (table * 2) * array * settings["scale"]  # type: ignore[operator]

    def change_table() -> None:
        table[0] = 50

    def change_array() -> None:
        array[0] = 50

    for change in (
        change_table,
        change_array,
        lambda: settings.update(scale=3.0),
        lambda: settings.update(function=mg.cos),
    ):
        y = checkpoint(f, mg.ones(2).requires_grad_())
        change()
        with pytest.raises(RuntimeError, match="checkpoint"):
            y.sum().backward()


def test_a_checkpointed_function_may_update_running_statistics() -> None:
    norm = mg.nn.BatchNorm1d(2)
    x = mg.random.normal((4, 2)).requires_grad_()
    checkpoint(norm, x).sum().backward()
    assert x.grad is not None


def test_a_checkpoint_that_runs_other_operations_the_second_time_is_an_error() -> None:
    steps = iter([1, 2])

    def f(x: Tensor) -> Tensor:
        for _ in range(next(steps)):
            x = mg.exp(x)
        return x

    y = checkpoint(f, mg.ones(1).requires_grad_())
    with pytest.raises(RuntimeError, match="other operations"):
        y.backward()


# Anomalies


def test_an_anomaly_in_the_forward_pass_names_the_operation_and_the_line() -> None:
    with detect_anomaly(), np.errstate(divide="ignore"), pytest.raises(RuntimeError) as error:
        mg.log(mg.tensor([0.0, 1.0])) * 2  # the guilty line
    assert "'log' made -inf at" in str(error.value)
    assert "test_autograd.py" in str(error.value) and "# the guilty line" in str(error.value)


def test_an_anomaly_in_the_backward_pass_names_the_forward_line() -> None:
    x = mg.tensor([0.0, 1.0], requires_grad=True)
    with detect_anomaly():
        loss = (mg.sqrt(x) * 3).sum()  # the guilty line
        with pytest.raises(RuntimeError) as error:
            loss.backward()
    assert "the derivative of 'sqrt' is inf for input 0" in str(error.value)
    assert "# the guilty line" in str(error.value)


def test_a_nan_made_of_infinities_is_an_anomaly() -> None:
    a = mg.tensor([-mg.inf, 1.0])
    with detect_anomaly(), np.errstate(invalid="ignore"), pytest.raises(RuntimeError, match="'subtract' made nan"):
        a - a


def test_an_anomaly_in_a_recorded_derivative_is_the_derivatives_not_that_of_an_operation_inside_it() -> None:
    x = mg.tensor([0.0, 1.0], requires_grad=True)
    with detect_anomaly(), pytest.raises(RuntimeError, match="derivative of 'sqrt' is inf"):
        mg.sqrt(x).sum().backward(create_graph=True)


def test_infinities_that_were_put_in_are_no_anomaly_and_the_mode_ends_with_its_block() -> None:
    with detect_anomaly():
        mg.softmax(mg.where(np.array([True, False]), mg.ones(2), -mg.inf)).sum()
    with np.errstate(divide="ignore"):
        assert mg.log(mg.tensor(0.0)) == -np.inf


# Modes


def test_modes_are_separate_in_each_asynchronous_task() -> None:
    async def without(started: asyncio.Event, done: asyncio.Event) -> bool:
        with mg.no_grad():
            started.set()
            await done.wait()
            return mg.is_grad_enabled()

    async def both() -> tuple[bool, bool]:
        started, done = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(without(started, done))
        await started.wait()
        here = mg.is_grad_enabled()
        done.set()
        return here, await task

    assert asyncio.run(both()) == (True, False)


def test_modes_hold_in_coroutines_and_generators_and_not_in_their_consumers() -> None:
    @mg.no_grad()
    async def coroutine() -> bool:
        await asyncio.sleep(0)
        return mg.is_grad_enabled()

    @mg.no_grad
    def generator() -> Any:
        received = yield mg.is_grad_enabled()
        yield received, mg.is_grad_enabled()

    assert asyncio.run(coroutine()) is False
    running = generator()
    assert next(running) is False
    assert mg.is_grad_enabled()
    assert running.send("word") == ("word", False)
    assert mg.is_grad_enabled()
    running.close()


def test_one_mode_object_serves_threads_that_enter_it_at_once() -> None:
    mode, inside, found = mg.no_grad(), threading.Barrier(2), []

    def run() -> None:
        with mode:
            inside.wait()
        found.append(mg.is_grad_enabled())

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True, True]


def test_recorded_gradients_share_no_buffer_with_each_other_or_with_what_they_started_from() -> None:
    x, y, seed = mg.ones(2).requires_grad_(), mg.ones(2).requires_grad_(), mg.ones(2)
    (x + y).backward(seed, create_graph=True)
    first, second = autograd.grad(x * 2, [x, x], mg.ones(2), create_graph=True)
    buffers = [g.data for g in (x.grad, y.grad, seed, first, second) if g is not None]
    assert len(buffers) == 5
    assert not any(np.shares_memory(a, b) for i, a in enumerate(buffers) for b in buffers[:i])
    x.grad = y.grad = None


def test_backward_inside_a_batch_is_refused() -> None:
    w = mg.ones(2).requires_grad_()
    with pytest.raises(RuntimeError, match=r"func\.grad"):
        mg.func.vmap(lambda x: ((w * x).sum().backward(), x)[1])(mg.ones((3, 2)))


def test_retained_gradients_are_what_hooks_left_and_follow_changes_in_place() -> None:
    x = mg.ones(2).requires_grad_()
    y = x * 1
    y.retain_grad()
    y.register_hook(lambda g: g * 10)
    y.sum().backward()
    assert y.grad is not None and y.grad.tolist() == [10, 10]
    y = x * 1
    y.retain_grad()
    y[0] = 5
    (y * 3).sum().backward()
    assert y.grad is not None and y.grad.tolist() == [3, 3]


def test_allow_unused_and_grad_outputs() -> None:
    x, y = mg.ones(2).requires_grad_(), mg.ones(2).requires_grad_()
    found = autograd.grad(x * 2, [x, y], grad_outputs=mg.tensor([1.0, 10.0]), allow_unused=True)
    assert found[0] is not None and found[0].tolist() == [2, 20]
    assert found[1] is None
    with pytest.raises(RuntimeError, match="allow_unused=True"):
        autograd.grad((x * 2).sum(), [x, y])


class _OnArrays(autograd.Function):
    """A cube whose derivative is computed outside of the engine."""

    @staticmethod
    def forward(ctx: Any, x: mg.Tensor) -> mg.Tensor:
        ctx.x = x.detach().numpy()
        return mg.asarray(ctx.x**3)

    @staticmethod
    def backward(ctx: Any, g: mg.Tensor) -> mg.Tensor:
        return mg.asarray(3 * ctx.x**2 * g.detach().numpy())


class _Doubled(autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: mg.Tensor, factor: float = 2.0) -> mg.Tensor:
        ctx.factor = factor
        return x * factor

    @staticmethod
    def backward(ctx: Any, g: mg.Tensor) -> Any:
        return g * ctx.factor, None, None


def test_a_function_that_leaves_the_graph_in_backward_has_a_first_derivative_only() -> None:
    def cube(x: mg.Tensor) -> mg.Tensor:
        return _OnArrays.apply(x)  # type: ignore[no-any-return]

    x = mg.tensor(2.0)
    assert func.grad(cube)(x).item() == 12
    leaf = mg.tensor(2.0, requires_grad=True)
    second: list[Callable[[], Any]] = [
        lambda: func.grad(func.grad(cube))(x),
        lambda: func.jvp(cube, (x,), (mg.tensor(1.0),)),
        lambda: func.hessian(cube)(x),
        lambda: autograd.grad(cube(leaf), leaf, create_graph=True),
    ]
    for call in second:
        with pytest.raises(RuntimeError, match=r"_OnArrays\.backward: cannot be differentiated"):
            call()


def test_a_linear_function_has_a_second_derivative_of_zero_and_ends_there() -> None:
    x = mg.tensor(2.0, requires_grad=True)
    assert func.grad(func.grad(lambda x: _Doubled.apply(x)))(mg.tensor(2.0)).item() == 0
    assert func.jvp(lambda x: _Doubled.apply(x, 3.0), (mg.tensor(2.0),), (mg.tensor(1.0),))[1].item() == 3
    (gradient,) = autograd.grad(_Doubled.apply(x), [x], create_graph=True)
    assert gradient.item() == 2
    assert not gradient.requires_grad


def test_a_checkpointed_module_moves_its_running_averages_once() -> None:
    rng = np.random.default_rng(0)
    x = mg.tensor(rng.standard_normal((4, 2)), dtype=mg.float32, requires_grad=True)
    plain, checkpointed = mg.nn.BatchNorm1d(2), mg.nn.BatchNorm1d(2)
    plain(x).sum().backward()
    out = autograd.checkpoint(checkpointed, x)
    out.sum().backward(retain_graph=True)
    out.sum().backward()
    for name, value in plain.state_dict().items():
        np.testing.assert_array_equal(checkpointed.state_dict()[name].numpy(), value.numpy())


def test_in_place_changes_of_tensors_made_in_a_checkpoint_are_kept() -> None:
    calls = mg.zeros(())

    def f(x: mg.Tensor) -> mg.Tensor:
        own = mg.zeros(2)
        own[0] = 3.0
        with mg.no_grad():
            calls[...] = calls + 1
        return x * own * x

    x = mg.tensor([2.0, 5.0], requires_grad=True)
    autograd.checkpoint(f, x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [12, 0]
    assert calls.item() == 1
