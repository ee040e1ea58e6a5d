"""The texts of a request: their JSON, and the shapes that it can have.

Both ends of the ring read them: the ventilator to split a large request, the worker to encode its rows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import orjson

from ..errors import RequestError
from .wire import Buffer

MAX_SECOND_TRY_BYTES = 16 << 20


def decode_texts(payload: Buffer) -> Any:
    """The JSON value of a request's message; its shape is for the caller to check.

    What orjson refuses is tried with `json`, which takes the lone surrogates and NaN that 1.10 took, and takes its time:
    `MAX_SECOND_TRY_BYTES` bounds it.

    Raises:
        RequestError: no JSON, not UTF-8, or nested too deeply to be read.
    """
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        if len(payload) > MAX_SECOND_TRY_BYTES:
            raise RequestError('the message is not JSON that can be read: %s' % error) from None
    try:
        return json.loads(str(payload, 'utf-8'))
    except UnicodeDecodeError as error:
        raise RequestError('the message is not UTF-8: byte %d cannot be decoded' % error.start) from None
    except json.JSONDecodeError as error:
        raise RequestError('the message is not JSON: %s at character %d' % (error.msg, error.pos)) from None
    except ValueError as error:  # a number of more digits than Python reads, say
        raise RequestError('the message cannot be read: %s' % error) from None
    except RecursionError:
        raise RequestError('the message is nested too deeply: expected a list of texts or of token lists') from None


def encode_texts(texts: Sequence[Any]) -> bytes:
    """`texts` as the JSON that `decode_texts` reads back."""
    try:
        return orjson.dumps(texts)
    except TypeError:  # lone surrogates
        return json.dumps(texts).encode('ascii')


def parse_texts(value: object, expected_rows: int) -> list[str] | list[list[str]] | list[list[int]]:
    """The decoded JSON of a request, once it is known to be `expected_rows` texts, or as many lists of tokens or ids.

    Blank texts and empty lists of tokens are rows too. Whether the model has the ids is for `RowEncoder.encode` to say.

    Raises:
        RequestError: it is anything else; the message names the first element that is wrong, and quotes none.
    """
    if not isinstance(value, list):
        raise RequestError(f'expected a list of texts or of lists of tokens, got {_type_of(value)}')
    if not value:
        raise RequestError('expected at least one text, got an empty list')
    if len(value) != expected_rows:
        raise RequestError(f'the request announces {expected_rows} rows, but its list has {len(value)} elements')
    if isinstance(value[0], str):
        _check_each(value, str, 'a text, like element 0, as element')
    elif isinstance(value[0], list):
        _check_each(value, list, 'a list of tokens, like element 0, as element')
        first = next((tokens[0] for tokens in value if tokens), '')
        kind, name = (int, 'an id') if type(first) is int else (str, 'a string')
        for index, tokens in enumerate(value):
            _check_each(tokens, kind, f'{name} in element {index} as token')
    else:
        raise RequestError(f'expected a text or a list of tokens as element 0, got {_type_of(value[0])}')
    return value


def _check_each(elements: list[object], kind: type, expected: str) -> None:
    for index, element in enumerate(elements):
        if type(element) is not kind:  # true and false, too, are no ids
            raise RequestError(f'expected {expected} {index}, got {_type_of(element)}')


def _type_of(value: object) -> str:
    return type(value).__name__
