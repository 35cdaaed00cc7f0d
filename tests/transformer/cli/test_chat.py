"""``transformer generate --chat``: replies by a model's chat template."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from tests.transformer.cli.conftest import run
from transformer import CausalLM, Tokenizer, TransformerConfig, load_tokenizer
from transformer.data import chat_template
from transformer.pretrained import load_both
from transformer.tasks import reply

TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message.role[0] + '|>' + message.content + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|a|>' }}{% endif %}"
)


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of random weights, with a template."""
    directory = tmp_path_factory.mktemp("talker")
    special = ("<unk>", "</s>", "<|u|>", "<|a|>", "<|s|>")
    tokenizer = Tokenizer.characters("Good morning, you two!\n", special=special)
    tokenizer.chat_template = TEMPLATE
    sizes: dict[str, Any] = {"d_model": 16, "num_heads": 2, "d_ff": 16, "decoder_layers": 1, "max_length": 200}
    config = TransformerConfig(vocab_size=len(tokenizer), pad_id=None, bos_id=None, eos_id=1, **sizes)
    mg.manual_seed(3)
    model = CausalLM(config)
    for parameter in model.parameters():
        parameter.data[...] = np.random.default_rng(parameter.size).normal(0, 0.5, parameter.shape)
    model.decoder.tokens.weight.data[: len(special)] = 0  # which are unlikely therefore
    model.save_pretrained(directory, tokenizer)
    return directory


def said(directory: Path, *messages: tuple[str, str], count: int = 12) -> str:
    """The greedy reply of the model, generated from the ids of the template's text."""
    model, tokenizer = load_both(directory)
    text = "".join(f"<|{role[0]}|>{content}</s>" for role, content in messages) + "<|a|>"
    ids = tokenizer.encode([text], add_special_tokens=False, split_special_tokens=False)
    found = model.generate(np.array(ids), max_new_tokens=count, tokenizer=tokenizer)[0].text
    assert found is not None
    return found


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


GREEDY = ("--greedy", "--max-new-tokens", 12)


def test_a_message_gets_the_reply_of_the_model(talker: Path) -> None:
    expected = said(talker, ("user", "Good"))
    assert run("generate", "--model", talker, "--chat", "Good", *GREEDY).out == f"{expected}\n"
    assert run("generate", "--model", talker, "--chat", *GREEDY, stdin="Good\n").out == f"{expected}\n"
    several = said(talker, ("system", "you"), ("user", "Good\ntoo"))
    words = ("generate", "--model", talker, "--system", "you", "--chat", *GREEDY)
    assert run(*words, stdin="Good\ntoo\n").out == f"{several}\n"
    assert "".join(reply(*load_both(talker), [{"role": "user", "content": "Good"}], 12, do_sample=False)) == expected


def test_a_conversation_in_a_terminal_has_all_messages_before(talker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = said(talker, ("user", "Good"))
    second = said(talker, ("user", "Good"), ("assistant", first), ("user", "you"))
    monkeypatch.setattr(io, "StringIO", Terminal)
    out = run("generate", "--model", talker, "--chat", *GREEDY, stdin="Good\n\nyou\n")
    assert out.out == f"{first}\n{second}\n" and "Ctrl-D ends it" in out.err
    assert run("generate", "--model", talker, "--chat", stdin="").out == ""


def test_a_reply_ends_at_any_token_that_ends_texts(talker: Path, tmp_path: Path) -> None:
    whole = said(talker, ("user", "Good"))
    assert len(whole) == 12
    end = load_tokenizer(talker).encode([whole[4]], add_special_tokens=False)[0][0]
    for path in talker.iterdir():
        if path.is_file() and path.name != ".commit.json":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    settings = json.loads((tmp_path / "generation_config.json").read_text())
    (tmp_path / "generation_config.json").write_text(json.dumps({**settings, "eos_token_id": [1, end]}))
    expected = whole[: whole.index(whole[4])]
    assert run("generate", "--model", tmp_path, "--chat", "Good", *GREEDY).out == f"{expected}\n"


BAD = {  # options → what the error says
    "--chat </s>": "chat: '</s>' in a message would be this special token; --special-tokens allows it",
    "--chat you --system <|u|>": "chat: '<|u|>' in a message would be this special token",
    "--chat you --prompt x": "prompt: changes nothing beside --chat; expected none",
    "--system you": "system: changes nothing without --chat; expected none",
    "--chat": "chat: expected a message, got none",
    f"--chat {'you' * 80}": "are more than the model's context of 200",
}


@pytest.mark.parametrize("options", BAD)
def test_bad_usage_is_one_line(options: str, talker: Path) -> None:
    error = run("generate", "--model", talker, *options.split(), stdin=" \n", status=2).err
    assert BAD[options] in error and error.count("\n") == 1


def test_special_tokens_in_messages_are_read_on_request(talker: Path) -> None:
    words = ("generate", "--model", talker, "--chat", "Good</s>", "--special-tokens", *GREEDY)
    assert run(*words).out == said(talker, ("user", "Good</s>")) + "\n"


def test_a_model_without_a_template_is_none_for_conversations(writer: Path) -> None:
    error = run("generate", "--model", writer, "--chat", "to be", status=2).err
    assert "chat_template: the tokenizer has none" in error and error.count("\n") == 1


def test_without_jinja2_the_error_says_what_installs_it(talker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    chat_template._environment.cache_clear()
    chat_template._compiled.cache_clear()
    error = run("generate", "--model", talker, "--chat", "Good", status=2).err
    assert "jinja2 is not installed; it comes with: pip install 'minigrad-transformer[text]'" in error
