"""The plain matrix product against NumPy, and the page that shows it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from minigrad.kernels.products import plain

PAGE = Path(__file__).parents[3] / "docs" / "kernels.md"


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 2), (0, 3, 4), (3, 0, 4), (40, 31, 22)])
def test_the_plain_product_is_numpys(dtype, rng, shape):
    m, k, n = shape
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    result = plain.matmul(a, b)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, a @ b, rtol=0, atol=4 * (k + 1) * 10 * np.finfo(dtype).eps)


def test_the_page_shows_the_plain_product_as_it_is():
    (listing,) = re.findall(r"```python\n(for i in range.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    lines = inspect.getsource(plain.matmul.py_func).splitlines()
    loops = [line[4:] for line in lines[lines.index("    for i in range(rows):") : lines.index("    return c")]]
    assert listing.splitlines() == loops
