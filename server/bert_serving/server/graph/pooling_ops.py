"""The pooling strategies as TensorFlow ops: from the states of a row's tokens to the vector that is answered.

Runs in the exporter, in float32, also where the rest of the graph uses another type. Dimensions: B rows, T tokens, D
the width of the chosen layers side by side. x [B, T, D] has their states, m [B, T] is the mask (0 for padding, and with
`-mask_cls_sep` for [CLS] and [SEP]).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..model.pooling import PoolingStrategy
from .modeling import Bert, Inputs, Tensor
from .tf import tf

# The numbers of 1.10. The first prevents a division by zero for a row without tokens, the second moves masked positions
# below every state. Neither fits into a float16.
_NO_TOKENS = 1e-10
_BELOW_ALL = 1e30


def only_position(strategy: PoolingStrategy, mask: Tensor) -> Tensor | None:
    """The position of each row, [B], whose state is all that `strategy` needs; None if it needs more than one."""
    if strategy is PoolingStrategy.LAST_TOKEN:
        return _last(mask)
    if strategy is PoolingStrategy.FIRST_TOKEN or strategy.uses_pooler:
        return tf.zeros_like(mask[:, 0])
    return None


def pool(
    strategy: PoolingStrategy,
    layers: list[Tensor],
    chosen: tuple[int, ...],
    inputs: Inputs,
    bert: Bert,
    position: Tensor | None = None,
) -> Tensor:
    """The answer of `strategy`, [B, D], or [B, T, D] for NONE. `layers` are flat, [B*T, H], the lowest first.

    With `position`, from `only_position`, the highest layer has the state of that position only and is [B, H].
    """
    if strategy.uses_pooler:
        first = layers[-1] if position is not None else bert.unflatten(layers[-1], inputs)[:, 0]  # [B, H]
        return _from_pooler(strategy, bert.pool(first), bert)
    if position is not None:
        states = [bert.at(position, layer, inputs) for layer in layers[:-1]] + layers[-1:]  # each [B, H]
        return tf.concat([states[index] for index in chosen], -1)  # [B, D]
    x = bert.unflatten(tf.concat([layers[index] for index in chosen], -1), inputs)  # [B, T, D]
    return POOLING[strategy](x, inputs.mask)


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
    """The state of position 0, which is [CLS] unless there are no special tokens. The mask is ignored."""
    del mask
    return x[:, 0]  # [B, D]


def last_token(x: Tensor, mask: Tensor) -> Tensor:
    """The state of the position that the number of unmasked tokens gives, which is [SEP] unless the mask has holes.

    With `-mask_cls_sep` the position is before the true end, as in 1.10. For a row without unmasked tokens it is 0; in
    1.10 such a row killed the worker.
    """
    return tf.gather(x, _last(mask), axis=1, batch_dims=1)  # [B, D]


def _last(mask: Tensor) -> Tensor:
    return tf.maximum(tf.reduce_sum(mask, 1) - 1, 0)  # [B]


POOLING: Mapping[PoolingStrategy, Callable[[Tensor, Tensor], Tensor]] = {
    PoolingStrategy.NONE: no_pooling,
    PoolingStrategy.REDUCE_MEAN: reduce_mean,
    PoolingStrategy.REDUCE_MAX: reduce_max,
    PoolingStrategy.REDUCE_MEAN_MAX: reduce_mean_max,
    PoolingStrategy.FIRST_TOKEN: first_token,
    PoolingStrategy.LAST_TOKEN: last_token,
}


def _from_pooler(strategy: PoolingStrategy, pooled: Tensor, bert: Bert) -> Tensor:
    if strategy is PoolingStrategy.CLASSIFICATION:
        return tf.nn.softmax(bert.logits(pooled))  # [B, labels]
    if strategy is PoolingStrategy.REGRESSION:
        return tf.sigmoid(bert.logits(pooled))  # [B, 1]
    return pooled  # [B, H]


def _weight(mask: Tensor) -> Tensor:
    return tf.cast(mask, tf.float32)[:, :, tf.newaxis]  # [B, T, 1]
