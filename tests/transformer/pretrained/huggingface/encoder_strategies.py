"""Small configurations of each family of encoders, drawn at random: see strategies."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.transformer.pretrained.huggingface.strategies import (
    EPSILON,
    GATED,
    PAD,
    PLACES,
    PLAIN,
    VOCABULARY,
    YES,
    Draw,
    Settings,
    llama,
)

CLASSES = ("ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "Model")
PAD_FIRST = {"pad_token_id": PAD}
PAD_SECOND = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
PROBLEMS = st.sampled_from([None, "single_label_classification", "multi_label_classification", "regression"])


@st.composite
def labels(draw: Draw) -> Settings:
    """Settings of classifiers."""
    count = draw(st.integers(2, 4))
    names = draw(st.sampled_from(["LABEL_{}", "no {}"]))
    return {
        "id2label": {number: names.format(number) for number in range(count)},
        "label2id": {names.format(number): number for number in range(count)},
        "problem_type": draw(PROBLEMS),
    }


@st.composite
def sizes(draw: Draw) -> Settings:
    count = draw(st.sampled_from([1, 2, 4]))
    return {
        "vocab_size": VOCABULARY,
        "max_position_embeddings": PLACES,
        "hidden_size": count * draw(st.sampled_from([4, 8])),
        "num_hidden_layers": draw(st.integers(1, 3)),
        "num_attention_heads": count,
        "intermediate_size": 12,
        "tie_word_embeddings": draw(YES),
    }


@st.composite
def bert_like(draw: Draw) -> Settings:
    """Settings that BERT's relatives share."""
    return {
        **draw(sizes()),
        **PAD_FIRST,
        **draw(labels()),
        "hidden_act": draw(PLAIN),
        "layer_norm_eps": draw(EPSILON),
        "type_vocab_size": draw(st.integers(1, 2)),
        "classifier_dropout": draw(st.sampled_from([None, 0.3])),
    }


@st.composite
def roberta(draw: Draw) -> Settings:
    pad = draw(st.sampled_from([PAD_SECOND, {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}]))
    return draw(bert_like()) | pad


@st.composite
def mpnet(draw: Draw) -> Settings:
    settings = draw(bert_like()) | PAD_SECOND
    del settings["type_vocab_size"], settings["classifier_dropout"]
    return settings


@st.composite
def electra(draw: Draw) -> Settings:
    settings = draw(bert_like())
    return settings | {"embedding_size": draw(st.sampled_from([6, settings["hidden_size"]]))}


@st.composite
def albert(draw: Draw) -> Settings:
    settings = draw(bert_like())
    settings["classifier_dropout_prob"] = settings.pop("classifier_dropout") or 0.1
    groups = draw(st.integers(1, settings["num_hidden_layers"]))
    return settings | {"num_hidden_groups": groups, "embedding_size": draw(st.sampled_from([6, 8]))}


@st.composite
def distilbert(draw: Draw) -> Settings:
    drawn = draw(sizes())
    return {
        **{name: drawn[name] for name in ("vocab_size", "max_position_embeddings", "tie_word_embeddings")},
        **PAD_FIRST,
        **draw(labels()),
        "dim": drawn["hidden_size"],
        "n_layers": drawn["num_hidden_layers"],
        "n_heads": drawn["num_attention_heads"],
        "hidden_dim": drawn["intermediate_size"],
        "activation": draw(PLAIN),
    }


@st.composite
def modernbert(draw: Draw) -> Settings:
    biases = ("norm_bias", "attention_bias", "mlp_bias", "decoder_bias", "classifier_bias")
    return {
        **draw(sizes()),
        **PAD_FIRST,
        "bos_token_id": 1,
        "cls_token_id": 1,
        "eos_token_id": 2,
        "sep_token_id": 2,
        **draw(labels()),
        "hidden_activation": draw(GATED),
        "classifier_activation": draw(PLAIN),
        "classifier_pooling": draw(st.sampled_from(["cls", "mean"])),
        "norm_eps": draw(EPSILON),
        "local_attention": draw(st.sampled_from([4, 6, 40])),
        "global_attn_every_n_layers": draw(st.integers(1, 3)),
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": 500.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
        },
        **{name: draw(YES) for name in biases},
    }


@st.composite
def llama_classifier(draw: Draw) -> Settings:
    return draw(llama()) | draw(labels())


FAMILIES = {  # model_type → the beginning of their classes' names, and their settings
    "bert": ("Bert", bert_like()),
    "roberta": ("Roberta", roberta()),
    "xlm-roberta": ("XLMRoberta", roberta()),
    "camembert": ("Camembert", roberta()),
    "distilbert": ("DistilBert", distilbert()),
    "mpnet": ("MPNet", mpnet()),
    "electra": ("Electra", electra()),
    "albert": ("Albert", albert()),
    "modernbert": ("ModernBert", modernbert()),
}
ENCODERS = {
    f"{family} {name}": (family, prefix + name, strategy)
    for family, (prefix, strategy) in FAMILIES.items()
    for name in CLASSES
    if family not in ("xlm-roberta", "camembert") or name == "ForMaskedLM"  # RoBERTa's table
}
ENCODERS["llama ForSequenceClassification"] = ("llama", "LlamaForSequenceClassification", llama_classifier())
