"""WordPiece tokenization, exactly as in Google's BERT and bert-as-service 1.10.

Pure. `worker/rows.py` calls it in the intake thread of a worker.

A text is divided into words, and words into pieces:

1. *Clean*: drop NUL, U+FFFD and every control, format, surrogate, private-use or unassigned character. A tab, a line
   end or a space of any width becomes ' '. An ideograph becomes its own word.
2. *Fold*, unless cased: lowercase, decompose (NFD) and drop non-spacing marks, so that 'É' becomes 'e'.
3. *Split*: white space separates words, and a punctuation mark is its own word.
4. *Spell*: take the longest prefix of the word that is in the vocabulary, then the longest '##' continuation, etc.
   A word that cannot be spelled this way, or that has more than 100 characters, is [UNK].

Special tokens in a text are ordinary text: '[SEP]' becomes '[', 'sep', ']'.

Steps 1 to 3 run in C over the whole text (`str.translate`, `lower`, `normalize`). Step 4 caches recent words. On one
core and for ordinary text, this is two to five times as fast as the Rust package `tokenizers`. That package would also
need a second code path: it differs from 1.10 for a final sigma and about 750 assigned characters, keeps unassigned
ones, and rejects lone surrogates. The price of pure Python is that it holds the GIL.

Character classes come from the running Python's `unicodedata`, as in 1.10: newer characters count as unassigned.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from string import punctuation as ascii_punctuation

from tokenizers.decoders import WordPiece as WordPieceDecoder

from ..errors import TooLarge
from ..model.vocabulary import CLASSIFY, SEPARATE, UNKNOWN
from .character_table import CharacterTable
from .long_texts import MOST_CHARS, slices
from .marks import decompose
from .tokenizer import Template

CONTINUES = '##'
SPECIAL_TOKENS = frozenset({UNKNOWN, CLASSIFY, SEPARATE, '[PAD]', '[MASK]'})

MAX_WORD_CHARS = 100
REMEMBERED_WORDS = 1 << 15

LONG_TEXT_CHARS = 1 << 16
"""Longer texts are tokenized in slices, and only as far as needed."""

# The blocks that Google's BERT treats as ideographs. Kana and Hangul are spelled like any other script.
IDEOGRAPHS = (
    range(0x3400, 0x4DC0),  # extension A
    range(0x4E00, 0xA000),
    range(0xF900, 0xFB00),  # compatibility
    range(0x20000, 0x2A6E0),  # extension B
    range(0x2A700, 0x2CEB0),  # extensions C, D and E
    range(0x2F800, 0x2FA20),  # compatibility, supplement
)


class WordPiece:
    """Converts text to ids of a vocabulary, and ids back to tokens. Thread-safe."""

    def __init__(self, vocab: Mapping[str, int], lower_case: bool) -> None:
        """Take a vocabulary from `load_vocab`. `lower_case` is False for a cased model."""
        self.unknown_id = vocab[UNKNOWN]
        self.classify_id = vocab[CLASSIFY]
        self.separate_id = vocab[SEPARATE]
        self._words_of = folded_words if lower_case else cased_words
        self._split_char = _fold_and_split_char if lower_case else _split_cased_char
        self._ids = dict(vocab)
        self._tokens = {index: token for token, index in vocab.items()}
        self._continuations = {
            token.removeprefix(CONTINUES): index for token, index in vocab.items() if token.startswith(CONTINUES)
        }
        self._max_piece_chars = max(map(len, vocab))
        self._spell_remembered = lru_cache(REMEMBERED_WORDS)(self._spell)

    @property
    def template(self) -> Template:
        """[CLS] text [SEP], and [CLS] first [SEP] second [SEP]."""
        classify, separate = (self.classify_id,), (self.separate_id,)
        return Template(classify, separate, classify, separate, separate, first_of_between=1)

    @property
    def strips(self) -> bool:
        return True

    def encode_texts(self, texts: Sequence[str], most: int) -> list[list[int]]:
        return [self.encode(text, most) for text in texts]

    def fit_pair(self, first: int, second: int, room: int) -> tuple[int, int]:
        """As 1.10 did, drop the last token of the longer text (the second one at equal lengths) until the pair fits."""
        half = room // 2
        return min(first, max(room - half, room - second)), min(second, max(half, room - first))

    def has_id(self, index: int) -> bool:
        """Whether the vocabulary has a token with this id."""
        return index in self._tokens

    def encode(self, text: str, most: int = sys.maxsize) -> list[int]:
        """Return the first `most` ids of any text without [CLS] and [SEP], or [] for a blank text.

        It tokenizes a very long text only as far as needed, because the rest never reaches the model and could take a
        minute.

        Raises:
            TooLarge: the first MOST_CHARS characters have fewer ids.
        """
        if len(text) <= LONG_TEXT_CHARS:
            return self._encode(text, most)
        ids: list[int] = []
        seen = 0
        for part in slices(text, LONG_TEXT_CHARS):
            if seen > MOST_CHARS:
                raise TooLarge('the first %d characters of a text have only %d tokens: shorten it' % (seen, len(ids)))
            ids += self._encode(part, most - len(ids))
            if len(ids) >= most:
                break
            seen += len(part)
        return ids

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
        """Look up the ids of tokens. A token that is not in the vocabulary is [UNK]."""
        return [self._ids.get(token, self.unknown_id) for token in tokens]

    def tokens_of(self, ids: Iterable[int]) -> list[str]:
        """Return the tokens with these ids. Raise KeyError for an id that is not in the vocabulary."""
        return [self._tokens[index] for index in ids]

    def spell(self, text: str) -> list[tuple[int, int, int]]:
        """Return the id, start and end of each token of a text, in characters."""
        pieces = [self._split_char(char) for char in text]
        origins = [index for index, piece in enumerate(pieces) for _ in piece]  # for each character after step 3
        places: list[tuple[int, int, int]] = []
        words = self._words_of(text)  # the same words as below, except for a final sigma
        for word, match in zip(words, re.finditer(r'\S+', ''.join(pieces)), strict=True):
            start = match.start()
            ids = self._spell_remembered(word) if len(word) <= MAX_WORD_CHARS else (self.unknown_id,)
            for number, index in enumerate(ids):
                piece = self._tokens[index].removeprefix(CONTINUES) if number else self._tokens[index]
                end = match.end() if number == len(ids) - 1 else start + len(piece)
                places.append((index, origins[start], origins[end - 1] + 1))
                start = end
        return places

    def decode(self, ids: Sequence[int], keeps_special: bool) -> str:
        """Decode ids to a text: words separated by spaces, without spaces before punctuation."""
        tokens = [self._tokens[index] for index in ids]
        kept = [token for token in tokens if keeps_special or token not in SPECIAL_TOKENS]
        return str(WordPieceDecoder().decode(kept))

    def _spell(self, word: str) -> tuple[int, ...]:
        """The ids of the pieces of a non-empty word, by greedy longest match, or (unknown_id,) without a match."""
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
    """The words of a text in their original case: steps 1 and 3."""
    return text.translate(_CLEAN).translate(_SPLIT).split()


def folded_words(text: str) -> list[str]:
    """The words of a text in lowercase and without accents: steps 1 to 3."""
    return decompose(text.translate(_CLEAN).lower()).translate(_FOLD_AND_SPLIT).split()


def _split_cased_char(char: str) -> str:
    return char.translate(_CLEAN).translate(_SPLIT)


def _fold_and_split_char(char: str) -> str:
    return unicodedata.normalize('NFD', char.translate(_CLEAN).lower()).translate(_FOLD_AND_SPLIT)


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
    return ' %s ' % char


_CLEAN = CharacterTable(_clean)
_SPLIT = CharacterTable(_split)
_FOLD_AND_SPLIT = CharacterTable(_fold_and_split)
