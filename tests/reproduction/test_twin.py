"""The twin in PyTorch is the same model, trained in the same way: only then is their comparison one of frameworks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from transformer import Transformer, TransformerConfig
from transformer.data.batches import Batch, PairBatches
from transformer.train import Trainer, TrainingConfig, batch_loss

torch = pytest.importorskip("torch", reason="torch is an optional peer: pip install torch")
twins: Any = import_module("tests.reproduction.torch_twin")  # which needs it
pytestmark = pytest.mark.peers

CONFIG = TransformerConfig(
    vocab_size=50, d_model=32, num_heads=4, d_ff=64, encoder_layers=2, decoder_layers=2, dropout=0.0
)
SMOOTHING = 0.1
STEPS = 4
TRAINING = TrainingConfig(steps=STEPS, schedule="cosine", warmup=2, lr=0.01, label_smoothing=SMOOTHING, clip_norm=0.5)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def data(rng: np.random.Generator) -> PairBatches:
    """Pairs of different lengths, so that both sides are padded."""
    sides = [[[*rng.integers(3, 50, n).tolist(), 2] for n in rng.integers(1, 9, 60)] for _ in range(2)]
    return PairBatches(list(zip(*sides, strict=True)), tokens=60, pad_id=0, bos_id=1)


@pytest.fixture
def batch(data: PairBatches) -> Batch:
    padded = (batch for batch in data.epoch(0) if all((ids == 0).any() for ids in batch.inputs))
    return next(padded)


@pytest.fixture
def model() -> Transformer:
    """Of weights that are not special: no bias is 0, no scale 1."""
    model = Transformer(CONFIG)
    for parameter in model.parameters():
        parameter.data += 0.1 * mg.random.normal(parameter.shape).numpy()
    return model


@pytest.fixture
def twin(model: Transformer) -> Any:
    twin = twins.Twin(CONFIG)
    twin.load_weights({name: value.numpy() for name, value in model.state_dict().items()})
    return twin


def test_the_twin_gives_the_same_logits(model: Transformer, twin: Any, batch: Batch) -> None:
    found = twin(*map(torch.from_numpy, batch.inputs)).detach().numpy()
    np.testing.assert_allclose(found, model(*batch.inputs).detach().numpy(), rtol=1e-5, atol=1e-5)


def test_the_twin_gives_the_same_loss_and_gradients(model: Transformer, twin: Any, batch: Batch) -> None:
    loss, twin_loss = batch_loss(model, batch, SMOOTHING), twins.twin_loss(twin, batch, SMOOTHING)
    loss.backward()
    twin_loss.backward()
    assert twin_loss.item() == pytest.approx(loss.item(), rel=1e-5)
    gradients = dict(model.named_parameters())
    assert gradients.keys() == dict(twin.named_parameters()).keys()
    for name, parameter in twin.named_parameters():
        ours = gradients[name].grad
        assert ours is not None
        np.testing.assert_allclose(parameter.grad.numpy(), ours.numpy(), rtol=1e-5, atol=1e-5, err_msg=name)


def test_the_twins_training_makes_the_same_steps(model: Transformer, data: PairBatches) -> None:
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    other = Transformer(CONFIG)
    other.load_state_dict(before)
    ours, theirs = list(Trainer(model, data, TRAINING)), list(twins.TwinTrainer(other, data, TRAINING))
    assert [step.tokens for step in theirs] == [step.tokens for step in ours]
    assert [step.number for step in theirs] == [step.number for step in ours] == list(range(1, STEPS + 1))
    for name in ("loss", "lr", "gradient_norm"):
        expected = [getattr(step, name) for step in ours]
        assert [getattr(step, name) for step in theirs] == pytest.approx(expected, rel=1e-4), name
    assert min(step.gradient_norm for step in ours) > (TRAINING.clip_norm or 0)  # so that clipping is compared, too
    after = {name: value.numpy() for name, value in other.state_dict().items()}
    for name, value in model.state_dict().items():
        # A softmax does not see the keys' bias: its gradient is rounding alone, from which Adam makes whole steps.
        if not name.endswith("key.bias"):
            assert not np.allclose(value.numpy(), before[name], atol=1e-3), name
            np.testing.assert_allclose(after[name], value.numpy(), atol=1e-4, err_msg=name)


def test_dropout_stands_at_the_same_places() -> None:
    config = replace(CONFIG, dropout=0.25)
    ours = {name for name, part in Transformer(config).named_modules() if isinstance(part, nn.Dropout) and part.p}
    theirs = {name: part.p for name, part in twins.Twin(config).named_modules() if isinstance(part, torch.nn.Dropout)}
    assert theirs == dict.fromkeys(ours, 0.25)


def test_the_twin_trains_with_dropout_and_repeats_itself(data: PairBatches, model: Transformer) -> None:
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}

    def losses(dropout: float, seed: int) -> list[float]:
        other = Transformer(replace(CONFIG, dropout=dropout))
        other.load_state_dict(before)
        return [step.loss for step in twins.TwinTrainer(other, data, replace(TRAINING, seed=seed))]

    first = losses(0.5, 1)
    assert losses(0.5, 1) == first
    assert losses(0.5, 2) != first != losses(0.0, 1)


def test_weights_of_another_model_are_an_error(twin: Any) -> None:
    with pytest.raises(ValueError, match="different are encoder"):
        twin.load_weights({name: value for name, value in twin.weights().items() if name != "encoder.tokens.weight"})
