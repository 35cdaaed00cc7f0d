"""The picture of one attention block: of a translation, a prompt, a text."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import minigrad as mg
from minigrad import viz
from transformer.data.tokenizer import MASK, SPECIAL, Tokenizer
from transformer.model.attention import record_attention
from transformer.model.config import TransformerConfig
from transformer.model.lora import LoraConfig
from transformer.plots.attention import draw_attention
from transformer.plots.attention_heatmap import colour, heatmaps
from transformer.pretrained import CausalLM, Encoder, MaskedLM, Transformer

SOURCE, TARGET = "ab cd 12", "xy zw 3"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train([SOURCE, TARGET] * 5, 280, special=[*SPECIAL, MASK])


@pytest.fixture(scope="module")
def model() -> Transformer:
    mg.manual_seed(0)
    return Transformer(small())


def small(**changes: Any) -> TransformerConfig:
    sizes = {"vocab_size": 280, "d_model": 16, "num_heads": 2, "d_ff": 32, "encoder_layers": 2, "decoder_layers": 2}
    return TransformerConfig(**{**sizes, **changes})


def texts(picture: viz.Graph) -> list[str]:
    root = ElementTree.fromstring(picture._repr_svg_())
    return [(element.text or "").strip() for element in root.iter(f"{SVG}text")]


def rows_of_cells(source: str, head: str) -> list[list[str]]:
    """The colours of a head's cells, row by row, from the DOT source."""
    table = source[source.index(f">{head}</TD>") :]
    table = table[: table.index("</TABLE>")]
    rows = [re.findall(r'BGCOLOR="(#\w{6})"', row) for row in table.split("<TR>")]
    return [row for row in rows if row]


def test_the_recorded_operations_stand_from_projections_to_output(model: Transformer, tokenizer: Tokenizer) -> None:
    shown = texts(draw_attention(model, tokenizer, SOURCE, TARGET))
    for step in ("Q · queries", "K · keys", "V · values", "Q Kᵀ", "softmax", "weights · V"):
        assert step in shown, step
    assert shown.count("split into 2 heads") == 3
    assert "concatenate 2 heads" in shown
    assert "scale by 1/√8" in shown
    assert "multiply × 0.3536" in shown
    assert shown.count("272 parameters") == 4
    assert f"{SOURCE} → {TARGET}" in shown
    assert "decoder.layers.1.cross_attention · 2 heads · 1,088 parameters" in shown


def test_edges_have_the_shapes_of_this_translation(model: Transformer, tokenizer: Tokenizer) -> None:
    read, asked = (len(tokenizer.encode([text])[0]) for text in (SOURCE, TARGET))
    shown = texts(draw_attention(model, tokenizer, SOURCE, TARGET))
    assert {f"1×2×{asked}×8", f"1×2×8×{read}", f"1×2×{asked}×{read}", f"1×{asked}×16"} <= set(shown)


@pytest.mark.parametrize(
    "layer", ["encoder.layers.0.self_attention", "decoder.layers.0.self_attention", "decoder.layers.1.cross_attention"]
)
def test_the_heatmaps_show_the_layer_s_own_weights(model: Transformer, tokenizer: Tokenizer, layer: str) -> None:
    source = draw_attention(model, tokenizer, SOURCE, TARGET, layer=layer).to_dot()
    source_ids, target_ids = tokenizer.encode([SOURCE])[0], tokenizer.encode([TARGET])[0]
    model.eval()
    with mg.no_grad(), record_attention(model) as weights:
        model(np.array([source_ids]), np.array([[tokenizer.bos_id, *target_ids[:-1]]]))
    for number, head in enumerate(weights[layer].data[0]):
        assert rows_of_cells(source, f"head {number}") == [[colour(weight) for weight in row] for row in head.tolist()]


def titles(picture: viz.Graph) -> list[str]:
    root = ElementTree.fromstring(picture._repr_svg_())
    return [element.text or "" for element in root.iter(f"{SVG}title")]


