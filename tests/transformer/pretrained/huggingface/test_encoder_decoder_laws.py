"""An encoder-decoder of any family computes, learns and writes here what it does in ``transformers``, and goes back."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

torch = pytest.importorskip("torch", reason="the peer")
transformers = pytest.importorskip("transformers", reason="the peer")

import transformer  # noqa: E402
from minigrad import asarray, no_grad  # noqa: E402
from minigrad.nn.functional import cross_entropy  # noqa: E402
from tests.transformer.pretrained.huggingface.encoder_decoder_strategies import (  # noqa: E402
    ENCODER_ALONE,
    ENCODER_DECODER,
)
from tests.transformer.pretrained.huggingface.strategies import PAD, VOCABULARY  # noqa: E402
from tests.transformer.pretrained.huggingface.test_laws import (  # noqa: E402
    STORED,
    close,
    goes_back,
    model_of,
    same_texts,
    stored,
)
from transformer.pretrained.huggingface import FAMILIES  # noqa: E402

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("default")]
LAW = settings(
    max_examples=5, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.reuse, Phase.generate]
)


def loaded(directory: Any) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*(no use for the weights|a further training)")
        return transformer.from_pretrained(directory)


@pytest.mark.parametrize("family", ENCODER_DECODER)
@LAW
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_a_family(family: str, data: st.DataObject, seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    class_name, strategy = ENCODER_DECODER[family]
    theirs = model_of(class_name, family, data.draw(strategy), seed)
    directory = tmp_path_factory.mktemp(family)
    stored(theirs, directory, *data.draw(st.sampled_from(STORED)))
    ours = loaded(directory)
    assert ours.family == family
    rng = np.random.default_rng(seed)
    source, target = rng.integers(3, VOCABULARY, (2, 12)), rng.integers(3, VOCABULARY, (2, 6))
    logits_agree(theirs, ours, source, target)
    gradients_agree(theirs, ours, source, target, rng.integers(0, VOCABULARY, (2, 6)), family)
    texts_agree(theirs, ours, source)
    goes_back(theirs, ours, directory, class_name, tmp_path_factory.mktemp("back"))


def logits_agree(theirs: Any, ours: Any, source: np.ndarray, target: np.ndarray) -> None:
    """Logits, without padding of the source and with it."""
    with no_grad(), torch.no_grad():
        mask = np.ones_like(source)
        for place in (slice(0, 0), slice(9, None)):
            mask[1, place] = 0
            padded = np.where(mask == 1, source, PAD)
            expected = theirs(
                torch.tensor(padded), attention_mask=torch.tensor(mask), decoder_input_ids=torch.tensor(target)
            ).logits
            close(ours(padded, target, mask).numpy(), expected)


def gradients_agree(
    theirs: Any, ours: Any, source: np.ndarray, target: np.ndarray, labels: np.ndarray, name: str
) -> None:
    """Loss and gradients of one step."""
    labels[0, 1:3] = -100
    theirs.zero_grad()
    logits = theirs(torch.tensor(source), decoder_input_ids=torch.tensor(target)).logits
    their_loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.tensor(labels).flatten())
    their_loss.backward()
    loss = cross_entropy(ours(source, target).reshape(-1, VOCABULARY), asarray(labels.reshape(-1)))
    loss.backward()
    close(loss.item(), their_loss.item())
    gradients = {label: p.grad.data for label, p in ours.named_parameters() if p.grad is not None}
    family = FAMILIES[name]
    found = family.pack(family.architecture(type(theirs).__name__), ours.config, gradients)
    expected = {label: p.grad for label, p in theirs.named_parameters() if p.grad is not None}
    for unused in (family.spare, "final_logits_bias", *family.computed(ours.config)):  # which they do not train
        found.pop(unused or "", None)
        expected.pop(unused or "", None)
    assert found.keys() == expected.keys()
    for label, gradient in expected.items():
        close(found[label], gradient, label, 1e-4)


def texts_agree(theirs: Any, ours: Any, source: np.ndarray) -> None:
    """Greedy and beam texts of sources of unequal length."""
    mask = np.ones_like(source)
    mask[1, 8:] = 0
    padded = np.where(mask == 1, source, PAD)
    for choices in ({}, {"num_beams": 3, "early_stopping": True}):
        choices = {**choices, "suppress_tokens": (PAD,)}  # M2M-100 counts positions of tokens other than padding
        same_texts(theirs, ours, padded, mask, 1, choices)


@pytest.mark.parametrize("family", ENCODER_ALONE)
@LAW
@given(data=st.data(), seed=st.integers(0, 2**16))
def test_an_encoder_alone(
    family: str, data: st.DataObject, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    theirs = model_of(ENCODER_ALONE[family], family, data.draw(ENCODER_DECODER[family][1]), seed)
    directory, after = tmp_path_factory.mktemp(family), tmp_path_factory.mktemp("back")
    stored(theirs, directory, *data.draw(st.sampled_from(STORED)))
    ours = loaded(directory)
    ids = np.random.default_rng(seed).integers(3, VOCABULARY, (2, 12))
    with no_grad(), torch.no_grad():
        close(ours(ids).numpy(), theirs(torch.tensor(ids)).last_hidden_state)
    goes_back(theirs, ours, directory, ENCODER_ALONE[family], after)
