"""Encode and decode the texts of a request, and check their shape.

The ventilator uses it to split large requests, the worker to encode rows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import orjson

from ..errors import RequestError
from .unicode import decode, describe_error
from .wire import Buffer

MAX_SECOND_TRY_BYTES = 16 << 20
"""The largest message that gets a second try with the slow `json`."""


def decode_texts(payload: Buffer) -> Any:
    """Decode the JSON of a request. `parse_texts` checks its shape.

    If orjson rejects a message, `json` gets a second try. It is slower, but accepts a byte order mark, UTF-16, UTF-32
    and, as 1.10 did, lone surrogates and NaN.

    Raises:
        RequestError: the message is not JSON, is not Unicode, or is nested too deeply.
    """
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        reason = error
    try:
        text = decode(payload)
    except UnicodeDecodeError as error:
        raise RequestError('the message %s' % describe_error(error)) from None
    if len(payload) > MAX_SECOND_TRY_BYTES:
        raise RequestError('the message is not JSON that can be read: %s' % reason)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise RequestError('the message is not JSON: %s at character %d' % (error.msg, error.pos)) from None
    except ValueError as error:  # for example, a number with more digits than Python reads
        raise RequestError('the message cannot be read: %s' % error) from None
    except RecursionError:
        raise RequestError('the message is nested too deeply: expected a list of texts or of token lists') from None


def encode_texts(texts: Sequence[Any]) -> bytes:
    """Encode `texts` as JSON for `decode_texts`."""
    try:
        return orjson.dumps(texts)
    except TypeError:  # lone surrogates
        return json.dumps(texts).encode('ascii')


def parse_texts(value: object, expected_rows: int, first_row: int = 0) -> list[str] | list[list[str]] | list[list[int]]:
    """Check that the decoded JSON of a request is `expected_rows` texts, or lists of tokens or ids, and return it.

    Blank texts and empty lists of tokens are valid rows. `RowEncoder.encode` checks the ids against the vocabulary.
    Errors count the elements from `first_row`.

    Raises:
        RequestError: `value` is anything else. The message names the first wrong element and never quotes it.
    """
    if not isinstance(value, list):
        raise RequestError('expected a list of texts or of lists of tokens, got %s' % _type_of(value))
    if not value:
        raise RequestError('expected at least one text, got an empty list')
    if len(value) != expected_rows:
        raise RequestError('the request announces %d rows, but its list has %d elements' % (expected_rows, len(value)))
    if isinstance(value[0], str):
        _check_elements(value, str, 'a text', first_row)
    elif isinstance(value[0], list):
        _check_elements(value, list, 'a list of tokens', first_row)
        first = next((tokens[0] for tokens in value if tokens), '')
        kind, name = (int, 'an id') if type(first) is int else (str, 'a string')
        for index, tokens in enumerate(value, first_row):
            wrong = _find_other(tokens, kind)
            if wrong is not None:
                got = _type_of(tokens[wrong])
                raise RequestError('expected %s in element %d as token %d, got %s' % (name, index, wrong, got))
    else:
        got = _type_of(value[0])
        raise RequestError('expected a text or a list of tokens as element %d, got %s' % (first_row, got))
    return value


def parse_pairs(value: object, expected_rows: int, first_row: int = 0) -> list[list[str]]:
    """Check that the decoded JSON of a request is `expected_rows` pairs of texts, and return it. Texts can be empty.

    Errors count the elements from `first_row`.

    Raises:
        RequestError: `value` is anything else. The message names the first wrong element and never quotes it.
    """
    if not isinstance(value, list):
        raise RequestError('expected a list of pairs of texts, got %s' % _type_of(value))
    if len(value) != expected_rows:
        raise RequestError('the request announces %d rows, but its list has %d elements' % (expected_rows, len(value)))
    for index, pair in enumerate(value, first_row):
        if not isinstance(pair, list) or len(pair) != 2:
            got = 'a list of %d' % len(pair) if isinstance(pair, list) else _type_of(pair)
            raise RequestError('expected a list of two texts as element %d, got %s' % (index, got))
        wrong = _find_other(pair, str)
        if wrong is not None:
            got = _type_of(pair[wrong])
            raise RequestError('expected a text in element %d as text %d, got %s' % (index, wrong, got))
    return value


def _check_elements(elements: list[object], kind: type, name: str, first_row: int) -> None:
    wrong = _find_other(elements, kind)
    if wrong is not None:
        got, place = _type_of(elements[wrong]), first_row + wrong
        raise RequestError('expected %s, like element %d, as element %d, got %s' % (name, first_row, place, got))


def _find_other(elements: list[object], kind: type) -> int | None:
    """The index of the first element whose type is not exactly `kind`, or None if there is none."""
    for index, element in enumerate(elements):
        if type(element) is not kind:  # exactly, because true and false are not ids
            return index
    return None


def _type_of(value: object) -> str:
    return type(value).__name__
