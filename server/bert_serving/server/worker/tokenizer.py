"""The interface of tokenizers for a `RowEncoder`, and the template of special tokens in a row.

`wordpiece.WordPiece` is 1.10's tokenizer, for a plain vocab.txt. `published_tokenizer.PublishedTokenizer` runs a
tokenizer.json. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Template:
    """The ids of the special tokens around a text, and around and between the two texts of a pair.

    Type ids are 0, except that in a pair they are 1 from token `len(before_first) + len(first) + first_of_between` on.
    If `has_types` is False, all are 0.
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
        """The number of special tokens in the row of a single text."""
        return len(self.before) + len(self.after)

    @property
    def pair_specials(self) -> int:
        """The number of special tokens in the row of a pair."""
        return len(self.before_first) + len(self.between) + len(self.after_second)


class Tokenizer(Protocol):
    """Converts text to ids, and ids to tokens. Thread-safe."""

    @property
    def template(self) -> Template:
        """The special tokens of a row."""

    @property
    def strips(self) -> bool:
        """Whether the tokenizer first strips white space around a text, as 1.10 did."""

    def encode_texts(self, texts: Sequence[str], most: int) -> list[list[int]]:
        """Return the ids of each text, without special tokens. Callers need only the first `most`."""

    def tokens_to_ids(self, tokens: Sequence[str]) -> list[int]:
        """Look up the ids of tokens. A token that is not in the vocabulary gets the id of the unknown token."""

    def has_id(self, index: int) -> bool:
        """Whether the vocabulary has a token with this id."""

    def tokens_of(self, ids: Sequence[int]) -> list[str]:
        """Return the tokens with these ids."""

    def spell(self, text: str) -> list[tuple[int, int, int]]:
        """Return the id, start and end of each token of a text, in characters."""

    def decode(self, ids: Sequence[int], keeps_special: bool) -> str:
        """Decode ids to a text. Without `keeps_special`, special tokens are left out."""

    def fit_pair(self, first: int, second: int, room: int) -> tuple[int, int]:
        """Return how many of the `first` and `second` tokens of a pair to keep, from the left, in `room` tokens."""
