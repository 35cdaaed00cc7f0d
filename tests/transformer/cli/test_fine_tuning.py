"""``transformer train TASK --from DIR``: pretrained models that are trained further stay what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import minigrad as mg
from tests.transformer.cli.conftest import PAIRS, SHORT, run, weights_of
from transformer import CausalLM, LoraConfig, MaskedLM, Tokenizer, Transformer, TransformerConfig, cli, from_pretrained
from transformer.data.tokenizer import MASK, SPECIAL
from transformer.pretrained.huggingface import FAMILIES
from transformer.train import Trainer, read_log

GPT2 = {"n_positions": 16, "n_embd": 16, "n_layer": 1, "n_head": 2, "bos_token_id": 1, "eos_token_id": 2}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 1, "num_heads": 2, "pad_token_id": 0, "eos_token_id": 2}
BERT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24, "pad_token_id": 0}
BART = {
    **{"d_model": 16, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2},
    **{f"{stack}_layers": 1 for stack in ("encoder", "decoder")},
    **{f"{stack}_attention_heads": 2 for stack in ("encoder", "decoder")},
    **{f"{stack}_ffn_dim": 24 for stack in ("encoder", "decoder")},
}
MODELS: dict[str, tuple[str, Any, dict[str, Any], str]] = {  # by family: a task, our class, settings, a corpus
    "gpt2": ("generate", CausalLM, GPT2, "verse.txt"),
    "t5": ("translate", Transformer, {**T5, "decoder_start_token_id": 0}, "pairs.tsv.gz"),
    "bart": ("summarize", Transformer, BART, "texts.tsv"),
    "bert": ("fill", MaskedLM, {**BERT, "mask_token_id": 3}, "sentences.txt"),
}


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directories of small models, each in the format of its family."""
    folder = tmp_path_factory.mktemp("pretrained")
    tokenizer = Tokenizer.train([text for pair in PAIRS for text in pair], 280, special=(*SPECIAL, MASK))
    mg.manual_seed(1)
    for family, (_, kind, settings, _) in MODELS.items():
        config = FAMILIES[family].read({**settings, "vocab_size": tokenizer.vocab_size})
        kind(config).save_pretrained(folder / family, tokenizer)
    return folder


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


def command(family: str, folder: Path, pretrained: Path, out: Path, *more: object) -> list[object]:
    task, _, _, data = MODELS[family]
    source = ["--from", pretrained / family, "--data", folder / data, "--held-out", 5, *SHORT]
    return ["train", task, *source, "--out", out, *more]


@pytest.mark.parametrize("family", MODELS)
def test_a_fine_tuned_model_is_one_of_its_family(family: str, folder: Path, pretrained: Path, tmp_path: Path) -> None:
    before = contents(pretrained / family)
    run(*command(family, folder, pretrained, tmp_path / "m"))
    after = contents(tmp_path / "m")
    assert contents(pretrained / family) == before
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        assert after[name] == before[name]
    assert json.loads(after["config.json"])["model_type"] == family
    old, new = from_pretrained(pretrained / family), from_pretrained(tmp_path / "m")
    assert new.generation == old.generation
    states = [{name: value.numpy() for name, value in model.state_dict().items()} for model in (old, new)]
    assert states[0].keys() == states[1].keys()
    changes = [np.abs(states[0][name] - states[1][name]).max() for name in states[0]]
    assert 0 < max(changes) < 1e-3  # four steps of a small learning rate away
    assert read_log(tmp_path / "m" / "log.jsonl")[0]["config"]["lr"] == 5e-5


