"""The public model classes: the plain ones of :mod:`transformer.model`, with generation and model directories."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from minigrad import nn
from transformer.data.tokenizer import Tokenizer
from transformer.decode import GenerationConfig, Hypothesis, generate
from transformer.decode.state import DecodingState, prompt_state, target_state
from transformer.model import models as plain, stacks
from transformer.model.config import TransformerConfig
from transformer.pretrained.saving import model_files
from transformer.pretrained.snapshot import write_snapshot


class PretrainedModel(nn.Module):
    """A model that is defined by its configuration and can be written to a directory and read back.

    :func:`from_pretrained` finds a subclass by its name.
    """

    kinds: ClassVar[dict[str, type[PretrainedModel]]] = {}
    generation: GenerationConfig | None = None  # how it writes, if it does
    purpose: str | None = None  # the task that it is made for, where its family says so

    def __init_subclass__(cls, whole: bool = True, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if whole:  # and no base of several models
            PretrainedModel.kinds[cls.__name__] = cls

    def __init__(self, config: TransformerConfig) -> None:
        self.config = config

    def save_pretrained(self, directory: str | os.PathLike[str], tokenizer: Tokenizer | None = None) -> None:
        """Write the model, and the tokenizer if one is given.

        A model that is a GPT-2, BERT, BART, Marian or T5 in every detail is written as Hugging Face's ``transformers``
        reads it; any other in a format of our own. The files take the place of earlier ones together, for those too
        that load the directory meanwhile, and those that an earlier tokenizer had besides are removed; a crash leaves
        the previous model, and other files in the directory stay untouched.

        Raises:
            ValueError: the tokenizer has more tokens than the model.
        """
        write_snapshot(Path(directory), self.files(tokenizer))

    def files(self, tokenizer: Tokenizer | None = None) -> Iterator[tuple[str, bytes | None]]:
        """The files that :meth:`save_pretrained` writes: see :func:`~transformer.pretrained.saving.model_files`."""
        return model_files(self, self.config, self.generation, tokenizer)


class GenerativeModel(PretrainedModel, whole=False):
    """A model that writes one token after another, each given those before.

    ``generation`` says how, where nothing else is asked for.
    """

    generation: GenerationConfig = GenerationConfig()

    def begin(self, input_ids: Any, attention_mask: Any = None, *, use_cache: bool = True) -> DecodingState:
        """The state before the first new token of each row: see :class:`DecodingState`."""
        raise TypeError(f"{type(self).__name__} defines no begin()")

    def generate(
        self, input_ids: Any, max_new_tokens: int | None = None, *, attention_mask: Any = None, **choices: Any
    ) -> list[Hypothesis]:
        """The texts that the model writes for each row (B, T): see :func:`transformer.decode.generate`."""
        return generate(self, input_ids, attention_mask, max_new_tokens=max_new_tokens, **choices)


class Encoder(stacks.Encoder, PretrainedModel):
    """A stack of layers in which every position sees every other.

    Example:
        >>> import numpy as np
        >>> from transformer import Encoder, TransformerConfig
        >>> Encoder(TransformerConfig(vocab_size=100))(np.array([[5, 6, 7, 2]])).shape
        (1, 4, 128)
    """


class Decoder(stacks.Decoder, PretrainedModel):
    """A stack of layers in which every position sees earlier ones, and the memory that an encoder has made.

    Args:
        config: of the model; where it has encoder layers, the decoder attends to their memory.
        tokens: the embedding, where it is shared with an encoder.
    """


class Transformer(plain.Transformer, GenerativeModel):
    """The encoder-decoder model: for translation, summarization, and any text from another.

    Example:
        >>> import numpy as np
        >>> from transformer import Transformer, TransformerConfig
        >>> model = Transformer(TransformerConfig(vocab_size=100))
        >>> model(np.array([[5, 6, 7, 2]]), np.array([[1, 8, 9]])).shape
        (1, 3, 100)
    """

    encoder_class = Encoder
    decoder_class = Decoder

    def begin(self, input_ids: Any, attention_mask: Any = None, *, use_cache: bool = True) -> DecodingState:
        """The state before the first token of the targets of some sources (B, S): see :class:`DecodingState`."""
        return target_state(self, input_ids, attention_mask, use_cache=use_cache)


class CausalLM(plain.CausalLM, GenerativeModel):
    """A decoder alone, that predicts the next token: Radford et al., 2018 (GPT).

    Example:
        >>> import numpy as np
        >>> from transformer import CausalLM, TransformerConfig
        >>> model = CausalLM(TransformerConfig.preset("nano", vocab_size=65))
        >>> model(np.array([[5, 6, 7]])).shape
        (1, 3, 65)
    """

    decoder_class = Decoder

    def begin(self, input_ids: Any, attention_mask: Any = None, *, use_cache: bool = True) -> DecodingState:
        """The state before the first token after some prompts (B, T): see :class:`DecodingState`."""
        return prompt_state(self, input_ids, attention_mask, use_cache=use_cache)


class MaskedLM(plain.MaskedLM, PretrainedModel):
    """An encoder that fills in masked tokens: Devlin et al., 2019 (BERT).

    Example:
        >>> import numpy as np
        >>> from transformer import MaskedLM, TransformerConfig
        >>> model = MaskedLM(TransformerConfig(vocab_size=100, mask_id=3))
        >>> model(np.array([[5, 3, 7]])).shape
        (1, 3, 100)
    """

    encoder_class = Encoder
