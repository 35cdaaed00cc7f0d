"""Trainer: objective, steps, weight selection and reports."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import kernels
from tests.transformer.conftest import PAIRS, small
from tests.transformer.train.training import (
    VOCABULARY,
    Listed,
    assert_same_bits,
    bigrams,
    config,
    data,
    weights,
)
from transformer import Tokenizer, Trainer, TrainingConfig, Transformer
from transformer.data.batches import IGNORED, Batch, PairBatches, SequenceBatches
from transformer.evaluate import transduce
from transformer.train import OPTIMIZERS, SCHEDULES, TensorBoard, batch_loss, held_out_loss, read_log


def _pair_batches(tokenizer: Tokenizer, tokens: int = 2048, seed: int = 0) -> PairBatches:
    sources, targets = (tokenizer.encode([pair[side] for pair in PAIRS]) for side in (0, 1))
    return PairBatches(list(zip(sources, targets, strict=True)), tokens, pad_id=0, bos_id=1, seed=seed)


def _together(batches: list[Batch]) -> Batch:
    """The rows of several batches as one batch."""
    longest = max(batch.labels.shape[1] for batch in batches)

    def joined(arrays: list[np.ndarray], fill: int) -> np.ndarray:
        return np.concatenate([np.pad(a, ((0, 0), (0, longest - a.shape[1])), constant_values=fill) for a in arrays])

    return Batch((joined([b.inputs[0] for b in batches], 0),), joined([b.labels for b in batches], IGNORED), pad_id=0)


# What is minimised


def test_accumulated_batches_are_exactly_one_larger_batch_by_tokens() -> None:
    batches = list(data(30).epoch(0))[:6]
    assert len({batch.targets for batch in batches}) > 2
    mean_of_means = np.mean([batch_loss(bigrams(dtype=np.float64), batch, 0.1).item() for batch in batches[:3]])
    runs = []
    for stream, accumulate in ((batches, 3), ([_together(batches[:3]), _together(batches[3:])], 1)):
        model = bigrams(dtype=np.float64)
        settings = config(4, accumulate=accumulate, label_smoothing=0.1, clip_norm=0.3)
        runs.append((list(Trainer(model, Listed(stream), settings)), weights(model)))
    (parts, from_parts), (whole, from_whole) = runs
    assert abs(parts[0].loss - mean_of_means) > 1e-3  # unequal counts make a difference here
    for one, other in zip(parts, whole, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-12)
        assert one.gradient_norms == pytest.approx(other.gradient_norms, rel=1e-9, abs=1e-15)
        assert one.tokens == other.tokens
    for name, value in from_whole.items():
        np.testing.assert_allclose(from_parts[name], value, rtol=1e-9, atol=1e-12)


def test_a_batch_without_labels_adds_nothing_to_the_others() -> None:
    some, *_ = data().epoch(0)
    none = Batch(some.inputs, np.full_like(some.labels, IGNORED), pad_id=0)
    (alone,) = Trainer(bigrams(), Listed([some]), config(1))
    (beside,) = Trainer(bigrams(), Listed([none, some]), config(1, accumulate=2))
    assert beside.loss == alone.loss and beside.gradient_norms == alone.gradient_norms
    with pytest.raises(ValueError, match="data: expected labels, got batches with nothing to predict"):
        list(Trainer(bigrams(), Listed([none]), config(1)))


def test_padding_changes_neither_the_loss_nor_its_gradient(tokenizer: Tokenizer) -> None:
    batches = _pair_batches(tokenizer)
    model = Transformer(small(dropout=0.0)).astype(np.float64)
    together = batch_loss(model, batches.batch(batches.pairs), 0.1)
    together.backward()
    gradients = [parameter.grad.numpy().copy() for parameter in model.parameters()]
    model.zero_grad()
    tokens = sum(len(target) for _, target in batches.pairs)
    alone = [batch_loss(model, batches.batch([pair]), 0.1) * (len(pair[1]) / tokens) for pair in batches.pairs]
    for part in alone:
        part.backward()
    assert together.item() == pytest.approx(sum(part.item() for part in alone), rel=1e-6)
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        np.testing.assert_allclose(parameter.grad.numpy(), gradient, atol=1e-6)


def test_the_held_out_loss_is_the_mean_over_tokens_without_dropout_and_smoothing() -> None:
    model = bigrams(dropout=0.5).train()
    batches = list(data(30).epoch(0))
    expected = batch_loss(model.eval(), _together(batches)).item()
    model.train()
    assert held_out_loss(model, batches) == pytest.approx(expected, rel=1e-5)
    assert model.training
    with pytest.raises(ValueError, match="held_out: expected labels"):
        held_out_loss(model, [])


def test_logits_that_do_not_fit_the_labels_are_refused() -> None:
    batch = Batch((np.array([[1, 2, 3]]),), np.array([[2, 3]]))
    with pytest.raises(ValueError, match=r"labels: expected shape \(1, 3\) for logits .*, got \(1, 2\)"):
        batch_loss(bigrams(), batch)


# How it steps


def test_one_batch_is_memorised(tokenizer: Tokenizer) -> None:
    mg.manual_seed(0)
    model = Transformer(small(dropout=0.0, d_model=32, d_ff=64))
    settings = TrainingConfig(steps=150, warmup=40, label_smoothing=0.0, lr_factor=0.5)
    losses = [step.loss for step in Trainer(model, _pair_batches(tokenizer), settings)]
    assert losses[-1] < 0.02 < losses[0]
    assert transduce(model, tokenizer, [source for source, _ in PAIRS]) == [target for _, target in PAIRS]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_lowers_the_loss(name: str) -> None:
    steps = list(Trainer(bigrams(), data(), config(60, optimizer=name, lr=0.05, label_smoothing=0.0)))
    assert np.mean([step.loss for step in steps[-9:]]) < 0.85 * np.mean([step.loss for step in steps[:9]])


def test_the_same_seed_repeats_to_the_digit_whatever_else_is_drawn_between_steps() -> None:
    def losses(draw: bool) -> list[float]:
        found = []
        for step in Trainer(bigrams(dropout=0.3, seed=3), data(), config(12, seed=3)):
            found.append(step.loss)
            if draw:
                mg.random.uniform(5)
        return found

    assert losses(False) == losses(True)


def test_training_leaves_the_default_stream_of_random_numbers_alone() -> None:
    model = bigrams(dropout=0.3)
    mg.manual_seed(8)
    expected = mg.random.uniform(3).numpy()
    mg.manual_seed(8)
    list(Trainer(model, data(), config(3)))
    np.testing.assert_array_equal(mg.random.uniform(3).numpy(), expected)


def test_the_rate_is_the_papers_where_none_is_given(tokenizer: Tokenizer) -> None:
    settings = TrainingConfig(steps=4, warmup=2, lr_factor=2.0)
    rates = [step.lr for step in Trainer(Transformer(small()), _pair_batches(tokenizer), settings)]
    assert rates == pytest.approx([2 * 16**-0.5 * min(t**-0.5, t * 2**-1.5) for t in (1, 2, 3, 4)])
    with pytest.raises(ValueError, match=r"lr: expected a number, as Bigrams has no config.d_model"):
        Trainer(bigrams(), data(), TrainingConfig(steps=1))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("noam", [0.5, 1, (2 / 3) ** 0.5, 0.5**0.5, 0.4**0.5, 3**-0.5]),
        ("inverse_sqrt", [0.5, 1, (2 / 3) ** 0.5, 0.5**0.5, 0.4**0.5, 3**-0.5]),
        ("linear", [0.5, 1, 0.775, 0.55, 0.325, 0.1]),
        ("cosine", [0.5, 1, 0.1 + 0.45 * (1 + 0.5**0.5), 0.55, 0.1 + 0.45 * (1 - 0.5**0.5), 0.1]),
        ("constant", [0.5, 1, 1, 1, 1, 1]),
    ],
)
def test_schedules_warm_up_and_end_where_they_shall(schedule: str, expected: list[float]) -> None:
    settings = config(6, lr=0.03, warmup=2, schedule=schedule, final_factor=0.1)
    rates = [step.lr for step in Trainer(bigrams(), data(), settings)]
    assert rates == pytest.approx([0.03 * factor for factor in expected])


def test_every_schedule_is_tried_here() -> None:
    assert set(SCHEDULES) == {"noam", "inverse_sqrt", "linear", "cosine", "constant"}


def test_a_warm_up_longer_than_the_training_is_cut_short() -> None:
    rates = [step.lr for step in Trainer(bigrams(), data(), config(2, lr=1.0, warmup=100, schedule="linear"))]
    assert rates == pytest.approx([0.01, 0.02])


def test_weight_decay_spares_biases_and_scales() -> None:
    model = bigrams()
    before = weights(model)
    trainer = Trainer(
        model, data(), config(1, optimizer="sgd", lr=1e-30, weight_decay=0.5e30, clip_norm=None, warmup=1)
    )
    list(trainer)  # the gradients count nothing beside the decay
    for name, value in weights(model).items():
        np.testing.assert_allclose(value, before[name] * (0.5 if value.ndim > 1 else 1), rtol=1e-6, atol=1e-20)


def test_clipping_by_norm_is_logged_as_it_was_done() -> None:
    batch, *_ = data().epoch(0)
    model = bigrams()
    before = weights(model)
    batch_loss(model, batch).backward()
    gradients = {name: p.grad.numpy().copy() for name, p in model.named_parameters()}
    joint = math.sqrt(sum((g.astype(float) ** 2).sum() for g in gradients.values()))
    sgd = {"optimizer": "sgd", "betas": (0.0, 0.9), "warmup": 1, "lr": 1.0, "label_smoothing": 0.0}
    trainer = Trainer(model, Listed([batch]), config(1, clip_norm=joint / 4, **sgd))
    (step,) = trainer
    assert step.gradient_norm == pytest.approx(joint, rel=1e-6) and step.clip_factor == pytest.approx(0.25, rel=1e-6)
    norms = dict(zip(trainer.parameter_names, step.gradient_norms, strict=True))
    assert norms == pytest.approx({name: np.linalg.norm(g) for name, g in gradients.items()}, rel=1e-5)
    for name, value in weights(model).items():
        np.testing.assert_allclose(value, before[name] - 0.25 * gradients[name], rtol=1e-5, atol=1e-7)
    (free,) = Trainer(bigrams(), Listed([batch]), config(1, clip_norm=joint * 1.01, **sgd))
    assert free.clip_factor == 1 and free.clipped_shares == ()


def test_clipping_by_value_comes_first_and_reports_the_clipped_share_of_each_gradient() -> None:
    batch, *_ = data().epoch(0)
    model = bigrams()
    before = weights(model)
    batch_loss(model, batch).backward()
    gradients = {name: p.grad.numpy().copy() for name, p in model.named_parameters()}
    sgd = {"optimizer": "sgd", "betas": (0.0, 0.9), "warmup": 1, "lr": 1.0, "label_smoothing": 0.0}
    (step,) = Trainer(model, Listed([batch]), config(1, clip_value=0.01, clip_norm=0.02, **sgd))
    assert step.clipped_shares == pytest.approx([np.mean(abs(g) > 0.01) for g in gradients.values()])
    assert max(step.clipped_shares) > 0
    limited = {name: np.clip(g, -0.01, 0.01) for name, g in gradients.items()}
    factor = 0.02 / math.sqrt(sum((g.astype(float) ** 2).sum() for g in limited.values()))
    assert step.clip_factor == pytest.approx(factor, rel=1e-5)
    assert step.gradient_norms == pytest.approx([np.linalg.norm(g) for g in gradients.values()], rel=1e-5)
    for name, value in weights(model).items():
        np.testing.assert_allclose(value, before[name] - factor * limited[name], rtol=1e-4, atol=1e-6)


def test_a_training_that_diverges_stops_before_it_spoils_the_model() -> None:
    model = bigrams()
    model.output.weight.data[:] = np.inf
    before = weights(model)
    with (
        np.errstate(all="ignore"),
        pytest.raises(ValueError, match=r"lr: the training diverged at step 1 .* longer warm-up"),
    ):
        list(Trainer(model, data(), config(3)))
    assert_same_bits(weights(model), before)


# What it keeps


def test_early_stopping_ends_the_training_and_keeps_the_best_weights() -> None:
    held_out = data(8, seed=1)
    model = bigrams()
    settings = config(400, lr=0.1, evaluate_every=5, patience=3)
    trainer = Trainer(model, data(3), settings, held_out=held_out)
    steps, seen = [], {}
    for step in trainer:
        steps.append(step)
        if step.held_out_loss is not None:
            seen[step.number] = (step.held_out_loss, weights(model))
    best = min(seen, key=lambda number: seen[number][0])
    assert steps[-1].number == best + 3 * 5 < 400 and trainer.finished
    assert_same_bits(weights(model), seen[best][1])
    assert held_out_loss(model, held_out.epoch(0)) == seen[best][0]
    assert [step.number % 5 == 0 for step in steps] == [step.held_out_loss is not None for step in steps]


def test_without_patience_the_last_weights_stay() -> None:
    model = bigrams()
    seen = [(step, weights(model)) for step in Trainer(model, data(), config(7, evaluate_every=3), held_out=data(8, 1))]
    assert [step.number for step, _ in seen if step.held_out_loss is not None] == [3, 6, 7]
    assert_same_bits(weights(model), seen[-1][1])


def test_averaging_ends_with_the_mean_of_the_weights_at_the_last_evaluations() -> None:
    model = bigrams()
    seen = {
        step.number: weights(model) for step in Trainer(model, data(), config(20, lr=0.1, evaluate_every=6, average=3))
    }
    for name, value in weights(model).items():
        mean = np.mean([seen[number][name] for number in (12, 18, 20)], axis=0, dtype=np.float64)
        np.testing.assert_array_equal(value, mean.astype(np.float32))


# bfloat16


def test_bfloat16_is_the_precision_of_products_and_exact_weights_are_updated() -> None:
    model = bigrams()
    seen = []
    model.output.register_forward_hook(lambda module, arguments, output: seen.append((arguments[0], output)))
    before = weights(model)
    batch, *_ = data().epoch(0)
    settings = config(
        1,
        optimizer="sgd",
        betas=(0.0, 0.9),
        lr=1e-6,
        warmup=1,
        precision="bfloat16",
        clip_norm=None,
        evaluate_every=1,
    )
    list(Trainer(model, Listed([batch]), settings, held_out=Listed([batch])))
    assert len(seen) == 2
    for (inputs, outputs), used in zip(seen, (before, weights(model)), strict=True):
        rows = inputs.data.reshape(-1, inputs.shape[-1])
        expected = kernels.matmul(rows, used["output.weight"].T, bias=used.get("output.bias"), precision="bfloat16")
        assert_same_bits({"": outputs.data.reshape(expected.shape)}, {"": expected})
    moved = weights(model)["output.weight"] - before["output.weight"]
    assert 0 < abs(moved).max() < 1e-5


def test_bfloat16_training_is_close_to_float32_but_not_the_same() -> None:
    plain, rounded = (
        [step.loss for step in Trainer(bigrams(), data(), config(40, lr=0.05, precision=precision))]
        for precision in ("float32", "bfloat16")
    )
    assert plain != rounded
    np.testing.assert_allclose(rounded, plain, rtol=0.02)


def test_an_error_within_a_step_leaves_the_exact_weights() -> None:
    model = bigrams()
    before = weights(model)
    batch = Batch((np.array([[1, 2]]),), np.array([[2, VOCABULARY]]))
    with pytest.raises(ValueError, match="target"):
        list(Trainer(model, Listed([batch]), config(1, precision="bfloat16")))
    assert_same_bits(weights(model), before)


# What it says


def test_the_log_has_a_header_and_a_line_for_each_step(tmp_path: Path) -> None:
    settings = config(6, evaluate_every=3, clip_norm=0.1, clip_value=0.05)
    trainer = Trainer(bigrams(), data(), settings, held_out=data(4, 1), directory=tmp_path / "run")
    steps = list(trainer)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert lines[0]["parameters"] == trainer.parameter_names and lines[0]["config"]["lr"] == 0.02
    assert set(lines[0]["versions"]) == {"minigrad", "numpy"}
    for step, line in zip(steps, lines[1:], strict=True):
        assert (line["step"], line["loss"], line["lr"], line["tokens"]) == (
            step.number,
            step.loss,
            step.lr,
            step.tokens,
        )
        assert line["clip_factor"] == step.clip_factor < 1
        assert line["gradient_norms"] == pytest.approx(step.gradient_norms, rel=6e-4)
        assert line["clipped_shares"] == pytest.approx(step.clipped_shares, rel=6e-4)
        assert line.get("held_out_loss") == step.held_out_loss
    assert lines[-1]["epoch"] > 0
    header, read = read_log(tmp_path / "run" / "log.jsonl")
    assert header == lines[0]
    assert [(step.number, step.loss, step.epoch) for step in read] == [(s.number, s.loss, s.epoch) for s in steps]


def test_a_log_that_is_being_written_is_read_to_its_last_whole_line(tmp_path: Path) -> None:
    list(Trainer(bigrams(), data(), config(3), directory=tmp_path))
    path = tmp_path / "log.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    assert len(read_log(path)[1]) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its first line is no header"),
        ('{"step": 1}\n', "its first line is no header"),
        ('{"parameters": []}\n{"step": 1}\n', "line 2: not a step"),
        ('{"parameters": []}\n[]\n', "line 2: not a step"),
        (
            '{"parameters": ["a"]}\n{"step": 1, "loss": 1, "tokens": 1, "seconds": 1, "lr": 1, "gradient_norm": 1}\n',
            "got 0",
        ),
    ],
)
def test_invalid_logs_are_refused_with_the_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_log(tmp_path / "log")


@pytest.mark.peers
def test_tensorboard_files_hold_every_figure(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="tensorboardX comes with the extra tensorboard")
    trainer = Trainer(bigrams(), data(), config(3, evaluate_every=3), held_out=data(4, 1))
    with TensorBoard(tmp_path, trainer.parameter_names) as board:
        for step in trainer:
            board(step)
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    for name in ("loss/training", "loss/held_out", "lr", "gradients/norm", "gradient_norm/output.weight"):
        assert name.encode() in content


def test_tensorboard_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ModuleNotFoundError, match=r"tensorboardX .* pip install 'minigrad-transformer\[tensorboard\]'"):
        TensorBoard(tmp_path)


# What is refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps: expected at least 1, got 0"),
        ({"accumulate": 0}, "accumulate: expected at least 1"),
        ({"clip_norm": 0.0}, "clip_norm: expected a positive number"),
        ({"clip_value": -1.0}, "clip_value: expected a positive number"),
        ({"lr": math.nan}, "lr: expected a positive number, got nan"),
        ({"lr": 0.1, "lr_factor": 2.0}, "lr_factor: multiplies the paper's peak, expected 1 beside lr=0.1, got 2.0"),
        ({"label_smoothing": 1.0}, r"expected a number in \[0, 1\)"),
        ({"seed": -1}, "seed: expected a number ≥ 0"),
        ({"schedule": "step"}, "schedule: expected one of noam, .*, got 'step'"),
        ({"optimizer": "lion"}, "optimizer: expected one of adam, .*, got 'lion'"),
        ({"precision": "float16"}, "precision: expected one of float32, bfloat16, got 'float16'"),
        ({"betas": (0.9, 1.0), "optimizer": "adamw"}, "betas"),
        ({"patience": 3}, "patience: counts evaluations, so evaluate_every must be set"),
        ({"average": 3}, "average: counts evaluations, so evaluate_every must be set"),
        ({"average": 3, "patience": 3, "evaluate_every": 2}, "average: expected 1 beside patience"),
        ({"patience": 3, "evaluate_every": 2}, "held_out: expected data, as patience"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Trainer(bigrams(), data(), config(**{"steps": 1, **changes}))


def test_data_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="evaluate_every: expected a number of steps, as there is held-out data"):
        Trainer(bigrams(), data(), config(1), held_out=data())
    with pytest.raises(ValueError, match="data: expected batches, got none in epoch 0"):
        list(Trainer(bigrams(), Listed([]), config(1)))
    with pytest.raises(ValueError, match="classes 0 to 10"):
        list(Trainer(bigrams(), SequenceBatches([[5, 99]], 8, 0), config(1)))


def test_so_many_batches_of_a_step_that_there_is_no_room_for_them_are_refused() -> None:
    assert config(1, accumulate=65536).accumulate == 65536
    with pytest.raises(ValueError, match=r"accumulate: expected at most 65,536, got 99,999,999,999"):
        config(1, accumulate=99_999_999_999)


@pytest.mark.parametrize(
    "content", [b"\xff\n", b"[" * 10**5 + b"\n", b'{"parameters": 7}\n', b'{"parameters": [[]]}\n']
)
def test_a_log_that_is_none_is_one_error_that_names_it(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(content + b"\n")
    with pytest.raises(ValueError, match="log: not a training log"):
        read_log(tmp_path / "log")


@pytest.mark.parametrize("line", ['{"step": [], "loss": 1}', "7", '{"step": 1, "loss": "x"}', "[" * 10**5])
def test_a_line_of_a_log_that_makes_no_sense_is_named(line: str, tmp_path: Path) -> None:
    (tmp_path / "log").write_text('{"parameters": []}\n' + line + "\n")
    with pytest.raises(ValueError, match="log, line 2: not a step of a training log"):
        read_log(tmp_path / "log")


@pytest.mark.parametrize("most", [1, 2, 3, 7, 9, 10, 100])
def test_of_a_long_log_some_steps_are_read_evenly_spaced(most: int, tmp_path: Path) -> None:
    header = '{"parameters": []}'
    step = '{"step": %d, "loss": 1, "tokens": 1, "seconds": 1, "lr": 1, "gradient_norm": 1}'
    (tmp_path / "log").write_text("\n".join([header, *(step % n for n in range(1, 11)), '{"step": 11, "lo']))
    numbers = [step.number for step in read_log(tmp_path / "log", most)[1]]
    assert len(numbers) == min(most, 10) and (numbers[-1] == 10 or most == 1)
    gaps = np.diff(numbers)
    assert not len(gaps) or gaps.max() - gaps.min() <= 1
    evaluated = (tmp_path / "log").read_text().replace('"step": 5, ', '"step": 5, "held_out_loss": 2, ')
    (tmp_path / "log").write_text(evaluated)
    assert [step.number for step in read_log(tmp_path / "log", most)[1]] == sorted({5, *numbers})
