"""Training settings of all models of the benchmarks."""

from __future__ import annotations

# AdamW, and the limit on the norm of all gradients.
LR, BETAS, EPS, WEIGHT_DECAY, CLIP_NORM = 1e-3, (0.9, 0.95), 1e-8, 0.1, 1.0
CHECKED_STEPS = 3  # whose losses must agree
FALLING_LIMIT = 0.999  # from call to call, where clipping alone is measured: gradients once clipped stay so
