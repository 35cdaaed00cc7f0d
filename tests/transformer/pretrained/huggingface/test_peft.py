"""Adapters are exchanged with PEFT: those of either give the same logits in both, merged and not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the peer")
transformers = pytest.importorskip("transformers", reason="the peer")
peft = pytest.importorskip("peft", reason="the peer")

from safetensors.numpy import load_file  # noqa: E402

from minigrad import no_grad  # noqa: E402
from tests.transformer.pretrained.huggingface.peer import Pair, make, read  # noqa: E402
from transformer import LoraConfig  # noqa: E402

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings(
        "default::DeprecationWarning", "default::FutureWarning", "ignore:fan_in_fan_out", "ignore:Input and output"
    ),
]
torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

CASES = ("gpt2", "gpt2-other-choices", "bert", "bert-encoder", "bart", "marian", "t5", "t5-1.1")
CHOICES: list[dict[str, Any]] = [
    {"r": 2, "lora_alpha": 5},
    {"r": 4, "lora_alpha": 3, "use_rslora": True, "target_modules": "all-linear"},
]
DEFAULTS: dict[str, Any] = {"marian": ["q_proj", "v_proj"]}  # which PEFT has none for


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    return {case: make(case, tmp_path_factory.mktemp(case)) for case in CASES}


def theirs_of(pair: Pair) -> Any:
    return type(pair.theirs).from_pretrained(pair.directory).eval()


def logits(model: Any, pair: Pair) -> Any:
    with torch.no_grad():
        return Pair(model, None, pair.directory).output(*pair.inputs()).numpy()


def close(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5 * max(1, np.abs(theirs).max()))


@pytest.mark.parametrize("choice", CHOICES, ids=["default", "all-linear"])
@pytest.mark.parametrize("case", CASES)
def test_their_adapter_gives_their_logits_here(
    case: str, choice: dict[str, Any], made: dict[str, Pair], tmp_path: Path
) -> None:
    pair = made[case]
    config = peft.LoraConfig(**{"target_modules": DEFAULTS.get(case), **choice}, task_type=None)
    model = peft.get_peft_model(theirs_of(pair), config).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "lora_" in name:
                value.normal_(0, 0.3)
    model.save_pretrained(tmp_path)
    ours = read(tmp_path)
    expected = logits(model, pair)
    assert np.abs(expected - logits(pair.theirs, pair)).max() > 0.01
    with no_grad():
        close(ours(*pair.inputs()).numpy(), expected)
        close(ours.merge_and_unload()(*pair.inputs()).numpy(), expected)
    ours.save_pretrained(tmp_path / "merged")
    close(logits(type(pair.theirs).from_pretrained(tmp_path / "merged").eval(), pair), expected)
    merged = {name: value.numpy() for name, value in model.merge_and_unload().state_dict().items()}
    for name, array in load_file(tmp_path / "merged" / "model.safetensors").items():
        if "embed_positions" not in name:  # BART's first two are never used
            close(array, merged[name])


@pytest.mark.parametrize("choice", CHOICES, ids=["default", "all-linear"])
@pytest.mark.parametrize("case", CASES)
def test_our_adapter_gives_our_logits_there(
    case: str, choice: dict[str, Any], made: dict[str, Pair], tmp_path: Path
) -> None:
    pair = made[case]
    ours = read(pair.directory).add_adapter(LoraConfig(**choice))
    rng = np.random.default_rng(0)
    for parameter in ours.parameters():
        if parameter.requires_grad:
            parameter.data[...] = rng.normal(0, 0.3, parameter.shape)
    ours.save_pretrained(tmp_path)
    theirs = peft.PeftModel.from_pretrained(theirs_of(pair), tmp_path).eval()
    with no_grad():
        close(ours(*pair.inputs()).numpy(), logits(theirs, pair))
        close(read(tmp_path)(*pair.inputs()).numpy(), logits(theirs, pair))
    theirs.save_pretrained(tmp_path / "again")
    before, after = (load_file(path / "adapter_model.safetensors") for path in (tmp_path, tmp_path / "again"))
    assert before.keys() == after.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array)


@pytest.mark.parametrize("case", ["gpt2", "bart", "t5"])
def test_default_targets_are_theirs(case: str, made: dict[str, Pair], tmp_path: Path) -> None:
    read(made[case].directory).add_adapter(LoraConfig()).save_pretrained(tmp_path)
    table = peft.utils.constants.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    ours = peft.LoraConfig.from_pretrained(tmp_path)
    assert ours.target_modules == set(table[case]) and ours.fan_in_fan_out == (case == "gpt2")
