"""Conversation with a causal language model that has a chat template."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from transformer.data.chat_template import Message
from transformer.data.tokenizer import Tokenizer
from transformer.pretrained import CausalLM
from transformer.tasks.causal import continuation


def reply(
    model: CausalLM,
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    max_new_tokens: int | None = None,
    **choices: Any,
) -> Iterator[str]:
    """Reply to a conversation, in pieces as it is generated, up to any of the tokens that end a text.

    Args:
        model, tokenizer: as trained together.
        messages: of the conversation, such as ``{"role": "user", "content": "Good morning!"}``.
        max_new_tokens: as in :func:`continuation`.
        choices: settings of :class:`~transformer.decode.GenerationConfig` that override the model's own.

    Raises:
        ValueError: the tokenizer has no template, the template refuses the messages, or they are longer than the
            model's context.
    """
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    return continuation(model, tokenizer, ids, max_new_tokens, **choices)


def check_no_special_tokens(text: str, tokenizer: Tokenizer) -> None:
    """Refuse a message with the name of a special token, which the template's text would contain as this token.

    Raises:
        ValueError: it has one.
    """
    for token in tokenizer.added_tokens.values():
        if token["special"] and token["content"] in text:
            raise ValueError(
                f"chat: {token['content']!r} in a message would be this special token; --special-tokens allows it"
            )
