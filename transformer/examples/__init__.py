"""Example studies of Transformers, each one command: ``python -m transformer.examples NAME``."""
