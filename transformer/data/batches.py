"""Data sets: streams of batches with inputs and labels.

A data set is anything with ``epoch(number)``, which yields the batches of one pass over the data. They depend on
nothing but the data set's seed and the number, so a resumed training continues with the same batches. Those here also
take a :class:`~transformer.data.share.Share`, for one of several processes: it gets its rows of the same batches, and
reads no others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from inspect import signature
from itertools import chain
from typing import Any, Protocol, TypeVar

import numpy as np

from transformer.data.records import Stored, chunks
from transformer.data.share import WHOLE, Share

T = TypeVar("T")
Ids = np.ndarray[Any, np.dtype[np.int64]]
EncodedPair = tuple[Sequence[int] | Ids, Sequence[int] | Ids]  # source and target ids, each ended by eos

IGNORED = -100  # label of positions that are not predicted
MASKED, REPLACED = 0.8, 0.1  # of the chosen positions; the others are kept. Devlin et al., 2019, section 3.1


@dataclass(frozen=True)
class Batch:
    """Batch of B rows, or the share of one: inputs and labels."""

    inputs: tuple[Ids, ...]  # integer arrays (B, …), the model's positional arguments; a boolean one is a mask
    labels: Ids  # in the shape of the logits without their last axis; IGNORED at positions that are not predicted
    pad_id: int | None = None  # id of padding in the inputs
    first: int = 0  # place of the first row in the whole batch
    examples: int | None = None  # rows of the whole batch; None: this is the whole

    @property
    def targets(self) -> int:
        """Number of positions with a label."""
        return int(np.count_nonzero(self.labels != IGNORED))

    @property
    def tokens(self) -> int:
        """Number of tokens in the inputs, without padding."""
        held = (ids for ids in self.inputs if ids.dtype != np.bool_)
        return int(sum(np.count_nonzero(ids != self.pad_id) if self.pad_id is not None else ids.size for ids in held))

    def share(self, share: Share) -> Batch:
        """Rows of a whole batch that a process takes, as wide as the whole; without labels if it is idle.

        Raises:
            ValueError: this is a share already, or an input has not as many rows as the labels.

        Example:
            >>> batch = Batch((np.array([[5, 6], [7, 0], [8, 9]]),), np.array([[6, 2], [2, IGNORED], [9, 2]]))
            >>> part = batch.share(Share(rank=1, size=2))
            >>> part.inputs[0].tolist(), part.first, part.examples
            ([[8, 9]], 2, 3)
        """
        if share == WHOLE:
            return self
        count = len(self.labels)
        if self.examples is not None:
            raise ValueError(f"batch: expected a whole one, got {count} rows of {self.examples}")
        for place, values in enumerate(self.inputs):
            if len(values) != count:
                raise ValueError(
                    f"inputs: expected {count} rows, as the labels have, got {len(values)} in input {place}"
                )
        rows = share.rows(count)
        return _shared(share, count, tuple(values[rows] for values in self.inputs), self.labels[rows], self.pad_id)


class Data(Protocol):
    """Protocol of a data set to train on or to evaluate with."""

    def epoch(self, number: int) -> Iterator[Batch]:
        """Batches of epoch ``number``, counted from 0, generated lazily."""
        ...


def shares(data: Data, number: int, share: Share) -> Iterator[Batch]:
    """Share of each batch of an epoch: as the data set itself reads it, or rows of whole batches where it cannot."""
    if share == WHOLE:
        return data.epoch(number)
    if "share" in signature(data.epoch).parameters:
        return data.epoch(number, share=share)  # type: ignore[call-arg]
    return (batch.share(share) for batch in data.epoch(number))


def _shared(share: Share, count: int, inputs: tuple[Ids, ...], labels: Ids, pad_id: int | None = None) -> Batch:
    """Batch of the rows that a process takes out of ``count``."""
    if share == WHOLE:
        return Batch(inputs, labels, pad_id)
    labels = np.full_like(labels, IGNORED) if share.idle(count) else labels
    return Batch(inputs, labels, pad_id, share.rows(count).start, count)


class PairBatches:
    """Pair batches for an encoder-decoder: about equal numbers of tokens, pairs of about the same length.

    Batches have ``inputs = (source (B, S), target_in (B, T))`` and ``labels`` (B, T): the decoder reads ``bos_id`` and
    the target without its end, and predicts the target. Where sources have the token ``pad_id``, as an end that is
    also padding, a mask (B, S) of what is no padding is the third input. Each pair comes once an epoch.

    Args:
        pairs: source and target ids, each ended by the end of the sequence; those of
            :class:`~transformer.data.records.Pairs` are read batch by batch.
        tokens: padded positions of a batch, at most, on the longer of its two sides; a longer pair is a separate batch.
        pad_id: padding of the inputs.
        bos_id: start token of the decoder.
        seed: of the order.

    Raises:
        ValueError: there are no pairs, or ``tokens`` is below 1.

    Example:
        >>> data = PairBatches([([5, 6, 2], [7, 2])], tokens=64, pad_id=0, bos_id=1, seed=0)
        >>> (batch,) = data.epoch(0)
        >>> batch.inputs[1].tolist(), batch.labels.tolist()
        ([[1, 7]], [[7, 2]])
    """

    def __init__(self, pairs: Sequence[EncodedPair], tokens: int, pad_id: int, bos_id: int, seed: int = 0) -> None:
        _check_not_empty("pairs", pairs)
        _check_positive(tokens=tokens)
        self.pairs, self.tokens, self.pad_id, self.bos_id, self.seed = pairs, tokens, pad_id, bos_id, seed
        self._lengths = _lengths(pairs, lambda pair: (len(pair[0]), len(pair[1])))
        self._masked = any(pad_id in source for source, _ in pairs)

    def epoch(self, number: int, share: Share = WHOLE) -> Iterator[Batch]:
        rng = np.random.default_rng([self.seed, number])
        for places in by_length(self._lengths.max(1), self.tokens, rng):
            pairs = [self.pairs[place] for place in places[share.rows(len(places))]]
            inputs, labels = self._collated(pairs, *self._lengths[places].max(0).tolist())
            yield _shared(share, len(places), inputs, labels, self.pad_id)

    def batch(self, pairs: Sequence[EncodedPair]) -> Batch:
        """Collate pairs into one batch."""
        return Batch(*self._collated(pairs), self.pad_id)

    def _collated(
        self, pairs: Sequence[EncodedPair], sources: int | None = None, targets: int | None = None
    ) -> tuple[tuple[Ids, ...], Ids]:
        """Inputs and labels; ``sources`` and ``targets`` positions wide, by default as many as the longest has."""
        source = pad([source for source, _ in pairs], self.pad_id, sources)
        target_in = pad([[self.bos_id, *target[:-1]] for _, target in pairs], self.pad_id, targets)
        real = np.arange(source.shape[1]) < np.array([len(source) for source, _ in pairs])[:, None]
        mask = (real,) if self._masked else ()
        return (source, target_in, *mask), pad([target for _, target in pairs], IGNORED, targets)

    @cached_property
    def fingerprint(self) -> str:
        """Fingerprint of this stream of batches."""
        settings = (type(self).__name__, self.tokens, self.pad_id, self.bos_id, self.seed)
        return digest_of(settings, _flat(self._lengths, chain.from_iterable(self.pairs)))


class SequenceBatches:
    """Sequence batches for a causal language model: separate sequences, each token predicted from those before it.

    Batches have ``inputs = (ids (B, T),)`` and ``labels`` (B, T), the same ids one position further. Each sequence
    comes once an epoch, among others of about its length.

    Args:
        sequences: ids, at least two each; :class:`~transformer.data.records.Records` are read batch by batch.
        tokens: padded positions of a batch, at most; a longer sequence is a separate batch.
        pad_id: padding of the inputs, at their ends.
        seed: of the order.
        prompts: length of each sequence's prompt, which is not predicted.

    Raises:
        ValueError: there are no sequences, one has nothing to predict, or ``prompts`` has another length.

    Example:
        >>> data = SequenceBatches([[3, 1, 2, 9, 1, 2, 3]], tokens=64, pad_id=0, prompts=[4])
        >>> (batch,) = data.epoch(0)
        >>> batch.labels.tolist()
        [[-100, -100, -100, 1, 2, 3]]
    """

    def __init__(
        self,
        sequences: Sequence[Sequence[int] | Ids],
        tokens: int,
        pad_id: int,
        seed: int = 0,
        prompts: Sequence[int] | None = None,
    ) -> None:
        _check_not_empty("sequences", sequences)
        _check_positive(tokens=tokens)
        starts = np.ones(len(sequences), np.int64) if prompts is None else np.asarray(prompts, np.int64)
        if len(starts) != len(sequences):
            raise ValueError(f"prompts: expected {len(sequences)}, one a sequence, got {len(starts)}")
        lengths = _lengths(sequences, len)
        for place in np.flatnonzero(lengths <= np.maximum(starts, 1))[:1]:
            prompt, length = starts[place], lengths[place]
            raise ValueError(
                f"sequences: expected more than the prompt of {prompt} in number {place}, got {length} ids"
            )
        self.sequences, self.tokens, self.pad_id, self.seed, self.prompts = sequences, tokens, pad_id, seed, starts
        self._lengths = lengths - 1

    def epoch(self, number: int, share: Share = WHOLE) -> Iterator[Batch]:
        rng = np.random.default_rng([self.seed, number])
        for places in by_length(self._lengths, self.tokens, rng):
            width = self._lengths[places].max()
            mine = places[share.rows(len(places))]
            chosen = [self.sequences[place] for place in mine]
            labels = pad([sequence[1:] for sequence in chosen], IGNORED, width)
            for row, place in zip(labels, mine, strict=True):
                row[: max(self.prompts[place] - 1, 0)] = IGNORED
            ids = pad([sequence[:-1] for sequence in chosen], self.pad_id, width)
            yield _shared(share, len(places), (ids,), labels, self.pad_id)

    @cached_property
    def fingerprint(self) -> str:
        """Fingerprint of this stream of batches."""
        settings = (type(self).__name__, self.tokens, self.pad_id, self.seed)
        return digest_of(settings, chain([self.prompts], _flat(self._lengths + 1, self.sequences)))


class WindowBatches:
    """Window batches for a causal language model: random windows of one long text, as in nanoGPT.

    Batches have ``inputs = (ids (batch, block),)`` and ``labels`` (batch, block), the same ids one position further. An
    epoch has as many windows as fill the text's length, though it may miss parts of the text and repeat others.

    Args:
        ids: (N,), of any integer dtype; a ``numpy.memmap`` is read window by window.
        block: positions of a window, less than N.
        batch: windows of a batch.
        seed: of the places.

    Raises:
        ValueError: the text is shorter than a window and its last label, or a size is below 1.
        TypeError: the ids are no integers.

    Example:
        >>> data = WindowBatches(np.arange(100, dtype=np.uint16), block=4, batch=2)
        >>> first = next(data.epoch(0))
        >>> first.labels.shape, bool((first.labels == first.inputs[0] + 1).all())
        ((2, 4), True)
    """

    def __init__(self, ids: np.ndarray[Any, Any], block: int, batch: int, seed: int = 0) -> None:
        _check_positive(block=block, batch=batch)
        _check_text(ids, block, f"block={block}")
        self.ids, self.block, self.size, self.seed = ids, block, batch, seed

    def epoch(self, number: int, share: Share = WHOLE) -> Iterator[Batch]:
        rng = np.random.default_rng([self.seed, number])
        for _ in range(max(len(self.ids) // (self.block * self.size), 1)):
            places = rng.integers(0, len(self.ids) - self.block, self.size)
            yield _windows(self.ids, places, self.block, share)

    @cached_property
    def fingerprint(self) -> str:
        """Fingerprint of this stream of batches."""
        return digest_of((type(self).__name__, self.block, self.size, self.seed, str(self.ids.dtype)), [self.ids])


class TextBatches:
    """Text batches for the evaluation of a causal language model: adjacent windows, each token predicted once.

    Batches are as those of :class:`WindowBatches`. The last window may be shorter; nothing precedes the first token, so
    that it is never predicted. All epochs are alike.

    Args:
        ids: (N,), of any integer dtype, at least two.
        block: positions of a window.
        batch: windows of a batch.

    Raises:
        ValueError: there are fewer than two ids, or a size is below 1.
        TypeError: the ids are no integers.

    Example:
        >>> data = TextBatches(np.arange(10), block=4, batch=2)
        >>> [batch.labels.tolist() for batch in data.epoch(0)]
        [[[1, 2, 3, 4], [5, 6, 7, 8]], [[9]]]
    """

    def __init__(self, ids: np.ndarray[Any, Any], block: int, batch: int) -> None:
        _check_positive(block=block, batch=batch)
        _check_text(ids, 1, "1")
        self.ids, self.block, self.size = ids, block, batch

    def epoch(self, number: int, share: Share = WHOLE) -> Iterator[Batch]:
        whole = (len(self.ids) - 1) // self.block
        for first in range(0, whole, self.size):
            places = self.block * np.arange(first, min(first + self.size, whole))
            yield _windows(self.ids, places, self.block, share)
        if rest := (len(self.ids) - 1) % self.block:
            yield _windows(self.ids, np.array([whole * self.block]), rest, share)

    @cached_property
    def fingerprint(self) -> str:
        """Fingerprint of this stream of batches."""
        return digest_of((type(self).__name__, self.block, self.size, str(self.ids.dtype)), [self.ids])


class MaskedBatches:
    """Masked batches for a masked language model. Devlin et al., 2019 (BERT), section 3.1 and appendix A.1.

    Of each sequence a share ``probability`` of the ordinary tokens is chosen, at least one. Of the chosen 80 % become
    ``mask_id``, 10 % a random ordinary token, 10 % stay; the model predicts the original tokens. Batches have
    ``inputs = (ids (B, T),)`` and ``labels`` (B, T), IGNORED but at the chosen positions. Each epoch chooses anew.

    Args:
        sequences: ids; :class:`~transformer.data.records.Records` are read batch by batch.
        tokens: padded positions of a batch, at most; a longer sequence is a separate batch.
        vocab_size: all ids are below it.
        mask_id: the mask token.
        pad_id: padding of the inputs.
        special_ids: ids that are neither chosen nor put in a token's place; ``mask_id`` and ``pad_id`` always are such.
        probability: the share of tokens chosen, 0 < probability ≤ 1.
        seed: of the order and of the choice.

    Raises:
        ValueError: there are no sequences, or a value is out of range.

    Example:
        >>> data = MaskedBatches([[5, 6, 7, 8]], tokens=64, vocab_size=10, mask_id=1, pad_id=0)
        >>> (batch,) = data.epoch(0)
        >>> int((batch.labels != IGNORED).sum())
        1
    """

    def __init__(
        self,
        sequences: Sequence[Sequence[int] | Ids],
        tokens: int,
        vocab_size: int,
        mask_id: int,
        pad_id: int,
        special_ids: Collection[int] = (),
        probability: float = 0.15,
        seed: int = 0,
    ) -> None:
        _check_not_empty("sequences", sequences)
        _check_positive(tokens=tokens)
        if not 0 < probability <= 1:
            raise ValueError(f"probability: expected a number in (0, 1], got {probability}")
        self.special_ids = sorted({mask_id, pad_id, *special_ids})
        if not 0 <= self.special_ids[0] <= self.special_ids[-1] < vocab_size:
            raise ValueError(f"special_ids: expected ids from 0 to {vocab_size - 1}, got {self.special_ids}")
        self._ordinary = np.setdiff1d(np.arange(vocab_size), self.special_ids)
        if not len(self._ordinary):
            raise ValueError(
                f"vocab_size: expected more than the {len(self.special_ids)} special tokens, got {vocab_size}"
            )
        self.sequences, self.tokens, self.mask_id, self.pad_id = sequences, tokens, mask_id, pad_id
        self.vocab_size, self.probability, self.seed = vocab_size, probability, seed
        self._lengths = _lengths(sequences, len)

    def epoch(self, number: int, share: Share = WHOLE) -> Iterator[Batch]:
        rng = np.random.default_rng([self.seed, number])
        for places in by_length(self._lengths, self.tokens, rng):
            # Drawn for the whole batch, so that the same tokens are masked whatever the number of processes.
            shape, rows = (len(places), int(self._lengths[places].max())), share.rows(len(places))
            draws, fate = rng.random(shape)[rows], rng.random(shape)[rows]
            others = rng.choice(self._ordinary, shape)[rows]
            ids = pad([self.sequences[place] for place in places[rows]], self.pad_id, shape[1])
            chosen = self._choose(ids, draws)
            labels = np.where(chosen, ids, IGNORED)
            masked = np.where(chosen & (fate < MASKED), self.mask_id, ids)
            replaced = chosen & (fate >= MASKED) & (fate < MASKED + REPLACED)
            yield _shared(share, len(places), (np.where(replaced, others, masked),), labels, self.pad_id)

    def _choose(self, ids: Ids, draws: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Choose positions to predict: in each row the ordinary tokens with the smallest random numbers."""
        ordinary = ~np.isin(ids, self.special_ids)
        available = ordinary.sum(1, keepdims=True)
        wanted = np.minimum(np.maximum(np.rint(self.probability * available), 1), available)
        return np.where(ordinary, draws, 2.0).argsort(1).argsort(1) < wanted

    @cached_property
    def fingerprint(self) -> str:
        """Fingerprint of this stream of batches."""
        settings = (type(self).__name__, self.tokens, self.vocab_size, self.mask_id, self.pad_id, self.special_ids)
        return digest_of((*settings, self.probability, self.seed), _flat(self._lengths, self.sequences))


