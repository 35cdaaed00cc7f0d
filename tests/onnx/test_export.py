"""Whole modules as ONNX models: of any batch and length, with names, and with errors that say what is wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.nn import functional as F

onnx = pytest.importorskip("onnx", reason="onnx comes with the extra onnx")
pytestmark = pytest.mark.peers

SHAPES = [(1, 1), (2, 6), (3, 17), (5, 40)]


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        self.heads = heads
        self.projections = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = (
            part.reshape(batch, length, self.heads, -1).transpose(0, 2, 1, 3)
            for part in mg.split(self.projections(x), 3, axis=-1)
        )
        heads = F.scaled_dot_product_attention(q, k, v, mask[:, None, None, :], is_causal=True)
        return self.output(heads.transpose(0, 2, 1, 3).reshape(batch, length, width))


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, 3)
        self.feed_forward = nn.Sequential(nn.RMSNorm(width), nn.Linear(width, 4 * width), nn.GELU())
        self.contract = nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.norm(x), mask))
        return x + self.dropout(self.contract(self.feed_forward(x)))


class GPT(nn.Module):
    """Learned positions, left padding with 0, and one matrix for the way in and the way out."""

    def __init__(self) -> None:
        self.tokens = nn.Embedding(11, 12)
        self.positions = nn.Embedding(40, 12)
        self.blocks = nn.ModuleList(Block(12) for _ in range(2))
        self.norm = nn.LayerNorm(12)

    def forward(self, input_ids: Tensor) -> Tensor:
        mask = input_ids != 0
        x = self.tokens(input_ids) + self.positions(mg.clip(mg.cumulative_sum(mask, axis=1) - 1, 0))
        for block in self.blocks:
            x = block(x, mask)
        return F.linear(self.norm(x), self.tokens.weight)


def ids(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 11, shape)


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


BATCH_AND_LENGTH = {"input_ids": {0: "batch", 1: "length"}}
LENGTH = [{0: "length"}]


@pytest.fixture
def gpt() -> GPT:
    return GPT().eval()


def test_one_file_serves_every_batch_and_length(gpt: GPT, check: Callable[..., Any]) -> None:
    model = check(gpt, ids(2, 5), others=[(ids(*shape),) for shape in SHAPES], dynamic=BATCH_AND_LENGTH)
    sizes = [d.dim_param or d.dim_value for d in model.graph.output[0].type.tensor_type.shape.dim]
    assert sizes == ["batch", "length", 11]


def test_without_dynamic_axes_sizes_are_those_of_the_example(gpt: GPT, check: Callable[..., Any]) -> None:
    model = check(gpt, ids(2, 5), output_names=["logits"])
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == [2, 5]
    assert [output.name for output in model.graph.output] == ["logits"]


def test_parameters_keep_their_names_and_shared_ones_are_stored_once(gpt: GPT) -> None:
    model = mg.onnx.export(gpt, ids(2, 5), dynamic=BATCH_AND_LENGTH)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    parameters = dict(gpt.named_parameters())
    assert parameters.keys() <= stored.keys()
    assert all((onnx.numpy_helper.to_array(stored[name]) == p.numpy()).all() for name, p in gpt.state_dict().items())
    assert sum(list(tensor.dims) == [11, 12] for tensor in stored.values()) == 1


def test_nodes_are_named_after_the_modules_that_called_them(gpt: GPT) -> None:
    model = mg.onnx.export(gpt, ids(2, 5))
    assert any(node.name.startswith("blocks/1/attention/output/MatMul") for node in model.graph.node)


def test_a_module_is_exported_in_evaluation_mode_and_stays_in_its_own(runner: Callable[..., Any]) -> None:
    model = GPT()
    run = runner(mg.onnx.export(model, ids(2, 5)))
    assert all(module.training for module in model.modules())
    np.testing.assert_allclose(run(ids(2, 5))[0], model.eval()(ids_tensor(2, 5)).detach().numpy(), atol=1e-5)


def ids_tensor(*shape: int) -> Tensor:
    return mg.tensor(ids(*shape))


def test_a_method_of_a_module_can_be_exported(gpt: GPT) -> None:
    def forward(x: Tensor) -> Tensor:
        return gpt(x)

    named = {tensor.name for tensor in mg.onnx.export(gpt.forward, ids(2, 5)).graph.initializer}
    assert "blocks.0.norm.weight" in named
    assert "blocks.0.norm.weight" not in {t.name for t in mg.onnx.export(forward, ids(2, 5)).graph.initializer}


def test_rows_with_nothing_to_attend_to_give_zeros(check: Callable[..., Any], runner: Callable[..., Any]) -> None:
    def attend(x: Tensor, mask: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x, x, x, mask[:, None, None, :])

    x, mask = floats(2, 3, 5, 4), np.array([[True] * 5, [False] * 5])
    model = check(attend, x, mask, dynamic={"x": {0: "batch", 2: "length"}, "mask": {0: "batch", 1: "length"}})
    (out,) = runner(model)(x, mask)
    assert (out[1] == 0).all() and (out[0] != 0).all()


@pytest.mark.parametrize("dtype", [np.bool_, np.int32, np.int64])
def test_inputs_of_integers_and_booleans_are_inputs_of_the_model(dtype: Any, check: Callable[..., Any]) -> None:
    def masked(x: Tensor, attention_mask: Tensor) -> Tensor:
        return mg.where(attention_mask.astype(mg.bool)[..., None], x, 0.0)

    mask = np.array([[1, 1, 0], [1, 0, 0]], dtype)
    check(masked, floats(2, 3, 4), mask, others=[(floats(1, 3, 4), mask[1:])], dynamic=[{0: "batch"}, {0: "batch"}])


def test_encoder_and_decoder_have_lengths_of_their_own(check: Callable[..., Any]) -> None:
    table = nn.Embedding(11, 8)

    def cross(source: Tensor, target: Tensor) -> dict[str, Tensor]:
        memory, x = table(source), table(target)
        context = F.scaled_dot_product_attention(x, memory, memory, (source != 0)[:, None, :])
        flat = context.reshape(-1, 8)
        return {
            "logits": F.linear(context, table.weight),
            "flat": flat,
            "pairs": source[:, None, :] + target[:, :, None],
        }

    check(
        cross,
        ids(2, 5),
        ids(2, 3),
        others=[(ids(3, 1), ids(3, 7)), (ids(1, 9), ids(1, 9))],
        dynamic=[{0: "batch", 1: "source"}, {0: "batch", 1: "target"}],
        output_names=["logits", "flat", "pairs"],
    )


# What depends on the sizes


def test_positions_and_causal_masks_need_no_largest_size(check: Callable[..., Any]) -> None:
    def relative(x: Tensor) -> tuple[Tensor, ...]:
        length = x.shape[0]
        places = mg.arange(length)
        distance = (places[:, None] - places).astype(mg.float32)
        later = np.tri(length, 2 * length, length - 1, dtype=np.bool_)
        return x * distance, mg.where(later, 1.0, x[:, :1]), x + np.arange(-length, 0), x[np.arange(length)[::-1]]

    check(relative, floats(4, 4), others=[(floats(9, 9),)], dynamic=[{0: "length", 1: "length"}])


def test_a_table_made_by_numpy_is_cut_to_the_length(check: Callable[..., Any]) -> None:
    table = np.sin(np.outer(np.arange(50), [1.0, 0.1, 0.01])).astype(np.float32)
    slopes = np.array([0.5, 0.25])

    def positioned(x: Tensor) -> tuple[Tensor, Tensor]:
        length = len(x)
        distance = np.abs(np.arange(length)[:, None] - np.arange(length))
        return x + table[:length], mg.matmul(-(slopes[:, None, None] * distance).astype(np.float32), x)

    others = [(floats(1, 3),), (floats(50, 3),)]
    check(positioned, floats(4, 3), others=others, dynamic=LENGTH, max_sizes={"length": 50})
    with pytest.raises(ValueError, match=r"'add'.* grows with length; .*max_sizes=\{'length'"):
        mg.onnx.export(positioned, floats(4, 3), dynamic=LENGTH)


def test_numbers_that_follow_from_sizes_are_computed(check: Callable[..., Any]) -> None:
    def mean(x: Tensor) -> Tensor:
        rows, columns = x.shape
        return x.sum() / (rows * columns) + (rows + 2 * columns - 1) * x[: rows - 1, -1]

    check(mean, floats(4, 3), others=[(floats(7, 2),)], dynamic=[{0: "rows", 1: "columns"}])


def _half(x: Tensor) -> Tensor:
    return x[: len(x) // 2]


def _loop(x: Tensor) -> Tensor:
    total = x[0]
    for row in x[1:]:
        total = total + row
    return total


def _root(x: Tensor) -> Tensor:
    return x / float(np.sqrt(len(x)))


def _by_numpy(x: Tensor) -> Tensor:
    return mg.where(np.asarray(x) > 0, x, 0.0)


def _in_place(x: Tensor) -> Tensor:
    y = x * 2
    y += 1
    return y


def _derivative(x: Tensor) -> Tensor:
    return mg.func.grad(lambda y: (y * y).sum())(x)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_half, r"a shape of 'getitem' is 1, 2, 3 .*neither a product of sizes"),
        (_loop, "loops by a dynamic size"),
        (_root, "a number in 'divide'"),
        (_by_numpy, "'where': an array made outside of the engine differs"),
        (_in_place, "changed in place"),
        (_derivative, "differentiates"),
        (lambda x: mg.lgamma(x), "'lgamma' cannot be written in ONNX yet; a row for it in the table"),
        (lambda x: F.dropout(x, 0.5), "'dropout': dropout cannot be exported"),
        (lambda x: mg.tensor(np.zeros(3)), "no operation reads x"),
        (lambda x: 3, None),
    ],
)
def test_unsupported_functions_are_errors_that_name_the_cause(function: Any, message: str | None) -> None:
    with pytest.raises(TypeError if message is None else ValueError, match=message):
        mg.onnx.export(function, floats(4, 3), dynamic=LENGTH, input_names=["x"])


def test_an_array_that_numpy_made_of_an_input_is_noticed_without_dynamic_axes_too() -> None:
    with pytest.raises(ValueError, match="an array made outside of the engine"):
        mg.onnx.export(_by_numpy, floats(4, 3))


def test_an_error_names_the_module(gpt: GPT) -> None:
    gpt.blocks[1].attention.forward = lambda x, mask: mg.lgamma(x)  # type: ignore[method-assign]
    with pytest.raises(ValueError, match=r"'lgamma' \(in blocks\.1\.attention\)"):
        mg.onnx.export(gpt, ids(2, 5))


def test_operations_that_no_output_needs_are_left_out() -> None:
    def checked(x: Tensor) -> Tensor:
        mg.lgamma(x)
        return x + 1

    assert [node.op_type for node in mg.onnx.export(checked, floats(3)).graph.node] == ["Add", "Identity"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dynamic": {"y": {0: "n"}}}, "dynamic: expected names of inputs .x., got y"),
        ({"dynamic": {"x": {2: "n"}}}, "dynamic: expected axes 0 to 1 of x, got 2"),
        ({"dynamic": [{}, {}]}, "dynamic: expected at most 1"),
        ({"input_names": ["x", "x"]}, "input_names: expected 1 different"),
        ({"output_names": []}, "output_names: expected 1 different"),
        ({"dynamic": {"x": {0: "n"}}, "max_sizes": {"m": 9}}, "max_sizes: expected names of dynamic axes .n., got 'm'"),
        ({"dynamic": {"x": {0: "n"}}, "max_sizes": {"n": 1}}, "max_sizes: expected at least 7 for 'n', got 1"),
    ],
)
def test_arguments_that_do_not_fit_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mg.onnx.export(lambda x: x + 1, floats(4, 3), **options)


def test_an_argument_may_be_left_out(check: Callable[..., Any]) -> None:
    def optional(x: Tensor, mask: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        return x if bias is None else x + bias

    model = mg.onnx.export(optional, floats(3), None, floats(3))
    assert [given.name for given in model.graph.input] == ["x", "bias"]


# Files


def test_a_saved_model_is_read_back_whole(gpt: GPT, tmp_path: Path) -> None:
    model = mg.onnx.export(gpt, ids(2, 5))
    mg.onnx.save(model, tmp_path / "gpt.onnx")
    assert onnx.load(tmp_path / "gpt.onnx") == model
    with pytest.raises(FileNotFoundError, match="no such directory"):
        mg.onnx.save(model, tmp_path / "missing" / "gpt.onnx")


def test_onnx_is_loaded_when_it_is_used() -> None:
    program = "import minigrad, sys; minigrad.onnx.export; sys.exit('onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModuleNotFoundError, match=r"onnx is not installed.*\[onnx\]"):
        mg.onnx.export(lambda x: x + 1, floats(3))
