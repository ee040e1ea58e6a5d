"""Parse and validate requests of 1.10's routes, and the JSON of all routes.

Pure. Error messages name the field, the expected value and the received type, but never quote a user's text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote_to_bytes

import orjson

from ..protocol.structure import find_excess
from ..protocol.unicode import decode, describe_error, to_utf8
from .errors import HTTPError
from .fields import check_ids, check_list, check_number, check_text, check_texts, is_integer, name_of

MAX_DEPTH = 16
"""The maximum nesting of lists and objects. Known fields need three levels, and unknown fields can have more."""

MAX_ITEMS = 1_000_000
"""The maximum number of elements in a body, because an empty list takes three bytes in JSON and sixty in memory."""

MAX_ROWS = 16384
"""The maximum number of texts in a request of 1.10, which makes `responses.MAX_NUMBERS` with vectors of 1,024
numbers."""

MAX_FIELDS = MAX_ROWS + 16
"""The maximum number of fields in a form: one for each text, and a few more."""

_TRUE, _FALSE = ('1', 'true', 'yes', 'on'), ('', '0', 'false', 'no', 'off')


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows to encode: texts, lists of tokens, lists of token ids, or lists of two texts."""

    items: list[Any]
    form: Literal['texts', 'tokens', 'ids', 'pairs'] = 'texts'


@dataclass(frozen=True, slots=True)
class EncodeQuery:
    """A request of 1.10. `id` is any JSON value, which the response repeats."""

    id: Any
    rows: Rows
    show_tokens: bool


@dataclass(frozen=True, slots=True)
class TokenizeQuery:
    """A request for the tokens and ids of texts."""

    rows: Rows


# ---- JSON


def read_object(body: bytes) -> dict[str, Any]:
    """Parse the JSON object in `body`, for any content type, because 1.10 clients send it with and without one.

    It also reads a byte order mark and UTF-16, which editors and shells on Windows write.

    Raises:
        HTTPError: BadRequest if it is not a JSON object, not Unicode, or nested too deeply; TooLarge if it has too many
            elements.
    """
    text = read_utf8(body)
    check_structure(text)
    value = _load(text, body)
    if not isinstance(value, dict):
        raise HTTPError(
            'BadRequest', 'the body must be a JSON object, but is %s' % name_of(value), type_name='TypeError'
        )
    return value


def read_utf8(body: bytes) -> bytes:
    """Convert `body` to UTF-8 without a byte order mark. A body in UTF-8 is not validated.

    Raises:
        HTTPError: BadRequest if the body is invalid UTF-16 or UTF-32.
    """
    try:
        return bytes(to_utf8(body))
    except UnicodeDecodeError as error:
        raise _not_unicode('the body', error) from None


