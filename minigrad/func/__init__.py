"""Function transforms with JAX's names: each takes a function and returns one."""

from minigrad.func.derivatives import grad, hessian, hvp, jacfwd, jacrev, jvp, value_and_grad, vjp
from minigrad.func.vmap import vmap

__all__ = ["grad", "hessian", "hvp", "jacfwd", "jacrev", "jvp", "value_and_grad", "vjp", "vmap"]
