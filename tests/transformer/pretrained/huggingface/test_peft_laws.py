"""Adapters of any family are exchanged with PEFT."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

torch = pytest.importorskip("torch", reason="the peer")
transformers = pytest.importorskip("transformers", reason="the peer")
peft = pytest.importorskip("peft", reason="the peer")

import transformer  # noqa: E402
from minigrad import no_grad  # noqa: E402
from tests.transformer.pretrained.huggingface.strategies import CAUSAL as LAWS, VOCABULARY  # noqa: E402
from tests.transformer.pretrained.huggingface.test_laws import close, model_of  # noqa: E402
from transformer import LoraConfig  # noqa: E402

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("family", LAWS)
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.reuse, Phase.generate])
@given(data=st.data(), seed=st.integers(0, 2**16), linear=st.booleans(), rslora=st.booleans())
def test_a_family(
    family: str, data: st.DataObject, seed: int, linear: bool, rslora: bool, tmp_path_factory: Any
) -> None:
    class_name, strategy = LAWS[family]
    base, out = tmp_path_factory.mktemp(family), tmp_path_factory.mktemp("adapter")
    theirs = model_of(class_name, family, data.draw(strategy), seed)
    theirs.save_pretrained(base)
    ids = np.random.default_rng(seed).integers(3, VOCABULARY, (2, 9))
    choice: dict[str, Any] = {"r": 2, "lora_alpha": 3, "use_rslora": rslora}
    ours = transformer.from_pretrained(base).add_adapter(
        LoraConfig(**choice, target_modules="all-linear" if linear else None)
    )
    rng = np.random.default_rng(seed)
    for parameter in ours.parameters():
        if parameter.requires_grad:
            parameter.data[...] = rng.normal(0, 0.3, parameter.shape)
    ours.save_pretrained(out)
    adapted = peft.PeftModel.from_pretrained(theirs, out).eval()
    with no_grad(), torch.no_grad():
        expected = adapted(torch.tensor(ids)).logits
        close(ours(ids).numpy(), expected)
        adapted.save_pretrained(out / "again")
        again = transformer.from_pretrained(out / "again")
        close(again(ids).numpy(), expected)
        close(again.merge_and_unload()(ids).numpy(), expected)
    names = {name.rpartition(".")[2] for name in peft.PeftConfig.from_pretrained(out).target_modules}
    table = peft.utils.constants.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    if not linear and family in table and family != "phi":  # whose feed-forward networks PEFT adapts too
        assert names == set(table[family])
