"""Positions that are part of the attention: tables for rotary positions, and buckets of distances.

NumPy only: everything is computed when the graph is built. It is computed in float32 as in the reference, because an
angle of thousands has few digits after the point, and others would be other angles.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..model.config import Disentangled, RelativeBias, Rotary

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]


def rotary_tables(rotary: Rotary, positions: int, head_size: int) -> Float32:
    """The cosines and signed sines of each position and unit of a head, [2, positions, head_size].

    The rotated x is x * cosines + (x with its halves exchanged) * sines.
    """
    exponents = np.arange(0, head_size, 2, dtype=np.float32) / np.float32(head_size)
    frequencies = 1 / (np.float32(rotary.base) ** exponents * np.float32(rotary.scale))  # [head_size / 2]
    angles = np.arange(positions, dtype=np.float32)[:, np.newaxis] * frequencies.astype(np.float32)
    cosines, sines = np.cos(angles), np.sin(angles)
    return np.stack([np.concatenate([cosines, cosines], 1), np.concatenate([-sines, sines], 1)])


def distances(positions: int) -> Int32:
    """The distances from 1 - positions to positions, [2 * positions].

    Elements positions - T to positions + T are all distances between T tokens, and one more.
    """
    return np.arange(1 - positions, positions + 1, dtype=np.int32)


def bias_buckets(bias: RelativeBias, distance: Int32) -> Int32:
    """The bucket of each distance, key minus query; an array of any shape."""
    half = bias.buckets // 2
    exact = half // 2
    length = np.abs(distance)
    growth = np.log(np.maximum(length, 1).astype(np.float32) / np.float32(exact)) / math.log(bias.max_distance / exact)
    far = exact + (growth * (half - exact)).astype(np.int32)
    bucket = np.where(length < exact, length, np.minimum(far, half - 1))
    return (bucket + np.where(distance > 0, half, 0)).astype(np.int32)


def disentangled_rows(spec: Disentangled, distance: Int32) -> Int32:
    """The row of the table of relative embeddings for each distance, query minus key; an array of any shape."""
    bucket = distance.astype(np.float32)
    if spec.has_buckets:
        middle = spec.span // 2
        length = np.abs(bucket)
        length = np.where(length < middle, np.float32(middle - 1), length)
        with np.errstate(divide='ignore', invalid='ignore'):  # two or three buckets leave no room for logarithms
            scale = np.log(np.float32((spec.max_distance - 1) / middle))
            far = np.ceil(np.log(length / np.float32(middle)) / scale * np.float32(middle - 1)) + middle
            bucket = np.where(length <= middle, bucket, far * np.sign(bucket))
        # The reference converts NaN and infinity to the least integer, and clips that.
        bucket = np.where(np.isfinite(bucket), bucket, np.float32(-spec.span))
    return np.clip(bucket.astype(np.int32) + spec.span, 0, 2 * spec.span - 1)
