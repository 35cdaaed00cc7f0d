"""Data-parallel training in several processes, beside PyTorch's: ``python -m tests.benchmarks.distributed``.

``workload`` says what is trained, ``minigrad_side`` and ``torch_side`` how; ``rank`` is a process of a run, which
``launch`` starts by ``mpiexec``; ``table`` shows what came out.
"""
