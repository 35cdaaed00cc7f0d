"""How fast the package is, beside its peers and beside what the machine can do: ``python -m tests.benchmarks``.

``jobs`` says what is measured, ``frameworks`` how each framework does it, ``models`` holds the networks. ``worker``
runs one framework in a process of its own, ``measure`` lets workers take turns, ``report`` and ``roofline`` show what
came out.
"""
