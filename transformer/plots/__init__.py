"""Plots of a model's attention and of a training's losses and gradients."""
