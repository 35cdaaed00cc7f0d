"""Modules of optional peers cannot be searched for examples where the peers are missing."""

collect_ignore_glob = ["frameworks/*", "models/*", "distributed/torch_side.py"]
