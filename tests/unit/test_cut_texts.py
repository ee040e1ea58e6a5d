"""Of a very long text no more is tokenized than a row can hold, and the ids are those of the whole text."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bert_serving.server.errors import TooLarge
from bert_serving.server.worker import long_texts, marks, wordpiece
from bert_serving.server.worker.long_texts import MOST_CHARS, ids_of_beginning, ids_of_end, slices
from bert_serving.server.worker.marks import decompose
from bert_serving.server.worker.wordpiece import WordPiece

# Letters whose lower case depends on their neighbors, and what hides these; marks; what ends words; what is dropped.
ODD = st.text("aΣσΑ.'’:^,-_ \t(~中。\u3000\u0301\u0316\u0345\u00ad\u200bÉ한ʰ3", max_size=60)
VOCAB = {
    name: index
    for index, name in enumerate(
        "[PAD] [UNK] [CLS] [SEP] a σ ς α e 3 , . - _ ( ~ 中 。 ##a ##σ ##ς ##α ##e ##3 ##한 ' ^ :".split()
    )
}


@given(ODD, st.booleans())
def test_slices_of_a_text_have_the_ids_of_the_whole(text: str, lower_case: bool) -> None:
    tokenizer = WordPiece(VOCAB, lower_case)
    parts = list(slices(text, 2))
    assert ''.join(parts) == text
    assert [index for part in parts for index in tokenizer.encode(part)] == tokenizer.encode(text)


def test_a_very_long_text_is_tokenized_slice_by_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordpiece, 'LONG_TEXT_CHARS', 4)
    tokenizer = WordPiece(VOCAB, lower_case=True)
    text = 'a, ' * 20
    whole = [VOCAB['a'], VOCAB[',']] * 20
    assert tokenizer.encode(text) == whole
    assert tokenizer.encode(text, 9) == whole[:9]
    seen: list[str] = []
    encode = tokenizer._encode
    monkeypatch.setattr(tokenizer, '_encode', lambda part, most: seen.append(part) or encode(part, most))
    assert tokenizer.encode(text, 4) == whole[:4]
    assert len(''.join(seen)) < 15


def test_commas_divide_a_text_without_a_space() -> None:
    """Sixty megabytes of such a text kept a worker busy for minutes."""
    tokenizer = WordPiece(VOCAB, lower_case=True)
    text = 'a,' * MOST_CHARS
    started = time.process_time()
    assert tokenizer.encode(text, 500) == [VOCAB['a'], VOCAB[',']] * 250
    assert time.process_time() - started < 2


def test_millions_of_characters_with_hardly_a_token_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_texts, 'MOST_CHARS', 1000)
    monkeypatch.setattr(wordpiece, 'MOST_CHARS', 1000)
    monkeypatch.setattr(wordpiece, 'LONG_TEXT_CHARS', 100)
    tokenizer = WordPiece(VOCAB, lower_case=True)
    with pytest.raises(TooLarge, match='without white space'):
        tokenizer.encode('a' * 1101, 500)
    with pytest.raises(TooLarge, match='have only 2 tokens: shorten it'):
        tokenizer.encode('a, ' + ' ' * 2000, 500)
    assert tokenizer.encode('a, ' + ' ' * 900, 500) == [VOCAB['a'], VOCAB[',']]


def encode(text: str) -> list[int]:
    """An id for each letter; the first and the last of a text depend on what is not there."""
    ids = [ord(char) for char in text if char.isalpha()]
    return [-index if position in (0, len(ids) - 1) else index for position, index in enumerate(ids)]


@pytest.mark.parametrize('text', ['ab ' * 500, 'ab' * 700, 'ab,' * 500, ' ' * 900 + 'ab' * 100 + ' ' * 900])
def test_the_beginning_and_the_end_of_a_text_have_its_ids(text: str) -> None:
    whole = encode(text)
    for most in (1, 10, 100, 150):
        assert ids_of_beginning(text, 20, most, 2, encode)[:most] == whole[:most]
        assert ids_of_end(text, 20, most, 2, encode)[-most:] == whole[-most:]


def test_both_ends_of_a_text_with_too_few_tokens_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_texts, 'MOST_CHARS', 1000)
    for ids_of in (ids_of_beginning, ids_of_end):
        with pytest.raises(TooLarge, match='1004 characters, of which 1000 have fewer tokens than a row'):
            ids_of(' ' * 1000 + 'abab', 20, 100, 2, encode)


@hypothesis_settings(deadline=None)  # the marks of Unicode are listed at the first use
@given(st.text('aé\u0301\u0316\u0345\u302e\u1b44\u0e38한\u1e9b\u0344', max_size=80))
def test_marks_are_ordered_as_unicode_does_however_many_there_are(text: str) -> None:
    expected = unicodedata.normalize('NFD', text)
    assert marks._decompose_slowly(text) == expected
    assert decompose(text) == expected


def test_a_text_of_many_marks_takes_no_longer_than_another() -> None:
    """Eighty kilobytes of them took thirteen seconds."""
    text = 'x' + '\u0301\u0316' * 100_000
    started = time.process_time()
    assert decompose(text) == 'x' + '\u0316' * 100_000 + '\u0301' * 100_000
    assert time.process_time() - started < 2
