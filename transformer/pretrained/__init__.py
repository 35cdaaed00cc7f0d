"""Model directories: saved and loaded, in our format and in those of Hugging Face."""

from transformer.pretrained.loading import PretrainedModel, from_pretrained, load_both, load_tokenizer

__all__ = ["PretrainedModel", "from_pretrained", "load_both", "load_tokenizer"]
