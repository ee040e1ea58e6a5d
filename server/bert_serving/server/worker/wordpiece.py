"""WordPiece tokens exactly as Google's BERT, and so bert-as-service 1.10, made them; layer L1, pure.

`worker/rows.py` calls it in the intake thread of a worker. `load_vocab` reads one file; nothing else here touches the
world.

A text becomes words, and words become pieces:

1. *Clean*: drop NUL, U+FFFD and every control, format, surrogate, private or unassigned character; a tab, a line
   end or a space of any width is ' '; an ideograph is a word of its own.
2. *Fold*, unless cased: lower-case, decompose (NFD), drop non-spacing marks, so that 'É' is 'e'.
3. *Split*: a punctuation mark is a word of its own; white space divides the others.
4. *Spell*: the longest beginning of a word that is in the vocabulary, then the longest '##' continuation, and so on.
   A word that cannot be spelt so, or has more than 100 characters, is [UNK].

Special tokens written in a text are text: '[SEP]' is '[', 'sep', ']'.

Steps 1 to 3 run in C over the whole text (`str.translate`, `lower`, `normalize`), and step 4 is remembered for the
words met last. On one core that is two to five times as fast as the Rust package `tokenizers` for ordinary text, and
`tokenizers` would need a second path besides: it gives other tokens than 1.10 for a final sigma and for some 750
assigned characters, keeps unassigned ones, and refuses lone surrogates. The price is that it holds the GIL.

The classes of characters are those of the running Python's `unicodedata`, as in 1.10: a character that is newer than
it counts as unassigned.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from os import PathLike
from string import punctuation as ascii_punctuation

from ..errors import ModelError

UNKNOWN = '[UNK]'
CLASSIFY = '[CLS]'
SEPARATE = '[SEP]'
CONTINUES = '##'

MAX_WORD_CHARS = 100
REMEMBERED_WORDS = 1 << 15

LONG_TEXT_CHARS = 1 << 16
"""A text that is longer may be looked at in part."""

# What Google's BERT takes for an ideograph, by block. Kana and Hangul are not: they are spelt like any other script.
IDEOGRAPHS = (
    range(0x3400, 0x4DC0),  # extension A
    range(0x4E00, 0xA000),
    range(0xF900, 0xFB00),  # compatibility
    range(0x20000, 0x2A6E0),  # extension B
    range(0x2A700, 0x2CEB0),  # extensions C, D and E
    range(0x2F800, 0x2FA20),  # compatibility, supplement
)


def load_vocab(path: str | PathLike[str]) -> dict[str, int]:
    """The id of each token of a `vocab.txt`, which holds one token a line, the first having id 0.

    White space around a token is dropped; of equal tokens the last one counts. Raises ModelError for a file that can
    not be read, is not UTF-8, or lacks a token that every row needs.
    """
    try:
        with open(path, encoding='utf-8', newline='\n') as lines:
            vocab = {line.strip(): index for index, line in enumerate(lines)}
    except OSError as error:
        raise ModelError(
            f'cannot read the vocabulary {path}: {error.strerror}; -model_dir must be a folder with a vocab.txt'
        ) from error
    except UnicodeDecodeError as error:
        raise ModelError(
            f'the vocabulary {path} is not UTF-8 text (byte {error.start}); copy vocab.txt from the model again'
        ) from error
    missing = [token for token in (UNKNOWN, CLASSIFY, SEPARATE) if token not in vocab]
    if missing:
        raise ModelError(
            f'the vocabulary {path} has no {" ".join(missing)} among its {len(vocab)} tokens;'
            ' it must be the vocab.txt of a BERT model, one token a line'
        )
    return vocab


class WordPiece:
    """Turns text into ids of a vocabulary, and ids back into tokens. Safe to use from several threads."""

    def __init__(self, vocab: Mapping[str, int], lower_case: bool) -> None:
        """`vocab` is that of `load_vocab`; `lower_case` is False for a cased model."""
        self.unknown_id = vocab[UNKNOWN]
        self.classify_id = vocab[CLASSIFY]
        self.separate_id = vocab[SEPARATE]
        self._words_of = folded_words if lower_case else cased_words
        self._ids = dict(vocab)
        self._tokens = {index: token for token, index in vocab.items()}
        self._continuations = {
            token.removeprefix(CONTINUES): index for token, index in vocab.items() if token.startswith(CONTINUES)
        }
        self._max_piece_chars = max(map(len, vocab))
        self._spell_remembered = lru_cache(REMEMBERED_WORDS)(self._spell)

    def has_id(self, index: int) -> bool:
        """Whether `tokens_of` knows the id."""
        return index in self._tokens

    def encode(self, text: str, most: int = sys.maxsize) -> list[int]:
        """The first `most` ids of a text, without [CLS] and [SEP]; none for a blank text. Any `str` will do.

        Of a very long text only as much is looked at as it takes: what no model sees need not cost a minute.
        """
        end = text.find(' ', LONG_TEXT_CHARS) if most < LONG_TEXT_CHARS < len(text) else -1
        if end >= 0:
            ids = self._encode(text[:end], most)
            if len(ids) == most:
                return ids
        return self._encode(text, most)

    def _encode(self, text: str, most: int) -> list[int]:
        ids: list[int] = []
        for word in self._words_of(text):
            if len(ids) >= most:
                return ids[:most]
            if len(word) <= MAX_WORD_CHARS:
                ids += self._spell_remembered(word)
            else:
                ids.append(self.unknown_id)
        return ids[:most]

    def tokens_to_ids(self, tokens: Iterable[str]) -> list[int]:
        """The ids of tokens made elsewhere, looked up as they are; what is not in the vocabulary is [UNK]."""
        return [self._ids.get(token, self.unknown_id) for token in tokens]

    def tokens_of(self, ids: Iterable[int]) -> list[str]:
        """The tokens that have these ids; KeyError for an id that this object never gives."""
        return [self._tokens[index] for index in ids]

    def _spell(self, word: str) -> tuple[int, ...]:
        """The ids of the pieces of a word that is not empty, by greedy longest match; (unknown_id,) if it has none."""
        ids: list[int] = []
        pieces, start = self._ids, 0
        while start < len(word):
            for end in range(min(len(word), start + self._max_piece_chars), start, -1):
                index = pieces.get(word[start:end])
                if index is not None:
                    break
            else:
                return (self.unknown_id,)
            ids.append(index)
            pieces, start = self._continuations, end
        return tuple(ids)


def cased_words(text: str) -> list[str]:
    """Steps 1 and 3: the words of a text as they are written."""
    return text.translate(_CLEAN).translate(_SPLIT).split()


def folded_words(text: str) -> list[str]:
    """Steps 1 to 3: the words of a text in lower case and without accents."""
    return unicodedata.normalize('NFD', text.translate(_CLEAN).lower()).translate(_FOLD_AND_SPLIT).split()


class CharacterTable(dict[int, str]):
    """A table for `str.translate` that asks a rule for the replacement of a character when it first meets it.

    Only the first two planes are kept, which hold nearly all that people write: so no sequence of requests can make
    it grow beyond some ten MB.
    """

    def __init__(self, rule: Callable[[str], str]) -> None:
        super().__init__()
        self._rule = rule

    def __missing__(self, code: int) -> str:
        replacement = self._rule(chr(code))
        if code < 0x20000:
            self[code] = replacement
        return replacement


def _clean(char: str) -> str:
    category = unicodedata.category(char)
    if char in '\t\n\r' or category == 'Zs':
        return ' '
    if char in '\0\ufffd' or category.startswith('C'):
        return ''
    return _apart(char) if any(ord(char) in block for block in IDEOGRAPHS) else char


def _split(char: str) -> str:
    return _apart(char) if char in ascii_punctuation or unicodedata.category(char).startswith('P') else char


def _fold_and_split(char: str) -> str:
    return '' if unicodedata.category(char) == 'Mn' else _split(char)


def _apart(char: str) -> str:
    return f' {char} '


_CLEAN = CharacterTable(_clean)
_SPLIT = CharacterTable(_split)
_FOLD_AND_SPLIT = CharacterTable(_fold_and_split)
