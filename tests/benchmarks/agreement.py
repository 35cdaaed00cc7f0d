"""Agreement of results: only frameworks that compute the same are compared."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tests.benchmarks.inputs import Array

# Rounding errors of a sum of n terms grow like √n where they are random (Higham and Mary, "A new approach to
# probabilistic rounding error analysis", SIAM J. Sci. Comput. 41, 2019); both sides have them, and several steps each.
SAFETY = 32.0


def disagreement(
    ours: Mapping[str, Array], theirs: Mapping[str, Array], terms: int, roundoff: float | None = None
) -> str | None:
    """The first difference that rounding does not explain, in words, or None.

    Args:
        ours, theirs: results by name.
        terms: how many numbers a result sums up.
        roundoff: the unit roundoff where it is not that of the results. It is each product's own, whose errors do not
            grow with the sum; and integers, which were chosen by it, may differ.
    """
    if set(ours) != set(theirs):
        return f"results differ in name: {', '.join(sorted(set(ours) ^ set(theirs)))}"
    largest = max((_largest(our) for our in ours.values() if our.dtype.kind == "f"), default=0.0)
    for name, our in ours.items():
        their = np.asarray(theirs[name])
        if our.shape != their.shape:
            return f"{name}: shape {our.shape}, not {their.shape}"
        if our.dtype.kind in "iub":
            if roundoff is None and not np.array_equal(our, their):
                return f"{name}: {np.mean(our != their):.1%} of the integers differ"
            continue
        if our.dtype != their.dtype:
            return f"{name}: dtype {our.dtype}, not {their.dtype}"
        eps = float(np.finfo(our.dtype).eps) if roundoff is None else roundoff
        # Where everything cancels, as in the gradient of a key's bias, rounding errors of larger numbers remain.
        scale = max(_largest(their), eps * largest)
        allowed = SAFETY * eps * (float(np.sqrt(terms)) if roundoff is None else 1.0) * scale
        error = _largest(our - their)
        if not error <= allowed:  # also if it is NaN
            return f"{name}: off by {error:.2g} where values reach {scale:.2g}, allowed are {allowed:.2g}"
    return None


def _largest(array: Array) -> float:
    return float(np.max(np.abs(array), initial=0.0))
