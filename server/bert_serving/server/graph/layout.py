"""The layout of a batch's states in a matrix: one state for every position, or none for padding.

Products, norms and activations, nine tenths of the time, take a matrix with a state in each row. Only attention and
pooling need the positions of a row next to each other. `inputs.py` defines the dimensions.
"""

from __future__ import annotations

from typing import Any, Protocol

from .tf import tf

Tensor = Any


class Layout(Protocol):
    """The R states of a batch, with conversions to positions, [B, T], and back."""

    def flatten(self, x: Tensor) -> Tensor:
        """Convert values of positions, [B, T, width], to values of states, [R, width]."""

    def unflatten(self, x: Tensor) -> Tensor:
        """Convert [R, width] to [B, T, width]. The values of padding have no meaning, but are finite."""

    def at(self, position: Tensor, x: Tensor) -> Tensor:
        """Select one position of each row, [B]: convert [R, width] to [B, width]."""

    def split_heads(self, x: Tensor, count: int, heads: int, size: int) -> list[Tensor]:
        """Separate `count` concatenated projections, [R, count * N * D], into one [B, N, T, D] each."""

    def join_heads(self, x: Tensor, like: Tensor) -> Tensor:
        """Convert [B, N, T, D] to [R, H], the shape of `like`.

        With that shape instead of [-1, H], the optimizer knows that the residual sum adds equal shapes.
        """


class Padded:
    """A state for every position: R is B * T."""

    def __init__(self, rows: Tensor, tokens: Tensor) -> None:
        self._rows = rows
        self._tokens = tokens

    def flatten(self, x: Tensor) -> Tensor:
        return tf.reshape(x, [-1, x.shape[-1]])

    def unflatten(self, x: Tensor) -> Tensor:
        return tf.reshape(x, [self._rows, self._tokens, x.shape[-1]])

    def at(self, position: Tensor, x: Tensor) -> Tensor:
        return tf.gather(self.unflatten(x), position, axis=1, batch_dims=1)

    def split_heads(self, x: Tensor, count: int, heads: int, size: int) -> list[Tensor]:
        x = tf.reshape(x, [self._rows, -1, count, heads, size])  # [B, T, count, N, D]
        projections: list[Tensor] = tf.unstack(tf.transpose(x, [2, 0, 3, 1, 4]))
        return projections

    def join_heads(self, x: Tensor, like: Tensor) -> Tensor:
        return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), tf.shape(like))


class Packed:
    """A state for each position up to the last one that counts in its row, and none for the padding after it.

    If no token of a row counts, its result depends on padding, so all its positions have states. Attention and pooling
    see the last state of a row in place of its padding, which they ignore.
    """

    def __init__(self, mask: Tensor, least: Tensor | None = None) -> None:
        """`mask` is the mask of the inputs. There are at least `least` states if there are that many positions."""
        with tf.name_scope('layout'):
            rows, self._tokens = tf.unstack(tf.shape(mask))
            numbers = tf.range(1, self._tokens + 1)  # [T]
            lengths = tf.reduce_max(mask * numbers, 1, keepdims=True)  # [B, 1]
            lengths += tf.cast(tf.equal(lengths, 0), tf.int32) * self._tokens
            has_state = tf.reshape(tf.less_equal(numbers, lengths), [-1])  # [B*T]
            if least is not None:
                missing = tf.cast(tf.less(tf.reduce_sum(lengths), least), tf.int32) * least
                has_state = tf.logical_or(has_state, tf.less(tf.range(tf.size(has_state)), missing))
            self._positions = tf.cast(tf.reshape(tf.where(has_state), [-1]), tf.int32)  # [R]: of each state
            states = tf.cumsum(tf.cast(has_state, tf.int32)) - 1  # [B*T]: of each position, or the one before it
            self._states = tf.reshape(states, [rows, self._tokens])  # [B, T]
        self._of_heads: dict[tuple[int, int], list[Tensor]] = {}
        self._of_contexts: dict[int, Tensor] = {}

    def flatten(self, x: Tensor) -> Tensor:
        return tf.gather(tf.reshape(x, [-1, x.shape[-1]]), self._positions)

    def unflatten(self, x: Tensor) -> Tensor:
        return tf.gather(x, self._states)

    def at(self, position: Tensor, x: Tensor) -> Tensor:
        return tf.gather(x, tf.gather(self._states, position, axis=1, batch_dims=1))

    def split_heads(self, x: Tensor, count: int, heads: int, size: int) -> list[Tensor]:
        # One gather for each projection replaces a transposition and a copy of each part.
        x = tf.reshape(x, [-1, size])  # [R * count * N, D]
        if (count, heads) not in self._of_heads:
            numbers = tf.reshape(tf.range(heads), [heads, 1])  # [N, 1]
            first = tf.expand_dims(self._states * (count * heads), 1) + numbers  # [B, N, T]
            self._of_heads[count, heads] = [first + part * heads for part in range(count)]
        return [tf.gather(x, places) for places in self._of_heads[count, heads]]

    def join_heads(self, x: Tensor, like: Tensor) -> Tensor:
        heads, size = x.shape[1], x.shape[3]
        if heads not in self._of_contexts:
            # The context of head h of row b at position t, (b * N + h) * T + t, belongs to the position b * T + t.
            rows = self._positions // self._tokens  # [R]
            first = self._positions + rows * ((heads - 1) * self._tokens)  # [R]
            self._of_contexts[heads] = tf.expand_dims(first, 1) + tf.range(heads) * self._tokens  # [R, N]
        x = tf.gather(tf.reshape(x, [-1, size]), self._of_contexts[heads])  # [R, N, D]
        return tf.reshape(x, tf.shape(like))
