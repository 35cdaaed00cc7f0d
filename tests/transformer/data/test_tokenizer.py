"""Tokenizers trained here, and those of Hugging Face directories."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, strategies as st
from tokenizers import Tokenizer as Library, decoders, models, normalizers, pre_tokenizers, processors, trainers

from transformer.data.normalization import characters
from transformer.data.tokenizer import MASK, SPECIAL, Tokenizer

TEXTS = ["the if statement", "the while statement", "le café, 漢字 ☃ 12345", "a </s> b <pad> [MASK]"]


@pytest.fixture(scope="module")
def own() -> Tokenizer:
    return Tokenizer.train(TEXTS, 300, special=[*SPECIAL, MASK])


def gpt2() -> Library:
    """As ``gpt2``'s: byte-level BPE, one special token, a post-processor that adds nothing."""
    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.post_processor = processors.ByteLevel(trim_offsets=False)
    library.decoder = decoders.ByteLevel()
    return trained(library, trainers.BpeTrainer, ["<|endoftext|>"])


def bert() -> Library:
    """As ``bert-base-uncased``'s: lower case, WordPiece, ``[CLS]`` and ``[SEP]`` around; padded and cut short."""
    library = Library(models.WordPiece(unk_token="[UNK]"))
    library.normalizer = normalizers.BertNormalizer(lowercase=True)
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    library.decoder = decoders.WordPiece()
    trained(library, trainers.WordPieceTrainer, ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    library.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    library.enable_padding(length=4)
    library.enable_truncation(4)
    return library


def bart() -> Library:
    """As ``facebook/bart-base``'s: byte-level BPE with ``<s>`` and ``</s>`` around."""
    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    trained(library, trainers.BpeTrainer, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    library.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return library


def t5() -> Library:
    """As ``t5-small``'s: Unigram over words marked with ▁, ``</s>`` after; no token begins a text."""
    library = Library(models.Unigram())
    library.pre_tokenizer = pre_tokenizers.Metaspace()
    library.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=90, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    library.train_from_iterator(TEXTS * 5, trainer)
    library.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return library


def trained(library: Library, trainer: Any, special: list[str]) -> Library:
    library.train_from_iterator(TEXTS, trainer(vocab_size=300, special_tokens=special, show_progress=False))
    return library


# ids of pad, bos, eos, mask, unk; what stands before and after a text
FAMILIES = [
    (gpt2, (None, 0, 0, None, None), [], []),
    (bert, (0, 2, 3, 4, 1), ["[CLS]"], ["[SEP]"]),
    (bart, (1, 0, 2, 4, 3), ["<s>"], ["</s>"]),
    (t5, (0, None, 1, None, 2), [], ["</s>"]),
]


@pytest.mark.parametrize(("family", "ids", "before", "after"), FAMILIES)
def test_hugging_faces_files_keep_their_own_special_tokens_and_post_processor(
    family: Any, ids: tuple[int | None, ...], before: list[str], after: list[str]
) -> None:
    tokenizer = Tokenizer(family().to_str())
    roles = tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.mask_id, tokenizer.unk_id
    assert roles == ids
    (encoded,) = tokenizer.encode(["the if statement"])
    (bare,) = tokenizer.encode(["the if statement"], add_special_tokens=False)
    assert tokenizer.tokens(encoded) == [*before, *tokenizer.tokens(bare), *after]
    assert tokenizer.decode([encoded, bare]) == ["the if statement"] * 2
    assert "".join(tokenizer.decode_stream(encoded)) == "the if statement"


def test_padding_and_truncation_in_a_file_are_not_applied() -> None:
    short, long = Tokenizer(bert().to_str()).encode(["if", "the if statement the while statement"])
    assert len(short) == 3
    assert len(long) == 8


@pytest.mark.parametrize("role", ["text", "table"])
def test_the_files_beside_it_say_which_token_plays_which_role(role: str) -> None:
    document = gpt2().to_str().replace("<|endoftext|>", "[END]")
    assert Tokenizer(document).eos_id is None
    name: Any = "[END]" if role == "text" else {"content": "[END]", "lstrip": False}
    tokenizer = Tokenizer(document, {"eos_token": name, "pad_token": None, "model_max_length": 64})
    assert (tokenizer.eos_id, tokenizer.pad_id, tokenizer.bos_id) == (0, None, None)
    assert tokenizer.special_names == {"eos": "[END]"}


def test_a_role_that_is_null_is_not_played_by_the_usual_token() -> None:
    assert Tokenizer(bart().to_str(), {"mask_token": None}).mask_id is None


def test_a_special_token_that_only_the_map_calls_special_leaves_no_trace_in_decoded_text() -> None:
    document = json.loads(bert().to_str())
    document["added_tokens"] = []
    tokenizer = Tokenizer(json.dumps(document), {"cls_token": "[CLS]", "sep_token": "[SEP]"})
    assert tokenizer.decode(tokenizer.encode(["the if"])) == ["the if"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"pad_token": "[PAD]"}, r"^pad_token: '\[PAD\]' is not among the \d+ tokens"),
        ({"mask_token": 7}, "^mask_token: expected a token, got 7$"),
    ],
)
def test_unknown_special_tokens_are_refused(names: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tokenizer(gpt2().to_str(), names)


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_damaged_document_is_one_clear_error(own: Tokenizer, cut: int) -> None:
    with pytest.raises(ValueError, match=r"^not a valid tokenizer "):
        Tokenizer(own.to_json()[:cut])


@pytest.mark.parametrize("document", ["{}", "null", "[" * 10_000, '{"model": ' * 10_000, '{"model": {"type": "BPE"}}'])
def test_a_hostile_document_is_one_clear_error(document: str) -> None:
    with pytest.raises(ValueError, match=r"^not a valid tokenizer ") as error:
        Tokenizer(document)
    assert "\n" not in str(error.value)


def test_a_document_at_which_the_library_panics_is_one_clear_error(capfd: pytest.CaptureFixture[str]) -> None:
    model = {"type": "BPE", "continuing_subword_prefix": "####", "vocab": {"a": 0, "b": 1}, "merges": [["a", "b"]]}
    with pytest.raises(ValueError, match=r"^not a valid tokenizer "):
        Tokenizer(json.dumps({"version": "1.0", "added_tokens": [], "model": model}))


def test_a_mask_is_a_special_token_where_it_is_asked_for(own: Tokenizer) -> None:
    assert (own.pad_id, own.bos_id, own.eos_id, own.mask_id) == (0, 1, 2, 3)
    assert Tokenizer.train(TEXTS, 300).mask_id is None


def test_without_an_end_token_nothing_ends_a_text() -> None:
    tokenizer = Tokenizer.train(TEXTS, 300, special=())
    assert tokenizer.eos_id is None
    assert tokenizer.decode(tokenizer.encode(TEXTS)) == TEXTS
    assert sum(map(len, tokenizer.encode([""]))) == 0


def test_files_of_our_own_that_do_not_say_so_end_texts_all_the_same(own: Tokenizer) -> None:
    document = json.loads(own.to_json())
    document["post_processor"] = None
    assert Tokenizer(json.dumps(document)).encode(TEXTS) == own.encode(TEXTS)


def test_names_of_special_tokens_in_a_text_are_text(own: Tokenizer) -> None:
    (ids,) = own.encode(["a </s> b <mask>"])
    assert [i for i in ids if i < len(SPECIAL) + 1] == [own.eos_id]
    assert own.decode([ids]) == ["a </s> b <mask>"]


def test_names_of_special_tokens_become_tokens_where_the_caller_asks(own: Tokenizer) -> None:
    (ids,) = own.encode(["the <mask> statement"], split_special_tokens=False)
    assert ids.count(3) == 1
    again = own.encode(["the <mask> statement"])[0]
    assert again.count(3) == 0, "asking once changes no later call"


def test_mask_in_a_prompt_becomes_bert_s_token() -> None:
    tokenizer = Tokenizer(bert().to_str())
    (ids,) = tokenizer.encode(["The [MASK] statement"], split_special_tokens=False)
    assert tokenizer.tokens(ids) == ["[CLS]", "the", "[MASK]", "statement", "[SEP]"]
    assert tokenizer.mask_id not in tokenizer.encode(["The [MASK] statement"])[0]


@given(text=st.text())
def test_whole_characters_come_as_soon_as_their_last_byte(own: Tokenizer, text: str) -> None:
    pieces = list(own.decode_stream(own.encode([text])[0]))
    assert "".join(pieces) == characters(text)
    assert all(pieces)


@given(ids=st.lists(st.integers(0, 299), max_size=12))
def test_a_stream_of_any_ids_gives_what_decode_gives(own: Tokenizer, ids: list[int]) -> None:
    assert "".join(own.decode_stream(ids)) == own.decode([ids])[0]


BYTES = [f"<0x{byte:02X}>" for byte in (0x41, 0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xFF)]
WORDS = ["<s>", "</s>", "\u2581", "\u2581to", "\u2581be", "be", "or", "\u2581\u2581", "\ufffd", "##ing", ".", "low</w>"]
WORDS += BYTES
CHARACTERS = [[WORDS.index(f"<0x{byte:02X}>") for byte in character.encode()] for character in "A\u00e9\u20ac"]
IDS = st.lists(st.sampled_from([[i] for i in range(len(WORDS))] + 4 * CHARACTERS)).map(
    lambda parts: [i for part in parts for i in part]
)
LLAMA = [
    decoders.Replace("\u2581", " "),
    decoders.ByteFallback(),
    decoders.Fuse(),
    decoders.Strip(content=" ", left=1),
]
DECODERS = {
    "byte fallback": decoders.Sequence(LLAMA),
    "metaspace": decoders.Metaspace(),
    "metaspace with bytes": decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()]),
    "word pieces": decoders.WordPiece(),
    "word ends": decoders.BPEDecoder(),
    "none": None,
}


