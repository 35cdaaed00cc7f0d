"""Architecture: floors, imports that run downwards only, and the size of the engine.

``pytest tests/test_architecture.py`` prints the lines of code of each floor, without blanks, comments and docstrings.
"""

from __future__ import annotations

import ast
import io
import pickle
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import minigrad

ROOT = Path(__file__).parents[1]

# From the ground up: what stands in one row knows the rows before it, and itself.
FLOORS = (
    ("minigrad.engine",),
    ("minigrad.optional_imports", "minigrad.trees"),
    ("minigrad.name_hints", "minigrad.pytorch_names"),
    ("minigrad.kernels",),
    ("minigrad.dtypes",),
    ("minigrad.ops",),
    ("minigrad.linalg",),
    ("minigrad.random",),
    ("minigrad.autograd",),
    ("minigrad.func",),
    ("minigrad.nn",),
    ("minigrad.io",),
    ("minigrad.optim",),
    ("minigrad.distributed",),
    ("minigrad.testing",),
    ("minigrad.replay",),
    ("minigrad.viz",),
    ("minigrad.onnx",),
    ("minigrad",),  # the door: public names, each from its own floor
    ("transformer.huggingface_names", "transformer.json_object"),
    ("transformer.model",),
    ("transformer.data",),
    ("transformer.decode",),
    ("transformer.pretrained",),
    ("transformer.export",),
    ("transformer.evaluate", "transformer.embeddings"),
    ("transformer.train",),
    ("transformer.plots",),
    ("transformer.explanation",),
    ("transformer",),  # the second door
    ("transformer.tasks",),
    ("transformer.cli", "transformer.__main__"),
    ("transformer.examples",),
)

ENGINE_LIMIT = 1_000


def modules() -> dict[str, Path]:
    """Every module of the two packages, by its dotted name."""
    files = {path for package in ("minigrad", "transformer") for path in (ROOT / package).rglob("*.py")}
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in sorted(files)
    }


MODULES = modules()


def floor_of(module: str) -> int:
    """The row of the longest name in the table that the module's name begins with."""
    names = {name: row for row, floor in enumerate(FLOORS) for name in floor}
    while module not in names:
        module = module.rpartition(".")[0]
    return names[module]


def imports(module: str) -> Iterator[str]:
    """The modules of ours that a module imports, wherever the statement stands: in functions and for types only too."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            assert not node.level, f"{module}: a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module


GRAPH = {module: sorted(set(imports(module)) - {module}) for module in MODULES}


def test_imports_run_downwards() -> None:
    upward = [
        f"{module} → {target}"
        for module, targets in GRAPH.items()
        for target in targets
        if floor_of(target) > floor_of(module)
    ]
    assert not upward


def test_no_imports_run_in_a_circle() -> None:
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        raise AssertionError(" → ".join(error.args[1])) from None


def test_no_import_is_hidden_in_a_function() -> None:
    for module, path in MODULES.items():
        tree = ast.parse(path.read_text())
        functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
        hidden = {
            ast.unparse(node)
            for function in functions
            for node in ast.walk(function)
            if isinstance(node, (ast.Import, ast.ImportFrom))
            and ast.unparse(node).split()[1].startswith(("minigrad", "transf"))
        }
        assert not hidden, (module, hidden)


def lines_of_code(path: Path) -> int:
    """Lines that hold code: no blanks, comments or docstrings."""
    text = path.read_text()
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                docstrings |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    layout = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in layout:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


def test_the_engine_stays_small(capsys: pytest.CaptureFixture[str]) -> None:
    count: Counter[int] = Counter()
    for module, path in MODULES.items():
        count[floor_of(module)] += lines_of_code(path)
    with capsys.disabled():
        print("\n\nlines of code by floor, from the ground up")
        for row, floor in enumerate(FLOORS):
            print(f"{count[row]:7,}  {', '.join(floor)}")
        print(f"{sum(count.values()):7,}  in all")
    assert count[0] < ENGINE_LIMIT


def test_the_readme_counts_the_lines_of_its_way_through_the_code() -> None:
    rows = re.findall(r"^\| [\w ]+ \| (.*\.py.*) \| (\d+) \|$", (ROOT / "README.md").read_text("utf-8"), re.M)
    assert len(rows) == 7
    for links, count in rows:
        real = sum(lines_of_code(ROOT / path) for path in re.findall(r"\]\(([^)]+\.py)\)", links))
        assert int(count) == pytest.approx(real, rel=0.04), links


# Nothing reaches up at run time either: the operations work, to any order, while no higher floor is loaded.
ALONE = """
import sys
import numpy as np
import minigrad.ops
from minigrad.engine import Tensor, backward_pass
from minigrad.ops import comparisons, elementwise, indexing, joining, products, reductions, scans, shape, softmax
from minigrad.ops.linalg import inverses


