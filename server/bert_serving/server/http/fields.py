"""Validation of request fields, for all families of routes.

Pure. Error messages name the field, the expected value and the received type, but never quote a user's text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from .errors import HTTPError

_NAMES = {
    'str': 'a string',
    'int': 'a number',
    'float': 'a number',
    'bool': 'a boolean',
    'list': 'a list',
    'dict': 'an object',
    'NoneType': 'null',
}


def refuse(name: str, wanted: str, value: Any, type_name: str = 'BadRequest') -> NoReturn:
    """Raise the error for a field that must be `wanted` but has `value`."""
    message = '"%s" must be %s, but is %s' % (name, wanted, name_of(value))
    raise HTTPError('BadRequest', message, name, type_name)


def name_of(value: Any) -> str:
    """Describe a JSON value by its type, or a small integer by its value. It never quotes a string."""
    if is_integer(value) and abs(value) < 1 << 40:
        return str(value)
    return _NAMES[type(value).__name__]


def is_integer(value: Any) -> bool:
    """Whether a JSON value is an integer. True and false are not, although Python counts them as numbers."""
    return isinstance(value, int) and not isinstance(value, bool)


# ---- lists and texts; in messages, `where` names the checked part of the field `name`


def check_list(value: Any, where: str, name: str) -> list[Any]:
    """Check that `value` is a list with at least one element, and return it."""
    if not isinstance(value, list):
        raise HTTPError('BadRequest', '%s must be a list, but is %s' % (where, name_of(value)), name, 'TypeError')
    if not value:
        raise HTTPError('BadRequest', '%s must not be empty' % where, name, 'ValueError')
    return value


def check_number(rows: Sequence[Any], most: int, name: str) -> None:
    """Refuse more elements than `most`."""
    if len(rows) > most:
        message = '"%s" has %d elements, but the limit is %d: split the request' % (name, len(rows), most)
        raise HTTPError('TooLarge', message, name)


def check_string(value: Any, where: str, name: str) -> str:
    """Check that `value` is a string, possibly empty, and return it."""
    if not isinstance(value, str):
        raise HTTPError('BadRequest', '%s must be a string, but is %s' % (where, name_of(value)), name, 'TypeError')
    return value


def check_text(value: Any, where: str, name: str) -> str:
    """Check that `value` is a string that is not blank, and return it."""
    text = check_string(value, where, name)
    if not text.strip():
        raise HTTPError('BadRequest', '%s must not be blank' % where, name, 'ValueError')
    return text


def check_texts(rows: list[Any], name: str) -> list[str]:
    """Check that each of `rows` is a text, and return them."""
    for index, row in enumerate(rows):
        if not (isinstance(row, str) and row.strip()):
            check_text(row, 'element %d of "%s"' % (index, name), name)
    return rows


def check_ids(rows: list[Any], name: str) -> list[list[int]]:
    """Check that each of `rows` is a list of token ids, and return them."""
    for index, row in enumerate(rows):
        where = 'element %d of "%s"' % (index, name)
        for position, value in enumerate(check_list(row, where, name)):
            if not is_integer(value) or not 0 <= value < 1 << 31:
                message = 'token %d of %s must be an id of the vocabulary, but is %s'
                raise HTTPError('BadRequest', message % (position, where, name_of(value)), name, 'TypeError')
    return rows


# ---- optional fields, where null counts as absent


def check_present(data: Mapping[str, Any], name: str, what: str) -> Any:
    """Return the required field `name`. `what` describes it in the error."""
    value = data.get(name)
    if value is None:
        raise HTTPError('BadRequest', '"%s" is missing: %s' % (name, what), name)
    return value


def read_boolean(data: Mapping[str, Any], name: str) -> bool | None:
    """Return the boolean field `name`, or None if it is absent."""
    value = data.get(name)
    if value is not None and not isinstance(value, bool):
        refuse(name, 'true or false', value)
    return value


def read_string(data: Mapping[str, Any], name: str) -> str | None:
    """Return the string field `name`, possibly empty, or None if it is absent."""
    value = data.get(name)
    if value is not None and not isinstance(value, str):
        refuse(name, 'a string', value)
    return value


def read_number(data: Mapping[str, Any], name: str) -> int | None:
    """Return the integer field `name`, at least 1, or None if it is absent."""
    value = data.get(name)
    if value is None:
        return None
    if not is_integer(value) or value < 1:
        refuse(name, 'a whole number of at least 1', value)
    return int(value)


def read_word(data: Mapping[str, Any], name: str, words: Sequence[str]) -> str | None:
    """Return the field `name`, one of `words`, or None if it is absent."""
    value = data.get(name)
    if value is None or (isinstance(value, str) and value in words):
        return value
    *others, last = ['"%s"' % word for word in words]
    raise HTTPError('BadRequest', '"%s" must be %s or %s' % (name, ', '.join(others), last), name)
