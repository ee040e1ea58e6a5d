"""Tokens are those of bert-as-service 1.10.

`data/words_1_10.json` holds what its tokenizer made of every character that Unicode 11 knows, set between two letters,
and of texts that mix them: see `CHARACTERS`.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.errors import ModelError
from bert_serving.server.model.vocabulary import load_vocab
from bert_serving.server.worker.character_table import CharacterTable
from bert_serving.server.worker.wordpiece import (
    MAX_WORD_CHARS,
    WordPiece,
    cased_words,
    folded_words,
)

RECORDED = json.loads((Path(__file__).parent / 'data' / 'words_1_10.json').read_text('ascii'))

# Runs of characters c that fared alike in f'x{c}x': first and last in hexadecimal, what became of them cased, what
# became of them uncased, and into what they were changed, if they were.
CHARACTERS = RECORDED['characters']

# Canadian sentence mark, Hanunoo and Javanese vowel signs: Unicode 12 and 14 put them into other categories.
RECLASSIFIED = (0x166D, 0x1734, 0xA9BD)

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates too

TOKENS = '[PAD] [UNK] [CLS] [SEP] un affable ##aff ##able a ##a b ##b ab ##ab ##abb e x ##x [ ] # sep ß'
VOCAB = {token: index for index, token in enumerate(TOKENS.split())}


@pytest.fixture
def wordpiece() -> WordPiece:
    return WordPiece(VOCAB, lower_case=True)


def tokens(wordpiece: WordPiece, text: str) -> list[str]:
    return wordpiece.tokens_of(wordpiece.encode(text))


# ---- words


def words_of_character(char: str, fate: str, change: str) -> list[str]:
    match fate:
        case 'dropped':
            return ['xx']
        case 'space':
            return ['x', 'x']
        case 'apart':
            return ['x', char, 'x']
        case 'kept':
            return [f'x{char}x']
        case 'becomes':
            return [f'x{change}x']
        case 'becomes apart':
            return ['x', change, 'x']
        case 'jamo':  # Unicode's arithmetic of Hangul syllables: 19 initials, 21 vowels, 27 finals or none
            initial_and_vowel, final = divmod(ord(char) - 0xAC00, 28)
            initial, vowel = divmod(initial_and_vowel, 21)
            last = chr(0x11A7 + final) if final else ''
            return [f'x{chr(0x1100 + initial)}{chr(0x1161 + vowel)}{last}x']
    raise AssertionError(fate)


def recorded_characters(run: list) -> list[tuple[str, str]]:
    """The characters of a run, each with what it is changed into if it is folded."""
    codes = range(int(run[0], 16), int(run[1], 16) + 1)
    changes = run[4] if len(run) > 4 else [''] * len(codes)
    return [(chr(code), change) for code, change in zip(codes, changes, strict=True) if code not in RECLASSIFIED]


@pytest.mark.slow
def test_every_character_is_treated_as_it_was_in_a_cased_model():
    for run in CHARACTERS:
        characters = recorded_characters(run)
        expected = [word for char, _ in characters for word in words_of_character(char, run[2], '')]
        assert cased_words(' '.join(f'x{char}x' for char, _ in characters)) == expected, run


@pytest.mark.slow
def test_every_character_is_treated_as_it_was_in_an_uncased_model():
    for run in CHARACTERS:
        characters = recorded_characters(run)
        expected = [word for char, change in characters for word in words_of_character(char, run[3], change)]
        assert folded_words(' '.join(f'x{char}x' for char, _ in characters)) == expected, run


@pytest.mark.slow
@pytest.mark.parametrize('words_of', [cased_words, folded_words])
def test_every_unassigned_character_is_dropped(words_of):
    unassigned = [char for char in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(char) == 'Cn']
    assert set(words_of(' '.join(f'x{char}x' for char in unassigned))) == {'xx'}


@pytest.mark.parametrize(('text', 'folded', 'cased'), RECORDED['texts'], ids=ascii)
def test_words_of_a_recorded_text(text, folded, cased):
    assert folded_words(text) == folded
    assert cased_words(text) == cased


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('', []),
        (' \t\n', []),
        ('Résumé naïve', ['resume', 'naive']),
        ('ΟΔΟΣ ΣΟΦΟΣ', ['οδος', 'σοφος']),  # a final sigma, as no rule of one character alone can make it
        ('A\ud800B', ['ab']),  # a lone surrogate
        ("don't…", ['don', "'", 't', '…']),
        ('$5^2', ['$', '5', '^', '2']),  # ASCII symbols count as punctuation,
        ('€5¬2', ['€5¬2']),  # others do not
        ('我爱Python', ['我', '爱', 'python']),
        ('カタカナ', ['カタカナ']),
        ('a\u2028b\u00a0c\u3000d', ['a', 'b', 'c', 'd']),
        ('a\u200bb\x0bc\0d\ufffde', ['abcde']),
        ('[SEP] ##x', ['[', 'sep', ']', '#', '#', 'x']),
    ],
)
def test_words_of_a_text_in_an_uncased_model(text, words):
    assert folded_words(text) == words


@given(ANY_TEXT)
def test_words_are_words(text):
    for words in (cased_words(text), folded_words(text)):
        for word in words:
            assert word.split() == [word]
            assert not any(unicodedata.category(char).startswith('C') for char in word)
            assert len(word) == 1 or not any(unicodedata.category(char).startswith('P') for char in word)


@given(ANY_TEXT, ANY_TEXT)
def test_a_space_divides_a_text_into_independent_texts(left, right):
    for words_of in (cased_words, folded_words):
        assert words_of(f'{left} {right}') == words_of(left) + words_of(right)


def test_a_character_table_remembers_what_is_common_and_does_not_grow_by_the_rest():
    asked = []
    table = CharacterTable(lambda char: asked.append(char) or char.upper())
    assert 'aéa\U0001f600\U0001f600'.translate(table) == 'AÉA\U0001f600\U0001f600'
    assert asked == ['a', 'é', '\U0001f600']
    assert '\U00020000\U00020000'.translate(table) == '\U00020000\U00020000'
    assert asked[3:] == ['\U00020000', '\U00020000']
    assert len(table) == 3


# ---- pieces


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('', []),
        ('unaffable', ['un', '##aff', '##able']),
        ('UNAFFABLE', ['un', '##aff', '##able']),
        ('affable un', ['affable', 'un']),
        ('abab', ['ab', '##ab']),
        ('ababb', ['ab', '##abb']),  # the longest continuation, not the first
        ('unab', ['un', '##ab']),
        ('unabbx', ['un', '##abb', '##x']),
        ('une', ['[UNK]']),  # 'e' begins a word, but continues none
        ('une a', ['[UNK]', 'a']),
        ('[SEP]', ['[', 'sep', ']']),
        ('##ab', ['#', '#', 'ab']),
        ('[PAD]', ['[', '[UNK]', ']']),
        ('é', ['e']),
        ('ẞ', ['ß']),
    ],
)
def test_tokens_of_a_text(wordpiece, text, expected):
    assert tokens(wordpiece, text) == expected


def test_case_and_accents_count_in_a_cased_model():
    cased = WordPiece(VOCAB, lower_case=False)
    assert tokens(cased, 'a A é e') == ['a', '[UNK]', '[UNK]', 'e']


@pytest.mark.parametrize('letter', ['x', 'X', 'x\u0301'])
def test_a_word_is_unknown_from_its_101st_character_on_counted_after_folding(wordpiece, letter):
    assert tokens(wordpiece, letter * MAX_WORD_CHARS) == ['x'] + ['##x'] * (MAX_WORD_CHARS - 1)
    assert tokens(wordpiece, letter * (MAX_WORD_CHARS + 1)) == ['[UNK]']
    assert tokens(wordpiece, letter * 10_000 + ' a') == ['[UNK]', 'a']


def test_a_word_met_again_has_the_same_tokens(wordpiece):
    assert wordpiece.encode('unaffable zzz unaffable zzz') == wordpiece.encode('unaffable zzz') * 2


def spell_by_trying_everything(word: str) -> list[str]:
    """Greedy longest match in so many words."""
    if not word:
        return []
    spelled: list[str] = []
    rest = word
    while rest:
        mark = '##' if spelled else ''
        fits = [rest[:end] for end in range(1, len(rest) + 1) if mark + rest[:end] in VOCAB]
        if not fits:
            return ['[UNK]']
        spelled.append(mark + max(fits, key=len))
        rest = rest[len(max(fits, key=len)) :]
    return spelled


@given(st.text('abxufle', max_size=23))
def test_a_word_is_spelled_by_greedy_longest_match(word):
    assert tokens(WordPiece(VOCAB, lower_case=True), word) == spell_by_trying_everything(word)


@given(ANY_TEXT)
def test_any_text_has_ids_of_the_vocabulary(text):
    for lower_case in (True, False):
        assert set(WordPiece(VOCAB, lower_case).encode(text)) <= set(VOCAB.values())


def test_tokens_are_looked_up_as_they_are(wordpiece):
    made_elsewhere = ['##able', '[SEP]', 'A', 'unaffable', '', '\ud800', 'a']
    ids = wordpiece.tokens_to_ids(made_elsewhere)
    assert wordpiece.tokens_of(ids) == ['##able', '[SEP]', '[UNK]', '[UNK]', '[UNK]', '[UNK]', 'a']


def test_an_id_outside_the_vocabulary_has_no_token(wordpiece):
    with pytest.raises(KeyError):
        wordpiece.tokens_of([len(VOCAB)])


def test_special_ids_come_from_the_vocabulary(wordpiece):
    assert (wordpiece.unknown_id, wordpiece.classify_id, wordpiece.separate_id) == (1, 2, 3)


# ---- the vocabulary


def test_a_vocabulary_has_one_token_a_line(tmp_path):
    path = tmp_path / 'vocab.txt'
    path.write_bytes('[PAD]\n[UNK] \r\n[CLS]\n[SEP]\n\n我\u2028\nte\u2028xt\nlast'.encode())
    assert load_vocab(path) == {
        '[PAD]': 0,
        '[UNK]': 1,
        '[CLS]': 2,
        '[SEP]': 3,
        '': 4,
        '我': 5,
        'te\u2028xt': 6,
        'last': 7,
    }
    assert load_vocab(str(path)) == load_vocab(path)


def test_the_last_of_equal_tokens_counts(tmp_path):
    path = tmp_path / 'vocab.txt'
    path.write_text('twice\n[UNK]\n[CLS]\n[SEP]\ntwice\n')
    wordpiece = WordPiece(load_vocab(path), lower_case=True)
    assert wordpiece.encode('twice') == [4]
    assert wordpiece.tokens_of([4]) == ['twice']


@pytest.mark.parametrize('name', ['absent.txt', '.'])
def test_a_vocabulary_that_can_not_be_read(tmp_path, name):
    with pytest.raises(ModelError, match=r'cannot read the vocabulary .*; -model_dir must be') as caught:
        load_vocab(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_a_vocabulary_that_is_not_text(tmp_path):
    path = tmp_path / 'vocab.txt'
    path.write_bytes(b'[PAD]\n\xff\xfe')
    with pytest.raises(ModelError, match='not UTF-8 text') as caught:
        load_vocab(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ('content', 'missing'),
    [('', r'\[UNK\] \[CLS\] \[SEP\]'), ('[UNK]\n[SEP]\n', r'\[CLS\]'), ('[CLS]\n[unk]\n[SEP]\n', r'\[UNK\]')],
)
def test_a_vocabulary_without_the_special_tokens(tmp_path, content, missing):
    path = tmp_path / 'vocab.txt'
    path.write_text(content)
    with pytest.raises(ModelError, match=f'has no {missing} among its') as caught:
        load_vocab(path)
    assert str(path) in str(caught.value)


def test_the_first_ids_of_a_text_are_those_of_the_whole(wordpiece):
    text = ' '.join(TOKENS.split()[5:]) * 3
    whole = wordpiece.encode(text)
    for most in (1, 3, len(whole), len(whole) + 1):
        assert wordpiece.encode(text, most) == whole[:most]


@pytest.mark.parametrize('word', ['un', 'x' * 200_000, '\u200b' * 200_000])
def test_of_a_long_text_as_much_is_looked_at_as_it_takes(wordpiece, word):
    text = word + ' ' + 'the un ' * 30_000
    assert wordpiece.encode(text, 20) == wordpiece.encode(text)[:20]


def test_a_byte_order_mark_is_no_part_of_the_first_token(tmp_path: Path) -> None:
    (tmp_path / 'vocab.txt').write_text('[PAD]\n[UNK]\n[CLS]\n[SEP]\n', 'utf-8-sig')
    assert load_vocab(tmp_path / 'vocab.txt') == {'[PAD]': 0, '[UNK]': 1, '[CLS]': 2, '[SEP]': 3}
