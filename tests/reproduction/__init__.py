"""Reproduction of results: ``python -m tests.reproduction``.

``tatoeba`` trains one translator twice, by the package and by PyTorch. ``recipe`` says how, ``corpus`` from what;
``training`` runs one framework in a process of its own; ``torch_twin`` is the model in PyTorch; ``scores`` says what
came of it.
"""
