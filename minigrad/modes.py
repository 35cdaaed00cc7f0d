"""Recording modes: whether operations leave a trace, in this thread or asynchronous task."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

# Context variables give every thread and every asynchronous task its own modes.
_recording: ContextVar[bool] = ContextVar("recording", default=True)
_before: ContextVar[tuple[bool, ...]] = ContextVar("before", default=())  # the modes to return to
_on_arrays: ContextVar[bool | None] = ContextVar("on_arrays", default=None)  # None outside of backward passes


def is_grad_enabled() -> bool:
    """Whether operations are being recorded in this thread or task."""
    return _recording.get()


def on_arrays() -> bool:
    """Whether a first-order derivative is being computed, on plain arrays and without recording."""
    return bool(_on_arrays.get())


def in_backward_pass() -> bool:
    """True while a derivative is being computed."""
    return _on_arrays.get() is not None


class GradMode:
    """A recording mode for a ``with`` block or a decorated function; what was before returns, also after an error."""

    def __init__(self, mode: bool) -> None:
        self.mode = mode

    def __enter__(self) -> None:
        _before.set((*_before.get(), _recording.get()))
        _recording.set(self.mode)

    def __exit__(self, *exception: object) -> None:
        *rest, mode = _before.get()
        _before.set(tuple(rest))
        _recording.set(mode)

    def __call__(self, function: Function) -> Function:
        mode = self.mode

        @functools.wraps(function)
        def in_mode(*args: Any, **kwargs: Any) -> Any:
            with GradMode(mode):
                return function(*args, **kwargs)

        @functools.wraps(function)
        async def awaited_in_mode(*args: Any, **kwargs: Any) -> Any:
            with GradMode(mode):
                return await function(*args, **kwargs)

        @functools.wraps(function)
        def generated_in_mode(*args: Any, **kwargs: Any) -> Any:
            """The mode holds while the generator runs, not while its consumer does."""
            generator = function(*args, **kwargs)
            resume = functools.partial(next, generator)
            while True:
                try:
                    with GradMode(mode):
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


class no_grad(GradMode):
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
        super().__init__(False)


class enable_grad(GradMode):
    """Record, also inside a ``no_grad`` block. A context manager and a decorator."""

    def __new__(cls, function: Any = None) -> Any:
        return _decorator(cls, function)

    def __init__(self) -> None:
        super().__init__(True)


class set_grad_enabled(GradMode):
    """Turn recording on or off at once; as a context manager or decorator, until the block or call ends."""

    def __init__(self, mode: bool) -> None:
        super().__init__(mode)
        self._undo: bool | None = _recording.get()  # what a block or a decorated call returns to; nothing else does
        _recording.set(mode)

    def __enter__(self) -> None:
        self._restore()
        super().__enter__()

    def __call__(self, function: Function) -> Function:
        self._restore()
        return super().__call__(function)

    def _restore(self) -> None:
        if self._undo is not None:
            _recording.set(self._undo)
        self._undo = None


@contextmanager
def derivative_on_arrays(mode: bool) -> Iterator[None]:
    before = _on_arrays.get()
    _on_arrays.set(mode)
    try:
        yield
    finally:
        _on_arrays.set(before)
