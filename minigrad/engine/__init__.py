"""The engine: tensors, operations and the backward pass, on NumPy alone.

In reading order: :mod:`tensor <minigrad.engine.tensor>` (a tensor and the node that made it), :mod:`primitive
<minigrad.engine.primitive>` (an operation and its derivative), :mod:`backward <minigrad.engine.backward>` (the pass
over the graph); beside them ``dtypes``, ``promotion`` and ``grad_mode``. Everything else in minigrad stands on these.

An operation of one's own, and its second derivative:

>>> import numpy as np
>>> from minigrad.engine import Tensor, backward_pass, primitive
>>> @primitive
... def multiply(a, b, /):
...     return np.multiply(a, b)
>>> multiply.vjp(a=lambda g, b: multiply(g, b), b=lambda g, a: multiply(g, a))
>>> x, one = Tensor(np.array(3.0), requires_grad=True), Tensor(np.array(1.0))
>>> cube = multiply(multiply(x, x), x)
>>> (slope,) = backward_pass([cube], [one], [x], retain_graph=True, create_graph=True)
>>> (curvature,) = backward_pass([slope], [one], [x])
>>> slope.item(), curvature.item()
(27.0, 18.0)
"""

from minigrad.engine.backward import backward_pass
from minigrad.engine.grad_mode import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from minigrad.engine.primitive import Primitive, WithResiduals, primitive
from minigrad.engine.tensor import Node, Observer, Tensor, Tracer

__all__ = ["Node", "Observer", "Primitive", "Tensor", "Tracer", "WithResiduals", "backward_pass", "enable_grad"]
__all__ += ["is_grad_enabled", "no_grad", "primitive", "set_grad_enabled"]
