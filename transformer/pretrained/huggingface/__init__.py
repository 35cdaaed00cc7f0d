"""Model directories in the formats of Hugging Face's ``transformers``.

family is the description of a family and converts in both directions, rotary and labels what several have in common;
gpt2, llama (with Mistral, Qwen and Phi-3), gemma, bert, roberta (with XLM-R, CamemBERT and MPNet), electra, albert,
distilbert, modernbert, bart (and Marian) and t5 are the families; shards reads weights.
"""

from transformer.pretrained.huggingface.albert import ALBERT
from transformer.pretrained.huggingface.bart import BART, MARIAN
from transformer.pretrained.huggingface.bert import BERT
from transformer.pretrained.huggingface.distilbert import DISTILBERT
from transformer.pretrained.huggingface.electra import ELECTRA
from transformer.pretrained.huggingface.family import Architecture, Family
from transformer.pretrained.huggingface.gemma import GEMMA, GEMMA2, GEMMA3
from transformer.pretrained.huggingface.gpt2 import GPT2
from transformer.pretrained.huggingface.llama import LLAMA, MISTRAL, PHI3, QWEN2, QWEN3
from transformer.pretrained.huggingface.modernbert import MODERNBERT
from transformer.pretrained.huggingface.roberta import CAMEMBERT, MPNET, ROBERTA, XLM_ROBERTA
from transformer.pretrained.huggingface.shards import INDEX, WEIGHTS, read_weights
from transformer.pretrained.huggingface.t5 import T5

CAUSAL = (GPT2, LLAMA, MISTRAL, QWEN2, QWEN3, PHI3, GEMMA, GEMMA2, GEMMA3)
ENCODERS = (BERT, ROBERTA, XLM_ROBERTA, CAMEMBERT, DISTILBERT, MPNET, ELECTRA, ALBERT, MODERNBERT)
FAMILIES = {family.model_type: family for family in (*CAUSAL, *ENCODERS, BART, MARIAN, T5)}

__all__ = ["FAMILIES", "INDEX", "WEIGHTS", "Architecture", "Family", "read_weights"]
