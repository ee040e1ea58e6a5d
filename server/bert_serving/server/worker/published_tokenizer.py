"""The tokenizer of a published model, of any kind in a tokenizer.json, for a `RowEncoder`.

The `tokenizers` package does the work and releases the GIL. To find the special tokens of a row, this module tokenizes
a sample row and a sample pair.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

from tokenizers import Encoding
from tokenizers import Tokenizer as Backend

from ..errors import ModelError, RequestError
from .long_texts import ids_of_beginning
from .tokenizer import Template

LONG_TEXT_CHARS = 100_000
"""Longer texts are tokenized only as far as needed."""

MARGIN = 64
"""The number of tokens at the end of a part of a text that can differ from those of the whole text."""

_PROBES = ('a', 'the', '1', '.', '的')


class PublishedTokenizer:
    """Converts text to ids with the model's own tokenizer, and ids back to tokens. Thread-safe."""

    def __init__(self, backend: Backend, *, gives_types: bool = True) -> None:
        """Take a tokenizer of `model.tokenizer_file`. Unless it `gives_types`, all type ids are 0.

        Raises:
            ModelError: it puts special tokens at positions that rows do not support.
        """
        self._backend = backend
        self._unknown_id = _unknown_id(backend)
        template = _probe(backend)
        self._template = template if gives_types else replace(template, first_of_between=0, has_types=False)

    @property
    def template(self) -> Template:
        return self._template

    @property
    def strips(self) -> bool:
        return False

    def encode_texts(self, texts: Sequence[str], most: int) -> list[list[int]]:
        """Return the ids of each text without special tokens, and of a very long text only the first `most` or more.

        Lone surrogates count as U+FFFD.

        Raises:
            RuntimeError: the tokenizer fails on a text.
            TooLarge: a text of millions of characters has too few tokens.
        """
        ids: list[list[int] | None] = [
            self._encode_long(text, most) if len(text) > LONG_TEXT_CHARS else None for text in texts
        ]
        rest = iter(self._encode([text for text, known in zip(texts, ids, strict=True) if known is None]))
        return [next(rest) if known is None else known for known in ids]

    def tokens_to_ids(self, tokens: Sequence[str]) -> list[int]:
        """Look up the ids of tokens. A token that is not in the vocabulary gets the id of the unknown token.

        Raises:
            RequestError: a token is not in the vocabulary, and there is no unknown token.
        """
        ids = [self._backend.token_to_id(token) for token in tokens]
        if self._unknown_id is None and None in ids:
            raise RequestError(
                'the vocabulary has no token %.100r, and no unknown token: send texts instead' % tokens[ids.index(None)]
            )
        return [self._unknown_id if index is None else index for index in ids]  # type: ignore[misc]

    def has_id(self, index: int) -> bool:
        return 0 <= index < 1 << 32 and self._backend.id_to_token(index) is not None

    def tokens_of(self, ids: Sequence[int]) -> list[str]:
        return [self._backend.id_to_token(index) or '' for index in ids]

    def spell(self, text: str) -> list[tuple[int, int, int]]:
        (encoding,) = self._encodings(self._backend.encode_batch, [text])
        return [(index, *place) for index, place in zip(encoding.ids, encoding.offsets, strict=True)]

    def decode(self, ids: Sequence[int], keeps_special: bool) -> str:
        return str(self._backend.decode(list(ids), skip_special_tokens=not keeps_special))

    def fit_pair(self, first: int, second: int, room: int) -> tuple[int, int]:
        """As `longest_first` does: each text keeps up to half of the room. If it is odd, the longer text gets more."""
        shorter, longer = min(first, second), max(first, second)
        longer = shorter if shorter > room else max(shorter, room - shorter) if shorter + longer > room else longer
        if shorter + longer > room:
            shorter = room // 2
            longer = shorter + room % 2
        return (longer, shorter) if first > second else (shorter, longer)

    def _encode_long(self, text: str, most: int) -> list[int]:
        return ids_of_beginning(
            text, max(LONG_TEXT_CHARS, 16 * most), most, MARGIN, lambda part: self._encode([part])[0]
        )

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._encodings(self._backend.encode_batch_fast, texts)]

    def _encodings(self, encode: Callable[..., list[Encoding]], texts: Sequence[str]) -> list[Encoding]:
        try:
            try:
                return encode(texts, add_special_tokens=False)
            except (UnicodeEncodeError, TypeError):
                return encode(list(map(_without_surrogates, texts)), add_special_tokens=False)
        except BaseException as error:
            if type(error).__name__ == 'PanicException':  # a panic of the package's Rust code, not an Exception
                raise RuntimeError('the tokenizer failed: %s' % error) from None
            raise


def _without_surrogates(text: str) -> str:
    return text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')


def _unknown_id(backend: Backend) -> int | None:
    """The id of the unknown token, or None if there is none."""
    name = getattr(backend.model, 'unk_token', None)
    if name is None:
        model = json.loads(backend.model.__getstate__()) if hasattr(backend.model, '__getstate__') else {}
        index = model.get('unk_id')
        if isinstance(index, int):
            return index
    for token in (name, '[UNK]', '<unk>'):
        if token is not None and (index := backend.token_to_id(token)) is not None:
            return int(index)
    return None


def _probe(backend: Backend) -> Template:
    """Find the template of a tokenizer from a row and a pair of a text with a known token."""
    for probe in _PROBES:
        plain = backend.encode(probe, add_special_tokens=False).ids
        if plain:
            break
    else:
        raise ModelError('the tokenizer has no token for any of %s' % ' '.join(_PROBES))
    single, pair = backend.encode(probe), backend.encode(probe, probe)
    before, text, after = _split(single, len(plain), 1)
    before_first, first, between, second, after_second = _split(pair, len(plain), 2)
    types = list(pair.type_ids)
    zeros = types.index(1) if 1 in types else len(types)
    first_of_between = zeros - len(before_first) - len(first)
    is_regular = (
        text == first == second == plain and not any(single.type_ids) and types[zeros:] == [1] * (len(types) - zeros)
    )
    if not is_regular or not (zeros == len(types) or 0 <= first_of_between <= len(between)):
        raise ModelError('the tokenizer puts special tokens or types where this release has none: %r' % pair.tokens)
    return Template(
        tuple(before),
        tuple(after),
        tuple(before_first),
        tuple(between),
        tuple(after_second),
        first_of_between=0 if zeros == len(types) else first_of_between,
        has_types=zeros < len(types),
    )


def _split(encoding: Encoding, length: int, texts: int) -> list[list[int]]:
    """Cut the ids of an encoding of one or two texts of `length` tokens at the limits of each text."""
    parts: list[list[int]] = []
    at = 0
    for text in range(texts):
        owners = encoding.sequence_ids
        start = owners.index(text) if text in owners else at
        parts += [encoding.ids[at:start], encoding.ids[start : start + length]]
        at = start + length
    return [*parts, encoding.ids[at:]]
