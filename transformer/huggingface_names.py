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
AUTO += "BertForMaskedLM BartForConditionalGeneration MarianMTModel T5ForConditionalGeneration GPT2Model BartModel "
AUTO += "MarianModel T5Model AutoModelForSequenceClassification AutoModelForTokenClassification"
CONFIGS = "PretrainedConfig GPT2Config BertConfig BartConfig MarianConfig T5Config LlamaConfig"
TOKENIZERS = (
    "AutoTokenizer PreTrainedTokenizerFast GPT2TokenizerFast BertTokenizerFast T5TokenizerFast MarianTokenizer "
)
TOKENIZERS += "GPT2Tokenizer BertTokenizer T5Tokenizer"
CPU = "leave it out: all tensors are in the CPU's memory"

HINTS: dict[str, dict[str, str]] = {  # by owner: its attribute → ours
    "transformer": {
        **dict.fromkeys(AUTO.split(), LOAD),
        **dict.fromkeys(TOKENIZERS.split(), LOAD_TOKENIZER),
        "AutoConfig": "from_pretrained(directory).config",
        **dict.fromkeys(CONFIGS.split(), "TransformerConfig"),
        "TrainingArguments": "TrainingConfig",
        "Seq2SeqTrainingArguments": "TrainingConfig",
        "PreTrainedModel": "PretrainedModel",
        "PreTrainedTokenizer": "Tokenizer",
        "DataCollatorWithPadding": "tokenizer(texts, padding=True)",
        "DataCollatorForSeq2Seq": "tokenizer(texts, padding=True)",
        "DataCollatorForLanguageModeling": "transformer train fill, or transformer train generate",
        "EarlyStoppingCallback": "TrainingConfig(patience=…)",
        "get_linear_schedule_with_warmup": "TrainingConfig(schedule='linear')",
        "get_cosine_schedule_with_warmup": "TrainingConfig(schedule='cosine')",
        "TextIteratorStreamer": "transformer.tasks.continuation",
        "StoppingCriteria": "GenerationConfig(stop_strings=…)",
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
        "special_tokens_map": "special_names",
        "add_special_tokens": "Tokenizer.train(texts, vocab_size, special=…)",
        "add_tokens": "Tokenizer.train(texts, vocab_size, special=…)",
        "convert_tokens_to_string": "decode([ids])",
        "pad": "tokenizer(texts, padding=True)",
        "padding_side": "leave it out: padding is at the end, and a model's generate moves it",
        "get_chat_template": "chat_template",
        "model_max_length": "model.config.max_length",
        "push_to_hub": "model.save_pretrained(directory, tokenizer)",
    },
    "model": {
        "generation_config": "generation",
        "get_input_embeddings": "the module: model.encoder.tokens or model.decoder.tokens",
        "get_output_embeddings": "output",
        "device": CPU,
        "dtype": "the dtype of its parameters",
        "lm_head": "output",
        "base_model": "encoder and decoder",
        "resize_token_embeddings": "a new model: TransformerConfig(vocab_size=…)",
        "tie_weights": "TransformerConfig(tie=…)",
        "init_weights": "a new model, whose weights are initialized",
        "push_to_hub": "save_pretrained(directory)",
        "gradient_checkpointing_enable": "minigrad.autograd.checkpoint",
    },
}

HINTS |= {
    "model.config": {
        "hidden_size": "d_model",
        "n_embd": "d_model",
        "num_hidden_layers": "encoder_layers or decoder_layers",
        "n_layer": "encoder_layers or decoder_layers",
        "num_attention_heads": "num_heads",
        "n_head": "num_heads",
        "num_key_value_heads": "num_kv_heads",
        "intermediate_size": "d_ff",
        "n_inner": "d_ff",
        "hidden_act": "activation",
        "activation_function": "activation",
        "hidden_dropout_prob": "dropout",
        "layer_norm_eps": "norm_eps",
        "max_position_embeddings": "max_length",
        "n_positions": "max_length",
        "tie_word_embeddings": "tie",
        **{f"{role}_token_id": f"{role}_id" for role in ("pad", "bos", "eos")},
        "decoder_start_token_id": "decoder_start_id",
        "to_dict": "dataclasses.asdict(config)",
    },
    "tokenizer(…)": {
        "input_ids": "['input_ids']",
        "attention_mask": "['attention_mask']",
        "to": CPU,
    },
    "model(…)": {
        "logits": "the tensor itself: a call returns the logits",
        "loss": "minigrad.nn.functional.cross_entropy(logits, labels)",
        "last_hidden_state": "the tensor itself: an encoder's call returns the last layer's",
        "hidden_states": "register_forward_hook of the layers",
        "attentions": "record_attention(model)",
        "past_key_values": "model.generate, which has the cache",
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
OF_TRAINING = {  # keyword of a TrainingConfig or a Trainer → ours
    "num_train_epochs": "steps",
    "max_steps": "steps",
    "learning_rate": "lr",
    "per_device_train_batch_size": "the batches of a Trainer's data",
    "gradient_accumulation_steps": "accumulate",
    "warmup_steps": "warmup",
    "lr_scheduler_type": "schedule",
    "optim": "optimizer",
    "max_grad_norm": "clip_norm",
    "label_smoothing_factor": "label_smoothing",
    "eval_steps": "evaluate_every",
    "save_steps": "checkpoint_every",
    "fp16": "precision",
    "bf16": "precision",
    "output_dir": "directory of a Trainer",
    "args": "config",
    "train_dataset": "data",
    "eval_dataset": "held_out",
    "tokenizer": "companions, the files beside the weights",
    "compute_metrics": "transformer.evaluate, after the training",
    "data_collator": "data, which is of batches",
    "callbacks": "leave it out: a training writes its checkpoints and its log",
}
OF_TOKENIZER = {  # keyword of a tokenizer's call → ours
    "truncation": "an index: texts are never cut silently",
    "max_length": "an index: texts are never cut silently",
    "text_pair": "one text: encode has no pairs",
    "return_token_type_ids": "token_type_ids of the model's call",
    "return_offsets_mapping": "tokens(ids)",
    "return_attention_mask": "leave it out: there is always one",
    "skip_special_tokens": "leave it out: special tokens are never decoded",
    "clean_up_tokenization_spaces": "leave it out: texts are decoded as they are",
}
