"""Time loops of the recurrent layers of ``rnn.py``, around the steps of ``cells.py``.

What a step adds up from the step before is a product with the same weights each time: they are packed once, into panels
as wide as a register tile. Examples do not depend on each other, so each thread goes through all time with its own
share of them, and never waits for another.

Shapes: T steps, B examples, H units, and G·H sums of G gates.
"""

# Compiled functions carry no annotations: Numba infers their types from the arguments.
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from minigrad.kernels.compiling.compiler import kernel
from minigrad.kernels.compiling.linking import call_at
from minigrad.kernels.compiling.parallel import in_parallel, share
from minigrad.kernels.compiling.vector import address_of_array
from minigrad.kernels.products.blocking import THREAD_BUFFER, multiply_piece
from minigrad.kernels.products.packing import pack_b, panel_width
from minigrad.kernels.recurrent.cells import (
    apply_relu,
    apply_tanh,
    gru_cell,
    gru_cell_backward,
    lstm_cell,
    lstm_cell_backward,
    relu_backward,
    tanh_backward,
)

TANH, RELU, LSTM, GRU = range(4)  # the kinds of cells


@kernel()
def forward(kind, reverse, projected, weight, bias, hidden, memory, out, gates, memories, panels, product, parts):
    """Fill ``out`` (T, B, H), ``gates`` (T, B, G·H), ``memories`` (T, B, H) from ``projected`` (T, B, G·H), ``weight``
    (G·H, H), ``hidden`` and ``memory`` (B, H).

    The memory is the LSTM's cell, or what a GRU's candidate adds up from the step before; an RNN has none. What is
    projected turns into the gates in its place, but for a GRU, and an RNN's gates are its ``out``. ``panels`` is for
    the packed weights; ``product`` is (workspace, its ``piece_entry``).
    """
    item, (sums, units) = weight.itemsize, weight.shape
    pack_b(sums, units, address_of_array(weight), units * item, item, address_of_array(panels), product[0])
    arguments = kind, reverse, projected, bias, hidden, memory, out, gates, memories, panels, product
    in_parallel(parts, _forward_part, arguments)


@kernel()
def _forward_part(part, parts, kind, reverse, projected, bias, hidden, memory, out, gates, memories, panels, product):
    steps, batch, sums = gates.shape
    units, item = out.shape[2], out.itemsize
    first, last = share(batch, part, parts)
    for step in range(steps):
        t = steps - 1 - step if reverse else step
        if step > 0:
            before = t + 1 if reverse else t - 1
            hidden, memory = out[before], memories[before]
        here = (t * batch + first) * sums * item
        plus, plus_row = address_of_array(projected) + here, sums * item
        if kind == GRU:
            plus, plus_row = address_of_array(bias), 0
        _multiply_panels(
            last - first,
            units,
            sums,
            address_of_array(hidden) + first * units * item,
            address_of_array(panels),
            address_of_array(gates) + here,
            plus,
            plus_row,
            part,
            product,
        )
        for row in range(first, last):
            if kind == LSTM:
                lstm_cell(gates[t, row], memory[row], memories[t, row], out[t, row])
            elif kind == GRU:
                gru_cell(projected[t, row], gates[t, row], hidden[row], memories[t, row], out[t, row])
            elif kind == TANH:
                apply_tanh(gates[t, row])
            else:
                apply_relu(gates[t, row])


@kernel()
def backward(
    kind, reverse, g, weight, hidden, memory, out, gates, memories, dhidden, dmemory, dx, dsums, panels, product, parts
):
    """Fill ``dx`` and ``dsums`` (T, B, G·H), the gradients of what a step adds up from the input and from the step
    before; they are one array but for a GRU. ``dhidden`` and ``dmemory`` (B, H) belong to the last states before and to
    the first ones after. ``g`` (T, B, H) belongs to ``out``; the rest is as for ``forward``.
    """
    item, (sums, units) = weight.itemsize, weight.shape
    pack_b(units, sums, address_of_array(weight), item, units * item, address_of_array(panels), product[0])
    states = hidden, memory, out, gates, memories
    in_parallel(parts, _backward_part, (kind, reverse, g, *states, dhidden, dmemory, dx, dsums, panels, product))


@kernel()
def _backward_part(
    part, parts, kind, reverse, g, hidden, memory, out, gates, memories, dhidden, dmemory, dx, dsums, panels, product
):
    steps, batch, sums = gates.shape
    units, item = out.shape[2], out.itemsize
    first, last = share(batch, part, parts)
    own = address_of_array(dhidden) + first * units * item
    for step in range(steps - 1, -1, -1):
        t = steps - 1 - step if reverse else step
        hidden_before, memory_before = hidden, memory
        if step > 0:
            before = t + 1 if reverse else t - 1
            hidden_before, memory_before = out[before], memories[before]
        for row in range(first, last):
            dh = dhidden[row]
            _add(g[t, row], dh)
            if kind == LSTM:
                lstm_cell_backward(gates[t, row], memory_before[row], memories[t, row], dh, dmemory[row], dx[t, row])
            elif kind == GRU:
                gru_cell_backward(gates[t, row], hidden_before[row], memories[t, row], dh, dx[t, row], dsums[t, row])
            elif kind == TANH:
                tanh_backward(out[t, row], dh, dx[t, row])
            else:
                relu_backward(out[t, row], dh, dx[t, row])
        _multiply_panels(
            last - first,
            sums,
            units,
            address_of_array(dsums) + (t * batch + first) * sums * item,
            address_of_array(panels),
            own,
            own if kind == GRU else 0,  # a GRU's state goes into the next one directly, too
            units * item,
            part,
            product,
        )


@kernel()
def _add(x, total):
    for j in range(len(x)):
        total[j] += x[j]


@kernel()
def _multiply_panels(rows, inner, columns, a, panels, c, plus, plus_row, part, product):
    """C (rows, columns) = A (rows, inner) @ packed (inner, columns) + plus; see ``blocking.py``."""
    buffer, piece = product
    item, strip = buffer.itemsize, panel_width(buffer)
    packed = address_of_array(buffer) + part * THREAD_BUFFER * item
    sizes, strides = (rows, columns, inner), (inner * item, item, strip * item, 0, columns * item)
    call_at(piece, multiply_piece, (a, panels, inner * strip * item, c, sizes, strides, plus, plus_row, packed, buffer))
