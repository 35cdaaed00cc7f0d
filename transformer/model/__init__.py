"""The architecture of "Attention Is All You Need", from the configuration to whole models.

config → positions → attention → layers → stacks → models; cache holds the keys and values of decoding.
"""