def differentiate(function, *arrays):
    x = [Tensor(array, requires_grad=True) for array in arrays]
    y = function(*x)
    slopes = backward_pass([y], [Tensor(np.ones(y.shape))], x, retain_graph=True, create_graph=True)
    for slope in slopes:
        if slope.requires_grad:
            backward_pass([slope], [Tensor(np.ones(slope.shape))], x, retain_graph=True, create_graph=True)


m = np.array([[2.0, 0.5], [0.3, 1.5]])
def refuse(self, function, *args, **kwargs):
    raise AssertionError(f"an operation went through NumPy's protocol: {function}")


Tensor.__array_function__ = refuse
for function in (
    elementwise.exp, elementwise.tanh, elementwise.sqrt, lambda x: x**3, lambda x: x * x - 2 / x,
    reductions.sum, reductions.prod,
    reductions.mean, reductions.var, reductions.max, reductions.logsumexp,
    softmax.softmax, scans.cumsum, scans.cumprod, scans.logcumsumexp, shape.transpose, lambda x: x.T.reshape(-1),
    lambda x: x[0] @ x, lambda x: x[[0, 0, 1]], lambda x: joining.concat([x, x]), inverses.inv, inverses.det,
):  # fmt: skip
    differentiate(function, m)
differentiate(products.matmul, m, m)
differentiate(elementwise.hypot, m, m[:1])
differentiate(lambda a, b: comparisons.where(a > b, a, b), m, m.T)
higher = {name for name in sys.modules if name.startswith("minigrad.") and name.split(".")[1] in HIGHER}
assert not higher, higher
"""


def test_operations_reach_no_higher_floor_at_run_time() -> None:
    row = floor_of("minigrad.ops")
    higher = {name.removeprefix("minigrad.") for floor in FLOORS[row + 1 : -1] for name in floor}
    program = ALONE.replace("HIGHER", repr(higher))
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("module", [name for floor in FLOORS for name in floor if name != "transformer.__main__"])
def test_every_floor_can_be_the_first_to_be_loaded(module: str) -> None:
    program = f"import {module}, sys; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "error", "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    "made",
    [
        "from minigrad.random import normal as f; x = f((3,))",
        "from minigrad.linalg import inv as f; x = f([[2.0]])",
        "from minigrad.func import grad as f; x = f(np.sin)(np.float32(0.5))",
        "from minigrad.ops.creation import ones as f; x = f(3)",
        "from minigrad.nn.functional import relu as f; x = f([1.0])",
        "from minigrad.autograd import grad as f; from minigrad.engine import Tensor; x = Tensor(np.ones(3))",
        "import pickle; x = pickle.loads(PICKLED)",
    ],
)
def test_a_tensor_has_all_its_methods_whatever_is_loaded_first(made: str) -> None:
    pickled = repr(pickle.dumps(minigrad.ones(3)))
    made = made.replace("PICKLED", pickled)
    program = f"import numpy as np; {made}; x.requires_grad = True; np.exp(x * x).sum().backward(); x.grad.shape"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