def spelled(decoder: Any) -> Tokenizer:
    """A tokenizer of these words whose decoder is one of those in use."""
    library = Library(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="or"))
    if decoder is not None:
        library.decoder = decoder
    library.add_special_tokens(["<s>", "</s>"])
    return Tokenizer(library.to_str())


@pytest.mark.parametrize("name", DECODERS)
@given(before=IDS, ids=IDS)
@example(before=CHARACTERS[2] + CHARACTERS[1], ids=CHARACTERS[0] + [WORDS.index("or")])  # bytes after bytes
def test_a_stream_of_any_decoder_continues_the_preceding_text(name: str, before: list[int], ids: list[int]) -> None:
    tokenizer = spelled(DECODERS[name])
    assert "".join(tokenizer.decode_stream(ids)) == tokenizer.decode([ids])[0]
    prompt, whole = tokenizer.decode([before, before + ids])
    if whole.startswith(prompt):  # bytes after bytes may make the prompt another one
        assert prompt + "".join(tokenizer.decode_stream(ids, before)) == whole


def test_a_word_keeps_its_space_after_a_prompt_and_comes_at_once() -> None:
    tokenizer = spelled(DECODERS["metaspace"])
    prompt, be, point = (WORDS.index(word) for word in ("\u2581to", "\u2581be", "."))
    assert list(tokenizer.decode_stream([be, be, point], [prompt])) == [" be", " be", "."]
    assert list(tokenizer.decode_stream([be, be])) == ["be", " be"]


