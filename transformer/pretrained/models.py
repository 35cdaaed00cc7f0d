"""Public model classes: those of :mod:`transformer.model`, with generation and model directories."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from minigrad import Tensor, nn
from minigrad.name_hints import check_keywords, hint_arguments, hint_names
from transformer.data.tokenizer import Tokenizer
from transformer.decode import GenerationConfig, Hypothesis, generate
from transformer.decode.state import DecodingState, prompt_state, target_state
from transformer.huggingface_names import HINTS, OF_CALL
from transformer.model import models as plain, stacks
from transformer.model.config import TransformerConfig
from transformer.model.layers import LINEAR
from transformer.model.lora import LoraConfig, add_lora, merge_lora
from transformer.pretrained.adapters import groups, select_targets
from transformer.pretrained.directory import KINDS
from transformer.pretrained.huggingface import Architecture
from transformer.pretrained.loading import load_model
from transformer.pretrained.saving import adapter_files, model_files
from transformer.pretrained.snapshot import write_snapshot


class PretrainedModel(nn.Module):
    """Pretrained model: defined by its configuration, saved to and loaded from a directory.

    :func:`from_pretrained` finds a subclass by its name.
    """

    kinds = KINDS
    generation: GenerationConfig | None = None  # generation settings, if it is generative
    family: str | None = None  # the model_type of Hugging Face's that it was read from, and is written as
    purpose: str | None = None  # the task of that family, if any
    quantization: str | None = None  # the format of its weights, if they are quantised
    architecture: Architecture | None = None  # its class in that family
    name_or_path: str | None = None  # the directory that it was read from
    adapter: LoraConfig | None = None  # of its adapters, if it has any

    def __init_subclass__(cls, whole: bool = True, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if whole:  # and no base of several models
            KINDS[cls.__name__] = cls

    def __init__(self, config: TransformerConfig) -> None:
        self.config = config

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        check_keywords(type(self).__name__, kwargs, OF_CALL)
        return super().__call__(*args, **kwargs)

    @classmethod
    def from_pretrained(cls, directory: str | os.PathLike[str], quantization: str | None = None) -> Self:
        """Load the model of a directory in evaluation mode.

        It may come from :meth:`save_pretrained`, or from Hugging Face's ``transformers``: GPT-2, LLaMA and other
        decoders become a :class:`CausalLM`, BERT a :class:`MaskedLM`, an :class:`Encoder` or a classifier, BART, T5 and
        others with two stacks a :class:`Transformer`. ``docs/pretrained.md`` lists the families.
        Weights that these have no use for, such as BERT's pooler, are named in a warning, and so is what a directory
        says of decoding or of training that is not supported here. ``transformer.from_pretrained`` loads any of them.
        From the directory of an adapter, the model that it belongs to is loaded, with the adapter.

        Args:
            directory: of the model.
            quantization: a format of :meth:`quantize`. Less memory is needed than to quantise a loaded model: weights
                of bfloat16 stay where the file has them, those of embeddings too.

        Raises:
            FileNotFoundError: the directory or one of its files is missing.
            ValueError: a file is damaged, describes an unsupported model, or does not fit the others; or the model is
                of another class.
        """
        model = load_model(directory, quantization)
        if not isinstance(model, cls):
            raise ValueError(f"{directory}: expected a {cls.__name__}, got a {type(model).__name__}")
        return model

    def num_parameters(self) -> int:
        """Number of trained numbers; a shared matrix counts once."""
        return sum(parameter.size for parameter in self.parameters())

    def quantize(self, format: str) -> Self:
        """Quantise the weights of all linear layers, in place, for inference: less memory to read, faster decoding.

        Embeddings, norms and biases stay as they are, and nothing can be trained any more.

        Args:
            format: "int8": weights by output row, activations by token at run time. "int8-weights": weights alone.
                "bfloat16": weights, and the keys and values that decoding caches, to the nearest.

        Raises:
            ValueError: there is no such format, or the weights are quantised already.
            TypeError: the weights are not float32.

        Example:
            >>> from transformer import CausalLM, TransformerConfig
            >>> model = CausalLM(TransformerConfig(vocab_size=100)).quantize("int8")
            >>> model.quantization
            'int8'
        """
        nn.quantize(self, format, LINEAR)
        self.quantization = format
        return self.eval()

    def add_adapter(self, adapter: LoraConfig) -> Self:
        """Add adapters, the only weights that are trained from now on. Hu et al., 2021 (LoRA).

        Saved, they go into a directory of their own in the format of PEFT, which names that of the model.

        Raises:
            ValueError: the model has adapters or quantised weights, or no modules of these names.

        Example:
            >>> from transformer import CausalLM, LoraConfig, TransformerConfig
            >>> model = CausalLM(TransformerConfig(vocab_size=100)).add_adapter(LoraConfig(r=2))
            >>> sum(parameter.size for parameter in model.parameters() if parameter.requires_grad)
            3072
        """
        if self.adapter is not None:
            raise ValueError("adapter: the model has one; merge_and_unload() makes it a part of the weights")
        if self.quantization is not None:
            raise ValueError(f"quantization: expected none, as an adapter cannot be trained over {self.quantization}")
        add_lora(self, groups(select_targets(self, adapter)), adapter)
        self.adapter = adapter
        return self

    def merge_and_unload(self) -> Self:
        """Merge the adapters into the weights, in place: W + s B A.

        Raises:
            ValueError: the model has none, or its weights are quantised.
        """
        if self.adapter is None:
            raise ValueError("adapter: expected one to merge, got none")
        merge_lora(self)
        self.adapter = None
        return self

    def save_pretrained(self, directory: str | os.PathLike[str], tokenizer: Tokenizer | None = None) -> None:
        """Save the model, and the tokenizer if one is given.

        A model that one of the families expresses in every detail is written as Hugging Face's ``transformers`` reads
        it, the family that it was loaded from first; any other in a format of our own. Of a model with adapters these
        are saved alone. The files take the place of earlier ones together, for those too that load the directory
        meanwhile, and those that an earlier tokenizer had besides are removed; a crash leaves the previous model, and
        other files in the directory stay untouched.

        Raises:
            ValueError: the tokenizer has more tokens than the model, or adapters belong to a model without a directory.
        """
        if self.adapter is not None and str(Path(directory).resolve()) == self.name_or_path:
            raise ValueError(
                f"directory: {directory} holds the model that the adapter belongs to; choose another place"
            )
        write_snapshot(Path(directory), self.files(tokenizer))

    def files(self, tokenizer: Tokenizer | None = None) -> Iterator[tuple[str, bytes | None]]:
        """Files that :meth:`save_pretrained` writes: see :func:`~transformer.pretrained.saving.model_files`."""
        if self.adapter is not None:
            if self.name_or_path is None:
                raise ValueError("adapter: belongs to a model without a directory; save that, load it and add one then")
            return adapter_files(self, self.adapter, self.name_or_path, tokenizer)
        return model_files(self, self.config, self.generation, tokenizer, self.quantization, self.family)


class GenerativeModel(PretrainedModel, whole=False):
    """Generative model: generates one token after another.

    ``generation`` holds the default settings.
    """

    generation: GenerationConfig = GenerationConfig()

    def begin(self, input_ids: Any, attention_mask: Any = None, *, use_cache: bool = True) -> DecodingState:
        """Initial decoding state before the first new token of each row: see :class:`DecodingState`."""
        raise TypeError(f"{type(self).__name__} defines no begin()")

    def generate(
        self, input_ids: Any, max_new_tokens: int | None = None, *, attention_mask: Any = None, **choices: Any
    ) -> list[Hypothesis]:
        """Generate texts for each row (B, T): see :func:`transformer.decode.generate`."""
        return generate(self, input_ids, attention_mask, max_new_tokens=max_new_tokens, **choices)


class Encoder(stacks.Encoder, PretrainedModel):
    """Transformer encoder: every position attends to every other.

    Example:
        >>> import numpy as np
        >>> from transformer import Encoder, TransformerConfig
        >>> Encoder(TransformerConfig(vocab_size=100))(np.array([[5, 6, 7, 2]])).shape
        (1, 4, 128)
    """


class Decoder(stacks.Decoder, PretrainedModel):
    """Transformer decoder: every position attends to earlier ones, and to an encoder's memory.

    Args:
        config: of the model; where it has encoder layers, the decoder attends to their memory.
        tokens: the embedding, where it is shared with an encoder.
    """


class Transformer(plain.Transformer, GenerativeModel):
    """Encoder-decoder Transformer, for translation, summarization and other text-to-text tasks.

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
        """Initial decoding state of the targets of some sources (B, S): see :class:`DecodingState`."""
        return target_state(self, input_ids, attention_mask, use_cache=use_cache, cache_format=self.quantization)


