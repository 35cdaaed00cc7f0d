"""Frameworks: a module for each, all with the same functions, the operations of the jobs.

``start(threads)`` loads what every job needs; ``program`` makes a runnable job of a function of tensors. The others are
the operations: functions of tensors, or (in the second half) makers of programs.
"""
