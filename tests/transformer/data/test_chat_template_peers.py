"""Templates of the kinds that models come with give the text and ids of ``transformers``, for any conversation."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

transformers = pytest.importorskip("transformers", reason="the peer")

import jinja2  # noqa: E402
from hypothesis import HealthCheck, given, settings, strategies as st  # noqa: E402
from tokenizers import Tokenizer as Library, decoders, models, pre_tokenizers, processors  # noqa: E402

from transformer import CausalLM, Tokenizer, TransformerConfig, load_tokenizer  # noqa: E402

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("default::DeprecationWarning")]

SPECIAL = (
    *("<pad>", "<s>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|eot_id|>"),
    *("<|start_header_id|>", "<|end_header_id|>", "<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]"),
    *("<|user|>", "<|assistant|>", "<|system|>"),
)
TEMPLATES = {
    "chatml": """\
{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}
{{ '<|im_start|>system\\nYou are a helpful assistant<|im_end|>\\n' }}{% endif %}
{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}""",
    "qwen": """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- for tool in tools %}{{- "\\n" }}{{- tool | tojson }}{%- endfor %}
    {{- "<|im_end|>\\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(last=-1) %}
{%- for message in messages %}
    {%- if message.role == "user" %}{%- set ns.last = loop.index0 %}{%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}{{ '\\n' + message.content | trim if loop.index0 > ns.last else '' }}
        {%- generation %}{{- message.content.split('</think>')[-1].lstrip('\\n') }}{%- endgeneration %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}""",
    "llama": """\
{{- bos_token }}
{%- if not date_string is defined %}{%- set date_string = strftime_now("%B") %}{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}{%- set messages = messages[1:] %}
{%- else %}{%- set system_message = "" %}{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}
""",
    "gemma": """\
{{ bos_token }}{% for message in messages %}
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}
{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}
{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}
{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}""",
    "mistral": """\
{{- bos_token }}{% for message in messages %}
{%- if message['role'] == 'user' %}{{- ' [INST] ' + message['content'] + ' [/INST]' }}
{%- elif message['role'] == 'assistant' %}{{- ' ' + message['content'] + eos_token }}
{%- elif loop.first %}{% continue %}
{%- else %}{{- raise_exception('Only user and assistant roles are supported!') }}{% endif %}
{%- if loop.index > 5 %}{% break %}{% endif %}{% endfor %}""",
    "zephyr": """\
{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}""",
    "indented": """\
{% for message in messages %}
    {% if message.role == 'user' %}
{{ message.content }}
    {% else %}
        {{ message.role }}
    {% endif %}
{% endfor %}""",
    "data": "{{ messages|tojson(indent=2) }}{{ dict(a=messages[0].role)|tojson }}{{ pad_token }}{{ cls_token }}<é>",
}
CONTENT = st.text(st.sampled_from("ab <>|\n\t{}'\"é€你&</s>")) | st.sampled_from(SPECIAL)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system"]), "content": CONTENT}), min_size=1
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of bytes that begins each text with ``<s>``, in a model directory."""
    library = Library(models.BPE({byte: i for i, byte in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, []))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    library.add_special_tokens(list(SPECIAL))
    start = library.token_to_id("<s>")
    library.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", start)])
    directory = tmp_path_factory.mktemp("chat")
    sizes: dict[str, Any] = {"d_model": 8, "num_heads": 2, "d_ff": 8, "decoder_layers": 1}
    config = TransformerConfig(vocab_size=library.get_vocab_size(), **sizes)
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    CausalLM(config).save_pretrained(directory, Tokenizer(library.to_str(), names))
    return directory


def test_templates_that_they_save_in_a_folder_are_read(directory: Path, tmp_path: Path) -> None:
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(directory)
    theirs.chat_template = {"default": TEMPLATES["zephyr"], "rag": "{{ documents|tojson }}", "tool_use": "{{ tools }}"}
    shutil.copytree(directory, tmp_path, dirs_exist_ok=True)
    theirs.save_pretrained(tmp_path)
    assert (tmp_path / "additional_chat_templates" / "rag.jinja").exists()
    ours = load_tokenizer(tmp_path)
    assert ours.chat_template == theirs.chat_template
    CausalLM.from_pretrained(tmp_path).save_pretrained(tmp_path, ours)  # others are not ours to remove, and not used
    assert load_tokenizer(tmp_path).chat_template == theirs.chat_template


@pytest.mark.parametrize("file", ["chat_template.jinja", "tokenizer_config.json", "list"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_text_and_ids_are_theirs(name: str, file: str, directory: Path) -> None:
    path = directory / "tokenizer_config.json"
    document = json.loads(path.read_text())
    document.pop("chat_template", None)
    (directory / "chat_template.jinja").unlink(missing_ok=True)
    if file == "chat_template.jinja":
        (directory / file).write_text(TEMPLATES[name])
    else:
        several = [{"name": "other", "template": "other"}, {"name": "default", "template": TEMPLATES[name]}]
        document["chat_template"] = several if file == "list" else TEMPLATES[name]
    path.write_text(json.dumps(document))
    ours = load_tokenizer(directory)
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(directory)

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(MESSAGES, st.booleans(), st.none() | st.lists(st.dictionaries(CONTENT, CONTENT, min_size=1), min_size=1))
    def check(messages: list[dict[str, str]], add: bool, tools: list[dict[str, str]] | None) -> None:
        options: dict[str, Any] = {"add_generation_prompt": add, "tools": tools}
        try:
            expected = theirs.apply_chat_template(messages, tokenize=False, **options)
        except jinja2.TemplateError as error:  # of roles that do not alternate
            with pytest.raises(ValueError, match=f"chat_template: {re.escape(str(error))}"):
                ours.apply_chat_template(messages, **options)
            return
        assert ours.apply_chat_template(messages, tokenize=False, **options) == expected
        ids = theirs.apply_chat_template(messages, **options)["input_ids"]
        assert ours.apply_chat_template(messages, **options)["input_ids"] == ids

    check()
