"""The options of a request: the JSON object in its fifth frame, decoded and checked.

1.10 had no options, and the defaults behave as it did. `ventilator.served_model` checks the options that depend on the
model.
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
    """The options for making rows of texts, and results of the graph's output. None means the model's default.

    Attributes:
        prompt: the text to put before each text; `''` disables the model's default prompt.
        prompt_name: the name of a prompt of the model, instead of `prompt`.
        normalize: True scales vectors to length 1, False leaves them as pooled.
        dimensions: how many of the first numbers of each vector to return.
        dtype: the type of the numbers; `binary` and `ubinary` are signs, eight in a byte.
        truncate: which end of a long text to drop, or `error` to reject it.
        pairs: True if each row is a list of two texts; False if `' ||| '` in a text is ordinary text.
        offsets: with `tokenize`, also return the positions of tokens in their text, and truncate nothing.
        decode: with `tokenize`, return the texts for lists of ids.
        special_tokens: with `decode`, keep special tokens.
        raw: return scores, True for logits and False with the activation of the model.
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
        """The values that differ from the defaults, by the names of the arguments."""
        values = ((field.name, getattr(self, field.name), field.default) for field in fields(self))
        return {name: value for name, value, default in values if value != default}


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a request; the defaults are 1.10's.

    `deadline_ms` is the time limit for the reply, counted from when the server reads the request. `token_counts` asks
    for the number of tokens that the model gets for each row, and for the truncated rows. `tokenize` asks for the ids
    instead of vectors. `encoding` is None unless the request sets one of its values, so that other requests cost
    nothing. `traceparent` is the parent of the request's spans in W3C's format, or None if there is none or it is not
    sampled.
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
"""The extensions of 1.10's protocol, which the configuration advertises."""


def decode_options(frame: bytes | memoryview) -> Options:
    """Decode the options in the fifth frame of a request.

    Raises:
        RequestError: the frame is not a JSON object, an option is unknown, or its value is not allowed.
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
        raise RequestError('prompt and prompt_name are mutually exclusive: send one of them')
    if tokenize:
        for name in ('normalize', 'dimensions', 'dtype', 'raw'):
            if getattr(encoding, name) is not None:
                raise RequestError('%s cannot be combined with tokenize, which returns ids: leave it out' % name)
    elif encoding.offsets or encoding.decode:
        raise RequestError('offsets and decode need tokenize, because they return no vectors: add it')
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
    """The parent of the spans if it is sampled. As W3C's Trace Context requires, an invalid one is ignored."""
    text = _read_text(options, 'traceparent')
    context = None if text is None else read_traceparent(text)
    return context.to_traceparent() if context is not None and context.is_sampled else None


def _read_word(options: Mapping[str, Any], name: str, words: tuple[str, ...], default: str | None) -> Any:
    value = options.get(name, default)
    if value != default and value not in words:
        raise RequestError('%s: expected one of %s' % (name, ', '.join(words)))
    return value
