"""Recurrent cells: one step for one example, and its derivative, for the loops of ``time_loop.py``.

Each works on rows: of gates, (G·H,) as G blocks of H units, and of states, (H,). The loops are kept so narrow that LLVM
can check at run time that their arrays do not overlap, which is what lets it write vector code.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from minigrad.kernels.compiling.compiler import kernel
from minigrad.kernels.elementwise.activations import CONTRACT, sigmoid_of, tanh_of

# Elman's cell: h = tanh(s), or relu(s), of the sum s = Wx + b + W'h


@kernel(fastmath=CONTRACT)
def apply_tanh(row):
    for j in range(len(row)):
        row[j] = tanh_of(row[j])


@kernel()
def apply_relu(row):
    for j in range(len(row)):
        row[j] = row.dtype.type(0) if row[j] <= 0 else row[j]


@kernel(fastmath=CONTRACT)
def tanh_backward(h, dh, ds):
    for j in range(len(h)):
        ds[j] = dh[j] * (h.dtype.type(1) - h[j] * h[j])


@kernel()
def relu_backward(h, dh, ds):
    for j in range(len(h)):
        passed = dh[j]
        ds[j] = passed if h[j] != 0 else h.dtype.type(0)


# The long short-term memory: c' = f·c + i·g, h' = o·tanh(c')


@kernel(fastmath=CONTRACT)
def _apply_sigmoid(row):
    for j in range(len(row)):
        row[j] = sigmoid_of(row[j])


@kernel(fastmath=CONTRACT)
def lstm_cell(gates, c, new_c, new_h):
    """``gates`` are sums before and [i, f, g, o] after."""
    size = len(c)
    i, f, g, o = gates[:size], gates[size : 2 * size], gates[2 * size : 3 * size], gates[3 * size :]
    _apply_sigmoid(gates[: 2 * size])
    apply_tanh(g)
    _apply_sigmoid(o)
    for j in range(size):
        new_c[j] = f[j] * c[j] + i[j] * g[j]
    for j in range(size):
        new_h[j] = o[j] * tanh_of(new_c[j])


@kernel(fastmath=CONTRACT)
def lstm_cell_backward(gates, c, new_c, dh, dc, dgates):
    """``dc`` belongs to c' before and to c after; ``dgates`` to the sums."""
    size = len(c)
    one = c.dtype.type(1)
    i, f, g, o = gates[:size], gates[size : 2 * size], gates[2 * size : 3 * size], gates[3 * size :]
    di, df, dg, do = dgates[:size], dgates[size : 2 * size], dgates[2 * size : 3 * size], dgates[3 * size :]
    for j in range(size):
        shown = tanh_of(new_c[j])
        through = dh[j] * o[j]
        do[j] = through * (one - o[j]) * shown
        dc[j] += through * (one - shown * shown)
    for j in range(size):
        through = dc[j] * i[j]
        di[j] = through * (one - i[j]) * g[j]
        dg[j] = through * (one - g[j] * g[j])
    for j in range(size):
        through = dc[j] * f[j]
        df[j] = through * (one - f[j]) * c[j]
        dc[j] = through


# The gated recurrent unit: n = tanh(x_n + r·m), h' = (1 - z)·n + z·h, where m = W'h + b' is its candidate's own sum


@kernel(fastmath=CONTRACT)
def gru_cell(x, gates, h, candidate, new_h):
    """``gates`` are the sums of h before and [r, z, n] after; ``x`` are the sums of the input; ``candidate`` is m."""
    size = len(h)
    r, z, n = gates[:size], gates[size : 2 * size], gates[2 * size :]
    both, x_both, x_n = gates[: 2 * size], x[: 2 * size], x[2 * size :]
    for j in range(2 * size):
        both[j] = sigmoid_of(both[j] + x_both[j])
    for j in range(size):
        m = n[j]
        candidate[j] = m
        n[j] = tanh_of(x_n[j] + r[j] * m)
    for j in range(size):
        new_h[j] = n[j] + z[j] * (h[j] - n[j])


@kernel(fastmath=CONTRACT)
def gru_cell_backward(gates, h, candidate, dh, dx, dsums):
    """``dh`` belongs to h' before, and after to h, where it goes into h' directly; ``dx`` and ``dsums`` to the sums."""
    size = len(h)
    one = h.dtype.type(1)
    r, z, n = gates[:size], gates[size : 2 * size], gates[2 * size :]
    dr, dz, dn = dx[:size], dx[size : 2 * size], dx[2 * size :]
    dm = dsums[2 * size :]
    for j in range(size):
        dz[j] = dh[j] * (h[j] - n[j]) * z[j] * (one - z[j])
    for j in range(size):
        whole = dh[j]
        dn[j] = whole * (one - z[j]) * (one - n[j] * n[j])
        dh[j] = whole * z[j]
    for j in range(size):
        through = dn[j] * r[j]
        dm[j] = through
        dr[j] = through * candidate[j] * (one - r[j])
    for j in range(2 * size):
        dsums[j] = dx[j]
