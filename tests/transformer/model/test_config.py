"""Model configuration: errors, serialization, and presets."""

from __future__ import annotations

import dataclasses

import pytest

from tests.transformer.conftest import ARCHITECTURES, small
from transformer import CausalLM, Decoder, Encoder, MaskedLM, Transformer, TransformerConfig
from transformer.model.presets import PRESETS
from transformer.pretrained import PretrainedModel


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"d_ff": 2.5}, "d_ff: expected an integer, got 2.5"),
        ({"d_ff": True}, "d_ff: expected an integer, got True"),
        ({"window": "3"}, "window: expected an integer, got '3'"),
        ({"dropout": None}, "dropout: expected a number, got None"),
        ({"norm_first": "no"}, "norm_first: expected true or false, got 'no'"),
        ({"positions": "absolute"}, "positions: expected one of sinusoidal, .*, none, got 'absolute'"),
        ({"norm": "batch"}, "norm: expected one of layer, rms, rms_offset, got 'batch'"),
        ({"activation": "mish"}, "activation: expected one of relu, .*, swiglu, got 'mish'"),
        ({"tie": True}, "tie: expected one of all, output, input, none, got True"),
        *(
            ({name: 0}, f"^{name}: expected at least 1, got 0")
            for name in (
                "vocab_size",
                "d_model",
                "num_heads",
                "num_kv_heads",
                "d_k",
                "d_ff",
                "max_length",
                "window",
                "relative_buckets",
                "relative_max_distance",
            )
        ),
        *(
            ({name: -1}, f"^{name}: expected at least 0, got -1")
            for name in ("encoder_layers", "decoder_layers", "token_types")
        ),
        ({"encoder_layers": 0, "decoder_layers": 0}, "encoder_layers, decoder_layers: expected layers in one of them"),
        ({"num_heads": 3}, "num_heads: 3 heads cannot share d_model=16 evenly"),
        ({"num_heads": 4, "num_kv_heads": 3}, "num_kv_heads: 3 heads cannot serve num_heads=4 evenly"),
        ({"num_kv_heads": 4}, "num_kv_heads: 4 heads cannot serve num_heads=2 evenly"),
        ({"d_model": 15, "num_heads": 3}, "d_model: sinusoidal positions come in pairs, .* got 15"),
        (
            {"d_model": 15, "num_heads": 3, "positions": "sinusoidal_halves"},
            "d_model: sinusoidal positions come in pairs",
        ),
        ({"d_k": 3, "positions": "rotary"}, "d_k: rotary positions turn pairs, expected an even head size, got 3"),
        ({"positions": "relative", "relative_buckets": 3}, "relative_buckets: expected at least 4, got 3"),
        (
            {"positions": "relative", "relative_max_distance": 16},
            "relative_max_distance: expected more than half of relative_buckets=32, got 16",
        ),
        *(
            ({name: value}, rf"^{name}: expected a probability in \[0, 1\), got {value}")
            for name in ("dropout", "attention_dropout", "activation_dropout", "layer_drop")
            for value in (1.0, -0.1, float("nan"))
        ),
        *(
            ({name: value}, f"^{name}: expected a positive number, got {value}")
            for name in ("norm_eps", "rotary_base", "init_std")
            for value in (0.0, float("inf"))
        ),
        *(
            ({name: value}, f"^{name}: expected a token below vocab_size=300, got {value}")
            for name in ("pad_id", "bos_id", "eos_id", "mask_id", "decoder_start_id")
            for value in (300, -1)
        ),
    ],
)
def test_configurations_that_cannot_work_say_why(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**changes)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_configuration_survives_json(architecture: str) -> None:
    config = small(**ARCHITECTURES[architecture])
    assert TransformerConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "expected a JSON object, got list"),
        ("[" * 100_000, "not valid JSON"),
        ('{"vocab_size": 9, "width": 3}', "unknown setting 'width'; allowed are activation, "),
        ('{"d_ff": 3}', "vocab_size: missing"),
        ('{"vocab_size": [9]}', r"vocab_size: expected an integer, got \[9\]"),
    ],
)
def test_documents_that_are_no_configuration_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TransformerConfig.from_json(text)