class CausalLM(plain.CausalLM, GenerativeModel):
    """Causal language model, a decoder alone: Radford et al., 2018 (GPT).

    Example:
        >>> import numpy as np
        >>> from transformer import CausalLM, TransformerConfig
        >>> model = CausalLM(TransformerConfig.preset("nano", vocab_size=65))
        >>> model(np.array([[5, 6, 7]])).shape
        (1, 3, 65)
    """

    decoder_class = Decoder

    def begin(self, input_ids: Any, attention_mask: Any = None, *, use_cache: bool = True) -> DecodingState:
        """Initial decoding state after some prompts (B, T): see :class:`DecodingState`."""
        return prompt_state(self, input_ids, attention_mask, use_cache=use_cache, cache_format=self.quantization)


class MaskedLM(plain.MaskedLM, PretrainedModel):
    """Masked language model, an encoder: Devlin et al., 2019 (BERT).

    Example:
        >>> import numpy as np
        >>> from transformer import MaskedLM, TransformerConfig
        >>> model = MaskedLM(TransformerConfig(vocab_size=100, mask_id=3))
        >>> model(np.array([[5, 3, 7]])).shape
        (1, 3, 100)
    """

    encoder_class = Encoder


class TokenClassifier(plain.TokenClassifier, PretrainedModel):
    """Token classifier: an encoder, and a score of each label for each token. Devlin et al., 2019, section 5.3.

    Example:
        >>> import numpy as np
        >>> from transformer import TokenClassifier, TransformerConfig
        >>> model = TokenClassifier(TransformerConfig(vocab_size=100, labels=("outside", "name", "place")))
        >>> model(np.array([[5, 6, 7, 2]])).shape
        (1, 4, 3)
    """

    encoder_class = Encoder
    decoder_class = Decoder


class SequenceClassifier(plain.SequenceClassifier, PretrainedModel):
    """Sequence classifier: an encoder, and a score of each label for a whole text. Devlin et al., 2019, section 4.1.

    Example:
        >>> import numpy as np
        >>> from transformer import SequenceClassifier, TransformerConfig
        >>> model = SequenceClassifier(TransformerConfig(vocab_size=100, labels=("bad", "good")))
        >>> model(np.array([[5, 6, 7, 2]])).shape
        (1, 2)
    """

    encoder_class = Encoder
    decoder_class = Decoder


hint_names(PretrainedModel, HINTS["model"])
hint_names(TransformerConfig, HINTS["model.config"])
hint_arguments(TransformerConfig, HINTS["model.config"])
hint_names(Tensor, HINTS["model(…)"])
from_pretrained = PretrainedModel.from_pretrained
