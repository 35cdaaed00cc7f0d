"""Decoding step as a program: one step of the model is recorded, and run again with the next tokens.

The model's own code says what a step is; :mod:`minigrad.replay` turns the primitives that it calls into instructions.
Where one has none, or the model is watched by hooks, steps are taken by the model itself: right, only slower.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import NoneType
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from minigrad import Tensor, nn
from minigrad.engine.tensor import observers
from minigrad.kernels.program.instructions import CACHE_WORDS, TABLE_WORDS
from minigrad.nn.quantized import QuantizedWeight
from minigrad.ops.autocast import product_precision
from minigrad.replay import LOWERINGS, Call, Lowering, Program, Unsupported, attention, recorded, store
from transformer.model.cache import DecoderCache
from transformer.model.models import CausalLM, Transformer

Logits = np.ndarray[Any, Any]
MOST_ROWS = 32  # beyond, products are no longer bound by the memory's speed

# Programs of models in the state in which they were recorded, by the form of a step's arguments. They hold buffers and
# addresses of weights, but not the weights.
_PROGRAMS: WeakKeyDictionary[nn.Module, tuple[Any, dict[Any, Program]]] = WeakKeyDictionary()


class StepProgram:
    """Programs of a model's step with a cache, one for each form that its arguments take.

    Args:
        model: a decoder and what turns its vectors into logits, in evaluation mode.
        cache: of one batch of texts.
    """

    def __init__(self, model: Transformer | CausalLM, cache: DecoderCache) -> None:
        self._model, self._cache = model, cache
        self._modules = list(model.modules())
        self._arrays = _held_arrays(self._modules)
        self._state = _attributes(self._modules)
        recorded_in, programs = _PROGRAMS.get(model, (None, {}))
        self.programs: dict[Any, Program | None] = {}  # by the form of the arguments; None if there can be none
        self._weights: list[Any] = []
        if recorded_in == self._state:
            for form, program in programs.items():
                weights = [reference() for reference in program.weights]
                if not any(array is None for array in weights):
                    self.programs[form] = program
                    self._weights.append(weights)
        self._caches = [cached for layer in cache.layers for cached in layer]  # by turns of the two tables
        self._numbers = {id(cached): number for number, cached in enumerate(self._caches)}
        self._addresses = np.zeros((len(self._caches), CACHE_WORDS), np.int64)
        self._addressed: list[Logits] = []  # the stores that these are of
        self._hook_changes, self._watched = -1, False

    def step(self, arguments: tuple[Any, ...]) -> Logits:
        """Logits (B, V) of the next token after ``arguments`` of the decoder's ``run`` for one token of each text."""
        x = arguments[0]
        inputs = list(_tensors(arguments[1:]))
        form = _form(arguments[1:])
        program = self.programs.get(form)
        if observers.get() or product_precision.get() or len(x) > MOST_ROWS or self._is_watched():
            return self._by_model(arguments)
        if form in self.programs and program is None:
            return self._by_model(arguments)
        if program is None or program.batch < len(x):
            return self._record(form, arguments, inputs)
        return self._run(program, x.data, inputs)

    def _by_model(self, arguments: tuple[Any, ...]) -> Logits:
        logits: Logits = self._logits(arguments).data
        return logits

    def _logits(self, arguments: tuple[Any, ...]) -> Tensor:
        x, views, memory, memory_visible = arguments
        x = self._model.decoder.run(x, views, memory, memory_visible, self._cache)
        logits: Tensor = self._model.output(x[:, -1:])[:, 0]
        return logits

    def _is_watched(self) -> bool:
        """True if hooks look at the outputs of modules."""
        if self._hook_changes != nn.Module.hook_changes:
            self._hook_changes = nn.Module.hook_changes
            self._watched = any(module._forward_hooks for module in self._modules)
        return self._watched

    def _record(self, form: Any, arguments: tuple[Any, ...], inputs: list[Tensor]) -> Logits:
        """Take a step by the model, and make a program of it."""
        logits, recorder = recorded(lambda: self._logits(arguments))
        try:
            lowerings = {**LOWERINGS, "cached": self._store, "cached_attention": self._attention}
            program = Program(recorder, arguments[0], inputs, logits, self._arrays, lowerings)
            self.programs[form] = program
            self._weights.append([reference() for reference in program.weights])
            if not program.derived:
                recorded_in, programs = _PROGRAMS.get(self._model, (None, {}))
                if recorded_in != self._state:
                    programs = {}
                    _PROGRAMS[self._model] = self._state, programs
                programs[form] = program
        except Unsupported:
            self.programs[form] = None
        return logits.data

    def _store(self, lowering: Lowering, call: Call) -> list[Logits]:
        number = self._numbers[id(call.params["cache"])]
        keys, values = call.args
        return store(lowering, keys, values, number, number % 2)

    def _attention(self, lowering: Lowering, call: Call) -> list[Logits]:
        keys, values, scale, softcap = (call.params[name] for name in ("keys", "values", "scale", "softcap"))
        number = self._numbers[id(keys.cache)]
        _, groups, width = values.store.shape
        query, mask = call.args
        return [attention(lowering, query, mask, number, number % 2, groups, width, scale, softcap)]

    def _run(self, program: Program, x: Logits, inputs: list[Tensor]) -> Logits:
        for layer in self._cache.layers:
            layer.self_attention.reserve(len(x), 1)
        if self._addressed is not self._caches[0].stores:  # all grow together
            self._addressed = self._caches[0].stores
            for row, cache in enumerate(self._caches):
                if cache.stores:
                    keys, values = cache.stores
                    self._addresses[row] = keys.ctypes.data, values.ctypes.data, keys.dtype == np.uint16
        tables = np.zeros((2, TABLE_WORDS), np.int64)
        for row, slots in enumerate((self._cache.own, self._cache.cross)):
            table = slots.table
            tables[row] = table.ctypes.data, table.strides[0] // table.itemsize, table.shape[1]
        return program(x, [tensor.data for tensor in inputs], self._addresses, tables)


def _tensors(arguments: Any) -> Iterator[Tensor]:
    """All tensors of nested tuples, lists and dicts."""
    if isinstance(arguments, Tensor):
        yield arguments
    elif isinstance(arguments, (tuple, list)):
        for argument in arguments:
            yield from _tensors(argument)
    elif isinstance(arguments, dict):
        yield from _tensors(tuple(arguments.values()))


def _form(arguments: Any) -> Any:
    """The same for arguments that one program serves: the tensors' axes and dtypes, and all else."""
    if isinstance(arguments, Tensor):
        return arguments.ndim, arguments.dtype
    if isinstance(arguments, dict):
        return tuple(arguments), _form(tuple(arguments.values()))
    return tuple(map(_form, arguments)) if isinstance(arguments, (tuple, list)) else arguments


def _held_arrays(modules: Sequence[nn.Module]) -> set[int]:
    """Identities of the arrays that modules hold."""
    held: set[int] = set()
    for module in modules:
        for value in vars(module).values():
            if isinstance(value, Tensor):
                held.add(id(value.data))
            elif isinstance(value, np.ndarray):
                held.add(id(value))
    return held


def _attributes(modules: Sequence[nn.Module]) -> list[Any]:
    """Attributes of modules, as far as they could change what is computed: numbers, and identities of all else."""
    found: list[Any] = []
    for module in modules:
        found.append(type(module))
        if isinstance(module, QuantizedWeight):
            found.extend(map(id, module.matrix))  # renewed where others were loaded
        for value in vars(module).values():
            known = isinstance(value, (int, float, str, NoneType))
            found.append(value if known else id(value.data if isinstance(value, Tensor) else value))
    return found
