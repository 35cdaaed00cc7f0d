"""Benchmarks of the package, against peers and the machine's limits: ``python -m tests.benchmarks``.

``jobs`` says what is measured, ``frameworks`` how each framework does it, ``models`` holds the networks. ``worker``
runs one framework in a process of its own, ``measure`` lets workers take turns, ``report`` and ``roofline`` show what
came out. ``distributed`` measures training in several processes, whose ``cost`` is fitted for ``scaling``, a simulation
of many machines.
"""
