"""Tokens, batches, training and scores."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from tests.transformer.conftest import PAIRS, small
from transformer import Tokenizer, Trainer, TrainingConfig, Transformer
from transformer.data.batches import batches, make_batch
from transformer.evaluate import score, translate
from transformer.train import batch_loss


def _encoded(tokenizer: Tokenizer) -> list[tuple[list[int], list[int]]]:
    sources, targets = (tokenizer.encode([pair[side] for pair in PAIRS]) for side in (0, 1))
    return list(zip(sources, targets, strict=True))


def test_any_text_survives_encoding(tokenizer: Tokenizer) -> None:
    texts = ["a </s> b <pad> <s>", "one two", "Ünïcödé ☃ 漢字", "  spaces  and\ttabs ", "12345", ""]
    assert tokenizer.decode(tokenizer.encode(texts)) == texts


def test_every_digit_is_a_token_of_its_own() -> None:
    tokenizer = Tokenizer.train(["1234 1234 1234"] * 9, 300)
    (ids,) = tokenizer.encode(["1234"])
    assert tokenizer.tokens(ids) == ["1", "2", "3", "4", "</s>"]


def test_a_tokenizer_survives_json_and_is_learned_alike_each_time(tokenizer: Tokenizer) -> None:
    assert Tokenizer(tokenizer.to_json()).encode(["three"]) == tokenizer.encode(["three"])
    assert Tokenizer.train([t for pair in PAIRS for t in pair], 300).to_json() == tokenizer.to_json()


def test_bad_tokenizers_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 259, got 10"):
        Tokenizer.train(["a"], 10)
    with pytest.raises(ValueError, match="not a valid tokenizer"):
        Tokenizer("{}")


def test_batches_hold_every_pair_once_within_the_limit_and_padded_at_the_end() -> None:
    rng = np.random.default_rng(0)
    pairs = [([7] * rng.integers(1, 9) + [2], [8] * rng.integers(1, 9) + [2]) for _ in range(50)]
    made = list(batches(pairs, 40, pad_id=0, bos_id=1, rng=rng))
    assert sum(len(batch.source) for batch in made) == 50
    lengths = sorted(
        (int((s != 0).sum()), int((t != 0).sum())) for b in made for s, t in zip(b.source, b.target_out, strict=True)
    )
    assert lengths == sorted((len(s), len(t)) for s, t in pairs)
    for batch in made:
        assert len(batch.source) * max(batch.source.shape[1], batch.target_in.shape[1]) <= 40
        assert (batch.target_in[:, 0] == 1).all()
        np.testing.assert_array_equal(
            batch.target_in[:, 1:] * (batch.target_out[:, 1:] != 0),
            batch.target_out[:, :-1] * (batch.target_out[:, 1:] != 0),
        )


def test_padding_changes_neither_the_loss_nor_its_gradient(tokenizer: Tokenizer) -> None:
    pairs = _encoded(tokenizer)
    model = Transformer(small(dropout=0.0)).astype(np.float64)
    together = batch_loss(model, make_batch(pairs, 0, 1), 0.1)
    together.backward()
    gradient = model.embedding.weight.grad
    assert gradient is not None
    whole = gradient.numpy().copy()
    model.zero_grad()
    tokens = sum(len(target) for _, target in pairs)
    alone = [batch_loss(model, make_batch([pair], 0, 1), 0.1) * (len(pair[1]) / tokens) for pair in pairs]
    for part in alone:
        part.backward()
    assert together.item() == pytest.approx(sum(part.item() for part in alone), rel=1e-6)
    assert model.embedding.weight.grad is not None
    np.testing.assert_allclose(model.embedding.weight.grad.numpy(), whole, atol=1e-6)


def test_one_batch_is_learned_by_heart(tokenizer: Tokenizer) -> None:
    pairs = _encoded(tokenizer)
    mg.manual_seed(0)
    model = Transformer(small(dropout=0.0, d_model=32, d_ff=64))
    config = TrainingConfig(steps=150, warmup=40, label_smoothing=0.0, lr_factor=0.5)
    losses = [step.loss for step in Trainer(model, pairs, config)]
    assert losses[-1] < 0.02 < losses[0]
    assert translate(model, tokenizer, [source for source, _ in PAIRS]) == [target for _, target in PAIRS]
    assert translate(model, tokenizer, ["two"], num_beams=3) == ["zwei"]


def test_the_same_seed_repeats_to_the_digit(tokenizer: Tokenizer) -> None:
    def losses() -> list[float]:
        mg.manual_seed(3)
        model = Transformer(small())
        return [
            step.loss for step in Trainer(model, _encoded(tokenizer), TrainingConfig(steps=5, batch_tokens=12, seed=3))
        ]

    assert losses() == losses()


def test_training_follows_the_papers_schedule(tokenizer: Tokenizer) -> None:
    trainer = Trainer(Transformer(small()), _encoded(tokenizer), TrainingConfig(steps=4, warmup=2))
    rates = [step.lr for step in trainer]
    assert rates == pytest.approx([16**-0.5 * min(t**-0.5, t * 2**-1.5) for t in (1, 2, 3, 4)])


def test_a_warm_up_longer_than_the_training_is_cut_short(tokenizer: Tokenizer) -> None:
    config = TrainingConfig(steps=2, warmup=100, schedule="linear")
    assert len(list(Trainer(Transformer(small()), _encoded(tokenizer), config))) == 2
    with pytest.raises(ValueError, match="schedule: expected one of noam, linear, cosine, got 'step'"):
        TrainingConfig(steps=1, schedule="step")


def test_a_training_that_diverges_stops_before_it_spoils_the_model(tokenizer: Tokenizer) -> None:
    model = Transformer(small())
    model.embedding.weight.data[:] = np.inf
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="diverged at step 1"):
        list(Trainer(model, _encoded(tokenizer), TrainingConfig(steps=3)))
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])


def test_decoding_leaves_every_modules_mode_as_it_was(tokenizer: Tokenizer) -> None:
    model = Transformer(small()).train()
    model.encoder.eval()
    translate(model, tokenizer, ["two"])
    assert model.decoder.training and not model.encoder.training
    assert model.generate(np.array([[5, 2]]), max_new_tokens=3)[0].ids


def test_scores_are_sacrebleus_with_a_signature() -> None:
    result = score(["a b c d e", "x"], ["a b c d e", "y"])
    assert (result.count, result.exact, result.exact_match) == (2, 1, 0.5)
    assert 0 < result.bleu < 100
    assert "tok:13a" in result.signature
    assert score(["same words here now"], ["same words here now"]).bleu == pytest.approx(100)
    with pytest.raises(ValueError, match="expected 1, one a translation, got 2"):
        score(["a"], ["a", "b"])


def test_bad_training_settings_and_sentences_are_refused(tokenizer: Tokenizer) -> None:
    for changes, message in (
        ({"steps": 0}, "steps: expected at least 1, got 0"),
        ({"clip_norm": 0.0}, "clip_norm: expected a positive number"),
        ({"label_smoothing": 1.0}, r"expected a number in \[0, 1\)"),
        ({"seed": -1}, "seed"),
    ):
        with pytest.raises(ValueError, match=message):
            TrainingConfig(**{"steps": 1, **changes})
    model = Transformer(small())
    with pytest.raises(ValueError, match="at least one sentence pair"):
        Trainer(model, [], TrainingConfig(steps=1))
    with pytest.raises(ValueError, match="longest sentence has 99 tokens, more than the model's 64"):
        Trainer(model, [([5] * 99, [5])], TrainingConfig(steps=1))
    with pytest.raises(ValueError, match="more than the model's 64"):
        translate(model, tokenizer, ["one " * 99])
