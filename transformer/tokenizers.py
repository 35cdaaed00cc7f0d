"""Text to token ids and back: byte-pair encoding by the ``tokenizers`` library."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from transformer.extras import require

SPECIAL = ("<pad>", "<s>", "</s>")  # their positions are the ids of a fresh TransformerConfig: 0, 1, 2


class Tokenizer:
    """Byte-pair encoding (Sennrich, Haddow and Birch, 2016) over bytes, with each digit a token of its own.

    Working on bytes, it can write any text; splitting digits lets a model copy numbers that it has never seen.

    Args:
        json: the document that :meth:`to_json` returns: the format of Hugging Face's ``tokenizer.json``.
    """

    def __init__(self, json: str) -> None:
        tokenizers = require("tokenizers", "text")
        try:
            self._tokenizer: Any = tokenizers.Tokenizer.from_str(json)
        except Exception as error:  # the library raises nothing narrower
            raise ValueError(f"not a valid tokenizer ({error})") from None
        self._tokenizer.encode_special_tokens = True  # "</s>" in a text is five characters, not its end
        self.pad_id, self.bos_id, self.eos_id = (self._tokenizer.token_to_id(token) for token in SPECIAL)
        if None in (self.pad_id, self.bos_id, self.eos_id):
            raise ValueError(f"tokenizer: expected the special tokens {' '.join(SPECIAL)}")

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> Tokenizer:
        """Learn the merges from texts.

        Args:
            texts: what to learn from; of all languages that the model shall read and write.
            vocab_size: how many tokens to end with; at least 259 (the bytes and the special tokens).
        """
        if vocab_size < 256 + len(SPECIAL):
            raise ValueError(f"vocab_size: expected at least {256 + len(SPECIAL)}, got {vocab_size}")
        library = require("tokenizers", "text")
        tokenizer = library.Tokenizer(library.models.BPE())
        tokenizer.pre_tokenizer = library.pre_tokenizers.Sequence(
            [library.pre_tokenizers.Digits(individual_digits=True), library.pre_tokenizers.ByteLevel(False)]
        )
        tokenizer.decoder = library.decoders.ByteLevel()
        trainer = library.trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=list(SPECIAL),
            initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        return cls(tokenizer.to_str())

    @property
    def vocab_size(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, ended by ``eos_id``."""
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [[*encoding.ids, self.eos_id] for encoding in encodings]

    def decode(self, sequences: Iterable[Sequence[int]]) -> list[str]:
        """The text of each sequence of ids; special tokens leave no trace."""
        return list(self._tokenizer.decode_batch([list(map(int, ids)) for ids in sequences], skip_special_tokens=True))

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Each id's own text, as for the axis of a picture; bytes that are no whole character show as �."""
        special = dict(zip((self.pad_id, self.bos_id, self.eos_id), SPECIAL, strict=True))
        return [special.get(int(i)) or self._tokenizer.decode([int(i)]) for i in ids]

    def to_json(self) -> str:
        """The tokenizer as a JSON document."""
        return str(self._tokenizer.to_str(pretty=False))
