"""Decoding steps as programs: the results of the model's own steps, for every architecture and format of weights."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import minigrad as mg
from transformer import CausalLM, Transformer, TransformerConfig
from transformer.decode.program import MOST_ROWS
from transformer.decode.state import PART, DecodingState
from transformer.model.layers import ACTIVATIONS

Array = np.ndarray[Any, Any]
FORMATS = (None, "bfloat16", "int8-weights", "int8")


def model_of(
    seed: int, kind: type[CausalLM] | type[Transformer], format: str | None, std: float = 0.3, **settings: Any
) -> Any:
    """A small model in float32 whose every parameter has a random value."""
    model = kind(TransformerConfig(vocab_size=40, max_length=64, bos_id=1, **settings))
    rng = np.random.default_rng(seed)
    for parameter in model.parameters():
        parameter.data[...] = rng.standard_normal(parameter.shape) * std
    model.eval()
    return model if format is None else model.quantize(format)


@st.composite
def settings_of_models(draw: st.DrawFn) -> dict[str, Any]:
    groups, shared = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    positions = ("sinusoidal", "learned", "rotary", "alibi", "relative", "none")
    return {
        "num_heads": groups * shared,
        "num_kv_heads": groups,
        "d_k": draw(st.sampled_from([2, 6, 16])),
        "d_model": draw(st.sampled_from([2, 34, 64])),
        "d_ff": draw(st.sampled_from([1, 33, 80])),
        "decoder_layers": draw(st.integers(1, 2)),
        "encoder_layers": 1,
        "positions": draw(st.sampled_from(positions)),
        "norm": draw(st.sampled_from(["layer", "rms", "rms_offset"])),
        "activation": draw(st.sampled_from(sorted(ACTIVATIONS))),
        "tie": draw(st.sampled_from(["all", "none"])),
        "window": draw(st.sampled_from([None, 1, 4])),
        **{
            name: draw(st.booleans())
            for name in ("norm_first", "bias", "output_bias", "scale_scores", "scale_embedding", "scale_output")
        },
        "embedding_norm": draw(st.booleans()),
        **draw(other_parts()),
    }


@st.composite
def other_parts(draw: st.DrawFn) -> dict[str, Any]:
    """Parts that few families have."""
    chosen = {
        "norm_queries": draw(st.sampled_from(["no", "by_head", "all_heads"])),
        "qkv_bias": draw(st.sampled_from([None, True, False])),
        "scale_by_layer": draw(st.booleans()),
        "softcap_scores": draw(st.sampled_from([None, 2.0])),
        "softcap_output": draw(st.sampled_from([None, 3.0])),
        "global_layers": draw(st.sampled_from([(), (0,)])),
        "rotary_local_base": draw(st.sampled_from([None, 50.0])),
        "rotary_width": 2,
    }
    first = {"norm_first": True, "parallel": draw(st.sampled_from(["no", "one_norm", "two_norms"]))}
    first["norm_outputs"] = draw(st.booleans())
    return draw(st.sampled_from([{}, chosen, chosen | first]))


def begun(model: Any, ids: Array, mask: Array, use_program: bool) -> DecodingState:
    going: DecodingState = model.begin(ids, mask)
    if not use_program:
        going.program = None
    return going


def assert_same(found: Array, expected: Array, format: str | None) -> None:
    """The same bits where weights are quantised; inner products of float32 are summed in another order."""
    if format is None:
        scale = max(1.0, float(abs(expected).max()))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * scale)
    else:
        np.testing.assert_array_equal(found, expected)


@settings(deadline=None, max_examples=60)
@given(
    chosen=settings_of_models(),
    kind=st.sampled_from([CausalLM, Transformer]),
    format=st.sampled_from(FORMATS),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_a_program_takes_the_steps_of_the_model(chosen, kind, format, seed, data):
    model = model_of(seed, kind, format, **chosen)
    rng = np.random.default_rng(seed)
    batch, length = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 6))
    ids = rng.integers(3, 40, (batch, length))
    mask = np.arange(length) >= rng.integers(0, length, batch)[:, None]
    states = [begun(model, ids, mask, use_program) for use_program in (True, False)]
    rows = batch
    for state in states:
        state.step(state.prompt)
    for step in range(6):
        tokens = rng.integers(3, 40, (rows, 1))
        found, expected = (state.step(tokens) for state in states)
        bounded = chosen.get("softcap_output") or chosen.get("softcap_scores")  # whose tanh rounds otherwise
        assert_same(found, expected, None if bounded else format)
        if step in (2, 4):  # as a beam search does, and texts that end
            kept = rng.integers(0, rows, data.draw(st.integers(1, rows)))
            rows = len(kept)
            for state in states:
                state.reorder(kept)
    assert states[0].program is not None
    assert states[0].program.programs
    assert None not in states[0].program.programs.values()


def going_state(format: str | None = "int8", **changes: Any) -> tuple[Any, DecodingState]:
    model = model_of(0, CausalLM, format, **{"d_model": 32, "d_ff": 48, "decoder_layers": 2, **changes})
    going = model.begin(np.array([[5, 6, 7], [8, 9, 10]]))
    for tokens in (going.prompt, [[3], [4]], [[5], [6]]):
        going.step(np.array(tokens))
    return model, going


def test_hooks_see_the_steps_that_follow():
    model, going = going_state()
    calls: list[int] = []
    handle = model.decoder.layers[0].register_forward_hook(lambda *_: calls.append(1))
    going.step(np.array([[3], [4]]))
    handle.remove()
    going.step(np.array([[3], [4]]))
    assert calls == [1]


def test_logits_of_earlier_steps_stay():
    _, going = going_state()
    first = going.step(np.array([[3], [4]]))
    kept = first.copy()
    going.step(np.array([[7], [8]]))
    np.testing.assert_array_equal(first, kept)


def test_more_rows_than_before_are_recorded_anew_and_very_many_are_the_models():
    model, going = going_state()
    other = begun(model, np.array([[5, 6, 7], [8, 9, 10]]), None, use_program=False)
    for tokens in (other.prompt, [[3], [4]], [[5], [6]]):
        other.step(np.array(tokens))
    for rows in (5, MOST_ROWS + 1, 3):
        kept, tokens = np.arange(rows) % 2, np.arange(rows)[:, None] % 37 + 3
        for state in (going, other):
            state.reorder(kept)
        for _ in range(2):
            np.testing.assert_allclose(going.step(tokens), other.step(tokens), atol=1e-5)


def test_models_in_float64_and_under_autocast_take_their_own_steps():
    model, _ = going_state(None)
    for parameter in model.parameters():
        parameter.data = parameter.data.astype(np.float64)
    going = model.begin(np.array([[5, 6, 7]]))
    for tokens in (going.prompt, [[3]], [[4]], [[5]]):
        found = going.step(np.array(tokens))
    expected = model(np.array([[5, 6, 7, 3, 4, 5]])).detach().numpy()[:, -1]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    (_, rounded), (_, exact) = going_state(None), going_state(None)
    with mg.autocast():
        found = rounded.step(np.array([[3], [4]]))
    assert not np.array_equal(found, exact.step(np.array([[3], [4]])))


@pytest.mark.parametrize("positions", ["rotary", "alibi", "relative"])
@pytest.mark.parametrize("window", [None, 5])
def test_long_prompts_are_read_in_parts(positions, window):
    model = model_of(0, CausalLM, None, d_model=16, num_heads=2, d_ff=16, positions=positions, window=window)
    ids = np.random.default_rng(0).integers(3, 40, (2, 2 * PART + 5))
    ids[0, :9] = 0  # padding
    lengths: list[int] = []
    handle = model.decoder.layers[0].register_forward_hook(lambda layer, args, output: lengths.append(output.shape[1]))
    found = model.begin(ids).step(ids)
    handle.remove()
    assert lengths == [PART, PART, 5]
    np.testing.assert_allclose(found, model(ids).detach().numpy()[:, -1], atol=1e-4)


@pytest.mark.parametrize("beams", [1, 3])
def test_the_cache_is_allocated_once(beams):
    model = model_of(0, CausalLM, None, d_model=16, num_heads=2, d_ff=16)
    states: list[DecodingState] = []
    stores: set[int] = set()
    begin = model.begin

    def watched(*args: Any, **choices: Any) -> DecodingState:
        state: DecodingState = begin(*args, **choices)
        states.append(state)
        step = state.step

        def stepped(tokens: Array) -> Array:
            logits = step(tokens)
            stores.update(store.ctypes.data for store in state._cache.layers[0].self_attention.stores)
            return logits

        state.step = stepped
        return state

    model.begin = watched
    model.generate(np.array([[5, 6, 7], [8, 9, 10]]), max_new_tokens=50, num_beams=beams, eos_token_id=())
    assert len(stores) == 2


def logits_of(model: Any, prompt: Array, use_program: bool = True) -> Array:
    going = begun(model, prompt, None, use_program)
    for tokens in (prompt, [[3], [4]], [[5], [6]]):
        logits = going.step(np.array(tokens))
    return logits


@pytest.mark.parametrize("format", FORMATS)
def test_a_program_serves_later_texts_and_sees_weights_that_have_changed(format):
    model = model_of(0, CausalLM, format, d_model=32, d_ff=48)
    prompt = np.array([[5, 6, 7], [8, 9, 10]])
    logits_of(model, prompt)
    going = model.begin(prompt)
    assert going.program.programs
    before = logits_of(model, prompt)
    state = {name: np.array(value) for name, value in model.state_dict().items()}
    for name in state:
        state[name] = np.roll(state[name], 1, axis=0)
    model.load_state_dict(state)
    found = logits_of(model, prompt)
    assert not np.allclose(found, before, atol=1e-3)
    assert_same(found, logits_of(model, prompt, use_program=False), format)
    for module in model.modules():  # others take their place
        for value in vars(module).values():
            if isinstance(value, mg.Tensor) and value.dtype == np.float32:
                value.data = value.data * np.float32(1.5)
    assert_same(logits_of(model, prompt), logits_of(model, prompt, use_program=False), format)


def test_programs_do_not_keep_weights_alive():
    model = model_of(0, CausalLM, None, d_model=32, d_ff=48)
    logits_of(model, np.array([[5, 6, 7], [8, 9, 10]]))
    weight = weakref.ref(model.decoder.layers[0].feed_forward.expand.weight.data)
    model.quantize("int8")
    assert weight() is None


def test_a_part_that_takes_anothers_place_is_seen():
    model = model_of(0, CausalLM, "int8", d_model=32, d_ff=48, activation="relu")
    prompt = np.array([[5, 6, 7], [8, 9, 10]])
    before = logits_of(model, prompt)
    for layer in model.decoder.layers:
        layer.feed_forward.activation.function = mg.sigmoid
    found = logits_of(model, prompt)
    assert not np.allclose(found, before, atol=1e-3)
    np.testing.assert_array_equal(found, logits_of(model, prompt, use_program=False))


@pytest.mark.parametrize("format", FORMATS)
def test_models_that_are_worth_several_threads(format):
    sizes = {"d_model": 192, "num_heads": 6, "num_kv_heads": 3, "d_ff": 512, "decoder_layers": 2}
    model = model_of(0, CausalLM, format, 0.1, positions="rotary", norm="rms", activation="swiglu", **sizes)
    rng = np.random.default_rng(0)
    prompt = rng.integers(3, 40, (5, 40))
    program, own = (begun(model, prompt, None, use_program) for use_program in (True, False))
    for tokens in (prompt, *rng.integers(3, 40, (10, 5, 1))):
        assert_same(program.step(tokens), own.step(tokens), format)
