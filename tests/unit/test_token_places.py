"""Tokens with their places in a text, and texts of ids: those of the model's own tokenizer, and never cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.errors import RequestError, TooLarge
from bert_serving.server.protocol.options import EncodingOptions
from bert_serving.server.protocol.wire import Answer
from bert_serving.server.worker import spelling
from bert_serving.server.worker.rows import LONG_TEXT_CHARS, RowEncoder
from bert_serving.server.worker.spelling import spell, unspell
from bert_serving.server.worker.tokenizer import Tokenizer
from bert_serving.server.worker.wordpiece import WordPiece
from unit.test_published_tokenizer import published

TOKENS = '[PAD] [UNK] [CLS] [SEP] un affable ##aff ##able a ##a b ##b ab e x ##x , . 你 σ ##ς cafe ##s'
VOCAB = {token: index for index, token in enumerate(TOKENS.split())}
UNCASED, CASED = WordPiece(VOCAB, lower_case=True), WordPiece(VOCAB, lower_case=False)
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=30)
LIKELY_TEXT = st.text('aAbBxX éÉÀ\u0301\u0345İΣσς,. 你\n\t\x00\ud800ſǅ', max_size=30)


def array_of(answer: Answer) -> np.ndarray:
    return np.frombuffer(answer.body, np.int32).reshape(answer.shape)


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('unaffable', [('un', 0, 2), ('##aff', 2, 5), ('##able', 5, 9)]),
        ('  a, B ', [('a', 2, 3), (',', 3, 4), ('b', 5, 6)]),
        ('Cafés.', [('cafe', 0, 4), ('##s', 4, 5), ('.', 5, 6)]),
        ('Cafe\u0301s', [('cafe', 0, 4), ('##s', 5, 6)]),
        ('a你b', [('a', 0, 1), ('你', 1, 2), ('b', 2, 3)]),
        ('a\x00b', [('ab', 0, 3)]),
        ('qqq a', [('[UNK]', 0, 3), ('a', 4, 5)]),
        ('y' * 101, [('[UNK]', 0, 101)]),
        (' \n', []),
    ],
)
def test_the_places_of_word_pieces(text: str, expected: list[tuple[str, int, int]]) -> None:
    found = UNCASED.spell(text)
    assert [(UNCASED.tokens_of([index])[0], start, end) for index, start, end in found] == expected


@pytest.mark.parametrize('tokenizer', [UNCASED, CASED], ids=['uncased', 'cased'])
@given(text=ANY_TEXT | LIKELY_TEXT)
def test_the_tokens_with_places_are_those_of_the_text(tokenizer: WordPiece, text: str) -> None:
    found = tokenizer.spell(text)
    assert [index for index, _, _ in found] == tokenizer.encode(text)
    assert all(0 <= start < end <= len(text) for _, start, end in found)
    starts = [start for _, start, _ in found]
    assert starts == sorted(starts)


@pytest.mark.parametrize('name', ['bert-mean-norm', 'roberta-mean', 'modernbert-mean-prompts', 'xlm-roberta-mean-norm'])
def test_the_places_of_a_published_tokenizer(name: str) -> None:
    tokenizer, _ = published(name)
    text = 'The  fox jumps, 你好 \ud800 über'
    found = tokenizer.spell(text)
    assert [index for index, _, _ in found] == tokenizer.encode_texts([text], 99)[0]
    assert text[found[0][1] : found[0][2]].strip() in 'The'
    assert found[-1][2] == len(text)
    ids = [index for index, _, _ in tokenizer.spell('the fox')]
    assert tokenizer.decode(ids, keeps_special=False).strip() == 'the fox'
    with_special = [*tokenizer.template.before, *ids, *tokenizer.template.after]
    assert tokenizer.decode(with_special, keeps_special=False).strip() == 'the fox'
    assert len(tokenizer.decode(with_special, keeps_special=True)) > len('the fox') + 4


def test_an_answer_with_places() -> None:
    answer = spell(UNCASED, ['a', 'b, a'], 0)
    assert answer.tokens == [['[CLS]', 'a', '[SEP]'], ['[CLS]', 'b', ',', 'a', '[SEP]']]
    assert answer.token_counts == [3, 5]
    places = array_of(answer)
    assert places.shape == (2, 5, 3)
    assert places[0].tolist() == [[2, -1, -1], [8, 0, 1], [3, -1, -1], [0, 0, 0], [0, 0, 0]]


def test_a_prompt_counts() -> None:
    answer = spell(UNCASED, ['B'], 0, prompt='a, ')
    assert answer.tokens == [['[CLS]', 'a', ',', 'B', '[SEP]']]
    assert array_of(answer)[0, 3].tolist() == [10, 3, 4]


def test_too_many_tokens_are_refused_before_there_is_an_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spelling, 'MAX_PLACES', 12)
    assert spell(UNCASED, ['a', 'a b'], 0).shape == [2, 4, 3]
    with pytest.raises(TooLarge, match='element 8 has 5 tokens, too many for a request of 3 texts'):
        spell(UNCASED, ['a', 'a b a', 'b'], 7)


def test_texts_of_ids() -> None:
    ids = [VOCAB[token] for token in ('[CLS]', 'un', '##aff', '##able', ',', 'a', '[SEP]', '[UNK]')]
    answer = unspell(UNCASED, [ids, []], 0, keeps_special=False)
    assert (answer.tokens, answer.token_counts) == ([['unaffable, a'], ['']], [8, 0])
    assert array_of(answer).shape == (2, 1)
    assert unspell(UNCASED, [ids], 0, keeps_special=True).tokens == [['[CLS] unaffable, a [SEP] [UNK]']]


@pytest.mark.parametrize(
    ('rows', 'says'),
    [
        (['a'], 'decode: expected a list of ids as element 3'),
        ([['a']], 'decode: expected a list of ids as element 3'),
        ([[1], [999]], 'element 4 has the id 999, which is not in the vocabulary'),
    ],
)
def test_what_is_no_list_of_ids_is_refused(rows: list[object], says: str) -> None:
    with pytest.raises(RequestError, match=says):
        unspell(UNCASED, rows, 3, keeps_special=False)


def test_millions_of_characters_are_not_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spelling, 'MAX_PLACES', 20)
    assert len(spell(UNCASED, ['a b'], 0).shape) == 3
    with pytest.raises(TooLarge, match='element 1 has 21 characters, but the limit for offsets is 20'):
        spell(UNCASED, ['a' + ' ' * 20], 1)


def test_the_places_of_a_list_of_tokens_are_not_known() -> None:
    tokenizer: Tokenizer = UNCASED
    with pytest.raises(RequestError, match='offsets: expected a text as element 1, got a list'):
        spell(tokenizer, [['a']], 1)


def test_rows_tell_with_which_tokenizer_they_are_made() -> None:
    rows = RowEncoder(UNCASED, 8, 8, mask_cls_sep=False, no_special_token=False, prompt='a ')
    assert rows.tokenizer is UNCASED
    assert rows.prompt_of(EncodingOptions(offsets=True)) == 'a '
    assert rows.prompt_of(EncodingOptions(prompt='')) == ''


def test_of_a_very_long_text_with_few_tokens_at_its_end_the_whole_is_tokenized() -> None:
    rows = RowEncoder(UNCASED, 6, 6, mask_cls_sep=False, no_special_token=False)
    (row,) = rows.encode(['un a b e' + ' \x00' * LONG_TEXT_CHARS + 'x'], options=EncodingOptions(truncate='left')).rows
    assert rows.tokens(row) == ['[CLS]', 'a', 'b', 'e', 'x', '[SEP]']
