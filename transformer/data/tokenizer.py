"""Tokenizer: text to ids and back, by the ``tokenizers`` library; trained here, or read from a directory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np

from minigrad.name_hints import HintedSetting, check_keywords, hint_keywords, hint_names
from minigrad.optional_imports import require
from transformer.data.byte_level import byte_text
from transformer.data.chat_template import SETTING, Message, read_templates, render_template, select_template
from transformer.data.languages import CODE, PREFIX, check_language, mark_language, prefix_of
from transformer.data.normalization import BOM, UNFINISHED, characters, check_texts
from transformer.huggingface_names import HINTS, OF_TOKENIZER
from transformer.json_object import json_object

SPECIAL = ("<pad>", "<s>", "</s>")  # their positions are the ids of a fresh TransformerConfig: 0, 1, 2
MASK = "<mask>"
PLACEHOLDER = "[MASK]"  # the mask in texts, whatever the tokenizer's own mask token
CONTEXT = 4  # tokens before another that its text may depend on
MAX_VOCABULARY = 2**20  # the library allocates for all at once, and aborts the process if it cannot

# For each role: the names that Hugging Face's files give it, and the tokens that usually play it.
ROLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "pad": (("pad_token",), ("<pad>", "[PAD]")),
    "bos": (("bos_token", "cls_token"), ("<s>", "[CLS]", "<|endoftext|>")),
    "eos": (("eos_token", "sep_token"), ("</s>", "[SEP]", "<|endoftext|>")),
    "mask": (("mask_token",), (MASK, "[MASK]")),
    "unk": (("unk_token",), ("<unk>", "[UNK]")),
}


class Inputs(dict[str, Any]):
    """Inputs of a model by name, which its call takes as keywords."""


class Tokenizer:
    """Tokenizer with the ids of its special tokens (None for a role that no token has).

    Tokenizers that are learned here read texts as corpora are read: in Unicode NFC, with LF at the ends of lines.

    The file's post-processor surrounds an encoded text: it adds ``[CLS]`` and ``[SEP]`` for BERT,
    ``</s>`` for T5 and for tokenizers that are learned here, nothing for GPT-2.

    Args:
        json: the document that :meth:`to_json` returns: the format of Hugging Face's ``tokenizer.json``.
        names: the content of the ``special_tokens_map.json`` or ``tokenizer_config.json`` beside it, which say which
            token plays which role. A role that they do not mention is played by the token that usually does.

    Raises:
        ValueError: the document is damaged, or has no token of a name in ``names``.
    """

    target_language: str | None = None  # of texts that are generated from this tokenizer's

    def __init__(self, json: str, names: Mapping[str, Any] | None = None) -> None:
        self._library = require("tokenizers", "text")
        _check_ids(json)
        try:
            self._tokenizer: Any = self._library.Tokenizer.from_str(json)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the library raises nothing narrower, and its panics are no Exception
            raise ValueError(f"not a valid tokenizer ({error})") from None
        self._tokenizer.no_padding()  # batches are padded later, and nothing is truncated silently
        self._tokenizer.no_truncation()
        self.special_names = self._played_by(names or {})
        self.chat_template = read_templates((names or {}).get(SETTING))
        ids = {role: self._tokenizer.token_to_id(token) for role, token in self.special_names.items()}
        self.pad_id: int | None = ids.get("pad")
        self.bos_id: int | None = ids.get("bos")
        self.eos_id: int | None = ids.get("eos")
        self.mask_id: int | None = ids.get("mask")
        self.unk_id: int | None = ids.get("unk")
        if self._tokenizer.post_processor is None and tuple(self._special().values())[:3] == SPECIAL:
            _end_texts(self._library, self._tokenizer)  # files of our own did not always say that texts end

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int, *, special: Sequence[str] = SPECIAL) -> Tokenizer:
        """Train a byte-level byte-pair encoding (Sennrich, Haddow and Birch, 2016) with separate digits.

        Working on bytes, it can write any text; splitting digits lets a model copy numbers that it has never seen.

        Args:
            texts: the training texts, of all languages that the model reads and writes.
            vocab_size: the size of the vocabulary; at least the 256 bytes and the special tokens.
            special: the special tokens, whose ids count from 0. A masked language model needs ``MASK`` among them.
                With ``"</s>"`` among them, it ends each encoded text.

        Example:
            >>> tokenizer = Tokenizer.train(["low low slow"], 262, special=[*SPECIAL, MASK])
            >>> tokenizer.tokens(tokenizer.encode(["lower"])[0])
            ['low', 'e', 'r', '</s>']
        """
        check_texts("texts", texts)
        if not 256 + len(special) <= vocab_size <= MAX_VOCABULARY:
            raise ValueError(f"vocab_size: expected {256 + len(special)} to {MAX_VOCABULARY:,}, got {vocab_size:,}")
        library = require("tokenizers", "text")
        tokenizer = library.Tokenizer(library.models.BPE())
        tokenizer.normalizer = _normalizer(library)
        tokenizer.pre_tokenizer = library.pre_tokenizers.Sequence(
            [library.pre_tokenizers.Digits(individual_digits=True), library.pre_tokenizers.ByteLevel(False)]
        )
        tokenizer.decoder = library.decoders.ByteLevel()
        trainer = library.trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=list(special),
            initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        _end_texts(library, tokenizer)
        return cls(tokenizer.to_str())

    @classmethod
    def characters(cls, text: str | Iterable[str], *, special: Sequence[str] = ()) -> Tokenizer:
        """Character tokenizer: a token for each distinct character, sorted, after the special tokens.

        The text may come in parts. With ``"<unk>"`` among the special tokens it stands for all other characters; else
        they are errors.
        Source: nanoGPT's ``data/shakespeare_char``.

        Example:
            >>> tokenizer = Tokenizer.characters("hello")
            >>> tokenizer.vocab_size, tokenizer.encode(["hole"])
            (4, [[1, 3, 2, 0]])
        """
        parts = [text] if isinstance(text, str) else text
        alphabet = sorted(set[str]().union(*map(characters, parts)))
        if not alphabet:
            raise ValueError("text: expected at least one character, got an empty text")
        library = require("tokenizers", "text")
        vocabulary = {token: i for i, token in enumerate([*special, *alphabet])}
        tokenizer = library.Tokenizer(library.models.WordLevel(vocabulary, unk_token="<unk>"))
        tokenizer.normalizer = _normalizer(library)
        tokenizer.pre_tokenizer = library.pre_tokenizers.Split(library.Regex(r"[\s\S]"), "isolated")
        tokenizer.decoder = library.decoders.Fuse()
        tokenizer.add_special_tokens(list(special))
        _end_texts(library, tokenizer)
        return cls(tokenizer.to_str())

    def __call__(
        self,
        text: str | Sequence[str],
        *,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        return_tensors: str | None = None,
        **other: Any,
    ) -> Inputs:
        """Inputs of a model: ``input_ids`` and ``attention_mask``, which is 1 where a token is no padding.

        As in Hugging Face's tokenizers, the name of a special token in a text is that token.

        Args:
            text: a text, which gives a list of ids, or several, which give a list of lists.
            add_special_tokens: see :meth:`encode`.
            padding: pad to the longest text; also as "longest" and "do_not_pad".
            return_tensors: ``"np"`` for arrays (B, T), as a model's call takes them, also of one text.

        Raises:
            ValueError: arrays of texts of different lengths are to be made without padding, or of another library.

        Example:
            >>> tokenizer = Tokenizer.characters("hello", special=SPECIAL)
            >>> tokenizer(["he", "hello"], padding=True)["attention_mask"]
            [[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1]]
        """
        check_keywords("tokenizer", other, OF_TOKENIZER)
        if other:
            raise TypeError(f"tokenizer: got an unexpected keyword argument {next(iter(other))!r}")
        if padding not in (True, False, "longest", "do_not_pad"):
            raise ValueError(f"padding: expected True, False, 'longest' or 'do_not_pad', got {padding!r}")
        if return_tensors not in (None, "np"):
            raise ValueError(f"return_tensors: expected 'np' or None, got {return_tensors!r}")
        ids = self.encode(
            [text] if isinstance(text, str) else text, add_special_tokens=add_special_tokens, split_special_tokens=False
        )
        lengths = [len(row) for row in ids]
        if padding in (True, "longest"):
            if self.pad_id is None and len(set(lengths)) > 1:
                raise ValueError("padding: this tokenizer has no token for it; expected texts of one length")
            ids = [[*row, *[self.pad_id or 0] * (max(lengths) - len(row))] for row in ids]
        mask = [
            [int(position < length) for position in range(len(row))] for row, length in zip(ids, lengths, strict=True)
        ]
        found = Inputs(input_ids=ids, attention_mask=mask)
        if return_tensors is not None:
            if len({len(row) for row in ids}) > 1:
                raise ValueError("padding: expected True for arrays of texts of different lengths, got False")
            return Inputs({name: np.array(rows, np.int64) for name, rows in found.items()})
        return Inputs({name: rows[0] for name, rows in found.items()}) if isinstance(text, str) else found

    def __len__(self) -> int:
        return self.vocab_size

    @property
    def vocab_size(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    def encode(
        self, texts: Sequence[str], *, add_special_tokens: bool = True, split_special_tokens: bool = True
    ) -> list[list[int]]:
        """Encode each text as ids.

        Where the vocabulary has languages to translate into, as Marian's ``>>fra<<``, a text begins with the one named
        there, whatever else its tokens are.

        Args:
            texts: the texts to encode.
            add_special_tokens: surround each text as the post-processor says; a prompt to be continued is not ended.
            split_special_tokens: ``"</s>"`` in a text is four characters, not its end. With False the names of special
                tokens in a text become these tokens, as in a prompt like ``"the [MASK] statement"``.

        Raises:
            TypeError: ``texts`` is one text, and no list.
            ValueError: a text has a character that the vocabulary cannot write, or names a language that it has not.
        """
        check_texts("texts", texts)
        prefixes = [prefix_of(text, self._prefixes) for text in texts]
        texts = [text[len(name) :].lstrip() if name else text for name, text in zip(prefixes, texts, strict=True)]
        self._tokenizer.encode_special_tokens = split_special_tokens
        try:
            encodings = self._tokenizer.encode_batch(texts, add_special_tokens=add_special_tokens)
        except Exception as error:  # the library raises nothing narrower
            raise ValueError(f"texts: {self._unwritable(texts) or error}") from None
        found = [list(encoding.ids) for encoding in encodings]
        for ids, encoding, name in zip(found, encodings, prefixes, strict=True):
            if name:  # after what surrounds each text
                ids.insert([*encoding.special_tokens_mask, 0].index(0), self._prefixes[name])
        return found

    @cached_property
    def languages(self) -> dict[str, int]:
        """Ids of the language tokens that stand beside texts, as NLLB's ``fra_Latn``; empty where texts have none."""
        return {token: i for i, token in self._special().items() if CODE.fullmatch(token)}

    def language_id(self, language: str) -> int:
        """Id of a language's token.

        Raises:
            ValueError: the vocabulary has no such language.
        """
        return check_language(language, self.languages)

    @property
    def of_targets(self) -> Tokenizer:
        """Tokenizer of the texts that are generated: this one, unless their language is another."""
        return self if self.target_language is None else self.with_language(self.target_language)

    def with_languages(self, source: str | None, target: str | None) -> Tokenizer:
        """Tokenizer that marks encoded texts with a language, and its :attr:`of_targets` with another; None: as here.

        Raises:
            ValueError: the vocabulary has no such language, or texts are not marked.
        """
        other = copy(self) if source is None else self.with_language(source)
        other.target_language = target or self.target_language
        return other

    def with_language(self, language: str) -> Tokenizer:
        """Tokenizer that marks encoded texts with another language.

        Raises:
            ValueError: the vocabulary has no such language, or texts are not marked.
        """
        document = json_object(self.to_json())
        mark_language(document, language, self.languages)
        other = copy(self)
        other._tokenizer = self._library.Tokenizer.from_str(json.dumps(document))
        return other

    def apply_chat_template(
        self,
        messages: Iterable[Message],
        *,
        add_generation_prompt: bool = False,
        tokenize: bool = True,
        chat_template: str | None = None,
        return_tensors: str | None = None,
        **variables: Any,
    ) -> Any:
        """Apply the chat template: a conversation as the inputs of a model, in which its special tokens are tokens.

        Nothing is added to what the template writes, and the name of a special token in a message is that token.

        Args:
            messages: tables with a role and a content.
            add_generation_prompt: end with the beginning of the model's reply.
            tokenize: True gives inputs as ``tokenizer(text)`` does, False the text.
            chat_template: the name of one of several templates, or another template than the tokenizer's.
            return_tensors: ``"np"`` for arrays (1, T).
            variables: what the template sees besides, such as ``tools`` and ``documents``.

        Raises:
            TypeError: messages or variables are no data of JSON.
            ValueError: there is no template, it is damaged or refuses the messages, or does what its sandbox forbids.

        Example:
            >>> tokenizer = Tokenizer.characters("user: hello")
            >>> tokenizer.chat_template = "{% for m in messages %}{{ m.role + ': ' + m.content }}{% endfor %}"
            >>> tokenizer.apply_chat_template([{"role": "user", "content": "hello"}], tokenize=False)
            'user: hello'
        """
        variables = {"tools": None, "documents": None, **self._named_tokens, **variables}
        is_template = chat_template is not None and "{" in chat_template
        templates, name = (chat_template, None) if is_template else (self.chat_template, chat_template)
        template = select_template(templates, name, variables["tools"] is not None)
        text = render_template(template, messages, {**variables, "add_generation_prompt": add_generation_prompt})
        if not tokenize:
            return text
        return self([text] if return_tensors else text, add_special_tokens=False, return_tensors=return_tensors)

    def decode(self, sequences: Iterable[Sequence[int]]) -> list[str]:
        """Decode each sequence of ids; special tokens are left out.

        Raises:
            TypeError: ``sequences`` are ids, and no lists of ids.
        """
        try:
            lists = [list(map(int, ids)) for ids in sequences]
        except TypeError:
            raise TypeError(f"sequences: expected lists of token ids, got {sequences!r:.80}") from None
        return list(self._tokenizer.decode_batch(lists, skip_special_tokens=True))

    def decode_stream(self, ids: Iterable[int], before: Sequence[int] = ()) -> Iterator[str]:
        """Decode ids as they arrive, in pieces of whole characters, whose concatenation is that of :meth:`decode`.

        A character of several tokens comes with the last of them. Where bytes are tokens of their own, which together
        may be no text, they come with the next token that is none.

        Args:
            ids: as they arrive.
            before: the preceding ids: after text, a token may begin with a space that it lacks as the first.

        Example:
            >>> tokenizer = Tokenizer.train(["a b"], 259)
            >>> list(tokenizer.decode_stream(tokenizer.encode(["né"])[0]))
            ['n', 'é']
        """
        every = list(before)
        given = self.decode([every])[0]
        special = self._special()
        window = self._context([i for i in every if i not in special])
        shown = self.decode([window])[0]
        for i in map(int, ids):
            every.append(i)
            if i in special:
                continue
            window.append(i)
            if i in self._byte_tokens:
                continue
            text = self.decode([window])[0]
            if text.endswith(UNFINISHED) or not text.startswith(shown):
                continue
            if piece := text[len(shown) :]:
                yield piece
                given += piece
            window = self._context(window)
            shown = self.decode([window])[0]
        if rest := self.decode([every])[0][len(given) :]:
            yield rest

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Token texts of ids, as for the axis of a picture; bytes of unfinished characters show as ``<0xE2>``."""
        special = self._special()
        texts = [special.get(int(i)) or self._tokenizer.decode([int(i)]) for i in ids]
        pieces = (self._tokenizer.id_to_token(int(i)) or "" for i in ids)
        return [byte_text(p) if UNFINISHED in text else text for text, p in zip(texts, pieces, strict=True)]

    @cached_property
    def _prefixes(self) -> dict[str, int]:
        """Target languages that texts may begin with, by Marian's convention."""
        return {token: i for token, i in self._tokenizer.get_vocab().items() if PREFIX.fullmatch(token)}

    def _context(self, ids: list[int]) -> list[int]:
        """Context of the next token's text: the last tokens, never a part of a byte sequence."""
        start = max(len(ids) - CONTEXT, 0)
        while start > 0 and ids[start] in self._byte_tokens:
            start -= 1
        return ids[start:]

    @cached_property
    def _byte_tokens(self) -> frozenset[int]:
        """Byte fallback tokens."""
        found = (self._tokenizer.token_to_id(f"<0x{byte:02X}>") for byte in range(256))
        return frozenset(i for i in found if i is not None)

    @property
    def added_tokens(self) -> dict[str, dict[str, Any]]:
        """Added tokens, special ones included, by id and in Hugging Face's format."""
        fields = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
        added = sorted(self._tokenizer.get_added_tokens_decoder().items())
        return {str(i): {name: getattr(token, name) for name in fields} for i, token in added}

    def to_json(self) -> str:
        """The tokenizer as a JSON document."""
        return str(self._tokenizer.to_str(pretty=False))

    def _special(self) -> dict[int, str]:
        """Special tokens by id, sorted."""
        added = self._tokenizer.get_added_tokens_decoder()
        return {i: token.content for i, token in sorted(added.items()) if token.special}

    def _played_by(self, names: Mapping[str, Any]) -> dict[str, str]:
        """Token of each role that has one."""
        special = set(self._special().values())
        tokens: dict[str, str] = {}
        self._named_tokens: dict[str, str] = {}  # by their names in Hugging Face's files
        for role, (keys, usual) in ROLES.items():
            given = {key: _content(key, names[key]) for key in keys if key in names}
            named = {key: token for key, token in given.items() if token is not None}
            for key, token in named.items():
                if self._tokenizer.token_to_id(token) is None:
                    raise ValueError(f"{key}: {token!r} is not among the {self.vocab_size:,} tokens of the tokenizer")
                if token not in special:  # known to the vocabulary only: to be left out of decoded text all the same
                    self._tokenizer.add_special_tokens([token])
            candidates = [*named.values(), *(token for token in usual if not given and token in special)]
            if candidates:
                tokens[role] = candidates[0]
            self._named_tokens |= named if names else dict(zip(keys[:1], candidates[:1], strict=False))
        return tokens

    def _unwritable(self, texts: Sequence[str]) -> str | None:
        """Error message for the first character without a token, where characters are tokens."""
        known = self._tokenizer.get_vocab()
        for text in texts:
            for character in characters(text) if isinstance(text, str) else ():
                if "\ud800" <= character <= "\udfff":
                    return f"expected Unicode text, got the lone surrogate {character!r} in {text[:60]!r}"
                if character not in known:
                    return (
                        f"character {character!r} (U+{ord(character):04X}) in {text[:60]!r} is not among the "
                        f"{self.vocab_size:,} tokens of this tokenizer"
                    )
        return None


