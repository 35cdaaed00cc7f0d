"""A model of any family computes, learns and writes here what it does in ``transformers``, and goes back unchanged."""

from __future__ import annotations

import warnings
from inspect import signature
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
from tests.transformer.pretrained.huggingface.encoder_strategies import ENCODERS  # noqa: E402
from tests.transformer.pretrained.huggingface.strategies import CAUSAL, EOS, VOCABULARY  # noqa: E402
from transformer.pretrained.huggingface import FAMILIES  # noqa: E402

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("default")]
torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
LAWS = {family: (family, *law) for family, law in CAUSAL.items()} | ENCODERS
AFTER_PADDING = ("roberta", "xlm-roberta", "camembert", "mpnet")  # their positions begin there
IN_FILES = {"gpt_neox": ("lm_head", "embed_out")}  # what they call otherwise in files
NEVER_READ = 2  # rows of positions that begin with the third
STORED = [("float32", None), ("bfloat16", None), ("float16", None), ("float32", "4KB")]  # dtypes, and sizes of shards


def close(ours: Any, theirs: Any, name: str = "", tolerance: float = 3e-5) -> None:
    theirs = np.asarray(theirs)
    scale = tolerance * max(1, np.abs(theirs).max(initial=0))
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=0, atol=scale, err_msg=name)