def test_a_stream_gives_each_piece_before_it_asks_for_the_next_id() -> None:
    tokenizer = Tokenizer.characters("ab")
    arrived: list[int] = []

    def arriving() -> Any:
        for i in (0, 1, 1):
            arrived.append(i)
            yield i

    for count, piece in enumerate(tokenizer.decode_stream(arriving()), start=1):
        assert piece == "abb"[count - 1]
        assert len(arrived) == count


def test_characters_are_numbered_in_their_order_after_the_special_tokens() -> None:
    tokenizer = Tokenizer.characters("hello\n é", special=SPECIAL)
    assert tokenizer.tokens(range(tokenizer.vocab_size)) == [*SPECIAL, "\n", " ", "e", "h", "l", "o", "é"]
    assert tokenizer.encode(["oh"]) == [[8, 6, 2]]


@given(text=st.text(st.sampled_from("ab \n\t\u2028é漢☃</s>")))
def test_characters_are_one_token_each(text: str) -> None:
    tokenizer = Tokenizer.characters("ab \n\t\u2028é漢☃</s>")
    tokenizer = Tokenizer(tokenizer.to_json())
    (ids,) = tokenizer.encode([text])
    assert len(ids) == len(text)
    assert tokenizer.decode([ids]) == [text]


def test_a_character_that_no_token_writes_is_named() -> None:
    with pytest.raises(ValueError, match=r"^texts: character 'ß' \(U\+00DF\) in 'groß' is not among the 4 tokens"):
        Tokenizer.characters("grow").encode(["row", "groß"])


