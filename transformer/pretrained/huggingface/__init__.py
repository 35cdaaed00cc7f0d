"""Model directories in the formats of Hugging Face's ``transformers``.

family is the description of a family and converts in both directions; gpt2, bert, bart (and Marian) and t5
are the families; shards reads weights.
"""

from transformer.pretrained.huggingface.bart import BART, MARIAN
from transformer.pretrained.huggingface.bert import BERT
from transformer.pretrained.huggingface.family import Architecture, Family
from transformer.pretrained.huggingface.gpt2 import GPT2
from transformer.pretrained.huggingface.shards import INDEX, WEIGHTS, read_weights
from transformer.pretrained.huggingface.t5 import T5

FAMILIES = {family.model_type: family for family in (GPT2, BERT, BART, MARIAN, T5)}

__all__ = ["FAMILIES", "INDEX", "WEIGHTS", "Architecture", "Family", "read_weights"]
