"""The architecture of "Attention Is All You Need", from the configuration to whole models.

config (with presets and kinds, the types of settings) → positions → attention → layers → stacks → models; cache holds the keys and values of decoding, lora
the adapters of fine-tuning.
"""
