"""One module for each framework, all with the same functions: what each job's operation is there.

``start(threads)`` loads what every job needs; ``program`` makes a runnable job of a function of tensors. The others are
the operations: functions of tensors, or (in the second half) makers of programs.
"""
