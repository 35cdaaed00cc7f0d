"""``python -m minigrad.kernels`` leaves nothing to be compiled."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from minigrad import kernels
from minigrad.kernels.__main__ import ACTIVATIONS, TRAINING, first_calls, main

TRAINING_STEP = """
import numpy as np
import minigrad as mg
from minigrad.nn import functional as F

block = mg.nn.Sequential(mg.nn.Embedding(9, 8), mg.nn.Linear(8, 8), mg.nn.LayerNorm(8), mg.nn.RMSNorm(8))
x = block(np.array([[1, 2, 3]]))[:, None]
x = F.scaled_dot_product_attention(x, x, x, is_causal=True, dropout_p=0.1)
x = F.dropout(F.gelu(x) + F.silu(x) + F.relu(x), 0.1)
F.cross_entropy(x[0, 0], np.array([1, 2, 3])).backward()
mg.optim.clip_grad_norm_(block.parameters(), 1e-3)
mg.optim.AdamW(block.parameters()).step()
"""


def test_every_kernel_is_called():
    missing = set(kernels.__all__) - set(ACTIVATIONS) - set(first_calls(np.float32))
    assert not missing


def test_a_training_step_compiles_nothing_afterwards(capsys):
    main(["--dtype", "float32"])
    head, *rows, last = capsys.readouterr().out.splitlines()
    assert head.split() == ["kernel", "float32,", "s"] and "kernels are ready for float32" in last
    seconds = [float(row.split()[-1]) for row in rows]
    assert seconds == sorted(seconds, reverse=True) and len(rows) == len(first_calls(np.float32))
    step = subprocess.run([sys.executable, "-c", TRAINING_STEP], capture_output=True, text=True, check=True)
    assert step.stderr == ""


def test_a_part_of_the_kernels_can_be_chosen(capsys):
    main(["--dtype", "float32", "--training"])
    assert {row.split()[0] for row in capsys.readouterr().out.splitlines()[1:-1]} == set(TRAINING)


def test_a_dtype_without_kernels_is_refused(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--dtype", "float16"])
    assert exit_.value.code == 2
    assert "float16" in capsys.readouterr().err