def _load(text: bytes, body: bytes) -> Any:
    """Parse the JSON in `text`, which is `body` in UTF-8."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        reason = error
    try:
        return json.loads(decode(body))  # orjson refuses a lone surrogate; the server accepts it
    except UnicodeDecodeError as error:
        raise _not_unicode('the body', error) from None
    except (ValueError, RecursionError):
        raise HTTPError('BadRequest', 'the body is not JSON: %s' % reason, type_name='ValueError') from None


def _not_unicode(subject: str, error: UnicodeDecodeError) -> HTTPError:
    return HTTPError('BadRequest', '%s %s' % (subject, describe_error(error)), type_name='ValueError')


def check_structure(body: bytes, max_depth: int = MAX_DEPTH, max_items: int = MAX_ITEMS) -> None:
    """Refuse a body, before parsing it, that would be much larger in memory than as JSON.

    Raises:
        HTTPError: BadRequest if it is nested too deeply; TooLarge if it has too many elements.
    """
    excess = find_excess(body, max_depth, max_items)
    if excess == 'elements':
        raise HTTPError('TooLarge', 'the body has more than %d elements: send less at a time' % max_items)
    if excess == 'depth':
        message = 'the body is nested deeper than %d levels, or its brackets do not match' % max_depth
        raise HTTPError('BadRequest', message, type_name='ValueError')


# ---- 1.10's routes


def read_encode(data: Mapping[str, Any]) -> EncodeQuery:
    """Parse the query of `POST /encode` from JSON."""
    if 'texts' not in data:
        raise _missing('texts')
    is_tokenized = _flag(data, 'is_tokenized')
    rows = _read_rows(data['texts'], 'texts', is_tokenized, takes_ids=True)
    return EncodeQuery(data.get('id'), rows, _flag(data, 'show_tokens'))


def check_fields(body: bytes) -> None:
    """Refuse a URL-encoded form that is not UTF-8, or would be much larger in memory than its body.

    Flask would ignore a form with too many fields, and keep the percent signs of an invalid field.

    Raises:
        HTTPError: TooLarge if it has too many fields; BadRequest if it is not UTF-8.
    """
    if body.count(b'&') >= MAX_FIELDS:
        raise HTTPError('TooLarge', 'the form has more than %d fields' % MAX_FIELDS)
    _check_utf8(body, 'the form')
    if b'%' in body:
        for field in body.split(b'&'):
            name, _, value = field.partition(b'=')
            _check_utf8(unquote_to_bytes(value), 'field "%s" of the form' % name[:64].decode('ascii', 'replace'))


def check_values(fields: Mapping[str, Sequence[str]], body: bytes) -> None:
    """Refuse a multipart form that is not UTF-8, where Flask has replaced bytes of a field by U+FFFD.

    Raises:
        HTTPError: BadRequest; the message names the byte of the body.
    """
    if any('\ufffd' in value for values in fields.values() for value in values):
        _check_utf8(body, 'the form')


def _check_utf8(data: bytes, subject: str) -> None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise _not_unicode(subject, error) from None


def read_encode_form(fields: Mapping[str, Sequence[str]]) -> EncodeQuery:
    """Parse the query of `POST /encode` from a form, with one field `texts` for each text or JSON list of tokens."""
    data: dict[str, Any] = {name: values[-1] for name, values in fields.items() if values}
    if 'texts' in data:
        data['texts'] = list(fields['texts'])
        if _flag(data, 'is_tokenized'):
            data['texts'] = [_read_tokens(text, index) for index, text in enumerate(data['texts'])]
    return read_encode(data)


def _read_tokens(text: str, index: int) -> Any:
    body = text.removeprefix('\ufeff').encode('utf-8', 'surrogatepass')
    check_structure(body)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        message = 'element %d of "texts" must be a JSON list of tokens, since "is_tokenized" is true' % index
        raise HTTPError('BadRequest', message, 'texts', 'ValueError') from None


def read_tokenize(data: Mapping[str, Any]) -> TokenizeQuery:
    """Parse the query of `POST /tokenize`."""
    if 'texts' not in data:
        raise _missing('texts')
    return TokenizeQuery(_read_rows(data['texts'], 'texts', _flag(data, 'is_tokenized')))


def _missing(name: str) -> HTTPError:
    return HTTPError('BadRequest', '"%s" is missing' % name, name, 'KeyError')


def _flag(data: Mapping[str, Any], name: str) -> bool:
    """Read a boolean, possibly as a number or a word, because forms have only strings."""
    value = data.get(name)
    word = str(value).strip().lower() if isinstance(value, (str, int)) else value
    if word is None or word in _FALSE:
        return False
    if word in _TRUE:
        return True
    raise HTTPError('BadRequest', '"%s" must be true or false, but is %s' % (name, name_of(value)), name, 'TypeError')


def check_form(rows: Rows, token_ids: bool, name: str) -> None:
    """Refuse token ids unless the server accepts them (`token_ids`).

    OpenAI's API takes ids of OpenAI's vocabularies, and LangChain sends them by default. In BERT's vocabulary the same
    ids are other tokens, so the vectors would be wrong without any sign of it.
    """
    if rows.form == 'ids' and not token_ids:
        message = (
            '"%s" has token ids, which are rejected because ids of another vocabulary would get wrong vectors: send texts, '
            'in LangChain by OpenAIEmbeddings(check_embedding_ctx_length=False); or start the server with '
            "-http_token_ids to send ids of the model's own vocabulary"
        )
        raise HTTPError('BadRequest', message % name, name, 'TypeError')


def _read_rows(value: Any, name: str, is_tokenized: bool, takes_ids: bool = False) -> Rows:
    rows = check_list(value, '"%s"' % name, name)
    check_number(rows, MAX_ROWS, name)
    if not is_tokenized:
        return Rows(check_texts(rows, name))
    if takes_ids and isinstance(rows[0], list) and rows[0] and is_integer(rows[0][0]):
        return Rows(check_ids(rows, name), 'ids')
    for index, row in enumerate(rows):
        where = 'element %d of "%s"' % (index, name)
        for position, token in enumerate(check_list(row, where, name)):
            check_text(token, 'token %d of %s' % (position, where), name)
    return Rows(rows, 'tokens')