def test_tokens_label_rows_and_a_pointer_on_a_cell_is_shown_both_and_the_weight(
    model: Transformer, tokenizer: Tokenizer
) -> None:
    picture = draw_attention(model, tokenizer, SOURCE, TARGET)
    read, asked = tokenizer.encode([SOURCE])[0], tokenizer.encode([TARGET])[0]
    with mg.no_grad(), model.evaluating(), record_attention(model) as weights:
        model(np.array([read]), np.array([[tokenizer.bos_id, *asked[:-1]]]))
    keys, queries = ([token.strip() or "·" for token in tokenizer.tokens(ids)] for ids in (read, asked))
    assert set(queries) <= set(texts(picture))
    shown = titles(picture)
    for head in weights["decoder.layers.1.cross_attention"].data[0]:
        for query, line in zip(queries, head, strict=True):
            for key, weight in zip(keys, line, strict=True):
                assert f"{query} → {key}: {weight:.3f}" in shown


def test_chosen_heads_and_their_mean(model: Transformer, tokenizer: Tokenizer) -> None:
    everything = draw_attention(model, tokenizer, SOURCE, TARGET).to_dot()
    second = draw_attention(model, tokenizer, SOURCE, TARGET, heads=[1]).to_dot()
    assert "head 0" not in second
    assert rows_of_cells(second, "head 1") == rows_of_cells(everything, "head 1")
    mean = draw_attention(model, tokenizer, SOURCE, TARGET, heads="mean").to_dot()
    with mg.no_grad(), model.evaluating(), record_attention(model) as weights:
        model(
            *(
                np.array([ids])
                for ids in (tokenizer.encode([SOURCE])[0], [tokenizer.bos_id, *tokenizer.encode([TARGET])[0][:-1]])
            )
        )
    expected = weights["decoder.layers.1.cross_attention"].data[0].mean(0)
    assert rows_of_cells(mean, "mean of 2 heads") == [[colour(weight) for weight in row] for row in expected.tolist()]


@pytest.mark.parametrize("heads", [[2], [-1], [], [0, 0], "all", [True], [0.0]])
def test_heads_that_do_not_exist_are_refused(model: Transformer, tokenizer: Tokenizer, heads: Any) -> None:
    with pytest.raises(ValueError, match="heads: expected different numbers of heads from 0 to 1, or 'mean', got"):
        draw_attention(model, tokenizer, SOURCE, TARGET, heads=heads)


def test_values_are_hundredths_of_each_weight(model: Transformer, tokenizer: Tokenizer) -> None:
    plain, numbered = (draw_attention(model, tokenizer, SOURCE, TARGET, values=values) for values in (False, True))
    weights = [float(title.rpartition(": ")[2]) for title in titles(numbered) if re.search(r": \d\.\d{3}$", title)]
    numbers = [text for text in texts(numbered) if re.fullmatch(r"\d{1,3}", text)]
    assert len(weights) == 2 * len(tokenizer.encode([SOURCE])[0]) * len(tokenizer.encode([TARGET])[0])
    assert len(numbers) - sum(bool(re.fullmatch(r"\d{1,3}", text)) for text in texts(plain)) == len(weights)


def test_cells_are_squares_of_one_size(model: Transformer, tokenizer: Tokenizer) -> None:
    source = draw_attention(model, tokenizer, SOURCE, TARGET).to_dot()
    sizes = set(re.findall(r'FIXEDSIZE="TRUE" WIDTH="(\d+)" HEIGHT="(\d+)" HREF', source))
    assert len(sizes) == 1 and all(width == height for width, height in sizes)


def test_many_heads_and_tokens_stay_on_a_page(tokenizer: Tokenizer) -> None:
    writer = CausalLM(small(num_heads=8, max_length=64))
    picture = draw_attention(writer, tokenizer, "ab cd 12 " * 8, max_tokens=34)
    view = ElementTree.fromstring(picture._repr_svg_()).attrib["viewBox"].split()
    width, height = float(view[2]), float(view[3])
    assert 0.5 < width / height < 2


def test_the_overview_has_a_map_for_each_head_of_each_layer(model: Transformer, tokenizer: Tokenizer) -> None:
    picture = draw_attention(model, tokenizer, SOURCE, TARGET, layer="all")
    layers = [
        f"{stack}.layers.{i}.{kind}_attention"
        for stack, kind in (("encoder", "self"), ("decoder", "self"), ("decoder", "cross"))
        for i in range(2)
    ]
    assert set(layers) <= set(texts(picture))
    assert {f"{layer} · head {head}" for layer in layers for head in range(2)} <= set(titles(picture))
    with pytest.raises(ValueError, match="values: expected False"):
        draw_attention(model, tokenizer, SOURCE, TARGET, layer="all", values=True)


