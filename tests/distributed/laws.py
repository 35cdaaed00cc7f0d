"""Laws of a group, to be run by each of its processes: ``mpiexec -n 3 python -m tests.distributed.laws group``.

What all of them shall have in common is gathered and compared; digests of it are printed by rank 0, for other runs.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.distributed import GradientSums, Group, ShardedOptimizer, world
from minigrad.distributed.group import Sum
from minigrad.optim import SGD, Adafactor, Adam, AdamW, Optimizer

Array = np.ndarray[Any, Any]
SIZES = (0, 1, 2, 3, 7, 1001, 300_000)
INTEGERS = (np.int8, np.int32, np.int64, np.uint8)
BUCKETS = (1, 100, 1000, 1 << 30)  # bytes


def same_everywhere(group: Group, content: bytes) -> None:
    """Check that all ranks have the same bytes."""
    assert len(set(group.all_gather(content))) == 1


def parts(group: Group, size: int, dtype: Any, seed: int = 0) -> list[Array]:
    """An array of each rank, floats of magnitudes far apart: the order of their sum counts."""
    rng = np.random.default_rng([seed, size])
    if np.dtype(dtype).kind == "f":
        exponents = rng.integers(-12, 12, (group.size, size))
        return list((rng.standard_normal((group.size, size)) * 10.0**exponents).astype(dtype))
    return list(rng.integers(0, 100 // group.size, (group.size, size)).astype(dtype))


def in_rank_order(arrays: list[Array]) -> Array:
    """Sum in float64, in the order of the ranks, rounded once."""
    total = arrays[0].astype(np.float64)
    for array in arrays[1:]:
        total = total + array
    return total.astype(arrays[0].dtype)


# Groups


def sums_of_floats(group: Group) -> bytes:
    digest = hashlib.sha256()
    for dtype in (np.float32, np.float64):
        for size in SIZES:
            arrays = parts(group, size, dtype)
            got = arrays[group.rank].copy()
            group.all_reduce(got)
            assert got.tobytes() == in_rank_order(arrays).tobytes(), (dtype, size)
            digest.update(got.tobytes())
    return digest.digest()


def sums_of_integers(group: Group) -> bytes:
    for dtype in INTEGERS:
        for size in SIZES:
            arrays = parts(group, size, dtype)
            got = arrays[group.rank].copy()
            group.all_reduce(got)
            np.testing.assert_array_equal(got, np.sum(arrays, 0, dtype=dtype))
    return b""


def extremes(group: Group) -> bytes:
    for op in ("max", "min"):
        for dtype in (np.float32, np.float64, *INTEGERS):
            for size in SIZES:
                arrays = parts(group, size, dtype)
                got = arrays[group.rank].copy()
                group.all_reduce(got, op)
                np.testing.assert_array_equal(got, getattr(np, op)(arrays, 0))
    return b""


def shapes_and_tensors(group: Group) -> bytes:
    matrix = np.full((3, 5), 1.0 + group.rank)
    group.all_reduce(matrix)
    np.testing.assert_array_equal(matrix, np.full((3, 5), group.size * (group.size + 1) / 2))
    scalar = np.array(group.rank)
    group.all_reduce(scalar, "max")
    assert scalar == group.size - 1
    tensor = mg.ones((2, 2))
    mg.distributed.all_reduce(tensor)
    assert (tensor.numpy() == group.size).all()
    return b""


def changed_tensors_are_noticed(group: Group) -> bytes:
    x = nn.Parameter(np.ones(3))
    y = x * 1.0
    square = y * y
    mg.distributed.all_reduce(y.detach())
    with pytest.raises(RuntimeError):  # a value of the graph has changed since
        square.sum().backward()
    return b""


def broadcasts(group: Group) -> bytes:
    for root in range(group.size):
        for size in SIZES:
            arrays = parts(group, size, np.float32)
            got = arrays[group.rank].copy()
            group.broadcast(got, root)
            assert got.tobytes() == arrays[root].tobytes()
    return b""


def gathers(group: Group) -> bytes:
    contents = [bytes([rank]) * (rank * 70_000) for rank in range(group.size)]
    assert group.all_gather(contents[group.rank]) == contents
    assert group.all_gather(b"") == [b""] * group.size
    counts = [3 * rank for rank in range(group.size)]
    whole = np.repeat(np.arange(group.size), counts).astype(np.float32)
    own = np.where(whole == group.rank, whole, -1).astype(np.float32)
    group.all_gather_pieces(own, counts)
    np.testing.assert_array_equal(own, whole)
    return b""


def work_of_the_first(group: Group) -> bytes:
    assert group.on_first(lambda: 5) == (5 if group.rank == 0 else None)
    calls: list[int] = []
    assert group.first(lambda: calls.append(1) or len(calls)) == 1

    def fail() -> None:
        raise KeyError("flour")

    for collective in (group.on_first, group.first):
        with pytest.raises(KeyError if group.rank == 0 else RuntimeError, match="flour"):
            collective(fail)  # type: ignore[operator]
    with pytest.raises(Exception, match=r"^$" if group.rank == 0 else "rank 0: ValueError"):
        group.on_first(lambda: exec("raise ValueError"))
    return b""


def arrivals(group: Group) -> bytes:
    group.barrier()
    assert group.all_arrive(60.0)
    group.barrier()
    return b""


def bad_arguments(group: Group) -> bytes:
    with pytest.raises(ValueError, match="op: expected one of sum, max, min, got 'mean'"):
        group.all_reduce(np.ones(2), "mean")
    constant = np.ones(2)
    constant.flags.writeable = False
    with pytest.raises(ValueError, match="array: expected a writable one, got a read-only one"):
        group.broadcast(constant)
    return b""


def arrays_with_strides(group: Group) -> bytes:
    whole = np.zeros((4, 6), np.float32)
    whole.T[::2] += group.rank
    group.all_reduce(whole.T[::2])
    np.testing.assert_array_equal(whole[:, ::2], sum(range(group.size)))
    np.testing.assert_array_equal(whole[:, 1::2], 0)
    group.broadcast(whole[::-1, ::-2])
    return whole.tobytes()


def several_sums_under_way(group: Group) -> bytes:
    arrays = [parts(group, size, np.float32, seed=9) for size in SIZES]
    got = [array[group.rank].copy() for array in arrays]
    pending = [group.start_sum(array) for array in got]
    while not all(one.advance() for one in pending):  # in the order in which they were started
        pass
    for one in pending:
        one.wait()
    for array, whole in zip(arrays, got, strict=True):
        assert whole.tobytes() == in_rank_order(array).tobytes()
    return b""


# Sums of gradients


def network(dtype: Any = np.float32) -> nn.Module:
    mg.manual_seed(3)
    return nn.Sequential(nn.Linear(5, 16), nn.GELU(), nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 3)).astype(dtype)


def examples(rows: int) -> Array:
    return np.random.default_rng(7).standard_normal((rows, 5)).astype(np.float32)


def gradients_of(model: nn.Module) -> list[Array]:
    return [parameter.grad.numpy().copy() for parameter in model.parameters()]


def gradients_are_those_of_the_whole_batch(group: Group) -> bytes:
    digests = set()
    for size in BUCKETS:
        model, whole = network(np.float64), network(np.float64)
        x = examples(24).astype(np.float64)
        whole(mg.tensor(x)).square().sum().backward()
        with GradientSums(model.parameters(), group, size):
            model(mg.tensor(np.array_split(x, group.size)[group.rank])).square().sum().backward()
        for got, expected in zip(gradients_of(model), gradients_of(whole), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)
        digests.add(b"".join(gradient.tobytes() for gradient in gradients_of(model)))
    (digest,) = digests  # the same bits, whatever the buckets
    same_everywhere(group, digest)
    return digest


def gradients_accumulate(group: Group) -> bytes:
    x = np.array_split(examples(24), group.size)[group.rank]
    once, twice = network(), network()
    for model, pieces in ((once, [x]), (twice, np.array_split(x, 2))):
        sums = GradientSums(model.parameters(), group, 300)
        for piece in pieces[:-1]:
            model(mg.tensor(piece)).square().sum().backward()
        with sums:
            model(mg.tensor(pieces[-1])).square().sum().backward()
    for one, other in zip(gradients_of(once), gradients_of(twice), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-6)
    same_everywhere(group, b"".join(gradient.tobytes() for gradient in gradients_of(twice)))
    return b""


def sums_are_used_step_after_step(group: Group) -> bytes:
    model = network()
    sums = GradientSums(model.parameters(), group, 300)
    before: list[Array] = []
    for _ in range(3):
        model.zero_grad()
        with sums:
            model(mg.tensor(np.array_split(examples(24), group.size)[group.rank])).square().sum().backward()
        assert not before or all(map(np.array_equal, before, gradients_of(model)))
        before = gradients_of(model)
    return b""


def unused_parameters(group: Group) -> bytes:
    for size in BUCKETS:
        used, of_last, unused = (nn.Parameter(np.ones(4, np.float32)) for _ in range(3))
        with GradientSums([used, of_last, unused], group, size):
            loss = (used * 2.0).sum()
            if group.rank == group.size - 1:
                loss = loss + (of_last * 3.0).sum()
            loss.backward()
        assert used.grad.tolist() == [2.0 * group.size] * 4
        assert of_last.grad.tolist() == [3.0] * 4  # also where this rank has not used it
        assert unused.grad is None
    return b""


def dtypes_have_buckets_of_their_own(group: Group) -> bytes:
    narrow, wide = nn.Parameter(np.ones(3, np.float32)), nn.Parameter(np.ones(3, np.float64))
    with GradientSums([narrow, wide], group):
        ((narrow * 2.0).sum() + (wide * (1 + 1e-12)).sum()).backward()
    assert narrow.grad.dtype == np.float32 and narrow.grad.tolist() == [2.0 * group.size] * 3
    np.testing.assert_allclose(wide.grad.numpy(), group.size * (1 + 1e-12), rtol=1e-15)
    return b""


def a_second_backward_pass_is_an_error(group: Group) -> bytes:
    weight = nn.Parameter(np.ones(3, np.float32))
    if group.size > 1:
        with GradientSums([weight], group):
            (weight * 1.0).sum().backward()
            with pytest.raises(RuntimeError, match="expected one backward pass in its block, got a second one"):
                (weight * 1.0).sum().backward()
    return b""


def a_block_left_by_an_error_leaves_no_hooks(group: Group) -> bytes:
    weight = nn.Parameter(np.ones(3, np.float32))
    sums = GradientSums([weight], group)
    with pytest.raises(ZeroDivisionError), sums:
        raise ZeroDivisionError
    (weight * 1.0).sum().backward()
    (weight * 1.0).sum().backward()
    assert weight.grad.tolist() == [2.0] * 3
    weight.grad = None
    with sums:
        (weight * 1.0).sum().backward()
    assert weight.grad.tolist() == [1.0 * group.size] * 3
    return b""


def sums_start_before_the_backward_pass_ends(group: Group) -> bytes:
    if group.size == 1:
        return b""
    events: list[str] = []
    start = Group.start_sum

    def noted(self: Group, array: Array) -> Sum:
        events.append("sum")
        return start(self, array)

    model = network()
    first = next(iter(model.parameters()))
    first.register_post_accumulate_grad_hook(lambda tensor: events.append("last gradient"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Group, "start_sum", noted)
        with GradientSums(model.parameters(), group, 1):
            model(mg.tensor(examples(4))).square().sum().backward()
    assert events.count("sum") == 6
    assert events[: events.index("last gradient")].count("sum") >= 3  # the last layers' are on their way
    return b""


# Sharded optimizers

OPTIMIZERS: dict[str, Callable[[Any], Optimizer]] = {
    "sgd": lambda params: SGD(params, lr=0.01, momentum=0.9),
    "plain sgd": lambda params: SGD(params, lr=0.01),
    "adam": lambda params: Adam(params, lr=0.01),
    "adamw": lambda params: AdamW(params, lr=0.01, weight_decay=0.1),
    "adafactor": lambda params: Adafactor(params, lr=0.01),
}


def grouped(model: nn.Module) -> list[dict[str, Any]]:
    """Parameters in two groups, of different learning rates."""
    weights = [tensor for tensor in model.parameters() if tensor.ndim > 1]
    return [{"params": weights}, {"params": [t for t in model.parameters() if t.ndim <= 1], "lr": 0.003}]


def set_gradients(model: nn.Module, step: int) -> None:
    """The same gradients on all ranks; one parameter has none in the second step, and one never."""
    rng = np.random.default_rng(step)
    for place, tensor in enumerate(model.parameters()):
        gradient = mg.tensor(rng.standard_normal(tensor.shape).astype(np.float32))
        tensor.grad = None if place == 5 or (step == 1 and place == 2) else gradient


def assert_same_state(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert list(one) == list(other)
    for name, value in one.items():
        if isinstance(value, np.ndarray):
            assert value.dtype == other[name].dtype and value.tobytes() == other[name].tobytes(), name
        else:
            assert json.dumps(value) == json.dumps(other[name])


def state_bytes(optimizer: Optimizer) -> int:
    return sum(array.nbytes for group in optimizer.state for state in group for array in state.values())


def sharded_optimizers_do_what_whole_ones_do(group: Group) -> bytes:
    for name, make in OPTIMIZERS.items():
        model, twin = network(), network()
        whole, sharded = make(grouped(twin)), ShardedOptimizer(make(grouped(model)), group)
        for step in range(4):
            if step == 3:  # continue from the saved state, in an optimizer without one
                saved = dict(whole.state_dict())
                sharded = ShardedOptimizer(make(grouped(model)), group)
                sharded.load_state_dict(saved)
            set_gradients(model, step)
            set_gradients(twin, step)
            before = [tensor.grad for tensor in model.parameters()]
            whole.step(0.5)
            sharded.step(0.5)
            assert all(tensor.grad is old for tensor, old in zip(model.parameters(), before, strict=True))
            for one, other in zip(model.parameters(), twin.parameters(), strict=True):
                assert one.data.tobytes() == other.data.tobytes(), (name, step)
            held = np.array(state_bytes(sharded))
            state = sharded.state_dict()
            if group.rank == 0:
                assert_same_state(state, whole.state_dict())
        whole.state_dict()
        largest = max(sum(array.nbytes for array in state.values()) for states in whole.state for state in states)
        assert held <= state_bytes(whole) / group.size + largest
        group.all_reduce(held)
        assert held == state_bytes(whole)  # each array is on one rank
    return b""


def a_sharded_optimizer_follows_a_new_learning_rate(group: Group) -> bytes:
    weight = nn.Parameter(np.ones(2, np.float32))
    optimizer = ShardedOptimizer(SGD([weight], lr=1.0), group)
    optimizer.lr = 0.25
    weight.grad = mg.ones(2)
    optimizer.step()
    assert weight.tolist() == [0.75, 0.75] and optimizer.lr == 0.25
    return b""


LAWS: dict[str, tuple[Callable[[Group], bytes], ...]] = {
    "group": (
        sums_of_floats,
        sums_of_integers,
        extremes,
        shapes_and_tensors,
        changed_tensors_are_noticed,
        broadcasts,
        gathers,
        work_of_the_first,
        arrivals,
        arrays_with_strides,
        bad_arguments,
        several_sums_under_way,
    ),
    "gradients": (
        gradients_are_those_of_the_whole_batch,
        gradients_accumulate,
        sums_are_used_step_after_step,
        unused_parameters,
        dtypes_have_buckets_of_their_own,
        a_block_left_by_an_error_leaves_no_hooks,
        sums_start_before_the_backward_pass_ends,
        a_second_backward_pass_is_an_error,
    ),
    "optimizer": (sharded_optimizers_do_what_whole_ones_do, a_sharded_optimizer_follows_a_new_learning_rate),
}


def main(kinds: list[str]) -> None:
    group = world()
    for kind in kinds:
        for law in LAWS[kind]:
            digest = hashlib.sha256(law(group)).hexdigest()
            same_everywhere(group, digest.encode())
            if group.rank == 0:
                print(law.__name__, digest, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
