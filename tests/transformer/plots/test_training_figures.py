"""Plots of a training: content and order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transformer.plots import gradient_norms, loss_curve
from transformer.plots.gradient_norms import save_gradient_picture
from transformer.plots.loss_curve import save_loss_curve
from transformer.train import Step

figure_module = pytest.importorskip("matplotlib.figure", reason="draws with matplotlib")


def _steps(count: int = 30, norms: tuple[float, ...] = (3.0, 4.0), **changes: Any) -> list[Step]:
    norm = float(np.hypot(*norms[:2]))
    return [Step(n, 5.0 / n, 10, 0.1, 1e-3, norm, gradient_norms=norms, **changes) for n in range(1, count + 1)]


def _figure(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The figure that the next picture is drawn on."""
    figure = figure_module.Figure(layout="constrained")
    for module in (loss_curve, gradient_norms):
        monkeypatch.setattr(module, "new_figure", lambda width, height: figure)
    return figure


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_both_pictures_are_written_in_every_format(suffix: str, tmp_path: Path) -> None:
    save_loss_curve(_steps(), tmp_path / f"loss.{suffix}")
    save_gradient_picture(_steps(), ["a.weight", "a.bias"], tmp_path / f"gradients.{suffix}", 1.0)
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    for path in tmp_path.iterdir():
        assert path.read_bytes().startswith(start)


def test_the_loss_curve_shows_training_and_held_out_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = _figure(monkeypatch)
    evaluated = [
        Step(40, 0.2, 10, 0.1, 1e-3, 1.0, held_out_loss=0.7),
        Step(50, 0.1, 10, 0.1, 1e-3, 1.0, held_out_loss=0.6),
    ]
    save_loss_curve([*_steps(), *evaluated], tmp_path / "loss.svg")
    lines = {line.get_label(): line.get_xydata().tolist() for line in figure.axes[0].lines}
    assert lines["held out"] == [[40, 0.7], [50, 0.6]]
    assert len(lines["training, each step"]) == 32


def test_the_heat_map_shows_each_parameters_share_of_the_squared_norm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = _figure(monkeypatch)
    save_gradient_picture(_steps(8, clip_factor=0.2), ["a", "b"], tmp_path / "g.svg", clip_norm=1.0)
    norms, factors, heat, _bar = figure.axes
    np.testing.assert_allclose(heat.images[0].get_array(), [[0.36] * 8, [0.64] * 8])
    assert [text.get_text() for text in heat.get_yticklabels()] == ["a", "b"]
    assert [line.get_label() for line in norms.lines] == ["before clipping", "limit 1"]
    assert "100% of the steps were clipped" in factors.get_title(loc="left")


def test_clipping_by_value_has_a_heat_map_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = _figure(monkeypatch)
    save_gradient_picture(_steps(5, clipped_shares=(0.25, 0.0)), ["a", "b"], tmp_path / "g.svg")
    (_, cut) = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    np.testing.assert_allclose(cut, [[0.25] * 5, [0.0] * 5])


def test_many_parameters_are_shown_by_module_and_their_shares_added_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = _figure(monkeypatch)
    names = [f"layers.{layer}.{part}.weight" for layer in range(30) for part in ("one", "two")]
    save_gradient_picture(_steps(500, (1.0,) * 60), names, tmp_path / "g.svg")
    heat = next(axes for axes in figure.axes if axes.images)
    assert [text.get_text() for text in heat.get_yticklabels()] == [f"layers.{layer}" for layer in range(30)]
    shares = heat.images[0].get_array()
    assert shares.shape == (30, gradient_norms.COLUMNS)
    np.testing.assert_allclose(shares, 1 / 30)


def test_invalid_arguments_are_refused(tmp_path: Path) -> None:
    for draw in (
        lambda: save_loss_curve([], tmp_path / "a.png"),
        lambda: save_gradient_picture([], [], tmp_path / "a.png"),
    ):
        with pytest.raises(ValueError, match="steps: expected at least one, got none"):
            draw()
    with pytest.raises(ValueError, match="parameters: expected 2 names, got 1"):
        save_gradient_picture(_steps(), ["a"], tmp_path / "a.png")
