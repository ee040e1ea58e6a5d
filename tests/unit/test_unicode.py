"""The encodings of JSON that programs really send are read, and any other error names the byte."""

from __future__ import annotations

import codecs
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.errors import RequestError
from bert_serving.server.protocol.texts import MAX_SECOND_TRY_BYTES, decode_texts
from bert_serving.server.protocol.unicode import decode, describe_error, keeps_ascii, to_utf8

ENCODINGS = {
    'utf-8': b'',
    'utf-8-sig': b'',
    'utf-16': b'',
    'utf-16-le': codecs.BOM_UTF16_LE,
    'utf-16-be': codecs.BOM_UTF16_BE,
    'utf-32': b'',
    'utf-32-le': codecs.BOM_UTF32_LE,
    'utf-32-be': codecs.BOM_UTF32_BE,
}
"""Python's codecs, and the byte order mark that the codec does not write by itself."""


@pytest.mark.parametrize('with_mark', [False, True])
@pytest.mark.parametrize('encoding', ENCODINGS)
@given(texts=st.lists(st.text(st.characters(exclude_categories=['Cs'])), min_size=1))
def test_json_of_any_unicode_encoding_is_read(encoding: str, with_mark: bool, texts: list[str]) -> None:
    text = json.dumps(texts, ensure_ascii=False)
    data = (ENCODINGS[encoding] if with_mark else b'') + text.encode(encoding)
    assert decode(data) == text
    assert bytes(to_utf8(memoryview(data))) == text.encode()
    assert decode_texts(data) == texts


def test_utf8_is_not_copied() -> None:
    data = '["Moët"]'.encode()
    assert to_utf8(data) is data


@pytest.mark.parametrize(
    ('data', 'says'),
    [
        ('["Moët"]'.encode('latin-1'), 'is not UTF-8: byte 4 cannot be decoded; send UTF-8'),
        (codecs.BOM_UTF8 + '["Moët"]'.encode('latin-1'), 'is not UTF-8: byte 7'),
        ('["é"]'.encode('utf-16-le')[:-1], 'is not UTF-16: byte 8'),
        ('["é"]'.encode('utf-16')[:-1], 'is not UTF-16: byte 10'),
        ('["é"]'.encode('utf-32-be') + b'\1\0\0\0', 'is not UTF-32: byte 20'),
    ],
)
def test_any_other_error_names_the_byte(data: bytes, says: str) -> None:
    with pytest.raises(UnicodeDecodeError) as caught:
        decode(data)
    assert describe_error(caught.value).startswith(says)
    with pytest.raises(RequestError, match='the message ' + says):
        decode_texts(data)


def test_the_byte_is_named_in_a_message_of_any_size() -> None:
    with pytest.raises(RequestError, match='byte %d ' % (MAX_SECOND_TRY_BYTES + 2)):
        decode_texts(b'["' + b' ' * MAX_SECOND_TRY_BYTES + b'\xeb"]')


@pytest.mark.parametrize('charset', ['utf-7', 'hz', 'cp037', 'utf-16'])
def test_a_character_set_in_which_ascii_is_something_else_is_known(charset: str) -> None:
    assert not keeps_ascii(charset)


@pytest.mark.parametrize(
    'charset', ['utf-8', 'ISO-8859-1', 'windows-1252', 'shift_jis', 'gbk', 'us-ascii', 'utf8mb4', 'base64', '']
)
def test_in_others_ascii_is_ascii(charset: str) -> None:
    assert keeps_ascii(charset)