def test_a_mask_is_written_as_at_the_command(tokenizer: Tokenizer) -> None:
    reader = MaskedLM(small(mask_id=tokenizer.mask_id))
    named, given = (draw_attention(reader, tokenizer, text) for text in ("ab [MASK] 12", f"ab{MASK} 12"))
    assert MASK in texts(named)
    assert rows_of_cells(named.to_dot(), "head 0") == rows_of_cells(given.to_dot(), "head 0")


def test_parts_of_letters_are_shown_as_bytes(model: Transformer, tokenizer: Tokenizer) -> None:
    shown = texts(draw_attention(model, tokenizer, SOURCE, "xy 日"))
    assert {"<0xE6>", "<0x97>", "<0xA5>"} <= set(shown)


def rows_of_mask(source: str) -> list[list[bool]]:
    """The cells of the mask, row by row, from the DOT source: whether they are dark."""
    table = source[source.index(">mask ") :]
    rows = [re.findall(r'BGCOLOR="(#\w{6})"', row) for row in table[: table.index("dark: may attend")].split("<TR>")]
    return [[shade != colour(0) for shade in row] for row in rows if row]


@pytest.mark.parametrize("window", [None, 2])
@pytest.mark.parametrize("positions", ["sinusoidal", "rotary", "alibi", "relative"])
def test_a_prompt_is_drawn_with_the_causal_mask_and_its_weights(
    tokenizer: Tokenizer, positions: str, window: int | None
) -> None:
    writer = CausalLM(small(positions=positions, window=window))
    picture = draw_attention(writer, tokenizer, SOURCE)
    (ids,) = tokenizer.encode([SOURCE], add_special_tokens=False)
    source, length = picture.to_dot(), len(ids)
    visible = [[0 <= query - key < (window or length) for key in range(length)] for query in range(length)]
    assert rows_of_mask(source) == visible
    with mg.no_grad(), writer.evaluating(), record_attention(writer) as weights:
        writer(np.array([ids]))
    for number, head in enumerate(weights["decoder.layers.1.self_attention"].data[0]):
        assert rows_of_cells(source, f"head {number}") == [[colour(weight) for weight in row] for row in head.tolist()]
    shown = texts(picture)
    assert f"mask {length}×{length}" in shown
    assert shown.count("turn by the position") == (2 if positions == "rotary" else 0)
    assert shown.count("position bias") == (positions in ("alibi", "relative"))
    step = "add position bias, mask" if positions in ("alibi", "relative") else "mask"
    assert shown.count(step) == 1 and shown.count("mask") == (step == "mask")  # nothing of it is left beside it
    assert SOURCE in shown and "decoder.layers.1.self_attention · 2 heads · 1,088 parameters" in shown


def test_a_targets_own_attention_has_the_causal_mask(model: Transformer, tokenizer: Tokenizer) -> None:
    picture = draw_attention(model, tokenizer, SOURCE, TARGET, layer="decoder.layers.0.self_attention")
    length = len(tokenizer.encode([TARGET])[0])
    assert rows_of_mask(picture.to_dot()) == np.tri(length, dtype=bool).tolist()
    assert f"mask {length}×{length}" in texts(picture)


@pytest.mark.parametrize("positions", ["learned", "rotary", "alibi", "relative"])
def test_a_text_with_masks_is_drawn_without_one_over_the_scores(tokenizer: Tokenizer, positions: str) -> None:
    reader = MaskedLM(small(positions=positions, mask_id=tokenizer.mask_id))
    shown = texts(draw_attention(reader, tokenizer, f"ab{MASK} 12"))
    assert "encoder.layers.1.self_attention · 2 heads · 1,088 parameters" in shown
    assert MASK in shown  # one token
    assert "dark: may attend" not in shown
    assert ("add position bias" in shown) == (positions in ("alibi", "relative"))


def test_a_window_hides_both_sides_of_an_encoder(tokenizer: Tokenizer) -> None:
    picture = draw_attention(MaskedLM(small(window=2)), tokenizer, SOURCE)
    places = np.arange(len(tokenizer.encode([SOURCE])[0]))
    assert rows_of_mask(picture.to_dot()) == (np.abs(places[:, None] - places) < 2).tolist()


