"""Validation: from the bytes of a request to a query whose fields have all been checked.

Pure. A message names the field, the expected value and the type that came, but never repeats a text of a user.
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
"""Most levels of lists and objects: the known fields need three, and unknown fields may have some."""

MAX_ITEMS = 1_000_000
"""Most elements in a body: an empty list takes three bytes in JSON and sixty in memory."""

MAX_ROWS = 16384
"""Most texts in a request of 1.10; with vectors of 1,024 numbers, `responses.MAX_NUMBERS`."""

MAX_FIELDS = MAX_ROWS + 16
"""Most fields in a form: one for each text, and a few more."""

_TRUE, _FALSE = ('1', 'true', 'yes', 'on'), ('', '0', 'false', 'no', 'off')


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows to encode: texts, lists of tokens, lists of ids of the vocabulary, or lists of two texts."""

    items: list[Any]
    form: Literal['texts', 'tokens', 'ids', 'pairs'] = 'texts'


@dataclass(frozen=True, slots=True)
class EncodeQuery:
    """A request of 1.10; `id` is any JSON value, and is returned with the response."""

    id: Any
    rows: Rows
    show_tokens: bool


@dataclass(frozen=True, slots=True)
class TokenizeQuery:
    """A request for tokens and ids."""

    rows: Rows


# ---- JSON


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`, for any content type: clients of 1.10 send it with and without one.

    Editors and shells of Windows write a byte order mark or UTF-16; both are read.

    Raises:
        HTTPError: BadRequest, it is not a JSON object, not Unicode, or nested too deep; TooLarge, it has too many
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
    """`body` in UTF-8 without a byte order mark; whether UTF-8 is valid is not checked.

    Raises:
        HTTPError: BadRequest, the body is UTF-16 or UTF-32 with an error.
    """
    try:
        return bytes(to_utf8(body))
    except UnicodeDecodeError as error:
        raise _not_unicode('the body', error) from None


def _load(text: bytes, body: bytes) -> Any:
    """The JSON in `text`, which is `body` in UTF-8."""
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
    """Refuse a body that would be much larger in memory than as JSON, before it is parsed.

    Raises:
        HTTPError: BadRequest, it is nested too deep; TooLarge, it has too many elements.
    """
    excess = find_excess(body, max_depth, max_items)
    if excess == 'elements':
        raise HTTPError('TooLarge', 'the body has more than %d elements' % max_items)
    if excess == 'depth':
        message = 'the body is nested deeper than %d levels, or its brackets do not match' % max_depth
        raise HTTPError('BadRequest', message, type_name='ValueError')


# ---- 1.10's routes


def read_encode(data: Mapping[str, Any]) -> EncodeQuery:
    """The query of `POST /encode`, from JSON."""
    if 'texts' not in data:
        raise _missing('texts')
    is_tokenized = _flag(data, 'is_tokenized')
    rows = _read_rows(data['texts'], 'texts', is_tokenized, takes_ids=True)
    return EncodeQuery(data.get('id'), rows, _flag(data, 'show_tokens'))


def check_fields(body: bytes) -> None:
    """Refuse a URL-encoded form that would be much larger in memory than its body, or whose fields are not UTF-8.

    Flask would ignore such a form, or keep the percent signs of such a field.

    Raises:
        HTTPError: TooLarge, it has too many fields; BadRequest, it is not UTF-8.
    """
    if body.count(b'&') >= MAX_FIELDS:
        raise HTTPError('TooLarge', 'the form has more than %d fields' % MAX_FIELDS)
    _check_utf8(body, 'the form')
    if b'%' in body:
        for field in body.split(b'&'):
            name, _, value = field.partition(b'=')
            _check_utf8(unquote_to_bytes(value), 'field "%s" of the form' % name[:64].decode('ascii', 'replace'))


def check_values(fields: Mapping[str, Sequence[str]], body: bytes) -> None:
    """Refuse a multipart form whose body is not UTF-8, if Flask has replaced bytes of a field by U+FFFD.

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
    """The query of `POST /encode`, from a form: `texts` comes once for each text, or for each JSON list of tokens."""
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
    """The query of `POST /tokenize`."""
    if 'texts' not in data:
        raise _missing('texts')
    return TokenizeQuery(_read_rows(data['texts'], 'texts', _flag(data, 'is_tokenized')))


def _missing(name: str) -> HTTPError:
    return HTTPError('BadRequest', '"%s" is missing' % name, name, 'KeyError')


def _flag(data: Mapping[str, Any], name: str) -> bool:
    """A boolean, also as a number or a word, because a form has only strings."""
    value = data.get(name)
    word = str(value).strip().lower() if isinstance(value, (str, int)) else value
    if word is None or word in _FALSE:
        return False
    if word in _TRUE:
        return True
    raise HTTPError('BadRequest', '"%s" must be true or false, but is %s' % (name, name_of(value)), name, 'TypeError')


def check_form(rows: Rows, token_ids: bool, name: str) -> None:
    """Refuse token ids, unless the server was told to accept them by `token_ids`.

    OpenAI's API takes ids of OpenAI's vocabularies, and LangChain sends them by default: a vocabulary of BERT has the
    same numbers for other tokens, so the vectors would be wrong and nothing would show it.
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
