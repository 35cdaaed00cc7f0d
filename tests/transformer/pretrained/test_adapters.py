"""Directories of adapters: saved and loaded, with their base; errors of either."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import minigrad as mg
from transformer import CausalLM, LoraConfig, Tokenizer, Transformer, TransformerConfig, from_pretrained, load_tokenizer
from transformer.pretrained import load_both
from transformer.pretrained.huggingface import FAMILIES

SIZES: dict[str, Any] = {"vocab_size": 280, "d_model": 16, "num_heads": 2, "d_ff": 24, "max_length": 16}
GPT2 = {"vocab_size": 280, "n_positions": 16, "n_embd": 16, "n_layer": 2, "n_head": 2}
IDS = np.array([[5, 6, 7, 8]])


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["to be or not to be"], 280)


@pytest.fixture
def base(tokenizer: Tokenizer, tmp_path: Path) -> Path:
    mg.manual_seed(0)
    CausalLM(FAMILIES["gpt2"].read(GPT2)).save_pretrained(tmp_path / "base", tokenizer)
    return tmp_path / "base"


def adapted(base: Path, **choices: Any) -> Any:
    """The model with an adapter of random weights."""
    model = from_pretrained(base).add_adapter(LoraConfig(**{"r": 2, **choices}))
    rng = np.random.default_rng(0)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data[...] = rng.normal(0, 0.2, parameter.shape)
    return model


def logits(model: Any, *inputs: Any) -> Any:
    with mg.no_grad():
        return model(*(inputs or (IDS,))).numpy()


def test_an_adapter_is_loaded_with_its_base_and_the_tokenizer_of_either(base: Path, tokenizer: Tokenizer) -> None:
    model = adapted(base)
    model.save_pretrained(base.parent / "adapter")
    again, reader = load_both(base.parent / "adapter")
    np.testing.assert_array_equal(logits(again), logits(model))
    assert again.adapter == LoraConfig(r=2, target_modules=("c_attn",)) and not again.training
    assert reader.to_json() == load_tokenizer(base.parent / "adapter").to_json() == tokenizer.to_json()
    other = Tokenizer.train(["another text"], 270)
    model.save_pretrained(base.parent / "adapter", other)
    assert load_tokenizer(base.parent / "adapter").to_json() == other.to_json()
    with pytest.raises(ValueError, match="expected a Transformer, got a CausalLM"):
        Transformer.from_pretrained(base.parent / "adapter")


@pytest.mark.parametrize("kind", [CausalLM, Transformer])
@pytest.mark.parametrize("targets", [None, ("output", "expand"), "all-linear", r".*layers\.0\..*(key|gate)"])
def test_models_that_no_family_expresses_have_adapters_too(kind: Any, targets: Any, tmp_path: Path) -> None:
    config = TransformerConfig(**SIZES, encoder_layers=1, decoder_layers=1, positions="rotary", activation="swiglu")
    kind(config).save_pretrained(tmp_path / "base")
    assert json.loads((tmp_path / "base" / "config.json").read_text())["model_type"] == "transformer"
    model = adapted(tmp_path / "base", target_modules=targets)
    model.save_pretrained(tmp_path / "adapter")
    inputs = (IDS,) if kind is CausalLM else (IDS, IDS)
    np.testing.assert_array_equal(logits(from_pretrained(tmp_path / "adapter"), *inputs), logits(model, *inputs))
    names = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert all(name.startswith("base_model.model.") for name in names)
    if targets == ("output", "expand"):
        assert {name.split(".")[-3] for name in names} == set(targets)


def test_merging_makes_a_model_of_the_family(base: Path) -> None:
    model = adapted(base, use_rslora=True)
    expected = logits(model)
    assert model.merge_and_unload() is model and model.adapter is None
    np.testing.assert_allclose(logits(model), expected, rtol=1e-4, atol=1e-5)
    assert all(parameter.requires_grad for parameter in model.parameters())
    model.save_pretrained(base.parent / "merged")
    np.testing.assert_array_equal(logits(from_pretrained(base.parent / "merged")), logits(model))
    merged = (base.parent / "merged" / "config.json").read_bytes()
    assert merged == (base / "config.json").read_bytes()
    with pytest.raises(ValueError, match="adapter: expected one to merge, got none"):
        model.merge_and_unload()


def test_model_and_adapter_take_each_others_place_in_a_directory(base: Path, tokenizer: Tokenizer) -> None:
    place = base.parent / "place"
    from_pretrained(base).save_pretrained(place, tokenizer)
    model = adapted(base)
    model.save_pretrained(place, tokenizer)
    assert not (place / "config.json").exists() and not (place / "model.safetensors").exists()
    np.testing.assert_array_equal(logits(from_pretrained(place)), logits(model))
    from_pretrained(base).save_pretrained(place, tokenizer)
    assert not (place / "adapter_config.json").exists() and not (place / "adapter_model.safetensors").exists()
    np.testing.assert_array_equal(logits(from_pretrained(place)), logits(from_pretrained(base)))


def test_the_base_is_found_from_here_and_from_the_adapters_directory(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = base.parent / "adapter"
    (model := adapted(base)).save_pretrained(directory)
    settings = json.loads((directory / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == str(base.resolve())
    for name, here in (("base", base.parent), ("../base", base.parent.parent)):
        monkeypatch.chdir(here)
        (directory / "adapter_config.json").write_text(json.dumps({**settings, "base_model_name_or_path": name}))
        np.testing.assert_array_equal(logits(from_pretrained(directory)), logits(model))
    for name in ("meta/none-of-them", "", None, 3):
        (directory / "adapter_config.json").write_text(json.dumps({**settings, "base_model_name_or_path": name}))
        with pytest.raises(ValueError, match=r"adapter_config.json: base_model_name_or_path: expected a directory, as"):
            from_pretrained(directory)
    (directory / "adapter_config.json").write_text(json.dumps({**settings, "base_model_name_or_path": str(directory)}))
    with pytest.raises(FileNotFoundError, match=r"not a model directory, config\.json is missing"):
        from_pretrained(directory)


REFUSED: dict[str, tuple[Any, str]] = {  # a setting → a value of it, and what the error says
    "peft_type": ("IA3", "adapters here know only 'LORA', got 'IA3'"),
    "bias": ("all", "adapters here know only 'none', got 'all'"),
    "modules_to_save": (["lm_head"], "adapters here know only none, got ['lm_head']"),
    "use_dora": (True, "adapters here know only none, got True"),
    "rank_pattern": ({"c_attn": 4}, "adapters here know only none, got {'c_attn': 4}"),
    "layers_to_transform": ([0], "adapters here know only none, got [0]"),
    "init_lora_weights": ("pissa", "adapters here know only True, got 'pissa'"),
    "r": ("two", "expected an integer, got 'two'"),
    "target_modules": ([1], "expected names, got [1]"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_setting_that_is_not_supported_is_named(name: str, base: Path) -> None:
    adapted(base).save_pretrained(base.parent / "adapter")
    path = base.parent / "adapter" / "adapter_config.json"
    value, message = REFUSED[name]
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    with pytest.raises(ValueError) as error:
        from_pretrained(path.parent)
    assert str(error.value) == f"{path}: {name}: {message}"


def test_an_adapter_is_not_saved_in_place_of_its_base(base: Path) -> None:
    before = {path.name: path.read_bytes() for path in base.iterdir() if path.is_file()}
    with pytest.raises(ValueError, match="holds the model that the adapter belongs to; choose another place"):
        adapted(base).save_pretrained(base / ".." / "base")
    assert {path.name: path.read_bytes() for path in base.iterdir() if path.is_file()} == before


def test_modules_that_a_model_does_not_have_are_named(base: Path) -> None:
    for targets, message in (
        (("q",), r"target_modules: expected some of c_attn, c_fc, c_proj, got 'q'"),
        (r".*\.q", r"target_modules: expected some of c_attn, c_fc, c_proj, got '\.\*\\\\\.q'"),
        ("(", r"target_modules: not a valid regular expression \(.*\), got '\('"),
    ):
        with pytest.raises(ValueError, match=message):
            from_pretrained(base).add_adapter(LoraConfig(target_modules=targets))


def test_weights_that_do_not_fit_are_named(base: Path) -> None:
    adapted(base).save_pretrained(base.parent / "adapter")
    path = base.parent / "adapter" / "adapter_model.safetensors"
    arrays = load_file(path)
    (base.parent / "adapter" / ".commit.json").unlink()  # as of another program
    name = "base_model.model.transformer.h.0.attn.c_attn.lora_"
    for changed, message in (
        ({f"{name}B.weight": None}, rf"missing {name}B.weight \(48, 2\)"),
        (
            {f"{name}A.weight": np.zeros((3, 16), np.float32)},
            r"expected floats of shape \(2, 16\), got float32 \(3, 16\)",
        ),
        (
            {"base_model.model.lm_head.lora_A.weight": np.zeros((2, 16), np.float32)},
            r"unexpected base_model.model.lm_head",
        ),
    ):
        save_file({key: value for key, value in {**arrays, **changed}.items() if value is not None}, path)
        with pytest.raises(ValueError, match=message):
            from_pretrained(path.parent)
    save_file({key.replace("transformer.", ""): value for key, value in arrays.items()}, path)  # of a bare GPT2Model
    from_pretrained(path.parent)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"not an adapter's directory, adapter_model\.safetensors is missing"):
        from_pretrained(path.parent)


def test_a_damaged_adapter_is_refused(base: Path) -> None:
    adapted(base).save_pretrained(base.parent / "adapter")
    path = base.parent / "adapter" / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    with pytest.raises(ValueError, match="damaged, or changed by another program"):
        from_pretrained(path.parent)


def test_adapters_and_quantised_weights(base: Path) -> None:
    model = adapted(base)
    expected = logits(model)
    np.testing.assert_allclose(logits(model.quantize("bfloat16")), expected, atol=0.05 * np.abs(expected).max())
    with pytest.raises(ValueError, match="quantization: expected none, as weights that are quantised cannot take up"):
        model.merge_and_unload()
    with pytest.raises(ValueError, match="quantization: expected none, as an adapter cannot be trained over int8"):
        from_pretrained(base).quantize("int8").add_adapter(LoraConfig())
    with pytest.raises(ValueError, match="adapter: belongs to a model without a directory"):
        CausalLM(TransformerConfig(**SIZES)).add_adapter(LoraConfig()).save_pretrained(base.parent / "m")
