"""Chat templates: errors, the sandbox, several templates, and saved directories."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from transformer import CausalLM, Tokenizer, TransformerConfig, load_tokenizer
from transformer.data.chat_template import render_template

SPECIAL = ("<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>")
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
USER = [{"role": "user", "content": "a b"}]


@pytest.fixture
def tokenizer() -> Tokenizer:
    tokenizer = Tokenizer.train(["a b user assistant"], 300, special=SPECIAL)
    tokenizer.chat_template = CHATML
    return tokenizer


def test_special_tokens_of_the_template_are_one_token_each_and_none_is_added(tokenizer: Tokenizer) -> None:
    text = tokenizer.apply_chat_template(USER, add_generation_prompt=True, tokenize=False)
    assert text == "<|im_start|>user\na b<|im_end|>\n<|im_start|>assistant\n"
    inputs = tokenizer.apply_chat_template(USER, add_generation_prompt=True)
    ids = inputs["input_ids"]
    assert [i for i in ids if i < 5] == [3, 4, 3] and ids[0] == 3 and inputs["attention_mask"] == [1] * len(ids)
    array = tokenizer.apply_chat_template(USER, add_generation_prompt=True, return_tensors="np")["input_ids"]
    assert array.tolist() == [ids]


BAD = {  # a template → what the error says
    "{% for": "chat_template: unexpected 'end of template'",
    "{{ raise_exception('roles must alternate') }}": "chat_template: roles must alternate",
    "{{ ''.__class__.__mro__ }}": "chat_template: access to attribute '__class__' of 'str' object is unsafe",
    "{{ messages.append(1) }}": "chat_template: access to attribute 'append' of 'list' object is unsafe",
    "{{ messages[0].content.missing.more }}": "chat_template: 'str object' has no attribute 'missing'",
    "{{ messages[0].content + 1 }}": "chat_template: can only concatenate str",
    "{{ 1 / 0 }}": "chat_template: division by zero",
    "{{ range(99999999) }}": "chat_template: Range too big",
    "{% include 'file' %}": "chat_template: no loader for this environment",
    "{{ dict.fromkeys.__globals__ }}": "chat_template: ",
}


@pytest.mark.parametrize("template", BAD)
def test_a_bad_or_unsafe_template_is_one_line(template: str, tokenizer: Tokenizer) -> None:
    tokenizer.chat_template = template
    with pytest.raises(ValueError) as error:
        tokenizer.apply_chat_template(USER)
    assert str(error.value).startswith(BAD[template]) and "\n" not in str(error.value)


def test_objects_in_messages_are_refused_as_their_methods_are_not_in_the_sandbox(tokenizer: Tokenizer) -> None:
    with pytest.raises(TypeError, match=r"messages: expected texts, numbers, lists and tables \(Object of type"):
        tokenizer.apply_chat_template([{"role": "user", "content": Path("file")}])
    with pytest.raises(TypeError, match="messages: expected tables such as"):
        tokenizer.apply_chat_template(["hello"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="messages: expected at least one, got none"):
        tokenizer.apply_chat_template([])


def test_entries_that_are_none_count_as_absent() -> None:
    message: dict[str, Any] = {"role": "user", "content": "x", "tool_calls": None}
    assert render_template("{{ messages[0].tool_calls is defined }}", [message], {}) == "False"


def test_of_several_templates_one_is_selected(tokenizer: Tokenizer) -> None:
    tokenizer.chat_template = {"default": "plain", "tool_use": "{{ tools|length }} tools", "rag": "documents"}
    assert tokenizer.apply_chat_template(USER, tokenize=False) == "plain"
    assert tokenizer.apply_chat_template(USER, tokenize=False, tools=[{"name": "f"}]) == "1 tools"
    assert tokenizer.apply_chat_template(USER, tokenize=False, chat_template="rag") == "documents"
    assert tokenizer.apply_chat_template(USER, tokenize=False, chat_template="{{ bos_token }}!") == "<s>!"
    with pytest.raises(ValueError, match="chat_template: expected one of 'default', 'tool_use', 'rag', got 'other'"):
        tokenizer.apply_chat_template(USER, chat_template="other")
    tokenizer.chat_template = None
    with pytest.raises(ValueError, match=r"chat_template: the tokenizer has none, .* chat_template\.jinja"):
        tokenizer.apply_chat_template(USER)
    with pytest.raises(ValueError, match="chat_template: expected a template, or a list of names and templates"):
        Tokenizer(tokenizer.to_json(), {"chat_template": [{"name": "x"}]})


@pytest.mark.parametrize("template", [CHATML, {"default": CHATML, "rag": "{{ documents }}"}, None])
def test_templates_are_kept_when_a_directory_is_saved_again(
    template: Any, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    tokenizer.chat_template = template
    model = CausalLM(TransformerConfig(vocab_size=300, d_model=8, num_heads=2, d_ff=8, decoder_layers=1))
    (tmp_path / "chat_template.jinja").write_text("of an earlier tokenizer")
    model.save_pretrained(tmp_path, tokenizer)
    assert load_tokenizer(tmp_path).chat_template == template
    (tmp_path / "chat_template.jinja").write_text("counts instead")
    assert load_tokenizer(tmp_path).chat_template == "counts instead"
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert isinstance(settings.get("chat_template"), (list if isinstance(template, dict) else type(template)))
