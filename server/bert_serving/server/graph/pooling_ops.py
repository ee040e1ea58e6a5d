"""Pooling as TensorFlow ops, from token states to one vector, by 1.10's strategies or published modes.

Runs in the exporter, in float32, also where the rest of the graph uses another type. Dimensions: B rows, T tokens, D
the width of the chosen layers side by side. x [B, T, D] has their states, m [B, T] is the mask (0 for padding, and with
`-mask_cls_sep` for [CLS] and [SEP]).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..model.pipeline import PoolingMode
from ..model.pooling import PoolingStrategy
from .inputs import Tensor
from .tf import tf

# The numbers of 1.10. The first prevents a division by zero for a row without tokens, the second moves masked positions
# below every state. Neither fits into a float16.
_NO_TOKENS = 1e-10
_BELOW_ALL = 1e30


def no_pooling(x: Tensor, mask: Tensor) -> Tensor:
    """The state of every token, zero where it is masked."""
    return x * _weight(mask)  # [B, T, D]


def reduce_mean(x: Tensor, mask: Tensor) -> Tensor:
    weight = _weight(mask)  # [B, T, 1]
    return tf.reduce_sum(x * weight, 1) / (tf.reduce_sum(weight, 1) + _NO_TOKENS)  # [B, D] / [B, 1]


def reduce_max(x: Tensor, mask: Tensor) -> Tensor:
    return tf.reduce_max(x - (1 - _weight(mask)) * _BELOW_ALL, 1)  # [B, D]


def reduce_mean_max(x: Tensor, mask: Tensor) -> Tensor:
    return tf.concat([reduce_mean(x, mask), reduce_max(x, mask)], 1)  # [B, 2*D]


def first_token(x: Tensor, mask: Tensor) -> Tensor:
    """The state of position 0, which is [CLS] unless there are no special tokens. It ignores the mask."""
    del mask
    return x[:, 0]  # [B, D]


def last_token(x: Tensor, mask: Tensor) -> Tensor:
    """The state of the position that the number of unmasked tokens gives, which is [SEP] unless the mask has holes.

    With `-mask_cls_sep` the position is before the true end, as in 1.10. For a row without unmasked tokens it is 0; in
    1.10 such a row killed the worker.
    """
    return tf.gather(x, last_counted(mask), axis=1, batch_dims=1)  # [B, D]


def last_counted(mask: Tensor) -> Tensor:
    """The position of LAST_TOKEN in each row, [B]."""
    return tf.maximum(tf.reduce_sum(mask, 1) - 1, 0)


POOLING: Mapping[PoolingStrategy, Callable[[Tensor, Tensor], Tensor]] = {
    PoolingStrategy.NONE: no_pooling,
    PoolingStrategy.REDUCE_MEAN: reduce_mean,
    PoolingStrategy.REDUCE_MAX: reduce_max,
    PoolingStrategy.REDUCE_MEAN_MAX: reduce_mean_max,
    PoolingStrategy.FIRST_TOKEN: first_token,
    PoolingStrategy.LAST_TOKEN: last_token,
}


def mean_sqrt_len_tokens(x: Tensor, mask: Tensor) -> Tensor:
    """The sum divided by the root of the number of tokens."""
    weight = _weight(mask)  # [B, T, 1]
    return tf.reduce_sum(x * weight, 1) / tf.sqrt(tf.reduce_sum(weight, 1) + _NO_TOKENS)  # [B, D] / [B, 1]


def weighted_mean(x: Tensor, mask: Tensor) -> Tensor:
    """The mean weighted by position, counted from 1."""
    places = tf.range(1, tf.shape(mask)[1] + 1)  # [T]
    weight = _weight(mask * places)  # [B, T, 1]
    return tf.reduce_sum(x * weight, 1) / (tf.reduce_sum(weight, 1) + _NO_TOKENS)  # [B, D] / [B, 1]


def first_unmasked(mask: Tensor) -> Tensor:
    """The first unmasked position of each row, [B]; 0 if all are masked."""
    return tf.argmax(mask, 1, output_type=tf.int32)


def last_unmasked(mask: Tensor) -> Tensor:
    """The last unmasked position of each row, [B]; 0 if all are masked."""
    places = tf.range(tf.shape(mask)[1])  # [T]
    return tf.reduce_max(mask * places, 1)


def max_of_unmasked(x: Tensor, mask: Tensor) -> Tensor:
    """The maximum; zero for a row without tokens, for which the reference returns minus infinity."""
    return reduce_max(x, mask) * has_tokens(mask)  # [B, D]


def first_unmasked_token(x: Tensor, mask: Tensor) -> Tensor:
    return tf.gather(x, first_unmasked(mask), axis=1, batch_dims=1)  # [B, D]


def last_unmasked_token(x: Tensor, mask: Tensor) -> Tensor:
    """The state of the last token; zero for a row without tokens, as in the reference."""
    return tf.gather(x, last_unmasked(mask), axis=1, batch_dims=1) * has_tokens(mask)  # [B, D]


MODES: Mapping[PoolingMode, Callable[[Tensor, Tensor], Tensor]] = {
    'cls': first_unmasked_token,
    'max': max_of_unmasked,
    'mean': reduce_mean,
    'mean_sqrt_len_tokens': mean_sqrt_len_tokens,
    'weightedmean': weighted_mean,
    'lasttoken': last_unmasked_token,
}
"""The modes of sentence-transformers."""


def has_tokens(mask: Tensor) -> Tensor:
    """1 for each row with an unmasked token, and 0 for others, [B, 1]."""
    return tf.cast(tf.reduce_max(mask, 1, keepdims=True), tf.float32)


def _weight(mask: Tensor) -> Tensor:
    return tf.cast(mask, tf.float32)[:, :, tf.newaxis]  # [B, T, 1]