def _windows(ids: np.ndarray[Any, Any], places: Ids, length: int, share: Share) -> Batch:
    """Windows of a text with labels shifted by one token."""
    mine = places[share.rows(len(places))]
    windows = ids[mine[:, None] + np.arange(length + 1)].astype(np.int64)
    return _shared(share, len(places), (windows[:, :-1],), windows[:, 1:])


def pad(sequences: Sequence[Sequence[int] | Ids], pad_id: int, width: int | None = None) -> Ids:
    """Pad sequences of ids at the end to one (count, width) array; by default as wide as the longest."""
    width = max(map(len, sequences), default=0) if width is None else width
    ids = np.full((len(sequences), width), pad_id, np.int64)
    for row, sequence in zip(ids, sequences, strict=True):
        row[: len(sequence)] = sequence
    return ids


def by_length(lengths: np.ndarray[Any, Any], tokens: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Bucket by length: all indices of ``lengths`` once, in random groups of at most ``tokens`` padded positions.

    They are sorted by length, with random ties, cut into groups, and the groups shuffled: little padding, and no two
    epochs alike. Source: "Attention Is All You Need", section 5.1. One pass sorts: O(n log n).
    """
    order = rng.permutation(len(lengths))
    # A little noise mixes neighbouring lengths, so that batches differ in every epoch.
    order = order[np.argsort(lengths[order] + rng.random(len(lengths)) * 2, kind="stable")]
    starts, longest = [0], 0
    for position, length in enumerate(map(int, lengths[order])):
        longest = max(longest, length)
        if position > starts[-1] and (position - starts[-1] + 1) * longest > tokens:
            starts.append(position)
            longest = length
    ends = [*starts[1:], len(order)]
    return (order[starts[group] : ends[group]].tolist() for group in rng.permutation(len(starts)).tolist())


def fingerprint(data: Data) -> str:
    """Fingerprint of a data set: its own ``fingerprint``, or a digest of its first batch."""
    own = getattr(data, "fingerprint", None)
    if isinstance(own, str):
        return own
    first = next(data.epoch(0), None)
    arrays = (*first.inputs, first.labels) if first else ()
    return digest_of((type(data).__name__, *(array.shape for array in arrays)), arrays)


def digest_of(settings: object, arrays: Iterable[np.ndarray[Any, Any]]) -> str:
    digest = hashlib.sha256(repr(settings).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def _flat(lengths: Ids, sequences: Iterable[Sequence[int] | Ids]) -> Iterator[Ids]:
    """Lengths of sequences, and their ids, concatenated chunk by chunk."""
    yield lengths
    for chunk in chunks(sequences):
        yield np.concatenate([np.asarray(ids, np.int64) for ids in chunk])


def _lengths(items: Sequence[T], measure: Callable[[T], Any]) -> Ids:
    """Lengths of items; those of a stored sequence are known without reading it."""
    return items.lengths if isinstance(items, Stored) else np.array(list(map(measure, items)), np.int64)


def _check_not_empty(name: str, items: Sequence[Any]) -> None:
    if not len(items):
        raise ValueError(f"{name}: expected at least one, got none")


def _check_text(ids: np.ndarray[Any, Any], least: int, name: str) -> None:
    if ids.ndim != 1 or len(ids) <= least:
        raise ValueError(f"ids: expected one dimension of more than {name} ids, got shape {ids.shape}")
    if ids.dtype.kind not in "iu":
        raise TypeError(f"ids: expected integers, got {ids.dtype}")


def _check_positive(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name}: expected at least 1, got {size}")
