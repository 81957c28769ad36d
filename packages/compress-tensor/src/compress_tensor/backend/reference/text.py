"""Operators on strings."""

from __future__ import annotations

import re

import numpy as np

from ...errors import ShapeError
from ...graph.graph import Array
from .registry import reference


def _strings(values: Array) -> list[str]:
    return [v.decode() if isinstance(v, bytes) else str(v) for v in values.reshape(-1)]


def _array(values: list[str], shape: tuple[int, ...]) -> Array:
    result = np.empty(len(values), object)
    result[:] = values
    return result.reshape(shape)


@reference("StringConcat")
def string_concat(X: Array, Y: Array) -> Array:
    """Return each pair of strings joined."""
    left, right = np.broadcast_arrays(X, Y)
    joined = [a + b for a, b in zip(_strings(left), _strings(right), strict=True)]
    return _array(joined, left.shape)


@reference("RegexFullMatch")
def regex_full_match(X: Array, *, pattern: str | None = None) -> Array:
    """Return which strings match a pattern from beginning to end."""
    if pattern is None:
        raise ShapeError("RegexFullMatch needs a pattern")
    compiled = re.compile(pattern)
    found = [compiled.fullmatch(text) is not None for text in _strings(X)]
    return np.array(found, np.bool_).reshape(X.shape)


@reference("StringNormalizer")
def string_normalizer(
    X: Array,
    *,
    case_change_action: str = "NONE",
    is_case_sensitive: int = 0,
    locale: str | None = None,
    stopwords: list[str] | None = None,
) -> Array:
    """Return the strings without stop words, in upper or lower case."""
    texts = _strings(X)
    stop = set(stopwords or [])
    if is_case_sensitive:
        texts = [t for t in texts if t not in stop]
    else:
        stop = {s.lower() for s in stop}
        texts = [t for t in texts if t.lower() not in stop]
    if case_change_action == "LOWER":
        texts = [t.lower() for t in texts]
    elif case_change_action == "UPPER":
        texts = [t.upper() for t in texts]
    texts = texts or [""]
    return _array(texts, (len(texts),) if X.ndim == 1 else (1, len(texts)))


@reference("StringSplit")
def string_split(
    X: Array, *, delimiter: str | None = None, maxsplit: int | None = None
) -> tuple[Array, Array]:
    """Return the pieces of each string, padded with "", and their number."""
    limit = -1 if maxsplit is None else maxsplit
    pieces = [text.split(delimiter or None, limit) for text in _strings(X)]
    width = max(map(len, pieces), default=0)
    flat = [p for found in pieces for p in [*found, *[""] * (width - len(found))]]
    counts = np.array([len(found) for found in pieces], np.int64).reshape(X.shape)
    return _array(flat, (*X.shape, width)), counts


@reference("TfIdfVectorizer")
def tf_idf_vectorizer(
    X: Array,
    *,
    max_gram_length: int,
    max_skip_count: int,
    min_gram_length: int,
    mode: str,
    ngram_counts: list[int],
    ngram_indexes: list[int],
    pool_int64s: list[int] | None = None,
    pool_strings: list[str] | None = None,
    weights: list[float] | None = None,
) -> Array:
    """Return how often each n-gram of a pool occurs, weighted."""
    pool: list[object] = list(pool_int64s or pool_strings or [])
    grams: dict[tuple[object, ...], int] = {}
    ends = [*ngram_counts[1:], len(pool)]
    if sorted([0, *ngram_counts, len(pool)]) != [0, *ngram_counts, len(pool)]:
        raise ShapeError(f"ngram_counts {ngram_counts} do not fit a pool of {len(pool)}")
    for n, (start, end) in enumerate(zip(ngram_counts, ends, strict=True), start=1):
        for first in range(start, end, n):
            grams[tuple(pool[first : first + n])] = len(grams)
    width = max(ngram_indexes, default=-1) + 1
    rows = X.reshape(1, -1) if X.ndim < 2 else X
    result = np.zeros((len(rows), width), np.float32)
    for row, out in zip(rows, result, strict=True):
        words: list[object] = [*_strings(row)] if row.dtype == object else row.tolist()
        counts = _counts(words, grams, min_gram_length, max_gram_length, max_skip_count)
        for place, count in counts.items():
            weight = 1.0 if weights is None else weights[place]
            column = ngram_indexes[place]
            out[column] += {"TF": count, "IDF": weight, "TFIDF": count * weight}[mode]
    return result if X.ndim > 1 else result[0]


def _counts(
    words: list[object], grams: dict[tuple[object, ...], int], low: int, high: int, skips: int
) -> dict[int, int]:
    """Return the occurrences of each gram, with 0 to ``skips`` words between its words."""
    found: dict[int, int] = {}
    for n in range(max(low, 1), min(high, len(words)) + 1):
        # Wider steps than these reach past the end.
        widest = min(skips + 1, (len(words) - 1) // (n - 1)) if n > 1 else 1
        for step in range(1, widest + 1):
            for first in range(len(words) - (n - 1) * step):
                place = grams.get(tuple(words[first : first + (n - 1) * step + 1 : step]))
                if place is not None:
                    found[place] = found.get(place, 0) + 1
    return found
