"""The architecture of "Attention Is All You Need", from the configuration to whole models.

config (kinds are the types of its values, presets some that are usual) → positions → attention → layers → stacks →
models; cache holds the keys and values of decoding, lora the adapters of fine-tuning.
"""
