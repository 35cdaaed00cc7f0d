"""ONNX export, from the operations that the engine records. Needs the extra ``onnx``.

:func:`export` runs the function at several sizes (:mod:`~minigrad.onnx.recording`), reads the runs side by side as one
program (:mod:`~minigrad.onnx.program`), in which what depends on the sizes is a formula
(:mod:`~minigrad.onnx.sizes`, :mod:`~minigrad.onnx.constants`), and writes each operation as a table says
(:mod:`~minigrad.onnx.operators`, :mod:`~minigrad.onnx.builder`).
"""

from minigrad.onnx.exporting import export, save

__all__ = ["export", "save"]
