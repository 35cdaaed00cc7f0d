"""Notebooks: kept without outputs, executed at a small size; progress in place, and interruption, in a real kernel."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
SMALL = "steps, count, tested = 6, 1500, 20"  # in place of the cell tagged "parameters"

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@each_notebook
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Any]:
    """A client of a new kernel of this interpreter, which finds the packages and works in a directory of its own."""
    reason = "comes with the extra test"
    pytest.importorskip("ipykernel", reason=f"ipykernel {reason}")
    manager = pytest.importorskip("jupyter_client.manager", reason=f"jupyter_client {reason}").KernelManager()
    manager.kernel_spec.argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    manager.start_kernel(cwd=str(tmp_path), env={**os.environ, "PYTHONPATH": str(ROOT)})
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run(client: Any, code: str, interrupt_at: str = "") -> list[dict[str, Any]]:
    """The messages that a cell sends; it is interrupted when the first of them has the text."""
    outputs: list[dict[str, Any]] = []
    interrupts = [client.parent.interrupt_kernel] if interrupt_at else []

    def note(message: dict[str, Any]) -> None:
        if message["msg_type"] not in ("status", "execute_input"):
            outputs.append({"type": message["msg_type"], **message["content"]})
            if interrupts and interrupt_at in str(message["content"]):
                interrupts.pop()()  # a second one would interrupt the report of the first

    client.execute_interactive(code, output_hook=note, timeout=300)
    return outputs


@pytest.mark.slow
@each_notebook
def test_a_notebook_runs_without_errors_and_warnings(path: Path, kernel: Any) -> None:
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            code = SMALL if "parameters" in cell["metadata"].get("tags", ()) else "".join(cell["source"])
            for output in run(kernel, code):
                assert output["type"] != "error", output["evalue"]
                assert "Warning" not in output.get("text", "")


@pytest.mark.slow
def test_compiling_kernels_says_one_line_in_a_notebook(kernel: Any) -> None:
    code = "import os\nos.environ['MINIGRAD_CACHE_DIR'] = os.getcwd()\nimport minigrad as mg\nmg.softmax(mg.ones(3))"
    said = [output["text"] for output in run(kernel, code) if output["type"] == "stream"]
    assert len(said) == 1 and said[0].startswith("minigrad: compiling kernels") and said[0].count("\n") == 1


TRAINING = """
import numpy as np
from minigrad import nn
from transformer import Trainer, TrainingConfig
from transformer.cli import console
from transformer.data.batches import WindowBatches

model = nn.Sequential(nn.Embedding(9, 16), nn.Linear(16, 9))
data = WindowBatches(np.arange(500) % 9, block=8, batch=4)
trainer = Trainer(model, data, TrainingConfig(steps={steps}, lr=0.01, warmup=1))
history, before = [], model[0].weight.detach().numpy().copy()
console.watch(trainer, {steps}, history.append)
"""


@pytest.mark.slow
def test_progress_changes_one_output_in_place(kernel: Any) -> None:
    outputs = run(kernel, TRAINING.format(steps=300))
    outputs = [output for output in outputs if output["type"] != "stream"]  # of a first compilation
    assert [output["type"] for output in outputs if output["type"] != "update_display_data"] == ["display_data"]
    identities = {output["transient"]["display_id"] for output in outputs}
    assert len(identities) == 1 and "step 300/300" in outputs[-1]["data"]["text/plain"]


@pytest.mark.slow
def test_an_interrupted_training_keeps_the_model(kernel: Any) -> None:
    outputs = run(kernel, TRAINING.format(steps=10_000_000), interrupt_at="tokens/s")
    assert [output["ename"] for output in outputs if output["type"] == "error"] == ["KeyboardInterrupt"], outputs[-3:]
    shown = next(output for output in reversed(outputs) if output["type"] == "update_display_data")
    (answer,) = run(
        kernel,
        "weight = model[0].weight.detach().numpy()\n"
        "print(len(history) > 1, np.isfinite(weight).all(), (weight != before).any(), len(history))",
    )
    kept, finite, learned, steps = answer["text"].split()
    assert (kept, finite, learned) == ("True", "True", "True")
    assert f"step {steps}/" in shown["data"]["text/plain"] or f"step {int(steps) - 1}/" in shown["data"]["text/plain"]
    run(kernel, "console.watch(trainer, 10_000_000, history.append)", interrupt_at="tokens/s")
    (answer,) = run(kernel, f"print(history[{steps}].number - history[{steps} - 1].number)")
    assert int(answer["text"]) in (1, 2)  # it goes on