def model_of(class_name: str, model_type: str, chosen: dict[str, Any], seed: int) -> Any:
    """Model of theirs whose every weight is random, but those that nothing reads."""
    torch.manual_seed(seed)
    config = transformers.AutoConfig.for_model(model_type, **chosen)
    kind = getattr(transformers, class_name)
    model = kind._from_config(config, attn_implementation="eager", **without_pooler(kind)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:  # others are sines and cosines
                parameter.normal_(0, 0.3)
        for name, parameter in model.named_parameters():
            if model_type in AFTER_PADDING and "position_embeddings" in name:
                parameter[: config.pad_token_id + 1] = 0
        arrays, family = model.state_dict(), FAMILIES[model_type]
        if family.spare in arrays and (first := family.ties["none"][family.spare]) in arrays:
            arrays[family.spare].copy_(arrays[first])
    if not class_name.endswith(("CausalLM", "Generation", "LMHeadModel", "MTModel")):
        return model
    model.generation_config = transformers.GenerationConfig(
        pad_token_id=config.pad_token_id,
        eos_token_id=EOS,
        decoder_start_token_id=getattr(config, "decoder_start_token_id", None),
    )
    return model


def without_pooler(kind: Any) -> dict[str, bool]:
    """Argument of their classes for encoders whose vectors are read."""
    return {"add_pooling_layer": False} if "add_pooling_layer" in signature(kind.__init__).parameters else {}


def stored(model: Any, directory: Path, dtype: str, shard: str | None) -> None:
    """Save a model of theirs, and give it the weights as they are stored."""
    kind = getattr(torch, dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_(parameter.to(kind))
    state = {name: value.to(kind) for name, value in model.state_dict().items()}
    model.save_pretrained(directory, state_dict=state, **({} if shard is None else {"max_shard_size": shard}))


@pytest.mark.parametrize("law", LAWS)
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.reuse, Phase.generate])
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_a_family(law: str, data: st.DataObject, seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    family, class_name, strategy = LAWS[law]
    theirs = model_of(class_name, family, data.draw(strategy), seed)
    directory = tmp_path_factory.mktemp(family)
    stored(theirs, directory, *data.draw(st.sampled_from(STORED)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*(no use for the weights|a further training)")
        ours = transformer.from_pretrained(directory)
    assert ours.family == family
    rng = np.random.default_rng(seed)
    ids = rng.integers(3, VOCABULARY, (2, 12))
    outputs_agree(theirs, ours, ids)
    gradients_agree(theirs, ours, ids, rng)
    if hasattr(ours, "generate"):
        texts_agree(theirs, ours, ids)
    goes_back(theirs, ours, directory, class_name, tmp_path_factory.mktemp("back"))


def outputs_agree(theirs: Any, ours: Any, ids: np.ndarray) -> None:
    """Logits or vectors of all real tokens, or of texts, without padding and with it on either side."""
    with no_grad(), torch.no_grad():
        close(ours(ids).numpy(), theirs(torch.tensor(ids))[0])
        for place in (slice(0, 3), slice(9, None)):
            mask = np.ones_like(ids)
            mask[1, place] = 0
            padded = np.where(mask == 1, ids, theirs.config.pad_token_id)
            found = ours(padded, mask).numpy()
            if found.ndim == 2:  # of whole texts; theirs may be that of padding
                for row, real, text in zip(ids, mask == 1, found, strict=True):
                    close(text, theirs(torch.tensor(row[real])[None])[0][0])
                continue
            positions = torch.tensor(np.maximum(mask.cumsum(1) - 1, 0) + first_position(theirs.config))
            expected = theirs(torch.tensor(padded), attention_mask=torch.tensor(mask), position_ids=positions)[0]
            close(found[mask == 1], expected[torch.tensor(mask == 1)])


def first_position(config: Any) -> int:
    return config.pad_token_id + 1 if config.model_type in AFTER_PADDING else 0


def gradients_agree(theirs: Any, ours: Any, ids: np.ndarray, rng: np.random.Generator) -> None:
    """Loss and gradients of one step."""
    theirs.zero_grad()
    logits = theirs(torch.tensor(ids))[0]
    labels = rng.integers(0, logits.shape[-1], logits.shape[:-1])
    if labels.ndim == 2:
        labels[0, 1:3] = -100
    their_loss = torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), torch.tensor(labels.reshape(-1))
    )
    their_loss.backward()
    loss = cross_entropy(ours(ids).reshape(-1, logits.shape[-1]), asarray(labels.reshape(-1)))
    loss.backward()
    close(loss.item(), their_loss.item())
    gradients = {name: p.grad.data for name, p in ours.named_parameters() if p.grad is not None}
    family = FAMILIES[theirs.config.model_type]
    found = family.pack(family.architecture(type(theirs).__name__), ours.config, gradients)
    shared = {**family.copies, **family.ties.get(ours.config.tie, {})}
    if family.spare in shared:  # theirs has it twice, and reads one
        found.pop(family.spare, None)
    parameters = theirs.named_parameters(remove_duplicate=False)
    expected = {
        label.replace(*IN_FILES.get(family.model_type, ("", ""))): p.grad
        for label, p in parameters
        if p.grad is not None
    }
    found |= {copy: found[first] for copy, first in shared.items() if copy in expected and copy not in found}
    assert found.keys() == expected.keys()
    for label, gradient in expected.items():
        close(found[label], gradient, label, 1e-4)


def texts_agree(theirs: Any, ours: Any, ids: np.ndarray) -> None:
    """Greedy and beam texts of prompts of unequal length."""
    mask = np.ones_like(ids)
    mask[1, :4] = 0
    padded = np.where(mask == 1, ids, theirs.config.pad_token_id)
    for choices in ({}, {"num_beams": 3, "early_stopping": True}):
        same_texts(theirs, ours, padded, mask, ids.shape[1], choices)


def same_texts(theirs: Any, ours: Any, ids: np.ndarray, mask: np.ndarray, start: int, choices: dict[str, Any]) -> None:
    """The same new tokens, or with beams others that are as likely: where two are, rounding decides which are kept."""
    with torch.no_grad():
        found = theirs.generate(
            torch.tensor(ids),
            attention_mask=torch.tensor(mask),
            do_sample=False,
            max_new_tokens=7,
            return_dict_in_generate=True,
            output_scores=True,
            **choices,
        )
    written = ours.generate(ids, attention_mask=mask, max_new_tokens=7, **choices)
    for number, (text, row) in enumerate(zip(written, found.sequences, strict=True)):
        if text.ids != (expected := until_end(row[start:].tolist())):
            assert "num_beams" in choices and len(text.ids) == len(expected), (text.ids, expected)
            score = text.log_probability / (len(text.ids) + text.finished)
            assert score > found.sequences_scores[number].item() - 1e-3, (text.ids, expected)


def until_end(ids: list[int]) -> list[int]:
    return ids[: ids.index(EOS)] if EOS in ids else ids


def goes_back(theirs: Any, ours: Any, before: Path, class_name: str, after: Path) -> None:
    """Saved here, it is read there: all names, the same numbers."""
    ours.save_pretrained(after)
    kind = getattr(transformers, class_name)
    again, report = kind.from_pretrained(after, output_loading_info=True, **without_pooler(kind))
    assert not any(report[problem] for problem in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    assert again.config.model_type == theirs.config.model_type
    assert "Classification" not in class_name or again.config.id2label == theirs.config.id2label
    expected = theirs.state_dict()
    for name, value in again.state_dict().items():
        rows = slice(NEVER_READ if "embed_positions" in name else 0, None)
        ours_back, before_it = (array[rows] if array.ndim else array for array in (value.float(), expected[name]))
        np.testing.assert_array_equal(ours_back, before_it, err_msg=name)
    assert transformer.from_pretrained(after).config == ours.config
