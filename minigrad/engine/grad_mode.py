"""Gradient mode: recording of operations, on or off in this thread or asynchronous task."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

# Context variables give every thread and every asynchronous task its own modes.
recording: ContextVar[bool] = ContextVar("recording", default=True)
_before: ContextVar[tuple[Any, ...]] = ContextVar("before", default=())  # the values to return to
# True while a derivative is computed on plain arrays, False while one is on tensors, None outside of backward passes
on_arrays: ContextVar[bool | None] = ContextVar("on_arrays", default=None)


def is_grad_enabled() -> bool:
    """True while operations are recorded in this thread or task."""
    return recording.get()


def in_backward_pass() -> bool:
    """True while a derivative is being computed."""
    return on_arrays.get() is not None


class Mode:
    """A context variable's value for a ``with`` block or a decorated function; it is restored, also after an error."""

    def __init__(self, variable: ContextVar[Any], value: Any) -> None:
        self.variable, self.value = variable, value

    def __enter__(self) -> None:
        _before.set((*_before.get(), self.variable.get()))
        self.variable.set(self.value)

    def __exit__(self, *exception: object) -> None:
        *rest, value = _before.get()
        _before.set(tuple(rest))
        self.variable.set(value)

    def __call__(self, function: Function) -> Function:
        mode = Mode(self.variable, self.value)

        @functools.wraps(function)
        def in_mode(*args: Any, **kwargs: Any) -> Any:
            with mode:
                return function(*args, **kwargs)

        @functools.wraps(function)
        async def awaited_in_mode(*args: Any, **kwargs: Any) -> Any:
            with mode:
                return await function(*args, **kwargs)

        @functools.wraps(function)
        def generated_in_mode(*args: Any, **kwargs: Any) -> Any:
            """The mode holds while the generator runs, not while its consumer does."""
            generator = function(*args, **kwargs)
            resume = functools.partial(next, generator)
            while True:
                try:
                    with mode:
                        value = resume()
                except StopIteration as end:
                    return end.value
                try:
                    resume = functools.partial(generator.send, (yield value))
                except GeneratorExit:
                    generator.close()
                    raise
                except BaseException as error:
                    resume = functools.partial(generator.throw, error)

        if inspect.iscoroutinefunction(function):
            return awaited_in_mode  # type: ignore[return-value]  # the same signature, by functools.wraps
        if inspect.isgeneratorfunction(function):
            return generated_in_mode  # type: ignore[return-value]
        return in_mode  # type: ignore[return-value]


def _decorator(cls: Any, function: Any) -> Any:
    """A mode, or with a function in the place of its arguments (``@no_grad`` without brackets) that function in it."""
    return object.__new__(cls) if function is None else cls()(function)


class no_grad(Mode):
    """Do not record: results need no gradient and keep nothing alive.

    A context manager and a decorator, also of generators and coroutines. Threads and asynchronous tasks do not see
    each other's modes.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor(3.0, requires_grad=True)
        >>> with mg.no_grad():
        ...     y = x * x
        >>> y.requires_grad
        False
    """

    def __new__(cls, function: Any = None) -> Any:
        return _decorator(cls, function)

    def __init__(self) -> None:
        super().__init__(recording, False)


class enable_grad(Mode):
    """Record, also inside a ``no_grad`` block. A context manager and a decorator."""

    def __new__(cls, function: Any = None) -> Any:
        return _decorator(cls, function)

    def __init__(self) -> None:
        super().__init__(recording, True)


class set_grad_enabled(Mode):
    """Turn recording on or off at once; as a context manager or decorator, until the block or call ends."""

    def __init__(self, mode: bool) -> None:
        super().__init__(recording, mode)
        self._undo: bool | None = recording.get()  # what a block or a decorated call returns to; nothing else does
        recording.set(mode)

    def __enter__(self) -> None:
        self._restore()
        super().__enter__()

    def __call__(self, function: Function) -> Function:
        self._restore()
        return super().__call__(function)

    def _restore(self) -> None:
        if self._undo is not None:
            recording.set(self._undo)
        self._undo = None


class derivative_on_arrays:
    """Mode of a derivative: on plain arrays, whose operations return arrays; or on tensors."""

    def __init__(self, mode: bool) -> None:
        self.mode = mode

    def __enter__(self) -> None:
        self.before = on_arrays.get()
        on_arrays.set(self.mode)

    def __exit__(self, *exception: object) -> None:
        on_arrays.set(self.before)
