"""Pictures of recorded graphs: vertices, boxes and shapes."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, viz

SVG = "{http://www.w3.org/2000/svg}"


class Block(nn.Module):
    def __init__(self, width: int = 8) -> None:
        self.inner = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return self.norm(x + mg.relu(self.inner(x)))


class Stack(nn.Module):
    def __init__(self, count: int = 3) -> None:
        self.layers = nn.ModuleList(Block() for _ in range(count))
        self.head = nn.Linear(8, 2)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


class Heads(nn.Module):
    def __init__(self) -> None:
        self.heads = nn.ModuleList(nn.Linear(8, 4) for _ in range(3))

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return mg.concat([head(x) for head in self.heads], axis=-1)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        self.step = nn.Linear(8, 8)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        for _ in range(5):
            x = self.step(x)
        return x


class Lookup(nn.Module):
    def __init__(self) -> None:
        self.table = nn.Embedding(10, 4)

    def forward(self, tokens: np.ndarray) -> mg.Tensor:
        return self.table(tokens) @ self.table.weight.mT


class Drawn:
    """A rendered picture, read back from its SVG."""

    def __init__(self, picture: viz.Graph) -> None:
        self.root = ElementTree.fromstring(picture._repr_svg_())
        texts = {self._name(group): self._texts(group) for group in self._groups("node")}
        self.nodes = {name: lines for name, lines in texts.items() if name.startswith("v")}
        titles = [name for name in texts if name.endswith("_title")]
        self.clusters = [" ".join(texts[name]) for name in sorted(titles, key=lambda name: int(name.split("_")[1]))]
        ends = [tuple(self._name(group).split("->")) for group in self._groups("edge")]
        after = {tail: head for tail, head in ends if tail.startswith("e")}  # a label stands in the middle of its edge
        self.edges = [(tail, after.get(head, head)) for tail, head in ends if tail not in after]
        self.edge_texts = [text.strip() for name, lines in texts.items() if name.startswith("e") for text in lines]

    def _groups(self, kind: str) -> list[ElementTree.Element]:
        return [group for group in self.root.iter(f"{SVG}g") if group.get("class") == kind]

    def _name(self, group: ElementTree.Element) -> str:
        return group.attrib["data-name"]

    def _texts(self, group: ElementTree.Element) -> list[str]:
        return [element.text or "" for element in group.iter(f"{SVG}text")]

    def named(self, title: str) -> list[str]:
        return [name for name, texts in self.nodes.items() if texts[0] == title]

    def text(self) -> str:
        return "\n".join(element.text or "" for element in self.root.iter(f"{SVG}text"))


@pytest.fixture
def rows() -> mg.Tensor:
    return mg.ones((4, 8))


def test_modules_are_nested_clusters_under_their_own_names(rows: mg.Tensor) -> None:
    drawn = Drawn(viz.graph(Block(), rows, depth=1))
    assert drawn.clusters == ["inner · Linear", "norm · LayerNorm"]
    nested = viz.graph(Stack(1), rows, depth=2).to_dot()
    outer = nested.index("layers.0 · Block")
    assert outer < nested.index("inner · Linear") < nested.index("\n\t}\n", outer)


def test_operations_carry_their_names_and_edges_the_shapes(rows: mg.Tensor) -> None:
    drawn = Drawn(viz.graph(Stack(1), rows, depth=2))
    for operation, count in {"linear": 2, "relu": 1, "layer_norm": 1, "add": 1}.items():
        assert len(drawn.named(operation)) == count, operation
    assert {"4×8", "4×2"} <= set(drawn.edge_texts)


def test_parameters_show_shape_and_count_and_feed_their_operation(rows: mg.Tensor) -> None:
    drawn = Drawn(viz.graph(nn.Linear(8, 2), rows))
    (weight,) = drawn.named("weight")
    assert drawn.nodes[weight] == ["weight", "2×8 · 16"]
    assert (weight, drawn.named("linear")[0]) in drawn.edges
    assert "18 parameters" in drawn.text()


def test_rearrangements_become_part_of_an_edge() -> None:
    x = mg.tensor(np.ones((2, 6), np.float32), requires_grad=True)
    drawn = Drawn(viz.graph(mg.exp(x.reshape(3, 4).transpose(1, 0))))
    assert not drawn.named("reshape")
    assert drawn.edge_texts == ["4×3", "4×3"]


def test_a_module_s_inputs_appear_under_their_argument_s_name(rows: mg.Tensor) -> None:
    drawn = Drawn(viz.graph(Block(), rows, depth=1))
    (x,) = drawn.named("x")
    assert {(x, drawn.named("linear")[0]), (x, drawn.named("add")[0])} & set(drawn.edges)
    tokens = Drawn(viz.graph(Lookup(), np.array([[1, 2, 3]])))
    assert tokens.nodes[tokens.named("tokens")[0]] == ["tokens", "1×3"]


def test_a_parameter_used_twice_is_counted_once_and_marked_shared() -> None:
    drawn = Drawn(viz.graph(Lookup(), np.array([[1, 2, 3]])))
    assert len(drawn.named("weight")) == 2
    assert all("shared" in drawn.nodes[name] for name in drawn.named("weight"))
    assert "40 parameters" in drawn.text()


def test_constants_and_plain_numbers_are_shown() -> None:
    x = mg.tensor(np.ones((2, 3), np.float32), requires_grad=True)
    drawn = Drawn(viz.graph(mg.where(np.ones(3, bool), x / 4.0, 0.0)))
    assert drawn.nodes[drawn.named("mask")[0]] == ["mask", "3"]
    assert drawn.nodes[drawn.named("divide")[0]] == ["divide", "÷ 4"]


def test_a_chain_of_equal_blocks_is_folded(rows: mg.Tensor) -> None:
    drawn = Drawn(viz.graph(Stack(6), rows))
    assert "layers.0 … layers.5 · Block × 6" in drawn.clusters
    assert len(drawn.named("layer_norm")) == 1
    assert f"{6 * (72 + 16) + 18:,} parameters" in drawn.text()
    (norm,) = drawn.named("layer_norm")
    assert [head for tail, head in drawn.edges if tail == norm] == [
        name for name in drawn.named("linear") if (norm, name) in drawn.edges
    ]


def test_edges_enter_and_leave_a_folded_chain_but_do_not_run_back(rows: mg.Tensor) -> None:
    drawn = Drawn(viz.graph(Stack(4), rows, depth=0))
    (layers,) = (name for name, texts in drawn.nodes.items() if texts[0] == "layers.0 … layers.3 × 4")
    (x,), (head,) = drawn.named("x"), drawn.named("head")
    assert {edge for edge in drawn.edges if layers in edge} == {(x, layers), (layers, head)}


def test_different_blocks_are_not_folded(rows: mg.Tensor) -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4))
    assert Drawn(viz.graph(model, rows)).clusters == ["0 … 1 · Linear × 2", "2 · Linear"]


def test_blocks_side_by_side_are_folded(rows: mg.Tensor) -> None:
    assert Drawn(viz.graph(Heads(), rows)).clusters == ["heads.0 … heads.2 · Linear × 3"]


def test_one_module_called_repeatedly_is_folded(rows: mg.Tensor) -> None:
    assert Drawn(viz.graph(Recurrent(), rows)).clusters == ["step · Linear × 5"]


def test_one_module_on_different_inputs_is_not_folded() -> None:
    layer = nn.Linear(8, 8)
    x, y = (mg.tensor(np.ones((4, 8), np.float32), requires_grad=True) for _ in range(2))
    drawn = Drawn(viz.graph(layer(x) * layer(y)))
    assert len(drawn.clusters) == 2


def test_a_long_row_of_one_operation_is_folded_without_recursion() -> None:
    y = mg.tensor(np.ones(3, np.float32), requires_grad=True)
    for _ in range(3000):
        y = mg.sin(y)
    assert Drawn(viz.graph(y)).named("sin × 3000")


def test_depth_limits_how_far_modules_open(rows: mg.Tensor) -> None:
    closed = Drawn(viz.graph(Stack(1), rows, depth=0))
    assert not closed.clusters
    (layer,) = closed.named("layers.0")
    assert closed.nodes[layer] == ["layers.0", "Block", "88 parameters"]
    assert not closed.named("weight")
    half = Drawn(viz.graph(Stack(1), rows, depth=1))
    assert half.clusters == ["layers.0 · Block", "head · Linear"]
    assert half.named("inner")


def test_the_default_depth_keeps_the_picture_readable() -> None:
    wide = nn.Sequential(*[nn.Sequential(nn.Linear(n, n + 1), nn.Linear(n + 1, n + 1)) for n in range(1, 40)])
    drawn = Drawn(viz.graph(wide, mg.ones((1, 1))))
    assert len(drawn.nodes) <= 48


def test_backward_is_drawn_in_a_second_ink_beside_the_forward(rows: mg.Tensor) -> None:
    plain, both = viz.graph(Block(), rows, depth=1), viz.graph(Block(), rows, depth=1, backward=True)
    assert viz.dot.BACKWARD not in plain.to_dot()
    assert viz.dot.BACKWARD in both.to_dot()
    drawn = Drawn(both)
    for operation in ("linear", "relu", "layer_norm"):
        assert drawn.named(f"∂ {operation}"), operation
    # Drawn upside down: from the parameter to the derivative whose gradient it receives.
    assert (drawn.named("weight")[0], drawn.named("∂ linear")[0]) in drawn.edges
    assert "derivative" in drawn.text()
    assert "derivative" not in Drawn(plain).text()


def test_derivatives_of_closed_modules_are_closed_too(rows: mg.Tensor) -> None:
    drawn = Drawn(viz.graph(Stack(3), rows, depth=0, backward=True))
    assert drawn.named("head")
    assert drawn.named("∂ head")


def test_chains_are_folded_with_their_derivatives_and_named_in_order(rows: mg.Tensor) -> None:
    x = rows.detach().requires_grad_()
    assert "layers.0 … layers.2 · Block × 3" in Drawn(viz.graph([Stack(3)(x)], depth=2, backward=True)).clusters
    assert Drawn(viz.graph([Stack(3)(x)], depth=1, backward=True)).named("∂ layers.2 … layers.0 × 3")


def test_gradients_of_several_uses_are_added_up() -> None:
    x = mg.tensor(np.ones(3, np.float32), requires_grad=True)
    x.name = "x"
    drawn = Drawn(viz.graph(mg.exp(x) * mg.sin(x) + mg.cos(x), backward=True))
    sums = [name for name, texts in drawn.nodes.items() if texts == ["add", "gradients of all uses"]]
    assert len(sums) == 1
    assert sum(tail == sums[0] or head == sums[0] for tail, head in drawn.edges) == 4  # three uses, and x itself


def test_drawing_the_backward_leaves_gradients_and_graph_as_they_were(rows: mg.Tensor) -> None:
    layer = nn.Linear(8, 2)
    out = layer(rows).sum()
    viz.graph(out, backward=True)
    assert layer.weight.grad is None
    out.backward()
    assert layer.weight.grad is not None


def test_every_colour_has_six_digits(rows: mg.Tensor) -> None:
    source = viz.graph(Stack(), rows, backward=True).to_dot()
    colours = re.findall(r'"(#[^"]*)"', source)
    assert colours
    assert all(re.fullmatch(r"#[0-9A-F]{6}", colour) for colour in colours)


def test_the_legend_names_what_is_in_the_picture_and_nothing_else(rows: mg.Tensor) -> None:
    text = Drawn(viz.graph(Stack(), rows, depth=0)).text()
    assert "module" in text
    assert "data" in text
    assert "operation" not in text


def test_names_are_escaped() -> None:
    x = mg.tensor(np.ones(3, np.float32), requires_grad=True)
    x.name = '<b> & "x"'
    assert Drawn(viz.graph(mg.exp(x), name="a < b & c")).named('<b> & "x"')


def test_several_outputs_and_nested_results() -> None:
    x = mg.tensor(np.ones(3, np.float32), requires_grad=True)
    drawn = Drawn(viz.graph([mg.exp(x), {"sine": mg.sin(x)}]))
    assert drawn.named("output 0")
    assert drawn.named("output 1.sine")


def test_a_graph_is_recorded_inside_no_grad_too(rows: mg.Tensor) -> None:
    with mg.no_grad():
        assert Drawn(viz.graph(Block(), rows)).named("relu")


@pytest.mark.parametrize("thing", [3, "model", None, []])
def test_arguments_that_are_neither_tensor_nor_module_are_refused(thing: object) -> None:
    with pytest.raises(TypeError, match="expected a tensor, several, or a module"):
        viz.graph(thing)


def test_inputs_beside_a_tensor_are_refused(rows: mg.Tensor) -> None:
    with pytest.raises(TypeError, match="inputs are for a module"):
        viz.graph(nn.Linear(8, 2)(rows), rows)


def test_an_output_without_a_graph_is_refused(rows: mg.Tensor) -> None:
    with mg.no_grad():
        out = nn.Linear(8, 2)(rows)
    with pytest.raises(ValueError, match=r"requires_grad=True.*no_grad"):
        viz.graph(out)


@pytest.mark.parametrize("depth", [-1, 1.5, True, "all"])
def test_a_depth_that_is_no_count_is_refused(depth: object, rows: mg.Tensor) -> None:
    with pytest.raises(ValueError, match="depth: expected a number of levels"):
        viz.graph(nn.Linear(8, 2), rows, depth=depth)


def attend(**options: bool) -> Drawn:
    q, k, v = (mg.tensor(np.ones((2, 3, 4), np.float32), requires_grad=True) for _ in range(3))
    attended = nn.functional.scaled_dot_product_attention(mg.exp(q), k, v, np.ones((3, 3), bool))
    return Drawn(viz.graph(attended, **options))


def test_a_fused_operation_is_one_vertex() -> None:
    drawn = attend()
    assert drawn.named("scaled_dot_product_attention")
    assert not drawn.named("softmax")


def test_a_fused_operation_opens_into_its_parts_between_its_inputs_and_results() -> None:
    drawn = attend(open_fused=True)
    assert not drawn.named("scaled_dot_product_attention")
    (softmax,), (where,), (exp,) = (drawn.named(name) for name in ("softmax", "where", "exp"))
    first, last = sorted(drawn.named("matmul"), key=lambda name: (softmax, name) in drawn.edges)
    assert {(exp, first), (where, softmax), (softmax, last), (drawn.named("mask")[0], where)} <= set(drawn.edges)
    assert any(tail == last for tail, _ in drawn.edges)
    assert "2×3×4" in drawn.edge_texts


def test_saved_bytes_and_gradient_norms_are_counted(rows: mg.Tensor) -> None:
    layer = nn.Linear(8, 2)
    out = mg.exp(layer(rows)).sum()
    out.backward(retain_graph=True)
    picture = viz.trace([("out", out)])
    by_label = {vertex.label: vertex for vertex in picture.vertices}
    assert by_label["exp"].saved_bytes == 4 * 2 * 4  # its result, in float32
    assert layer.weight.grad is not None
    assert by_label["weight"].gradient_norm == pytest.approx(float(np.linalg.norm(layer.weight.grad.numpy())))
    closed = viz.close(picture, lambda block: True)
    (module,) = (vertex for vertex in closed.vertices if vertex.kind == "module")
    assert module.saved_bytes == by_label["linear"].saved_bytes > 0
