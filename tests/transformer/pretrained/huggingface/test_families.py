"""Each family's tables read and write configurations, with errors that name the setting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transformer import CausalLM, Encoder, MaskedLM, Transformer, TransformerConfig, from_pretrained
from transformer.pretrained.huggingface import FAMILIES

MODEL_CLASSES = {"CausalLM": CausalLM, "Encoder": Encoder, "MaskedLM": MaskedLM, "Transformer": Transformer}
SMALL = {"vocab_size": 40, "d_model": 8, "num_heads": 2, "d_ff": 12, "max_length": 16}
GPT2 = TransformerConfig.preset("gpt2", **SMALL, decoder_layers=2, bos_id=None, eos_id=3)
BERT = TransformerConfig.preset("bert-base", **SMALL, encoder_layers=2, mask_id=4)
_PAIR = {**SMALL, "encoder_layers": 1, "decoder_layers": 2, "init_std": 0.02, "output_bias": True}
BART = TransformerConfig(**_PAIR, positions="learned", embedding_norm=True, activation="gelu", scale_embedding=False)
MARIAN = TransformerConfig(**_PAIR, positions="sinusoidal_halves", activation="silu", bos_id=None, decoder_start_id=0)
T5 = TransformerConfig(
    **SMALL,
    encoder_layers=1,
    decoder_layers=2,
    d_k=6,
    positions="relative",
    norm="rms",
    norm_first=True,
    activation="geglu",
    bias=False,
    tie="input",
    scale_scores=False,
    scale_embedding=False,
    attention_dropout=0.1,
    activation_dropout=0.1,
)


def saved(model: Any, directory: Path) -> dict[str, Any]:
    model.save_pretrained(directory)
    settings: dict[str, Any] = json.loads((directory / "config.json").read_text())
    return settings


@pytest.mark.parametrize(
    ("kind", "config", "architecture"),
    [
        ("CausalLM", GPT2, "GPT2LMHeadModel"),
        ("MaskedLM", BERT, "BertForMaskedLM"),
        ("Encoder", BERT, "BertModel"),
        ("Transformer", BART, "BartForConditionalGeneration"),
        ("Transformer", MARIAN, "MarianMTModel"),
        ("Transformer", T5, "T5ForConditionalGeneration"),
    ],
)
def test_a_model_is_written_as_the_family_that_it_belongs_to_and_comes_back(
    kind: str, config: TransformerConfig, architecture: str, tmp_path: Path
) -> None:
    model = MODEL_CLASSES[kind](config)
    assert saved(model, tmp_path)["architectures"] == [architecture]
    again = from_pretrained(tmp_path)
    assert type(again) is type(model) and again.config == model.config and not again.training
    for (name, value), (other, found) in zip(model.state_dict().items(), again.state_dict().items(), strict=True):
        assert name == other
        np.testing.assert_array_equal(found.numpy(), value.numpy())


@pytest.mark.parametrize(
    ("kind", "config", "change"),
    [
        ("CausalLM", GPT2, {"positions": "rotary", "rotary_base": 500.0, "activation": "swiglu"}),
        ("CausalLM", GPT2, {"num_kv_heads": 1}),
        ("CausalLM", GPT2, {"window": 4}),
        ("CausalLM", GPT2, {"init_std": None}),
        ("MaskedLM", BERT, {"norm_first": True}),
        ("Encoder", BERT, {"token_types": 0, "embedding_norm": False}),
        ("Transformer", BART, {"activation": "swiglu"}),
        ("Transformer", T5, {"activation_dropout": 0.3}),
        ("Transformer", T5, {"norm": "layer"}),
    ],
)
def test_a_model_that_no_family_expresses_exactly_is_written_in_the_projects_own_format(
    kind: str, config: TransformerConfig, change: dict[str, Any], tmp_path: Path
) -> None:
    model = MODEL_CLASSES[kind](TransformerConfig.from_fields({**vars(config), **change}))
    settings = saved(model, tmp_path)
    assert (settings["model_type"], settings["architectures"]) == ("transformer", [kind])
    assert from_pretrained(tmp_path).config == model.config


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_missing_settings_of_config_json_have_the_familys_defaults(family: Any) -> None:
    config = family.read({})
    assert family.read({**family.write(config), "use_cache": True, "dtype": "float32"}) == config


@pytest.mark.parametrize(
    ("family", "settings", "message"),
    [
        ("gpt2", {"add_cross_attention": True}, "add_cross_attention: .* only False, got True"),
        (
            "gpt2",
            {"scale_attn_by_inverse_layer_idx": 1},
            "scale_attn_by_inverse_layer_idx: expected true or false, got 1",
        ),
        ("gpt2", {"activation_function": "mish"}, "activation_function: expected one of 'gelu', .*, got 'mish'"),
        ("gpt2", {"n_embd": "768"}, "n_embd: expected an integer, got '768'"),
        ("gpt2", {"n_embd": 770}, "n_head: 12 heads cannot share d_model=770 evenly"),
        ("gpt2", {"layer_norm_epsilon": float("nan")}, "layer_norm_epsilon: expected a positive number, got nan"),
        ("gpt2", {"eos_token_id": ["2"]}, r"eos_token_id: expected an integer, got \['2'\]"),
        ("gpt2", {"n_layer": -1}, "n_layer: expected at least 0, got -1"),
        (
            "bert",
            {"position_embedding_type": "relative_key"},
            "position_embedding_type: .* only 'absolute', got 'relat",
        ),
        ("bert", {"is_decoder": True}, "is_decoder: .* only False, got True"),
        ("bert", {"hidden_act": ["gelu"]}, "hidden_act: expected one of"),
        ("bart", {"decoder_ffn_dim": 0}, "decoder_ffn_dim: expected at least 1, got 0"),
        ("bart", {"decoder_attention_heads": 3}, "decoder_attention_heads: 3 heads cannot share d_model=1024 evenly"),
        ("bart", {"encoder_layerdrop": "0.5"}, "encoder_layerdrop: expected a number, got '0.5'"),
        ("marian", {"decoder_vocab_size": 8}, "decoder_vocab_size: .* vocab_size, 58101, got 8"),
        ("t5", {"feed_forward_proj": "gated-mish"}, "feed_forward_proj: expected one of 'relu', .*, got 'gated-mish'"),
        ("llama", {"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope_scaling: .* longrope, got 'dynamic'"),
        ("llama", {"rope_scaling": {"type": "yarn", "mscale": 2.0}}, "rope_scaling: 'mscale' is not known for yarn"),
        ("llama", {"rope_scaling": {"type": "linear", "factor": -1}}, "rope_scaling: factor: expected a positive"),
        ("llama", {"rope_scaling": "linear"}, "rope_scaling: expected .*, got 'linear'"),
        ("qwen2", {"layer_types": ["chunked_attention"]}, "layer_types: expected sliding_.*, got 'chunked_attention'"),
        ("opt", {"word_embed_proj_dim": 512}, "word_embed_proj_dim: .* hidden_size, 768, got 512"),
        ("bloom", {"apply_residual_connection_post_layernorm": True}, "apply_residual_.* only False, got True"),
        ("gptj", {"rotary_dim": 5}, "rotary_dim: rotary positions turn pairs, expected an even head size, got 5"),
        (
            "t5",
            {"relative_attention_num_buckets": 3},
            "relative_attention_num_buckets: expected at least 4, got 3",
        ),
    ],
)
def test_settings_that_cannot_be_expressed_are_named_as_in_the_file(
    family: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        FAMILIES[family].read(settings)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("value", ["x", -1, 0, float("nan"), 10**30, [0], {"a": 1}], ids=repr)
def test_a_value_of_the_wrong_kind_is_one_error_that_names_a_setting(family: Any, value: Any) -> None:
    names = {setting.theirs for setting in family.settings} | {*family.synonyms, *family.fixed}
    names |= {"rope_scaling", "rope_parameters", "layer_types", "sliding_window_pattern", "max_window_layers"}
    for name in sorted(names):
        message = ""
        try:
            family.read({name: value})
        except ValueError as error:
            message = str(error)
        assert set(filter(None, message.partition(":")[0].split(", "))) <= names, (name, message)


@pytest.mark.parametrize(
    ("family", "settings", "differences"),
    [
        ("gpt2", {"embd_pdrop": 0.2}, []),
        ("gpt2", {"attn_pdrop": 1.0, "initializer_range": 0}, ["attn_pdrop is 1.0", "initializer_range is 0"]),
        ("bart", {"encoder_layerdrop": 0.5}, ["decoder_layerdrop is 0.0, and here that of encoder_layerdrop, 0.5"]),
        ("t5", {"dropout_rate": 0.3}, []),
        ("t5", {"dropout_rate": 1}, ["dropout_rate is 1"]),
        ("bert", {"classifier_dropout": 0.3}, []),
    ],
)
def test_settings_of_training_alone_are_read_and_reported(
    family: str, settings: dict[str, Any], differences: list[str]
) -> None:
    assert FAMILIES[family].describe(settings)[1] == differences


def test_a_model_whose_training_would_differ_loads_and_says_so(tmp_path: Path) -> None:
    model = CausalLM(GPT2).eval()
    settings = saved(model, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**settings, "embd_pdrop": 1.0}))
    with pytest.warns(UserWarning, match=r"config\.json: a further training here differs: embd_pdrop is 1\.0"):
        again = from_pretrained(tmp_path)
    ids = np.array([[5, 6, 7]])
    np.testing.assert_array_equal(again(ids).detach(), model(ids).detach())


def test_a_start_token_that_is_the_beginning_of_texts_is_written_and_read_all_the_same() -> None:
    for config in (BART, TransformerConfig.from_fields({**vars(BART), "decoder_start_id": BART.bos_id})):
        settings = FAMILIES["bart"].write(config)
        assert settings is not None and settings["decoder_start_token_id"] == config.start_id == 1
        assert FAMILIES["bart"].read(settings).start_id == 1


def test_the_first_t5_scales_its_output_and_the_second_has_a_matrix_of_its_own() -> None:
    first, second = FAMILIES["t5"].read({}), FAMILIES["t5"].read({"tie_word_embeddings": False})
    assert (first.tie, first.scale_output) == ("all", True)
    assert (second.tie, second.scale_output) == ("input", False)


def arrays_of(model: Any, family: str, architecture: str) -> dict[str, np.ndarray]:
    chosen = FAMILIES[family]
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    return chosen.pack(chosen.architectures[architecture], model.config, state)


def test_old_names_buffers_and_second_copies_are_understood() -> None:
    family = FAMILIES["bert"]
    arrays = arrays_of(MaskedLM(BERT), "bert", "BertForMaskedLM")
    old = {name.replace("LayerNorm.weight", "LayerNorm.gamma"): array for name, array in arrays.items()}
    old = {name.replace("LayerNorm.bias", "LayerNorm.beta"): array for name, array in old.items()}
    old["bert.embeddings.position_ids"] = np.arange(16)[None]
    old["cls.predictions.decoder.weight"] = arrays["bert.embeddings.word_embeddings.weight"]
    found = family.canonical(old)
    family.settle_copies(BERT, found)
    assert found.keys() == arrays.keys()
    found["cls.predictions.decoder.bias"] = arrays["cls.predictions.bias"] + 1
    with pytest.raises(ValueError, match=r"decoder.bias: .* with cls.predictions.bias, but the values differ"):
        family.settle_copies(BERT, found)


def test_an_output_matrix_that_differs_from_the_embedding_is_not_tied() -> None:
    family, arrays = FAMILIES["gpt2"], {"transformer.wte.weight": np.ones((4, 2))}
    copied = {**arrays, "lm_head.weight": np.ones((4, 2))}
    assert family.settle_copies(GPT2, copied).tie == "output" and copied.keys() == arrays.keys()
    assert family.settle_copies(GPT2, {**arrays, "lm_head.weight": np.zeros((4, 2))}).tie == "none"
    only_copy = {"lm_head.weight": np.ones((4, 2))}
    assert family.settle_copies(GPT2, only_copy).tie == "output" and only_copy.keys() == arrays.keys()


def test_a_prefix_that_a_file_leaves_out_is_understood() -> None:
    arrays = arrays_of(CausalLM(GPT2), "gpt2", "GPT2LMHeadModel")
    bare = {name.removeprefix("transformer."): array for name, array in arrays.items()}
    bare["h.0.attn.bias"] = np.tri(16)[None, None]  # the causal mask, which the first files hold
    assert FAMILIES["gpt2"].canonical(bare).keys() == arrays.keys()


def test_an_array_that_a_file_holds_under_two_names_with_other_values_is_an_error() -> None:
    arrays = arrays_of(CausalLM(GPT2), "gpt2", "GPT2LMHeadModel")
    first = arrays["transformer.wte.weight"]
    assert FAMILIES["gpt2"].canonical({**arrays, "wte.weight": first}).keys() == arrays.keys()
    with pytest.raises(ValueError, match=r"transformer\.wte\.weight: the file holds it under two names"):
        FAMILIES["gpt2"].canonical({**arrays, "wte.weight": first + 1})


def test_bart_without_a_bias_of_the_output_has_zeros() -> None:
    family, model = FAMILIES["bart"], Transformer(BART)
    arrays = arrays_of(model, "bart", "BartForConditionalGeneration")
    assert arrays.pop("final_logits_bias").shape == (1, 40)
    own = {name: value.numpy() for name, value in model.state_dict().items()}
    state, unused = family.unpack(family.architectures["BartForConditionalGeneration"], BART, own, arrays)
    assert own.keys() - state.keys() == {"output.bias"} and unused == []


def test_weights_that_do_not_fit_are_listed_by_their_names_in_the_file() -> None:
    family = FAMILIES["gpt2"]
    model = CausalLM(GPT2)
    own = {name: value.numpy() for name, value in model.state_dict().items()}
    arrays = arrays_of(model, "gpt2", "GPT2LMHeadModel")
    arrays["transformer.h.0.attn.c_attn.weight"] = np.zeros((8, 25), np.float32)
    arrays["transformer.h.1.mlp.c_fc.bias"] = np.zeros(12, np.int8)
    arrays["transformer.h.2.ln_1.weight"] = arrays.pop("transformer.h.1.ln_1.weight")
    with pytest.raises(ValueError) as error:
        family.unpack(family.architectures["GPT2LMHeadModel"], GPT2, own, arrays)
    assert str(error.value) == (
        "the weights do not fit config.json: transformer.h.0.attn.c_attn.weight: expected shape (8, 24), got (8, 25); "
        "missing transformer.h.1.ln_1.weight (8,); transformer.h.1.mlp.c_fc.bias: expected floats, got int8; "
        "unexpected transformer.h.2.ln_1.weight (8,)"
    )
