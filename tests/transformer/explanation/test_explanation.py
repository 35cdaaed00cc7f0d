"""The numbers of an explanation page are those of the model, for each architecture."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from tests.transformer.conftest import ARCHITECTURES, model_in_float64
from transformer import (
    CausalLM,
    MaskedLM,
    Tokenizer,
    Transformer,
    TransformerConfig,
    explain,
    record_attention,
)
from transformer.data.tokenizer import MASK, SPECIAL
from transformer.explanation.recording import Run, Sublayer, record
from transformer.explanation.steps import KINDS, source_of
from transformer.plots.reading import read

Array = np.ndarray[Any, Any]
FAMILY = (Transformer, CausalLM, MaskedLM)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(["one two three", "eins zwei drei"], 300, special=[*SPECIAL, MASK])


def _model(kind: Any, **changes: Any) -> Any:
    return model_in_float64(kind, **{"mask_id": 3, **changes})


def _data(page: Any) -> Any:
    (text,) = re.findall(r'id="data">(.*?)</script>', page.to_html(), re.DOTALL)
    return json.loads(text)


def _unpacked(array: dict[str, Any]) -> Array:
    levels = np.frombuffer(base64.b64decode(array["data"]), f"<u{array['size']}")
    step = (array["high"] - array["low"]) / (256 ** array["size"] - 1)
    return (array["low"] + levels * step).reshape(array["shape"])


def _sublayers(run: Run) -> list[tuple[str, Sublayer]]:
    names = {"sublayer": "feed_forward"}
    return [
        (f"{stack.name}.layers.{number}.{names.get(part.kind, part.kind)}", part)
        for stack in run.stacks
        for number, layer in enumerate(stack.layers)
        for part in layer
    ]


@pytest.mark.parametrize("kind", FAMILY)
@pytest.mark.parametrize("changes", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_each_step_follows_from_the_ones_before_it(kind: Any, changes: dict[str, Any]) -> None:
    model = _model(kind, **changes)
    sequences = ([5, 6, 3, 8, 2], [1, 11, 12]) if kind is Transformer else ([5, 6, 3, 8, 2],)
    run = record(model, *sequences)
    with mg.no_grad(), record_attention(model) as recorded:
        np.testing.assert_array_equal(run.logits, model(*(np.array([ids]) for ids in sequences)).numpy()[0])
    attentions = [(name, part) for name, part in _sublayers(run) if part.kind != "sublayer"]
    assert {name for name, _ in attentions} == set(recorded)
    for name, part in attentions:
        steps = {step.kind.removeprefix("rotated_"): step.values for step in part.steps}
        np.testing.assert_array_equal(steps["weights"], recorded[name].numpy()[0])
        *_, scores = (step.values for step in part.steps if step.kind.endswith("scores"))
        hidden = np.where(steps.get("mask", True), scores, -np.inf)
        shares = np.exp(hidden - hidden.max(-1, keepdims=True))
        np.testing.assert_allclose(steps["weights"], shares / shares.sum(-1, keepdims=True), atol=1e-6)
        value = np.repeat(steps["value"], len(steps["weights"]) // len(steps["value"]), axis=0)
        np.testing.assert_allclose(steps["context"], steps["weights"] @ value, rtol=1e-5, atol=1e-5)
    tables = dict(model.named_modules())
    for stack in run.stacks:
        *summands, total = stack.embedding
        tokens = tables[stack.name].tokens
        np.testing.assert_allclose(
            summands[0].values, tokens.weight.detach().numpy()[stack.ids] * tokens.scale, atol=1e-6
        )
        x = np.sum([step.values for step in summands], axis=0)
        if total.kind == "normed_input":
            x = tables[stack.name].embedding_norm(mg.asarray(x)).detach().numpy()
        np.testing.assert_allclose(total.values, x, atol=1e-6)


@pytest.mark.parametrize("kind", FAMILY)
def test_the_page_holds_the_numbers_of_the_run(kind: Any, tokenizer: Tokenizer) -> None:
    model = _model(kind)
    target = "eins zwei drei" if kind is Transformer else None
    data = _data(explain(model, tokenizer, "one two three", target, max_new_tokens=4))
    run = record(model, *read(model, tokenizer, "one two three", target, max_new_tokens=4).stacks.values())
    for stack, shown in zip(run.stacks, data["stacks"], strict=True):
        assert (stack.name, stack.ids) == (shown["name"], shown["ids"])
        for layer, shown_layer in zip(stack.layers, shown["layers"], strict=True):
            for part, shown_part in zip(layer, shown_layer, strict=True):
                for step, shown_step in zip(part.steps, shown_part["steps"], strict=True):
                    array = data["arrays"][shown_step["array"]]
                    error = (array["high"] - array["low"]) / (2 * (256 ** array["size"] - 1))
                    assert np.abs(_unpacked(array) - step.values).max() <= error * (1 + 1e-9)
    logits = _unpacked(data["arrays"][data["next"]["logits"]])
    np.testing.assert_allclose(logits, -np.sort(-run.logits, axis=-1), atol=np.ptp(run.logits) / 131_000)
    assert data["notes"] == []


def test_a_large_vocabulary_keeps_its_probabilities(tokenizer: Tokenizer) -> None:
    model = _model(CausalLM, vocab_size=60_000)
    data = _data(explain(model, tokenizer, "one two three", max_new_tokens=0))
    run = record(model, *read(model, tokenizer, "one two three").stacks.values())
    logits, counts = _unpacked(data["arrays"][data["next"]["logits"]]), np.array(data["next"]["counts"])
    assert counts.sum() == 60_000 and logits.shape[1] == len(counts) < 1000
    for temperature in (0.5, 1.0, 2.0):
        masses = counts * np.exp((logits - logits[:, :1]) / temperature)
        exact = np.exp((run.logits - run.logits.max(-1, keepdims=True)) / temperature)
        likeliest = 1 / masses.sum(-1)
        np.testing.assert_allclose(likeliest, 1 / exact.sum(-1), rtol=2e-3)


def test_long_texts_and_wide_models_say_what_is_left_out(tokenizer: Tokenizer) -> None:
    model = _model(Transformer)
    notes = _data(explain(model, tokenizer, "one two three one two", "eins zwei drei eins", max_tokens=3))["notes"]
    assert len(notes) == 2 and re.fullmatch(r"of the \d+ tokens of the encoder only 1 to 3 are here", notes[0])
    last = _data(explain(_model(CausalLM), tokenizer, "one two three", max_new_tokens=5, max_tokens=3))
    (length, end) = re.findall(r"of the (\d+) tokens .* to (\d+) are here", last["notes"][0])[0]
    assert length == end and len(last["stacks"][0]["tokens"]) == 3


def test_a_window_of_a_run_has_the_numbers_of_the_whole_run() -> None:
    model, sequences = _model(Transformer), ([5, 6, 3, 8, 2], [1, 11, 12, 13])
    windows = {"encoder": slice(1, 4), "decoder": slice(2, 4)}
    whole, part = record(model, *sequences), record(model, *sequences, windows=windows)
    np.testing.assert_array_equal(part.logits, whole.logits[2:])
    assert [stack.ids for stack in part.stacks] == [[6, 3, 8], [12, 13]]
    for rows, (_, one), (_, other) in zip(
        [slice(1, 4)] * 4 + [slice(2, 4)] * 6, _sublayers(whole), _sublayers(part), strict=True
    ):
        for expected, found in zip(one.steps, other.steps, strict=True):
            columns = slice(None) if found.keys is None else windows[found.keys]
            np.testing.assert_array_equal(found.values, expected.values[..., rows, columns])


@pytest.mark.parametrize(("positions", "kind"), [("rotary", "rotated_query"), ("learned", "query")])
def test_rotated_queries_are_named_so_also_at_the_first_position(positions: str, kind: str) -> None:
    run = record(_model(CausalLM, positions=positions), [5])
    assert kind in [step.kind for step in run.stacks[0].layers[0][0].steps]


def test_layers_that_are_one_module_have_numbers_of_their_own() -> None:
    model = _model(CausalLM)
    for mine, other in zip(model.decoder.layers[1].parameters(), model.decoder.layers[0].parameters(), strict=True):
        mine.data[...] = other.data
    expected = record(model, [5, 6, 7])
    model.decoder.layers = nn.ModuleList([model.decoder.layers[0]] * 2)
    for (_, one), (_, two) in zip(_sublayers(expected), _sublayers(record(model, [5, 6, 7])), strict=True):
        for step, found in zip(one.steps, two.steps, strict=True):
            np.testing.assert_array_equal(found.values, step.values)


def test_a_mask_far_into_a_text_is_shown(tokenizer: Tokenizer) -> None:
    data = _data(explain(_model(MaskedLM), tokenizer, "one two three one two three [MASK] one", max_tokens=4))
    (place,) = data["places"]
    assert len(data["stacks"][0]["tokens"]) == 4 and data["stacks"][0]["ids"][place] == tokenizer.mask_id


def test_a_long_text_of_a_small_vocabulary_keeps_all_logits(tokenizer: Tokenizer) -> None:
    model = _model(CausalLM, max_length=1024, decoder_layers=1)
    data = _data(explain(model, tokenizer, "one two three " * 60, max_new_tokens=200, max_tokens=1000))
    assert data["next"]["counts"] == [1] * 300
    assert data["arrays"][data["next"]["logits"]]["shape"] == [len(data["stacks"][0]["ids"]), 300]


def test_logits_far_apart_are_numbers(tokenizer: Tokenizer) -> None:
    model = _model(CausalLM, vocab_size=60_000)
    model.output.weight.data *= 1000
    data = _data(explain(model, tokenizer, "one two three", max_new_tokens=0))
    assert np.isfinite(data["arrays"][data["next"]["logits"]]["low"])


def test_a_model_that_diverged_is_an_error(tokenizer: Tokenizer) -> None:
    model = _model(MaskedLM)
    model.norm.weight.data[:] = np.nan
    with pytest.raises(ValueError, match="model: expected finite logits"):
        explain(model, tokenizer, "one")


@pytest.mark.slow
def test_twelve_layers_of_twelve_heads_over_forty_tokens_stay_under_three_megabytes(tokenizer: Tokenizer) -> None:
    sizes: Any = {"d_model": 768, "d_ff": 3072, "num_heads": 12, "max_length": 64}
    model = CausalLM(TransformerConfig(vocab_size=50_257, decoder_layers=12, **sizes))
    (ids,) = tokenizer.encode(["one two three " * 30], add_special_tokens=False)
    page = explain(model, tokenizer, tokenizer.decode([ids[:36]])[0], max_new_tokens=4)
    data = _data(page)
    assert len(data["stacks"][0]["tokens"]) == 40 and len(page.to_html().encode()) < 3_000_000
    assert all(
        step["array"] is not None for layer in data["stacks"][0]["layers"] for part in layer for step in part["steps"]
    )
    translator = Transformer(TransformerConfig(vocab_size=1000, encoder_layers=12, decoder_layers=12, **sizes))
    page = explain(translator, tokenizer, "one two three " * 9, "eins zwei drei " * 8)
    assert len(page.to_html().encode()) < 3_000_000 and _data(page)["notes"]


def test_every_kind_of_step_finds_its_line_of_code() -> None:
    for name in KINDS:
        found = source_of(name)
        assert found.lines, name
        assert all(KINDS[name].line in found.text.splitlines()[line - found.start] for line in found.lines)


def test_texts_cannot_become_markup(tokenizer: Tokenizer) -> None:
    page = explain(_model(CausalLM), tokenizer, "</script><b>one", max_new_tokens=1).to_html()
    assert "<b>one" not in page and page.count("</script>") == 2


def test_a_notebook_shows_the_page_in_a_frame(tokenizer: Tokenizer) -> None:
    shown = explain(_model(CausalLM), tokenizer, "one", max_new_tokens=1)._repr_html_()
    assert shown.startswith("<iframe srcdoc=") and shown.count("<") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": " "}, "source: expected a sentence"),
        ({"source": "one", "target": "eins"}, "target: expected None for a CausalLM"),
        ({"source": "one", "max_tokens": 0}, "max_tokens: expected at least 1, got 0"),
        ({"source": "one", "max_new_tokens": -1}, "max_new_tokens: expected"),
        ({"source": "one " * 100}, "max_length=64"),
    ],
)
def test_bad_input_is_one_clear_error(arguments: dict[str, Any], message: str, tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        explain(_model(CausalLM), tokenizer, **arguments)


def test_a_page_is_saved_as_html_only(tokenizer: Tokenizer, tmp_path: Any) -> None:
    page = explain(_model(CausalLM), tokenizer, "one", max_new_tokens=1)
    page.save(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text("utf-8") == page.to_html()
    with pytest.raises(ValueError, match=r"ending in \.html, got 'page\.svg'"):
        page.save(tmp_path / "page.svg")
