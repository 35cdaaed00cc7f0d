"""A model of any family computes, learns and writes here what it does in ``transformers``, and goes back unchanged."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

torch = pytest.importorskip("torch", reason="the peer")
transformers = pytest.importorskip("transformers", reason="the peer")

import transformer  # noqa: E402
from minigrad import asarray, no_grad  # noqa: E402
from minigrad.nn.functional import cross_entropy  # noqa: E402
from tests.transformer.pretrained.huggingface.strategies import EOS, LAWS, PAD, VOCABULARY  # noqa: E402
from transformer.pretrained.huggingface import FAMILIES  # noqa: E402

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("default")]
torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
IN_FILES = {"gpt_neox": ("lm_head", "embed_out")}  # what they call otherwise in files
SPARE = "model.shared.weight"
NEVER_READ = 2  # rows of positions that begin with the third
STORED = [("float32", None), ("bfloat16", None), ("float16", None), ("float32", "4KB")]  # dtypes, and sizes of shards


def close(ours: Any, theirs: Any, name: str = "", tolerance: float = 3e-5) -> None:
    theirs = np.asarray(theirs)
    scale = tolerance * max(1, np.abs(theirs).max(initial=0))
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=0, atol=scale, err_msg=name)


def model_of(class_name: str, model_type: str, chosen: dict[str, Any], seed: int) -> Any:
    """Model of theirs whose every weight is random."""
    torch.manual_seed(seed)
    config = transformers.AutoConfig.for_model(model_type, **chosen)
    model = getattr(transformers, class_name)._from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:  # others are sines and cosines
                parameter.normal_(0, 0.3)
    model.generation_config = transformers.GenerationConfig(
        pad_token_id=config.pad_token_id,
        eos_token_id=EOS,
        decoder_start_token_id=getattr(config, "decoder_start_token_id", None),
    )
    return model


def stored(model: Any, directory: Path, dtype: str, shard: str | None) -> None:
    """Save a model of theirs, and give it the weights as they are stored."""
    kind = getattr(torch, dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_(parameter.to(kind))
    state = {name: value.to(kind) for name, value in model.state_dict().items()}
    model.save_pretrained(directory, state_dict=state, **({} if shard is None else {"max_shard_size": shard}))


@pytest.mark.parametrize("family", LAWS)
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.reuse, Phase.generate])
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_a_family(family: str, data: st.DataObject, seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    class_name, strategy = LAWS[family]
    theirs = model_of(class_name, family, data.draw(strategy), seed)
    directory = tmp_path_factory.mktemp(family)
    stored(theirs, directory, *data.draw(st.sampled_from(STORED)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*(no use for the weights|a further training)")
        ours = transformer.from_pretrained(directory)
    assert ours.family == family
    rng = np.random.default_rng(seed)
    ids = rng.integers(3, VOCABULARY, (2, 12))
    logits_agree(theirs, ours, ids)
    gradients_agree(theirs, ours, ids, rng.integers(0, VOCABULARY, (2, 12)), family)
    texts_agree(theirs, ours, ids)
    goes_back(theirs, ours, directory, class_name, tmp_path_factory.mktemp("back"))


def logits_agree(theirs: Any, ours: Any, ids: np.ndarray) -> None:
    """Logits of all real tokens, without padding and with it on either side."""
    with no_grad(), torch.no_grad():
        close(ours(ids).numpy(), theirs(torch.tensor(ids)).logits)
        for place in (slice(0, 3), slice(9, None)):
            mask = np.ones_like(ids)
            mask[1, place] = 0
            padded = np.where(mask == 1, ids, PAD)
            positions = torch.tensor(np.maximum(mask.cumsum(1) - 1, 0))
            expected = theirs(torch.tensor(padded), attention_mask=torch.tensor(mask), position_ids=positions).logits
            close(ours(padded, mask).numpy()[mask == 1], expected[torch.tensor(mask == 1)])


def gradients_agree(theirs: Any, ours: Any, ids: np.ndarray, labels: np.ndarray, name: str) -> None:
    """Loss and gradients of one step."""
    labels[0, 1:3] = -100
    theirs.zero_grad()
    logits = theirs(torch.tensor(ids)).logits
    their_loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(labels).flatten())
    their_loss.backward()
    loss = cross_entropy(ours(ids).reshape(-1, VOCABULARY), asarray(labels.reshape(-1)))
    loss.backward()
    close(loss.item(), their_loss.item())
    gradients = {name: p.grad.data for name, p in ours.named_parameters() if p.grad is not None}
    family = FAMILIES[name]
    found = family.pack(family.architecture(type(theirs).__name__), ours.config, gradients)
    expected = {
        label.replace(*IN_FILES.get(name, ("", ""))): p.grad
        for label, p in theirs.named_parameters()
        if p.grad is not None
    }
    assert found.keys() == expected.keys()
    for label, gradient in expected.items():
        close(found[label], gradient, label, 1e-4)


def texts_agree(theirs: Any, ours: Any, ids: np.ndarray) -> None:
    """Greedy and beam texts of prompts of unequal length."""
    mask = np.ones_like(ids)
    mask[1, :4] = 0
    padded = np.where(mask == 1, ids, PAD)
    for choices in ({}, {"num_beams": 3, "early_stopping": True}):
        with torch.no_grad():
            rows = theirs.generate(
                torch.tensor(padded), attention_mask=torch.tensor(mask), do_sample=False, max_new_tokens=7, **choices
            )
        written = ours.generate(padded, attention_mask=mask, max_new_tokens=7, **choices)
        assert [text.ids for text in written] == [until_end(row[ids.shape[1] :].tolist()) for row in rows]


def until_end(ids: list[int]) -> list[int]:
    return ids[: ids.index(EOS)] if EOS in ids else ids


def goes_back(theirs: Any, ours: Any, before: Path, class_name: str, after: Path) -> None:
    """Saved here, it is read there: all names, the same numbers."""
    ours.save_pretrained(after)
    again, report = getattr(transformers, class_name).from_pretrained(after, output_loading_info=True)
    assert not any(report[problem] for problem in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    assert again.config.model_type == theirs.config.model_type
    expected = theirs.state_dict()
    if ours.config.tie in ("none", "output"):  # a matrix that they have then and never use
        expected[SPARE] = again.state_dict().get(SPARE)
    for name, value in again.state_dict().items():
        rows = slice(NEVER_READ if "embed_positions" in name else 0, None)
        ours_back, before_it = (array[rows] if array.ndim else array for array in (value.float(), expected[name]))
        np.testing.assert_array_equal(ours_back, before_it, err_msg=name)
    assert transformer.from_pretrained(after).config == ours.config