def test_heads_that_share_keys_are_counted(tokenizer: Tokenizer) -> None:
    shown = texts(draw_attention(CausalLM(small(num_heads=4, num_kv_heads=1)), tokenizer, SOURCE))
    assert shown.count("split into 4 heads") == 1 and shown.count("split into 1 head") == 2
    assert any(text.startswith("decoder.layers.1.self_attention · 4 heads, 1 of keys and values") for text in shown)


def test_scores_that_are_not_scaled_say_so(tokenizer: Tokenizer) -> None:
    shown = texts(draw_attention(CausalLM(small(scale_scores=False)), tokenizer, SOURCE))
    assert "scale by 1" in shown and "multiply × 1" in shown


def test_invalid_arguments_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="target: expected None for a CausalLM, which reads one text only"):
        draw_attention(CausalLM(small()), tokenizer, SOURCE, TARGET)
    with pytest.raises(TypeError, match="model: expected a Transformer, CausalLM or MaskedLM, got Encoder"):
        draw_attention(Encoder(small()), tokenizer, SOURCE)


def test_long_texts_are_cut_in_the_title(tokenizer: Tokenizer) -> None:
    shown = texts(draw_attention(CausalLM(small()), tokenizer, "ab cd " * 40))
    assert any(text.startswith("ab cd ab cd") and text.endswith("…") and len(text) <= 60 for text in shown)


def test_the_translation_is_the_model_s_own_by_default(model: Transformer, tokenizer: Tokenizer) -> None:
    assert any(text.startswith(f"{SOURCE} →") for text in texts(draw_attention(model, tokenizer, SOURCE)))


def test_long_sentences_are_cut_with_a_note(model: Transformer, tokenizer: Tokenizer) -> None:
    picture = draw_attention(model, tokenizer, SOURCE, TARGET, max_tokens=3)
    assert np.shape(rows_of_cells(picture.to_dot(), "head 0")) == (3, 3)
    assert any("the first 3 of" in text for text in texts(picture))


def test_the_model_s_mode_and_gradients_stay_as_they_were(model: Transformer, tokenizer: Tokenizer) -> None:
    model.train()
    draw_attention(model, tokenizer, SOURCE, TARGET)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_an_unknown_layer_is_refused_with_those_that_exist(model: Transformer, tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match=r"layer: expected one of encoder\.layers\.0\.self_attention, .*got 'encoder'"):
        draw_attention(model, tokenizer, SOURCE, TARGET, layer="encoder")


def test_an_empty_source_is_refused(model: Transformer, tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="source: expected a sentence"):
        draw_attention(model, tokenizer, "  ")


def test_max_tokens_must_be_positive(model: Transformer, tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="max_tokens: expected at least 1, got 0"):
        draw_attention(model, tokenizer, SOURCE, TARGET, max_tokens=0)


def test_colours_have_six_digits_and_darken_with_the_weight() -> None:
    shades = [colour(weight) for weight in np.linspace(0, 1, 11)]
    brightness = [sum(int(shade[i : i + 2], 16) for i in (1, 3, 5)) for shade in shades]
    assert all(re.fullmatch("#[0-9A-F]{6}", shade) for shade in shades)
    assert brightness == sorted(brightness, reverse=True)
    assert shades[0] == "#FFFFFF"


def test_tokens_that_are_control_characters_leave_the_picture_well_formed(
    model: Transformer, tokenizer: Tokenizer
) -> None:
    picture = draw_attention(model, tokenizer, SOURCE, "xy\x0c zw\x14")
    ElementTree.fromstring(picture._repr_svg_())


def test_a_letter_stays_with_its_marks_and_a_joined_emoji_whole() -> None:
    thai, family = "\u0e2a\u0e27\u0e31", "\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}"
    table = heatmaps([("head 0", np.eye(2))], [thai, family], [thai, family], "")
    assert "\u0e2a<BR/>\u0e27\u0e31<" in table and f">{family}</FONT>" in table
    assert "a<BR/>^<BR/>b" in heatmaps([("head 0", np.eye(1))], ["a^b"], ["a^b"], "")


def test_projections_with_adapters_are_drawn_closed(tokenizer: Tokenizer) -> None:
    adapted = Transformer(small()).add_adapter(LoraConfig(r=2, target_modules="all-linear"))
    shown = texts(draw_attention(adapted, tokenizer, SOURCE, TARGET))
    assert shown.count("split into 2 heads") == 3 and "lora_A" not in shown
