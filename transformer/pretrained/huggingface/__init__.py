"""Model directories in the formats of Hugging Face's ``transformers``.

family is the description of a family and converts in both directions, equivalence says which configurations mean the
same, rotary and labels are what several families have in common, shards reads weights. The others are families: gpt2,
llama (with Mistral, Qwen and Phi-3), gemma, phi (with StableLM, StarCoder 2 and OLMo 2), opt, gpt_neox, gptj, bloom;
bert, roberta (with XLM-R, CamemBERT and MPNet), electra, albert, distilbert, modernbert; bart (with mBART, M2M-100,
Marian and Pegasus) and t5 (with mT5 and UMT5).
"""

from transformer.pretrained.huggingface.albert import ALBERT
from transformer.pretrained.huggingface.bart import BART, M2M100, MARIAN, MBART, PEGASUS
from transformer.pretrained.huggingface.bert import BERT
from transformer.pretrained.huggingface.bloom import BLOOM
from transformer.pretrained.huggingface.distilbert import DISTILBERT
from transformer.pretrained.huggingface.electra import ELECTRA
from transformer.pretrained.huggingface.family import Architecture, Family
from transformer.pretrained.huggingface.gemma import GEMMA, GEMMA2, GEMMA3
from transformer.pretrained.huggingface.gpt2 import GPT2
from transformer.pretrained.huggingface.gpt_neox import GPT_NEOX
from transformer.pretrained.huggingface.gptj import GPTJ
from transformer.pretrained.huggingface.llama import LLAMA, MISTRAL, PHI3, QWEN2, QWEN3
from transformer.pretrained.huggingface.modernbert import MODERNBERT
from transformer.pretrained.huggingface.opt import OPT
from transformer.pretrained.huggingface.phi import OLMO2, PHI, STABLELM, STARCODER2
from transformer.pretrained.huggingface.roberta import CAMEMBERT, MPNET, ROBERTA, XLM_ROBERTA
from transformer.pretrained.huggingface.shards import INDEX, WEIGHTS, read_weights
from transformer.pretrained.huggingface.t5 import MT5, T5, UMT5

CAUSAL = (
    GPT2,
    LLAMA,
    MISTRAL,
    QWEN2,
    QWEN3,
    PHI3,
    GEMMA,
    GEMMA2,
    GEMMA3,
    OPT,
    GPT_NEOX,
    GPTJ,
    BLOOM,
    PHI,
    STABLELM,
    STARCODER2,
    OLMO2,
)
ENCODERS = (BERT, ROBERTA, XLM_ROBERTA, CAMEMBERT, DISTILBERT, MPNET, ELECTRA, ALBERT, MODERNBERT)
ENCODER_DECODER = (BART, MBART, M2M100, MARIAN, PEGASUS, T5, MT5, UMT5)
FAMILIES = {family.model_type: family for family in (*CAUSAL, *ENCODERS, *ENCODER_DECODER)}

__all__ = ["FAMILIES", "INDEX", "WEIGHTS", "Architecture", "Family", "read_weights"]
