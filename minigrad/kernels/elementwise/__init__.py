"""Element-wise kernels: activations, the exponential, special functions, where, dropout."""
