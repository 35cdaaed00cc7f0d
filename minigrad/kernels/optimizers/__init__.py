"""Optimizer updates, of many arrays at once."""
