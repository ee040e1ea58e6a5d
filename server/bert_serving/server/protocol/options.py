"""The options of a request: the JSON object in its fifth frame, decoded and checked.

1.10 had none; the defaults answer as it did. `ventilator.served_model` checks the options that depend on the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias, get_args

import orjson

from ..errors import RequestError
from .tracing import read_traceparent

MAX_OPTIONS_BYTES = 4096
MAX_DEADLINE_MS = 86_400_000
MAX_DIMENSIONS = 1 << 20

VectorType: TypeAlias = Literal['float32', 'float16', 'int8', 'binary', 'ubinary']
Truncation: TypeAlias = Literal['right', 'left', 'error']


@dataclass(frozen=True, slots=True)
class EncodingOptions:
    """How texts become rows, and what the graph computes becomes the answer. None leaves it to the model.

    Attributes:
        prompt: what is put before each text; `''` is no prompt where the model has a default one.
        prompt_name: which prompt of the model is put there.
        normalize: whether vectors get length 1, or stay as they are pooled.
        dimensions: how many of the first numbers of a vector are answered.
        dtype: the type of the numbers; `binary` and `ubinary` are the signs, eight in a byte.
        truncate: which end of a text that is too long is dropped, or that it is an error.
        pairs: each text is a list of two; False: `' ||| '` in a text is text.
        offsets: with `tokenize`, the places of the tokens in the texts are wanted, too, and no text is cut.
        decode: with `tokenize`, the texts are lists of ids, and the texts that these stand for are wanted.
        special_tokens: with `decode`, special tokens are not left out.
        raw: scores are wanted, as logits or with the activation of the model.
    """

    prompt: str | None = None
    prompt_name: str | None = None
    normalize: bool | None = None
    dimensions: int | None = None
    dtype: VectorType | None = None
    truncate: Truncation = 'right'
    pairs: bool | None = None
    raw: bool | None = None
    offsets: bool | None = None
    decode: bool | None = None
    special_tokens: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """The values that are not the defaults; they are the arguments of the class."""
        values = ((field.name, getattr(self, field.name), field.default) for field in fields(self))
        return {name: value for name, value, default in values if value != default}


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a request; the defaults are 1.10's.

    `deadline_ms` is the time within which the reply is wanted, from when the server reads the request. `token_counts`
    asks for the number of tokens of each row as the model gets them and for the rows that were cut, `tokenize` for the
    ids themselves and no vectors.
    `encoding` is None unless one of its values is given, so that a request without costs nothing. `traceparent` is the
    parent of the spans of the request, as W3C writes it; None if there is none, or if it is not sampled.
    """

    deadline_ms: int | None = None
    token_counts: bool = False
    tokenize: bool = False
    encoding: EncodingOptions | None = None
    traceparent: str | None = None


NO_OPTIONS = Options()

ENCODING_OPTIONS = tuple(field.name for field in fields(EncodingOptions))
"""The names of the options of an encoding."""

_OPTIONS = ('deadline_ms', 'token_counts', 'tokenize', 'traceparent', *ENCODING_OPTIONS)

EXTENSIONS = ('options', 'token_ids', 'cancel', 'traceparent', *ENCODING_OPTIONS)
"""The extensions of the protocol of 1.10, as the configuration advertises them."""


def decode_options(frame: bytes | memoryview) -> Options:
    """The options in a request's fifth frame.

    Raises:
        RequestError: not a JSON object, an unknown option, or a value that the option cannot have.
    """
    if len(frame) > MAX_OPTIONS_BYTES:
        raise RequestError('the options have %d bytes: at most %d are read' % (len(frame), MAX_OPTIONS_BYTES))
    try:
        options = orjson.loads(frame)
    except orjson.JSONDecodeError as error:
        raise RequestError('the options are not JSON: %s' % error) from None
    if not isinstance(options, dict):
        raise RequestError('the options are not a JSON object')
    unknown = sorted(options.keys() - set(_OPTIONS))
    if unknown:
        raise RequestError('the option %r is not known: expected one of %s' % (unknown[0][:64], ', '.join(_OPTIONS)))
    tokenize = _read_flag(options, 'tokenize')
    return Options(
        deadline_ms=_read_number(options, 'deadline_ms', MAX_DEADLINE_MS),
        token_counts=_read_flag(options, 'token_counts'),
        tokenize=tokenize,
        encoding=_read_encoding(options, tokenize),
        traceparent=_read_traceparent(options),
    )


def _read_encoding(options: Mapping[str, Any], tokenize: bool) -> EncodingOptions | None:
    if options.keys().isdisjoint(ENCODING_OPTIONS):
        return None
    encoding = EncodingOptions(
        prompt=_read_text(options, 'prompt'),
        prompt_name=_read_text(options, 'prompt_name'),
        normalize=_read_choice(options, 'normalize'),
        dimensions=_read_number(options, 'dimensions', MAX_DIMENSIONS),
        dtype=_read_word(options, 'dtype', get_args(VectorType), None),
        truncate=_read_word(options, 'truncate', get_args(Truncation), 'right'),
        pairs=_read_choice(options, 'pairs'),
        raw=_read_choice(options, 'raw'),
        offsets=_read_choice(options, 'offsets'),
        decode=_read_choice(options, 'decode'),
        special_tokens=_read_choice(options, 'special_tokens'),
    )
    if encoding.prompt is not None and encoding.prompt_name is not None:
        raise RequestError('prompt and prompt_name: expected one of them, got both')
    if tokenize:
        for name in ('normalize', 'dimensions', 'dtype', 'raw'):
            if getattr(encoding, name) is not None:
                raise RequestError('%s: expected nothing with tokenize, which answers ids' % name)
    elif encoding.offsets or encoding.decode:
        raise RequestError('offsets, decode: expected tokenize as well, because they answer no vectors')
    return None if encoding == _DEFAULT_ENCODING else encoding


_DEFAULT_ENCODING = EncodingOptions()


def _read_flag(options: Mapping[str, Any], name: str) -> bool:
    value = options.get(name, False)
    if not isinstance(value, bool):
        raise RequestError('%s: expected true or false' % name)
    return value


def _read_choice(options: Mapping[str, Any], name: str) -> bool | None:
    value = options.get(name)
    if not (value is None or isinstance(value, bool)):
        raise RequestError('%s: expected true, false or null' % name)
    return value


def _read_number(options: Mapping[str, Any], name: str, most: int) -> int | None:
    value = options.get(name)
    if value is not None and not (type(value) is int and 0 < value <= most):
        raise RequestError('%s: expected a whole number from 1 to %d' % (name, most))
    return value


def _read_text(options: Mapping[str, Any], name: str) -> str | None:
    value = options.get(name)
    if not (value is None or isinstance(value, str)):
        raise RequestError('%s: expected a string' % name)
    return value


def _read_traceparent(options: Mapping[str, Any]) -> str | None:
    """The parent of the spans if it is sampled; one that is not valid is ignored, as W3C's Trace Context says."""
    text = _read_text(options, 'traceparent')
    context = None if text is None else read_traceparent(text)
    return context.to_traceparent() if context is not None and context.is_sampled else None


def _read_word(options: Mapping[str, Any], name: str, words: tuple[str, ...], default: str | None) -> Any:
    value = options.get(name, default)
    if value != default and value not in words:
        raise RequestError('%s: expected one of %s' % (name, ', '.join(words)))
    return value
