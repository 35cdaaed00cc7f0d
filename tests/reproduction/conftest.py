"""A module of an optional peer cannot be searched for examples where the peer is missing."""

collect_ignore = ["torch_twin.py"]
