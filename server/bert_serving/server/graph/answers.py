"""Compute the answer of a graph from its encoder's layers, by a strategy of 1.10, a published pipeline, or a head."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..model.pooling import PoolingStrategy
from .encoder import Encoder
from .heads import SCORES, logits, pooler, state_of_row
from .inputs import Inputs, Tensor
from .modules import apply_modules
from .pooling_ops import MODES, POOLING, first_unmasked, has_tokens, last_counted, last_unmasked
from .tf import tf

if TYPE_CHECKING:
    from .spec import GraphSpec


def only_position(spec: GraphSpec, inputs: Inputs) -> Tensor | None:
    """The only position of each row, [B], whose state the answer needs, or None if it needs several."""
    config, mask = spec.model.config, inputs.mask
    if config.disentangled:
        return None  # its scores are computed for all pairs of tokens
    if spec.uses_classifier:
        return tf.zeros_like(mask[:, 0]) if config.classifier.pooling == 'cls' else None
    if spec.pooling:
        match spec.pooling.modes:
            case ('cls',):
                return first_unmasked(_pooling_mask(inputs))
            case ('lasttoken',):
                return last_unmasked(_pooling_mask(inputs))
        return None
    if spec.strategy is PoolingStrategy.LAST_TOKEN:
        return last_counted(mask)
    if spec.strategy in (PoolingStrategy.FIRST_TOKEN, PoolingStrategy.CLS_POOLED):
        return tf.zeros_like(mask[:, 0])
    return None


def answer(spec: GraphSpec, encoder: Encoder, layers: list[Tensor], inputs: Inputs, position: Tensor | None) -> Tensor:
    """The answer, [B, D], or [B, T, D] for NONE. `layers` are flat, [R, H], the lowest first.

    With `position`, from `only_position`, the highest layer has the state of that position only and is [B, H].
    """
    ops = encoder.ops
    if spec.uses_classifier:
        return SCORES[spec.activation](logits(ops, state_of_row(ops, layers[-1], inputs, position)))  # [B, labels]
    if spec.uses_pooler:
        first = layers[-1] if position is not None else inputs.layout.unflatten(layers[-1])[:, 0]  # [B, H]
        return pooler(ops.constants, first)  # [B, H]
    if position is not None:
        states = [inputs.layout.at(position, layer) for layer in layers[:-1]] + layers[-1:]  # each [B, H]
        pooled = tf.concat([states[index] for index in spec.layers], -1)  # [B, D]
        if spec.pooling and spec.pooling.modes == ('lasttoken',):
            pooled *= has_tokens(_pooling_mask(inputs))
        return apply_modules(spec.modules, ops.constants, pooled)
    x = inputs.layout.unflatten(tf.concat([layers[index] for index in spec.layers], -1))  # [B, T, D]
    if not spec.pooling:
        return POOLING[spec.strategy](x, inputs.mask)
    mask = _pooling_mask(inputs)  # [B, T]
    pooled = tf.concat([MODES[mode](x, mask) for mode in spec.pooling.modes], -1)  # [B, modes * D]
    return apply_modules(spec.modules, ops.constants, pooled)


def _pooling_mask(inputs: Inputs) -> Tensor:
    """The mask [B, T], 1 for tokens that take part in pooling."""
    return inputs.mask if inputs.pooling_mask is None else inputs.mask * inputs.pooling_mask
