"""Einstein's summation: its values are NumPy's, its derivatives agree with differences, twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import minigrad as mg
from minigrad.func import vmap
from minigrad.testing import gradcheck

# subscripts → the operands' shapes
CASES: dict[str, list[tuple[int, ...]]] = {
    "i->": [(3,)],
    "ij->ji": [(2, 3)],
    "ji": [(2, 3)],
    "ii": [(3, 3)],
    "ii->i": [(3, 3)],
    "iji->j": [(3, 2, 3)],
    "iiij->ji": [(2, 2, 2, 3)],
    "i,i->i": [(3,), (3,)],
    "i,i": [(3,), (3,)],
    "i,j->ij": [(3,), (2,)],
    "ij,jk": [(2, 3), (3, 4)],
    "ij,jk->ki": [(2, 3), (3, 4)],
    "bij,bjk->bik": [(2, 3, 4), (2, 4, 2)],
    "bqhd,bkhd->bhqk": [(2, 3, 2, 4), (2, 2, 2, 4)],
    "ij,kl->": [(2, 3), (3, 2)],
    "ij,ij->i": [(2, 3), (2, 3)],
    "ij,ij->j": [(2, 3), (1, 3)],
    "ii,ij->j": [(2, 2), (2, 3)],
    "...ij,...kj->...ik": [(5, 2, 3), (4, 3)],
    "i...->...i": [(2, 3, 4)],
    "...,...": [(2, 1), (3,)],
    "...i->i": [(2, 3)],
    "bi,oij,bj->bo": [(2, 3), (4, 3, 2), (2, 2)],
    "ij,jk,kl,lm->im": [(2, 3), (3, 2), (2, 4), (4, 2)],
    ",ij,->ij": [(), (2, 2), ()],
    "aB,Bc": [(2, 3), (3, 2)],
}


@pytest.mark.parametrize("subscripts", CASES)
def test_values_are_numpys_and_derivatives_agree_with_differences(subscripts: str, rng: np.random.Generator) -> None:
    operands = [rng.standard_normal(shape) for shape in CASES[subscripts]]
    # Hidden axes that the result does not have are summed over as in PyTorch; NumPy refuses them.
    expected = np.einsum("ji->i" if subscripts == "...i->i" else subscripts, *operands)
    np.testing.assert_allclose(mg.einsum(subscripts, *operands).numpy(), expected, rtol=1e-12, atol=1e-14)
    assert gradcheck(lambda *arrays: mg.einsum(subscripts, *arrays), operands, order=2)


@given(data=st.data())
def test_any_subscripts_give_numpys_values_and_dtype(data: st.DataObject) -> None:
    sizes = {"a": 2, "b": 3, "c": 1, "d": 0, "e": 2}
    words = data.draw(st.lists(st.text("abcde", max_size=3), min_size=1, max_size=4))
    letters = sorted(set("".join(words)))
    result = "".join(data.draw(st.lists(st.sampled_from(letters), unique=True))) if letters else ""
    dtype = data.draw(st.sampled_from([np.float32, np.float64, np.int8, np.int64, np.bool_]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    operands = [rng.integers(-2, 3, [sizes[letter] for letter in word]).astype(dtype) for word in words]
    subscripts = f"{','.join(words)}->{result}"
    optimize = data.draw(st.sampled_from([True, False, "optimal"]))
    found, expected = mg.einsum(subscripts, *operands, optimize=optimize), np.einsum(subscripts, *operands)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found.numpy(), expected)


def test_subscripts_may_be_lists_of_integers(rng: np.random.Generator) -> None:
    a, b = rng.standard_normal((2, 3, 4)), rng.standard_normal((4, 5))
    for form in [(a, [..., 7], b, [7, 2], [..., 2]), (a, [0, 1, 7], b, [7, 9])]:
        np.testing.assert_allclose(mg.einsum(*form).numpy(), np.einsum(*form), rtol=1e-12)


def test_a_size_of_one_stretches_to_that_of_other_operands(rng: np.random.Generator) -> None:
    a, b = rng.standard_normal((1, 3)), rng.standard_normal((2, 1))
    for subscripts in ("ij,ij->ij", "ij,ij->", "ij,ij->j"):
        np.testing.assert_allclose(mg.einsum(subscripts, a, b).numpy(), np.einsum(subscripts, a, b), rtol=1e-12)
        assert gradcheck(lambda a, b, s=subscripts: mg.einsum(s, a, b), (a, b), order=2)


def test_it_runs_over_batches_the_code_does_not_see(rng: np.random.Generator) -> None:
    a, b = mg.asarray(rng.standard_normal((4, 3, 3))), mg.asarray(rng.standard_normal((3, 2)))
    found = vmap(lambda a: mg.einsum("ii,ij,ik->jk", a, b, b))(a)
    np.testing.assert_allclose(found.numpy(), np.einsum("nii,ij,ik->njk", a, b, b), rtol=1e-12)


@pytest.mark.parametrize(
    ("operands", "message"),
    [
        ((), "expected subscripts and arrays"),
        (("i,j", np.ones(2)), "as many arrays as subscripts, got 1 and 2"),
        (("ij", np.ones(2)), "'ij' do not fit an array of 1 dimensions"),
        (("i", np.ones((2, 2))), "'i' do not fit an array of 2 dimensions"),
        (("i,i", np.ones(2), np.ones(3)), "index 'i' has the sizes 3, 3 and 2"),
        (("ii", np.ones((1, 3))), "index 'i' has the sizes"),
        (("i->j", np.ones(2)), "each index of the result once and from an operand"),
        (("i->ii", np.ones(2)), "each index of the result once and from an operand"),
        (("i1", np.ones((2, 2))), "expected letters"),
        (("i....", np.ones((2, 2))), "expected letters"),
        ((np.ones(2), [-1]), "expected integers from 0"),
    ],
)
def test_subscripts_that_do_not_fit_are_refused(operands: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mg.einsum(*operands)