def test_unset_fields_follow_from_the_others() -> None:
    config = small(num_heads=4)
    assert (config.head_size, config.kv_heads, config.start_id) == (4, 4, config.bos_id)
    config = small(num_heads=4, d_k=6, num_kv_heads=2, decoder_start_id=7)
    assert (config.head_size, config.kv_heads, config.start_id) == (6, 2, 7)


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        small().d_ff = 3  # type: ignore[misc]


def _parameters(kind: type[PretrainedModel], preset: str, vocab_size: int) -> float:
    """The number of parameters of a preset, from three small models: the count is linear in layers and vocabulary."""

    def count(layers: int, vocab_size: int) -> int:
        stacks = {name: min(layers, getattr(full, name)) for name in ("encoder_layers", "decoder_layers")}
        unset = dict.fromkeys(("pad_id", "bos_id", "eos_id", "mask_id"))
        config = TransformerConfig.preset(preset, **{**unset, **stacks, "vocab_size": vocab_size})
        return sum(parameter.size for parameter in kind(config).parameters())

    full = TransformerConfig.preset(preset, vocab_size=vocab_size)
    least = count(1, 1)
    layers = max(full.encoder_layers, full.decoder_layers)
    return least + (layers - 1) * (count(2, 1) - least) + (vocab_size - 1) * (count(1, 2) - least)


@pytest.mark.parametrize(
    ("kind", "preset", "vocab_size", "published"),
    [
        (MaskedLM, "bert-base", 30522, 109_514_298),  # as transformers counts BertForMaskedLM
        (CausalLM, "gpt2", 50257, 124_439_808),  # as transformers counts GPT2LMHeadModel
    ],
)
def test_presets_have_exactly_the_parameters_of_the_model_they_are_named_for(
    kind: type[PretrainedModel], preset: str, vocab_size: int, published: int
) -> None:
    assert TransformerConfig.preset(preset).vocab_size == vocab_size
    assert _parameters(kind, preset, vocab_size) == published


@pytest.mark.parametrize(("preset", "published"), [("base", 65e6), ("big", 213e6)])  # Table 3, column "params"
def test_the_papers_presets_have_about_the_parameters_of_its_table_3(preset: str, published: float) -> None:
    assert _parameters(Transformer, preset, 37_000) == pytest.approx(published, rel=0.03)  # section 5.1: about 37,000


@pytest.mark.parametrize("preset", ["nano", "small", "medium", "llama-nano"])
def test_small_presets_are_models_as_they_are(preset: str) -> None:
    model = CausalLM(TransformerConfig.preset(preset, vocab_size=65)).eval()
    assert model([[1, 2, 3]]).shape == (1, 3, 65)


def test_every_preset_is_a_configuration_and_described() -> None:
    for name in PRESETS:
        assert TransformerConfig.preset(name, vocab_size=60_000).vocab_size == 60_000
        assert f"``{name}``" in (TransformerConfig.preset.__doc__ or ""), name


def test_presets_take_changes_and_refuse_unknown_fields() -> None:
    assert TransformerConfig.preset("base", vocab_size=9, d_ff=64, norm_first=True).norm_first
    with pytest.raises(ValueError, match=r"preset: expected one of nano, .*, got 'huge'"):
        TransformerConfig.preset("huge")
    with pytest.raises(ValueError, match="vocab_size: missing"):
        TransformerConfig.preset("base")
    with pytest.raises(ValueError, match="unknown setting 'width'"):
        TransformerConfig.preset("base", vocab_size=9, width=3)


@pytest.mark.parametrize("kind", [Transformer, Encoder])
def test_a_model_without_layers_in_its_encoder_is_refused(kind: type[PretrainedModel]) -> None:
    with pytest.raises(ValueError, match="encoder_layers: expected at least 1, got 0"):
        kind(small(encoder_layers=0))


@pytest.mark.parametrize("kind", [Transformer, Decoder])
def test_a_model_without_layers_in_its_decoder_is_refused(kind: type[PretrainedModel]) -> None:
    with pytest.raises(ValueError, match="decoder_layers: expected at least 1, got 0"):
        kind(small(decoder_layers=0))
