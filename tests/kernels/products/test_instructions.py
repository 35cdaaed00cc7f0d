"""Dot products of bfloat16 and of bytes are single instructions, compiled here for a CPU that has them."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ZEN4 = "+avx,+avx2,+fma,+avx512f,+avx512bw,+avx512vl,+avx512dq,+avx512vnni,+avx512bf16"
COMPILE = """
import sys
from numba import types
from minigrad.kernels.compiling.compiler import kernel
from minigrad.kernels.products.register_tile import multiply_tile

@kernel()
def tile(rows, columns, at, like):
    multiply_tile(rows, columns, 1, at, 4, 4, at, 4, at, 4, at, 4, like)

a, b = (types.Array(getattr(types, name), 1, "C") for name in sys.argv[1:])
signature = (*[types.int64] * 3, a if a == b else types.Tuple([a, b]))
tile.compile(signature)
print(tile.inspect_asm(signature))
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="instructions of another architecture")
@pytest.mark.parametrize(
    ("operands", "instruction"),
    [(("uint16", "uint16"), "vdpbf16ps"), (("uint8", "int8"), "vpdpbusd"), (("float32", "uint16"), "vfmadd231ps")],
    ids=["bfloat16", "int8", "bfloat16 weights"],
)
def test_a_step_of_the_register_tile_is_one_instruction(
    operands: tuple[str, str], instruction: str, tmp_path: Path
) -> None:
    zen4 = {"NUMBA_CPU_NAME": "znver4", "NUMBA_CPU_FEATURES": ZEN4, "MINIGRAD_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", COMPILE, *operands]
    compiled = subprocess.run(command, env=os.environ | zen4, capture_output=True, text=True, check=True)
    assert compiled.stdout.count(instruction) >= 2 * 12 + 12  # of the tallest tile, two vectors wide and one