def test_an_unknown_token_stands_for_other_characters_where_there_is_one() -> None:
    tokenizer = Tokenizer.characters("grow", special=["<unk>"])
    assert tokenizer.encode(["groß"]) == [[1, 3, 2, tokenizer.unk_id]]


def test_text_that_is_no_unicode_is_refused(own: Tokenizer) -> None:
    with pytest.raises(ValueError, match=r"lone surrogate '\\udcff'"):
        own.encode(["caf\udcff"])


def test_characters_of_no_text_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^text: expected at least one character"):
        Tokenizer.characters("")


@pytest.mark.peers
@pytest.mark.parametrize("family", [family for family, *_ in FAMILIES])
def test_ids_and_texts_are_those_of_transformers(family: Any) -> None:
    peer_library = pytest.importorskip("transformers", reason="compares with Hugging Face's transformers")
    library = family()
    library.no_padding()
    library.no_truncation()
    peer = peer_library.PreTrainedTokenizerFast(tokenizer_object=library)
    tokenizer = Tokenizer(library.to_str())
    for text in [*TEXTS, "  the [MASK]<mask></s> \n statement"]:
        (ids,) = tokenizer.encode([text], split_special_tokens=False)
        assert ids == peer(text)["input_ids"]
        (ids,) = tokenizer.encode([text])
        assert ids == peer(text, split_special_tokens=True)["input_ids"]
        assert tokenizer.decode([ids]) == [peer.decode(ids, skip_special_tokens=True)]


def marian() -> Tokenizer:
    """As of ``opus-mt-en-ROMANCE``: words marked with \u2581, and a token for each language to translate into."""
    words = ["</s>", "<unk>", ">>fra<<", ">>pt_BR<<", "\u2581how", "\u2581are", "\u2581you", "\u2581>>", "fra", "<<"]
    library = Library(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    library.pre_tokenizer, library.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    library.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 0)])
    library.add_special_tokens(["</s>", "<unk>"])
    return Tokenizer(library.to_str())


def test_a_text_begins_with_the_language_that_it_names_where_the_vocabulary_has_some(own: Tokenizer) -> None:
    tokenizer = marian()
    assert tokenizer.encode([">>fra<< how are you", ">>pt_BR<<how", "how"]) == [[2, 4, 5, 6, 0], [3, 4, 0], [4, 0]]
    assert tokenizer.encode([">>fra<<"], add_special_tokens=False) == [[2]]
    assert 2 not in tokenizer.encode(["how >>fra<<"])[0]  # not at the beginning
    with pytest.raises(ValueError, match="texts: >>klingon<< is no language of this model; those are >>fra<<, >>pt_BR"):
        tokenizer.encode([">>klingon<< how"])
    assert own.decode(own.encode([">>fra<< the if"])) == [">>fra<< the if"]


@pytest.mark.parametrize("i", [2**20, 2**31, 2**32 - 1, 2**40, 1e300, -1])
@pytest.mark.parametrize("place", ["vocabulary", "added"])
def test_an_id_that_takes_more_room_than_there_is_is_refused_before_the_library_is_asked(i: int, place: str) -> None:
    document = json.loads(Tokenizer.characters("hello", special=["<pad>"]).to_json())
    if place == "added":
        document["added_tokens"][0]["id"] = i
    else:
        document["model"]["vocab"]["h"] = i
    with pytest.raises(ValueError, match=r"not a valid tokenizer \('.*': expected an id below 1,048,576"):
        Tokenizer(json.dumps(document))
