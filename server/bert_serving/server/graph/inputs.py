"""The inputs of a graph, which a worker feeds.

Dimensions, as in the comments at the ends of lines, here and wherever an encoder is built:

    B  rows of the batch            H  hidden units, N * D        V  words of the vocabulary
    T  tokens of a row, padded      N  attention heads            P  positions
    Q  tokens that ask (= T)        D  units of one head          S  segment types
    K  tokens asked (= T)           F  feed-forward units         E  units of an embedding (= H but for a few models)
    R  states of the batch: B*T, or fewer if padding has none (`layout.py`)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .layout import Layout, Packed, Padded
from .names import INPUT_NAMES, POOLING_MASK_NAME, WORDS_NAME
from .tf import tf, tf1

Tensor = Any


@dataclass(frozen=True)
class Inputs:
    """The arrays that a worker feeds, int32 [B, T]. The mask is 1 for a token that counts and 0 for padding."""

    ids: Tensor
    mask: Tensor
    type_ids: Tensor
    rows: Tensor
    """B, a scalar that is known only when the graph runs."""
    tokens: Tensor
    """T, likewise."""
    layout: Layout
    """Where the states of the tokens are."""
    pooling_mask: Tensor | None = None
    """0 for a token that takes no part in pooling, such as one of a prompt; None if all tokens that count do."""
    words: Tensor | None = None
    """The embeddings of the ids, [B, T, E]; None if the graph contains them."""

    @classmethod
    def placeholders(
        cls, *, has_pooling_mask: bool = False, words: tuple[int, Any] | None = None, packs: bool = False
    ) -> Inputs:
        """Create the inputs of the current graph; `words` are E and the type of the embeddings, if they are fed.

        With `packs`, padding has no states.
        """
        ids, mask, type_ids = (tf1.placeholder(tf.int32, (None, None), name) for name in INPUT_NAMES)
        pooling_mask = tf1.placeholder(tf.int32, (None, None), POOLING_MASK_NAME) if has_pooling_mask else None
        embedded = tf1.placeholder(words[1], (None, None, words[0]), WORDS_NAME) if words else None
        return cls._of(ids, mask, type_ids, pooling_mask, embedded, packed=Packed(mask) if packs else None)

    def by_size(self, bound: int | Tensor) -> tuple[Inputs, Inputs]:
        """The same inputs twice: for batches of at most `bound` tokens, B*T, and for larger ones.

        In each batch one of the two is dead, and so is everything that is computed from it alone. If padding has no
        states, it has some in small batches, where that costs less than a packed layout does, and in large ones that
        would have as few states as small ones, for which the kernels of small ones have the weights in their order.
        """
        is_small = tf.size(self.ids) <= bound
        tensors = (self.ids, self.mask, self.type_ids, self.pooling_mask, self.words)
        sides = [None if x is None else tf.raw_ops.Switch(data=x, pred=is_small) for x in tensors]
        small = [None if side is None else side.output_true for side in sides]
        large = [None if side is None else side.output_false for side in sides]
        packed = Packed(large[1], bound + 1) if isinstance(self.layout, Packed) else None
        return self._of(*small), self._of(*large, packed=packed)

    @classmethod
    def _of(
        cls,
        ids: Tensor,
        mask: Tensor,
        type_ids: Tensor,
        pooling_mask: Tensor | None,
        words: Tensor | None,
        *,
        packed: Packed | None = None,
    ) -> Inputs:
        rows, tokens = tf.unstack(tf.shape(ids))
        return cls(ids, mask, type_ids, rows, tokens, packed or Padded(rows, tokens), pooling_mask, words)
