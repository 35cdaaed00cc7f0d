"""Short studies of what Transformers can do, each one command: ``python -m transformer.examples NAME``."""