def with_masks(text: str, tokenizer: Tokenizer) -> str:
    """Replace each ``[MASK]`` of a text by the tokenizer's own mask token, if it has one."""
    mask = tokenizer.special_names.get("mask")
    # A token includes the space before it, and so does the mask that stands for one.
    return text if mask is None else re.sub(r"\s*" + re.escape(PLACEHOLDER), lambda match: mask, text)


hint_names(Tokenizer, HINTS["Tokenizer"], HintedSetting)
hint_names(Inputs, HINTS["tokenizer(…)"])
Tokenizer.decode = hint_keywords(Tokenizer.decode, OF_TOKENIZER, "decode")  # type: ignore[method-assign]


def _check_ids(text: str) -> None:
    """Refuse ids so large that the library would run out of memory and abort the process.

    Raises:
        ValueError: a token has such an id, or the document is no JSON object.
    """
    try:
        document = json_object(text)
    except ValueError as error:
        raise ValueError(f"not a valid tokenizer ({error})") from None
    model, added = document.get("model"), document.get("added_tokens")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    ids = dict(vocabulary) if isinstance(vocabulary, dict) else {}
    for token in added if isinstance(added, list) else ():
        if isinstance(token, dict):
            ids[f"{token.get('content')}"] = token.get("id")
    for content, i in ids.items():
        if isinstance(i, (int, float)) and not 0 <= i < MAX_VOCABULARY:
            raise ValueError(
                f"not a valid tokenizer ({content!r:.40}: expected an id below {MAX_VOCABULARY:,}, got {i})"
            )


def _content(key: str, value: Any) -> str | None:
    """Content of a token in Hugging Face's files: a string, a table with a string, or null."""
    token = value.get("content") if isinstance(value, dict) else value
    if token is not None and not isinstance(token, str):
        raise ValueError(f"{key}: expected a token, got {value!r}")
    return token


def _normalizer(library: Any) -> Any:
    """Normalizer of the tokenizer and its file: :func:`~transformer.data.normalization.characters`."""
    normalizers = library.normalizers
    line_ends = normalizers.Replace(library.Regex("\r\n?"), "\n")
    return normalizers.Sequence([line_ends, normalizers.Replace(BOM, ""), normalizers.NFC()])


def _end_texts(library: Any, tokenizer: Any) -> None:
    """Add ``</s>`` to the end of each encoded text, if the tokenizer has this token."""
    end = SPECIAL[2]
    if (eos_id := tokenizer.token_to_id(end)) is not None:
        tokenizer.post_processor = library.processors.TemplateProcessing(
            single=f"$A {end}", pair=f"$A {end} $B {end}", special_tokens=[(end, eos_id)]
        )
