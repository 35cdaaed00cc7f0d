"""Names of Hugging Face's ``transformers`` that are others here: using one is an error that names ours.

What its users expect and fits is there by its name: ``from_pretrained``, ``tokenizer(text)``, ``num_parameters``. A
model's call returns logits alone; what else a call there can be asked for is an error with a hint.
``docs/coming-from-pytorch.md`` lists these tables.
"""

from __future__ import annotations

ALIASES = {  # what works → the same here
    "CausalLM.from_pretrained(directory)": "from_pretrained(directory), of any class",
    "tokenizer(text)": "tokenizer.encode([text]), with a mask",
    "len(tokenizer)": "tokenizer.vocab_size",
}
LOAD, LOAD_TOKENIZER = "from_pretrained(directory)", "load_tokenizer(directory)"
AUTO = "AutoModel AutoModelForCausalLM AutoModelForMaskedLM AutoModelForSeq2SeqLM GPT2LMHeadModel BertModel "
AUTO += "BertForMaskedLM BartForConditionalGeneration MarianMTModel T5ForConditionalGeneration"
TOKENIZERS = "AutoTokenizer PreTrainedTokenizerFast GPT2TokenizerFast BertTokenizerFast T5TokenizerFast MarianTokenizer"

HINTS: dict[str, dict[str, str]] = {  # by owner: its attribute → ours
    "transformer": {
        **dict.fromkeys(AUTO.split(), LOAD),
        **dict.fromkeys(TOKENIZERS.split(), LOAD_TOKENIZER),
        "AutoConfig": "from_pretrained(directory).config",
        "PretrainedConfig": "TransformerConfig",
        "TrainingArguments": "TrainingConfig",
        "Seq2SeqTrainer": "Trainer",
        "pipeline": "the commands, or model.generate",
        "set_seed": "minigrad.manual_seed",
        "TextStreamer": "transformer.tasks.continuation",
    },
    "Tokenizer": {
        "from_pretrained": LOAD_TOKENIZER,
        "save_pretrained": "model.save_pretrained(directory, tokenizer)",
        "batch_decode": "decode, which takes several",
        "batch_encode_plus": "tokenizer(texts)",
        "encode_plus": "tokenizer(text)",
        "tokenize": "tokens(ids)",
        "convert_ids_to_tokens": "tokens(ids)",
        "convert_tokens_to_ids": "encode",
        "pad_token_id": "pad_id",
        "bos_token_id": "bos_id",
        "cls_token_id": "bos_id",
        "eos_token_id": "eos_id",
        "sep_token_id": "eos_id",
        "mask_token_id": "mask_id",
        "unk_token_id": "unk_id",
        **{f"{role}_token": f"special_names['{role}']" for role in ("pad", "bos", "eos", "mask", "unk")},
        "all_special_tokens": "special_names",
    },
    "model": {
        "generation_config": "generation",
        "get_input_embeddings": "the module: model.encoder.tokens or model.decoder.tokens",
        "get_output_embeddings": "output",
        "device": "leave it out: all tensors are in the CPU's memory",
        "gradient_checkpointing_enable": "minigrad.autograd.checkpoint",
    },
}

LOGITS = "leave it out: a call returns the logits"
OF_CALL = {  # keyword of a model's call → ours
    "labels": "minigrad.nn.functional.cross_entropy(logits, labels), or a Trainer",
    "output_attentions": "record_attention(model)",
    "output_hidden_states": "register_forward_hook of the layers",
    "return_dict": LOGITS,
    "use_cache": "model.generate, which has the cache",
    "past_key_values": "model.generate, which has the cache",
    "inputs_embeds": "input_ids",
    "position_ids": "attention_mask, from which positions follow",
    "decoder_attention_mask": "padding at the end of the targets, which no real position sees",
}
OF_TOKENIZER = {  # keyword of a tokenizer's call → ours
    "truncation": "an index: texts are never cut silently",
    "max_length": "an index: texts are never cut silently",
    "text_pair": "one text: encode has no pairs",
    "return_token_type_ids": "token_type_ids of the model's call",
    "return_offsets_mapping": "tokens(ids)",
}
