"""Gradient checking against finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from minigrad import autograd
from minigrad.engine.grad_mode import enable_grad
from minigrad.engine.tensor import Array, Tensor, as_array
from minigrad.func import jvp
from minigrad.ops.creation import tensor

Function = Callable[..., Any]
EVALUATIONS = 8  # at the same inputs, to notice that a function is random


class GradientError(AssertionError):
    """Error: a derivative disagrees with the difference quotient."""


def gradcheck(
    fn: Function,
    inputs: Any,
    *,
    order: int = 1,
    eps: float = 1e-6,
    atol: float = 1e-6,
    rtol: float = 1e-4,
    seed: int = 0,
) -> bool:
    """Gradient check: compare the derivatives of a function with central differences, in float64.

    Each floating input is moved along one random direction v. Along it, the vector-Jacobian product uᵀJ (with a random
    u) must agree with the difference quotient of uᵀf, and the Jacobian-vector product Jv with that of f: a wrong
    element escapes only if it is orthogonal to what was drawn. If they disagree, every element is tried, to name it.

    Args:
        fn: from tensors to a tensor, or a tuple of them. It must be smooth around the inputs.
        inputs: an array or a sequence of them. Floating ones are converted to float64 and differentiated.
        order: 1 for first derivatives; 2 checks the derivatives of the vector-Jacobian product too, and so on.
        eps: the step, along a direction whose elements are about 1.
        atol, rtol: the tolerated difference is ``atol + rtol · |difference quotient|``.
        seed: of the random directions.

    Returns:
        True.

    Raises:
        GradientError: (an AssertionError) they differ. The message names the input, the element, both numbers and the
            likely cause, such as a function that is random.
        ValueError: nothing to check: no floating input, or ``order`` is less than 1.

    Example:
        >>> import minigrad as mg
        >>> from minigrad.testing import gradcheck
        >>> gradcheck(lambda x: mg.sin(x) * x, mg.tensor([0.5, 1.0]), order=2)
        True
    """
    if order < 1:
        raise ValueError(f"order: expected at least 1, got {order}")
    given = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    arrays = [np.array(as_array(value)) for value in given]
    points = [array.astype(np.float64) if array.dtype.kind == "f" else array for array in arrays]
    if not any(point.dtype == np.float64 for point in points):
        raise ValueError("inputs: expected at least one floating array, got none")
    for derivative in range(order):
        title = f"derivative {derivative + 1}: " if derivative else ""
        check = _Check(fn, points, eps, atol, rtol, seed + derivative, title)
        try:
            check.run()
        except GradientError:
            check.refuse_randomness()
            raise
        fn, points = check.vector_jacobian_product, [*points, *check.cotangents]
    return True


class _Check:
    """Check of one function at one point, with a random cotangent for each output and tangent for each input."""

    def __init__(
        self, fn: Function, points: Sequence[Array], eps: float, atol: float, rtol: float, seed: int, title: str = ""
    ) -> None:
        self.fn = fn
        self.points = points
        self.eps, self.atol, self.rtol, self.title = eps, atol, rtol, title
        self.floating = [i for i, point in enumerate(points) if point.dtype == np.float64]
        self.rng = np.random.default_rng(seed)
        self.tangents = {i: self._direction(points[i]) for i in self.floating}
        self.values = [value.data for value in self.outputs(*self._leaves(points))]
        self.cotangents = [self._direction(value) for value in self.values]

    def _direction(self, array: Array) -> Array:
        """Random direction, elements of magnitude 0.5 to 1.5 and random sign, so that no element's error is hidden."""
        return self.rng.uniform(0.5, 1.5, array.shape) * self.rng.choice([-1.0, 1.0], array.shape)

    def outputs(self, *values: Any) -> list[Tensor]:
        """Floating outputs of the function."""
        result = self.fn(*values)
        results = list(result) if isinstance(result, (tuple, list)) else [result]
        return [value for value in results if value.dtype.kind == "f"]

    def vector_jacobian_product(self, *values: Tensor) -> tuple[Tensor, ...]:
        """Vector-Jacobian product uᵀJ as a function of inputs and cotangents u, checked for the next order."""
        count = len(self.points)
        with enable_grad():
            pairs = zip(self.outputs(*values[:count]), values[count:], strict=True)
            depending = [(output, cotangent) for output, cotangent in pairs if output.requires_grad]
            targets = [value for value in values[:count] if value.requires_grad]
            outputs, cotangents = zip(*depending, strict=True)
            found = autograd.grad(outputs, targets, cotangents, None, create_graph=True, allow_unused=True)
        return tuple(value for value in found if value is not None)

    def _quotient(self, moved: int, tangent: Array) -> list[Array]:
        """Central difference (f(x + εv) - f(x - εv)) / 2ε of each output along direction v of one input."""
        values = []
        for sign in (1, -1):
            points = list(self.points)
            points[moved] = points[moved] + sign * self.eps * tangent
            # Recording stays on: a function under test may take gradients itself.
            values.append([v.data for v in self.outputs(*self._leaves(points))])
        return [(ahead - behind) / (2 * self.eps) for ahead, behind in zip(*values, strict=True)]

    def _leaves(self, points: Sequence[Array]) -> list[Tensor]:
        return [tensor(point, requires_grad=i in self.floating) for i, point in enumerate(points)]

    def _differ(self, analytic: Any, numeric: Any, scale: float = 0.0) -> Any:
        difference = np.abs(np.asarray(analytic) - np.asarray(numeric))
        return ~(difference <= self.atol + self.rtol * np.maximum(np.abs(numeric), scale))

    def run(self) -> None:
        leaves = self._leaves(self.points)
        outputs = self.outputs(*leaves)
        if not any(output.requires_grad for output in outputs):
            raise GradientError(f"{self.title}no output depends on an input that requires a gradient")
        depending = [(y, tensor(u)) for y, u in zip(outputs, self.cotangents, strict=True) if y.requires_grad]
        targets = [leaves[i] for i in self.floating]
        gradients = autograd.grad(
            [y for y, _ in depending], targets, [u for _, u in depending], retain_graph=True, allow_unused=True
        )
        for i, gradient in zip(self.floating, gradients, strict=True):
            array = np.zeros(self.points[i].shape) if gradient is None else gradient.data
            if array.shape != self.points[i].shape or array.dtype != np.float64:
                raise GradientError(
                    f"{self.title}the gradient of input {i} has shape {array.shape} and dtype {array.dtype}, "
                    f"expected {self.points[i].shape} and float64"
                )
            self._check_vector_jacobian(i, array)
            self._check_jacobian_vector(i)

    def refuse_randomness(self) -> None:
        """Blame a function that gives other values each time for the difference from its quotients."""
        for _ in range(EVALUATIONS):
            values = [value.data for value in self.outputs(*self._leaves(self.points))]
            if not all(map(partial(np.array_equal, equal_nan=True), self.values, values)):
                raise GradientError(
                    f"{self.title}the function is random: at the same inputs it gave other values; draw its random "
                    "numbers once, outside of it, or from a generator that it seeds each time"
                ) from None

    def _check_vector_jacobian(self, i: int, gradient: Array) -> None:
        tangent = self.tangents[i]
        terms = [np.sum(u * q) for u, q in zip(self.cotangents, self._quotient(i, tangent), strict=True)]
        # Rounding and truncation grow with the terms of the sum, not with what remains after they cancel.
        scale = float(np.sum(np.abs(gradient * tangent)))
        if self._differ(np.sum(gradient * tangent), np.sum(terms), scale):
            self._name_element(i, gradient)
            raise GradientError(
                f"{self.title}input {i}: along a random direction the gradient gives {np.sum(gradient * tangent):.9g}, "
                f"the difference quotient {np.sum(terms):.9g}, though each element alone agrees; the function may not "
                "be smooth here"
            )

    def _name_element(self, i: int, gradient: Array) -> None:
        """Check every element of an input and report the largest error."""
        numeric = np.empty_like(gradient)
        for position in np.ndindex(gradient.shape):
            unit = np.zeros_like(gradient)
            unit[position] = 1
            quotients = self._quotient(i, unit)
            numeric[position] = np.sum([np.sum(u * q) for u, q in zip(self.cotangents, quotients, strict=True)])
        wrong = self._differ(gradient, numeric)
        if wrong.any():
            distance = np.where(wrong, np.nan_to_num(np.abs(gradient - numeric), nan=np.inf), -1)
            worst = np.unravel_index(int(np.argmax(distance)), gradient.shape)
            element = ", ".join(str(int(index)) for index in worst)
            raise GradientError(
                f"{self.title}input {i}, element [{element}]: the gradient is {gradient[worst]:.9g}, the difference "
                f"quotient {numeric[worst]:.9g} ({int(wrong.sum())} of {wrong.size} elements differ); "
                f"{_likely_cause(gradient[wrong], numeric[wrong])}"
            )

    def _check_jacobian_vector(self, i: int) -> None:
        leaves = self._leaves(self.points)

        def of_input(x: Tensor) -> tuple[Tensor, ...]:
            return tuple(self.outputs(*leaves[:i], x, *leaves[i + 1 :]))

        _, products = jvp(of_input, leaves[i : i + 1], [self.tangents[i]])
        for o, (product, quotient) in enumerate(zip(products, self._quotient(i, self.tangents[i]), strict=True)):
            scale = float(np.max(np.abs(quotient), initial=0.0))
            wrong = self._differ(product.data, quotient, scale)
            if np.any(wrong):
                worst = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
                element = ", ".join(str(int(index)) for index in worst)
                raise GradientError(
                    f"{self.title}output {o}, element [{element}] along a random direction of input {i}: the "
                    f"Jacobian-vector product is {product.data[worst]:.9g}, the difference quotient "
                    f"{quotient[worst]:.9g}; {_likely_cause(product.data[wrong], quotient[wrong])}"
                )


def _likely_cause(analytic: Array, numeric: Array) -> str:
    """Likely cause of the difference."""
    if np.isnan(analytic).any():
        return "the derivative divides by zero or takes a logarithm of it at this point"
    if np.isnan(numeric).any():
        return "the function itself is not finite around this point"
    if np.all(analytic == 0):
        return "a term is missing from the derivative, or the function is not recorded here"
    ratio = analytic[numeric != 0] / numeric[numeric != 0]
    if ratio.size and np.ptp(ratio) <= 1e-3 * np.abs(ratio).max():
        factor = float(ratio.mean())
        return "the sign is wrong" if abs(factor + 1) < 1e-3 else f"a constant factor of {factor:.4g} too much"
    return "the derivative's formula is wrong for these elements, or the function has a kink here"