@pytest.mark.parametrize("family", ["gpt2", "t5"])
@pytest.mark.parametrize("after", [0, 2])  # steps; before the first one it is restarted
def test_a_resumed_fine_tuning_ends_with_the_weights_of_one_that_was_not_interrupted(
    family: str, after: int, folder: Path, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(*command(family, folder, pretrained, tmp_path / "whole"))
    step = Trainer._step

    def interrupted(trainer: Trainer, batches: Any) -> Any:
        if trainer.steps_made == after:
            raise KeyboardInterrupt
        return step(trainer, batches)

    parts = command(family, folder, pretrained, tmp_path / "parts")
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_step", interrupted)
        run(*parts, status=cli.INTERRUPTED)
    run(*parts, "--resume")
    assert weights_of(tmp_path / "parts") == weights_of(tmp_path / "whole")


def test_a_training_that_began_with_other_weights_is_not_resumed(
    folder: Path, pretrained: Path, tmp_path: Path
) -> None:
    (model := from_pretrained(pretrained / "gpt2")).save_pretrained(
        tmp_path / "gpt2", tokenizer=Tokenizer((pretrained / "gpt2" / "tokenizer.json").read_text())
    )
    run(*command("gpt2", folder, tmp_path, tmp_path / "m"))
    model.decoder.tokens.weight.data[0] += 1
    model.save_pretrained(tmp_path / "gpt2")
    said = run(*command("gpt2", folder, tmp_path, tmp_path / "m", "--resume"), status=2)
    assert "of another training: settings.pretrained was " in said.err


def test_the_file_that_a_fine_tuning_writes_repeats_it(folder: Path, pretrained: Path, tmp_path: Path) -> None:
    run(*command("gpt2", folder, pretrained, tmp_path / "a", "--max-length", 8))
    run("train", "generate", "--config", tmp_path / "a" / "training.toml", "--out", tmp_path / "b")
    for name in ("config.json", "model.safetensors", "training.toml"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_max_length_is_that_of_the_texts_and_the_model_keeps_its_own(
    folder: Path, pretrained: Path, tmp_path: Path
) -> None:
    run(*command("gpt2", folder, pretrained, tmp_path / "m", "--max-length", 5, "--batch-tokens", 10))
    assert [step.tokens for step in read_log(tmp_path / "m" / "log.jsonl")[1]] == [10] * 4
    assert from_pretrained(tmp_path / "m").config.max_length == 16
    run(*command("gpt2", folder, pretrained, tmp_path / "n", "--batch-tokens", 7))  # no window beyond a batch
    assert [step.tokens for step in read_log(tmp_path / "n" / "log.jsonl")[1]] == [7] * 4


def test_a_model_of_our_own_format_is_fine_tuned_too(folder: Path, translator: Path, tmp_path: Path) -> None:
    data = ("--data", folder / "pairs.tsv.gz", "--held-out", 5, *SHORT)
    run("train", "translate", "--from", translator, "--out", tmp_path / "m", *data)
    assert (tmp_path / "m" / "config.json").read_bytes() == (translator / "config.json").read_bytes()


REFUSED = {  # options → what the error says
    "--d-model 32": "d_model: the model in gpt2 decides it; expected none, got 32",
    "--no-bias": "bias: the model in gpt2 decides it; expected none, got False",
    "--vocab-size 300": "vocab_size: the model in gpt2 decides it; expected none, got 300",
    "--preset nano": "preset: the model in gpt2 decides it; expected none, got nano",
    "--layers 2": "layers: the model in gpt2 decides it; expected none, got 2",
    "--max-length 17": "max_length: expected at most the 16 positions of the model, got 17",
    "--lr-factor 2": "lr_factor: multiplies the paper's peak, expected 1 beside lr=5e-05, got 2.0",
    "--out gpt2": "out: gpt2 holds the model to begin with, which is only read; choose another place",
    "--out ./t5/../gpt2": "holds the model to begin with, which is only read; choose another place",
    "--from t5": "t5: expected a CausalLM to generate with, got a Transformer",
    "--from quantised": "quantised: the weights are quantised to int8, which cannot be trained",
    "--from nowhere": "nowhere: no such model directory",
}


@pytest.mark.parametrize("options", REFUSED)
def test_what_does_not_fit_is_refused_in_a_line(
    options: str, folder: Path, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("gpt2", "t5"):
        (tmp_path / name).symlink_to(pretrained / name)
    if "quantised" in options:
        from_pretrained("gpt2").quantize("int8").save_pretrained("quantised")
        (tmp_path / "quantised" / "tokenizer.json").write_bytes((pretrained / "gpt2" / "tokenizer.json").read_bytes())
    words = ["train", "generate", "--data", folder / "verse.txt", "--out", "m", "--from", "gpt2", *options.split()]
    error = run(*words, status=2).err
    assert REFUSED[options] in error and error.count("\n") == 1 + error.startswith("loading")
    assert not Path("m").exists()


@pytest.mark.parametrize(
    ("family", "special", "changes", "message"),
    [
        ("bert", SPECIAL, {}, "mask_token: the tokenizer has none; expected one to hide words with"),
        ("t5", SPECIAL, {"bos_id": None, "decoder_start_id": None}, "decoder_start_token_id: expected the token that"),
    ],
)
def test_a_model_without_the_token_that_a_task_needs_is_refused(
    family: str, special: tuple[str, ...], changes: dict[str, None], message: str, folder: Path, tmp_path: Path
) -> None:
    _, kind, settings, _ = MODELS[family]
    tokenizer = Tokenizer.train(["1 and 2"], 262, special=special)
    config = FAMILIES[family].read({**settings, "vocab_size": 262, "mask_token_id": None})
    kind(TransformerConfig(**{**vars(config), **changes})).save_pretrained(tmp_path / family, tokenizer)
    assert message in run(*command(family, folder, tmp_path, tmp_path / "m"), status=2).err


def test_a_mask_that_config_json_does_not_name_is_the_tokenizers(
    folder: Path, pretrained: Path, tmp_path: Path
) -> None:
    tokenizer = Tokenizer((pretrained / "bert" / "tokenizer.json").read_text())
    MaskedLM(FAMILIES["bert"].read({**BERT, "vocab_size": 280})).save_pretrained(tmp_path / "bert", tokenizer)
    run(*command("bert", folder, tmp_path, tmp_path / "m"))
    assert from_pretrained(tmp_path / "bert").config.mask_id is None
    assert from_pretrained(tmp_path / "m").config.mask_id == tokenizer.mask_id == 3


@pytest.mark.parametrize("family", MODELS)
def test_an_adapter_is_trained_alone_and_used_like_a_model(
    family: str, folder: Path, pretrained: Path, tmp_path: Path
) -> None:
    before = contents(pretrained / family)
    out = tmp_path / "adapter"
    said = run(*command(family, folder, pretrained, out, "--lora", 2, "--lora-dropout", 0.1))
    assert contents(pretrained / family) == before
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "task.json"} <= contents(out).keys()
    assert not {"config.json", "model.safetensors", "generation_config.json"} & contents(out).keys()
    base, model = from_pretrained(pretrained / family), from_pretrained(out)
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    adapter = {name for name in weights if ".lora_" in name}
    for name, value in base.state_dict().items():
        np.testing.assert_array_equal(weights[name], value.numpy())
    assert weights.keys() - adapter == base.state_dict().keys()
    assert all(np.abs(weights[name]).max() > 0 for name in adapter)  # also B, which began as zeros
    size = sum(weights[name].size for name in adapter)
    assert f"{size:,} of {model.num_parameters():,} parameters" in said.err
    log = read_log(out / "log.jsonl")[0]
    assert set(log["parameters"]) == adapter and log["config"]["lr"] == 2e-4
    stored = load_file(out / "checkpoint" / "weights.safetensors")
    assert stored.keys() == adapter
    merged = tmp_path / "merged"
    run("merge", "--model", out, "--out", merged)
    assert json.loads((merged / "config.json").read_text()) == json.loads(before["config.json"])
    scores = [run("evaluate", "--model", directory).out for directory in (out, merged)]
    assert scores[0].split()[:4] == scores[1].split()[:4]
    told = run("info", out).out.split()
    assert told[told.index("base") + 1] == str((pretrained / family).resolve()) and told[told.index("rank") + 1] == "2"


@pytest.mark.parametrize("after", [0, 2])
def test_a_resumed_training_of_an_adapter_ends_with_the_weights_of_one_that_was_not_interrupted(
    after: int, folder: Path, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--lora", 2, "--lora-dropout", 0.5, "--evaluate-every", 2, "--average", 2)
    run(*command("t5", folder, pretrained, tmp_path / "whole", *options))
    step = Trainer._step

    def interrupted(trainer: Trainer, batches: Any) -> Any:
        if trainer.steps_made == after:
            raise KeyboardInterrupt
        return step(trainer, batches)

    parts = command("t5", folder, pretrained, tmp_path / "parts", *options)
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_step", interrupted)
        run(*parts, status=cli.INTERRUPTED)
    run(*parts, "--resume")
    name = "adapter_model.safetensors"
    assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_the_file_that_the_training_of_an_adapter_writes_repeats_it(
    folder: Path, pretrained: Path, tmp_path: Path
) -> None:
    options = ("--lora", 2, "--lora-alpha", 8, "--lora-targets", "c_attn", "c_fc")
    run(*command("gpt2", folder, pretrained, tmp_path / "a", *options))
    run("train", "generate", "--config", tmp_path / "a" / "training.toml", "--out", tmp_path / "b")
    for name in ("adapter_config.json", "adapter_model.safetensors", "training.toml"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    settings = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert settings["target_modules"] == ["c_attn", "c_fc"]
    assert (settings["r"], settings["lora_alpha"], settings["fan_in_fan_out"]) == (2, 8, True)


def test_an_adapter_that_is_trained_further_remains_one_of_its_base(
    folder: Path, pretrained: Path, tmp_path: Path
) -> None:
    run(*command("gpt2", folder, pretrained, tmp_path / "a", "--lora", 2))
    data = ("--data", folder / "verse.txt", *SHORT)
    run("train", "generate", "--from", tmp_path / "a", "--out", tmp_path / "b", *data)
    first, second = (json.loads((tmp_path / name / "adapter_config.json").read_text()) for name in "ab")
    assert first == second
    first, second = (load_file(tmp_path / name / "adapter_model.safetensors") for name in "ab")
    assert first.keys() == second.keys() and all(np.abs(first[name] - second[name]).max() > 0 for name in first)
    said = run("train", "generate", "--from", tmp_path / "a", "--lora", 2, "--out", tmp_path / "c", *data, status=2)
    assert "adapter: the model has one; merge_and_unload() makes it a part of the weights" in said.err


BAD_ADAPTERS = {  # options → what the error says
    "train generate --from gpt2 --out m --lora 0": "r: expected at least 1, got 0",
    "train generate --from gpt2 --out m --lora 2 --lora-alpha 0": "lora_alpha: expected a positive number, got 0",
    "train generate --from gpt2 --out m --lora 2 --lora-targets q c_attn": "target_modules: expected some of c_attn, "
    "c_fc, c_proj, got 'q'",
    "train generate --from gpt2 --out m --lora-alpha 2": "lora_alpha: changes nothing without --lora; expected none",
    "train generate --out m --lora 2": "lora: adapts a pretrained model; expected --from beside it",
    "train generate --from adapter --out gpt2 --overwrite": "out: gpt2 holds the model to begin with, which is only",
    "train generate --from gpt2 --lora 2 --out a": "out: a holds a model already; choose another place",
    "merge --model gpt2 --out m": "gpt2: a model without an adapter; expected adapter_config.json",
    "merge --model a --out gpt2": "out: gpt2 holds a model already; choose another place",
}


@pytest.mark.parametrize("words", BAD_ADAPTERS)
def test_a_bad_adapter_is_refused_in_a_line(
    words: str, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gpt2").symlink_to(pretrained / "gpt2")
    if "adapter" in words.split():
        from_pretrained("gpt2").add_adapter(LoraConfig()).save_pretrained("adapter")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "adapter_config.json").write_text("{}")
    error = run(*words.split(), status=2).err
    assert BAD_ADAPTERS[words] in error and error.count("\n") == 1 + error.startswith("loading")
    assert not Path("m").exists()
