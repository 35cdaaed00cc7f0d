"""Sharded optimizer state: each rank updates some of the parameters, and sends them to the others.

Source: Rajbhandari et al., "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models", 2020, section 5.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minigrad.distributed.group import Group
from minigrad.engine.tensor import Array, Shape, Tensor
from minigrad.optim import Optimizer


class ShardedOptimizer(Optimizer):
    """Optimizer whose state is spread over the ranks of a group, each parameter's on one of them (ZeRO stage 1).

    Parameters, updates and saved state are the same as without it; gradients must be the same on all ranks, as after
    :class:`~minigrad.distributed.GradientSums`. Each rank holds about ``1 / size`` of the state's bytes.

    Args:
        optimizer: of the same parameters, in the same order, on all ranks; used through this one from now on.
        group: of the ranks.

    Example:
        >>> import minigrad as mg
        >>> weight = mg.nn.Parameter(np.ones(2, np.float32))
        >>> optimizer = ShardedOptimizer(mg.optim.SGD([weight], lr=0.5), mg.distributed.world())
        >>> weight.grad = mg.ones(2)
        >>> optimizer.step()
        >>> weight.tolist()
        [0.5, 0.5]
    """

    def __init__(self, optimizer: Optimizer, group: Group) -> None:
        self._optimizer, self.group = optimizer, group
        self.groups, self.steps, self.state = optimizer.groups, optimizer.steps, optimizer.state
        parameters = [tensor for options in self.groups for tensor in options["params"]]
        self._owners = _owners([tensor.data.nbytes for tensor in parameters], group.size)
        self._owned = [
            [t for t, owner in zip(parameters, self._owners, strict=True) if owner == r] for r in range(group.size)
        ]

    def state_shapes(self, shape: Shape, options: dict[str, Any]) -> dict[str, Shape]:
        return self._optimizer.state_shapes(shape, options)

    def update(self, *arguments: Any) -> None:
        self._optimizer.update(*arguments)

    def step(self, gradient_scale: float = 1.0) -> None:
        """Update every parameter that has a gradient, on its rank, and gather them all. Called by all ranks."""
        mine = set(map(id, self._owned[self.group.rank]))
        gradients: dict[int, Tensor] = {}
        for options, steps in zip(self.groups, self.steps, strict=True):
            for place, tensor in enumerate(options["params"]):
                if id(tensor) not in mine and tensor.grad is not None:
                    gradients[id(tensor)], tensor.grad = tensor.grad, None
                    steps[place] += 1
        try:
            super().step(gradient_scale)
        finally:
            for options in self.groups:
                for tensor in options["params"]:
                    tensor.grad = gradients.get(id(tensor), tensor.grad)
        self._gather()

    def _gather(self) -> None:
        """Send this rank's parameters to the others, and take theirs."""
        if self.group.size == 1:
            return
        counts = [sum(tensor.data.nbytes for tensor in tensors) for tensors in self._owned]
        whole, end = np.empty(sum(counts), np.uint8), 0
        pieces: list[tuple[Tensor, Array]] = []
        for tensor in (tensor for tensors in self._owned for tensor in tensors):
            start, end = end, end + tensor.data.nbytes
            pieces.append((tensor, whole[start:end].view(tensor.dtype).reshape(tensor.shape)))
        mine = set(map(id, self._owned[self.group.rank]))
        for tensor, piece in pieces:
            if id(tensor) in mine:
                piece[...] = tensor.data
        self.group.all_gather_pieces(whole, counts)
        for tensor, piece in pieces:
            if id(tensor) not in mine:
                tensor.data[...] = piece
                tensor.storage.version += 1

    def state_dict(self) -> dict[str, Any]:
        """State of the whole optimizer, as without sharding. Called by all ranks; it is copied from the others."""
        options = [{name: value for name, value in group.items() if name != "params"} for group in self.groups]
        arrays: dict[str, Array] = {}
        owners = iter(self._owners)
        for number, (group, states) in enumerate(zip(self.groups, self.state, strict=True)):
            for place, (tensor, state) in enumerate(zip(group["params"], states, strict=True)):
                if (owner := next(owners)) == self.group.rank:
                    self._fit_state(state, tensor.data, group)
                for name, shape in self.state_shapes(tensor.shape, group).items():
                    array = state[name] if owner == self.group.rank else np.empty(shape, tensor.dtype)
                    self.group.broadcast(array, owner)
                    if self.group.rank == 0:  # which writes checkpoints; the others hold one array at a time
                        arrays[f"{number}.{place}.{name}"] = array
        return {"steps": [list(steps) for steps in self.steps], "groups": options, **arrays}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a saved state, of which this rank keeps its part."""
        super().load_state_dict(state)
        states = [own for group in self.state for own in group]
        for own, owner in zip(states, self._owners, strict=True):
            if owner != self.group.rank:
                own.clear()


def _owners(sizes: list[int], ranks: int) -> list[int]:
    """Rank of each parameter: the largest first, each to the rank with the least so far.

    Source: Graham, "Bounds on Multiprocessing Timing Anomalies", 1969: at most 4/3 of the best possible maximum.
    """
    loads, owners = [0] * ranks, [0] * len(sizes)
    for place in sorted(range(len(sizes)), key=lambda place: -sizes[place]):
        owners[place] = loads.index(min(loads))
        loads[owners[place]] += sizes[place]
    return owners
