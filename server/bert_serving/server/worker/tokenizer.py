"""The seam between rows and tokenizers: what a `RowEncoder` asks of one, and where special tokens stand in a row.

`wordpiece.WordPiece` is that of 1.10, for a plain vocab.txt; `published_tokenizer.PublishedTokenizer` runs a
tokenizer.json. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Template:
    """The ids of the special tokens around a text, and around and between the two texts of a pair.

    The type ids of a row are 0, and 1 from token `len(before_first) + len(first) + first_of_between` of a pair on,
    unless `has_types` is False: then all are 0.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    before_first: tuple[int, ...]
    between: tuple[int, ...]
    after_second: tuple[int, ...]
    first_of_between: int = 0
    has_types: bool = True

    @property
    def single_specials(self) -> int:
        """How many special tokens the row of a single text has."""
        return len(self.before) + len(self.after)

    @property
    def pair_specials(self) -> int:
        """How many special tokens the row of a pair has."""
        return len(self.before_first) + len(self.between) + len(self.after_second)


class Tokenizer(Protocol):
    """Text to ids, and ids to tokens. Thread-safe."""

    @property
    def template(self) -> Template:
        """The special tokens of a row."""

    @property
    def strips(self) -> bool:
        """Whether white space around a text is removed before anything else, as 1.10 did."""

    def encode_texts(self, texts: Sequence[str], most: int) -> list[list[int]]:
        """Return the ids of each text, without special tokens around them; callers need only the first `most`."""

    def tokens_to_ids(self, tokens: Sequence[str]) -> list[int]:
        """Return the ids of tokens as they are; a token that is not in the vocabulary is the unknown one."""

    def has_id(self, index: int) -> bool:
        """Whether the vocabulary has a token with this id."""

    def tokens_of(self, ids: Sequence[int]) -> list[str]:
        """Return the tokens with these ids."""

    def spell(self, text: str) -> list[tuple[int, int, int]]:
        """Return the id of each token of a text, and where the token starts and ends in it, in characters."""

    def decode(self, ids: Sequence[int], keeps_special: bool) -> str:
        """Return the text that some ids stand for; without `keeps_special`, special tokens are left out."""

    def fit_pair(self, first: int, second: int, room: int) -> tuple[int, int]:
        """Return how many of `first` and of `second` tokens of a pair are kept, from the left, if `room` is for all."""
