"""Compiling: the decorator of all kernels, its code cache, threads, memory, argument checks, vector intrinsics."""
