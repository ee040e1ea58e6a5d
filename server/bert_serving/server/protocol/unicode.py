"""Detect the Unicode encoding of JSON text: UTF-8, or UTF-16 and UTF-32, which some Windows programs write. Pure."""

from __future__ import annotations

import codecs

from .wire import Buffer

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, 'utf-8'),
    (codecs.BOM_UTF32_LE, 'utf-32-le'),  # before UTF-16, because this mark begins with that of UTF-16
    (codecs.BOM_UTF32_BE, 'utf-32-be'),
    (codecs.BOM_UTF16_LE, 'utf-16-le'),
    (codecs.BOM_UTF16_BE, 'utf-16-be'),
)

_ZEROS = {
    bytes([1, 0, 0, 0]): 'utf-32-le',
    bytes([0, 0, 0, 1]): 'utf-32-be',
    bytes([1, 0, 1, 0]): 'utf-16-le',
    bytes([0, 1, 0, 1]): 'utf-16-be',
}
"""The encodings by the zeros among the first four bytes, where 1 stands for other bytes.

JSON begins with two ASCII characters, unless it is a single string or digit."""


_PRINTABLE = bytes(range(32, 127))


def detect_encoding(data: Buffer) -> tuple[str, int]:
    """Return the encoding of JSON text, and the length of its byte order mark or 0."""
    head = bytes(data[:4])
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    return _ZEROS.get(bytes(map(bool, head)), 'utf-8'), 0


def to_utf8(data: Buffer) -> Buffer:
    """Return JSON text in UTF-8 without a byte order mark. UTF-8 without one is returned unchanged and unchecked.

    Raises:
        UnicodeDecodeError: the text is invalid UTF-16 or UTF-32; `start` counts the byte order mark.
    """
    encoding, mark = detect_encoding(data)
    if encoding == 'utf-8':
        return data[mark:] if mark else data
    return decode(data).encode()


def decode(data: Buffer) -> str:
    """Return JSON text as a string, without a byte order mark.

    Raises:
        UnicodeDecodeError: the text is invalid in its encoding; `start` is the position of the wrong byte in `data`.
    """
    encoding, mark = detect_encoding(data)
    try:
        return str(data[mark:], encoding)
    except UnicodeDecodeError as error:
        error.start += mark
        raise


def keeps_ascii(charset: str) -> bool:
    """Return whether ASCII text has the same bytes in a character set. An unknown character set counts as such.

    In UTF-7, EBCDIC and some others the bytes differ, so their text could pass for a different text in UTF-8.
    """
    try:
        return _PRINTABLE.decode(charset) == _PRINTABLE.decode('ascii')
    except LookupError:
        return True
    except ValueError:
        return False


def describe_error(error: UnicodeDecodeError) -> str:
    """Describe an error of `decode`, to follow the name of the data: which byte is wrong, and what to send."""
    name = error.encoding.upper().removesuffix('-LE').removesuffix('-BE')
    return 'is not %s: byte %d cannot be decoded; send UTF-8' % (name, error.start)
