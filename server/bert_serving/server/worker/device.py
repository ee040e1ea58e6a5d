"""The device of a worker: the interface of encoders, the batch limits, and the detection of memory errors.

Pure; imports no engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..options.settings import Settings
from .batch_limits import BatchLimits

CPU_TOKENS = 1024
"""The default token budget of a batch on a CPU. It is the best or nearly the best for small and large models
(docs/adr/0009), and limits the time that an urgent request waits for the batch on the device."""

CPU_PAIRS = 2**22
"""The maximum pairs of tokens in a batch on a CPU, such as 16 rows of 512 tokens. The scores of 12 heads then take 200
MB, and three such arrays exist at a time. The graph computes the scores of a longer row in parts of at most this size.
"""

CPU_RUN_COST = 32
"""A run on a CPU costs as much as this number of tokens more in a larger run (docs/adr/0009)."""

CPU_RUN_PAIRS = 2**14
"""The same in pairs of tokens, for a graph that leaves padding out except in attention (docs/adr/0040)."""

LONG = 512
"""The maximum row length of most models. The default budget on a GPU has room for `-max_batch_size` rows of it."""

GPU_PAIRS = 256 * LONG**2
"""The maximum pairs of tokens on a GPU: 256 rows of 512 tokens, 1.10's default batch, or one row of 8,192 tokens."""

TYPICAL_LENGTH = 64
"""The assumed row length when `-max_seq_len` is NONE, to derive a token budget from `-max_batch_size`."""

Int32 = NDArray[np.int32]


class Encoder(Protocol):
    """The interface of a model on a device, which each engine of `graph/` implements."""

    def encode(
        self, input_ids: Int32, input_mask: Int32, input_type_ids: Int32, pooling_mask: Int32 | None = None
    ) -> NDArray[np.generic]:
        """Compute a batch from the arrays [B, T] of `rows.pack`. Return [B, D] or [B, T, D]. For one thread only."""

    def will_compile(self, rows: int, width: int) -> bool:
        """Whether a batch of this size must first be compiled, which can take minutes, once for each size."""


class LoadedEncoder(Encoder, Protocol):
    """A loaded encoder, with the properties that the first run needs (`finite.py`)."""

    @property
    def unusual_ids(self) -> Sequence[int]:
        """The tokens with the largest embeddings, which overflow first."""

    @property
    def most_tokens(self) -> int | None:
        """The maximum length of a row in tokens, or None if it is unlimited."""

    def describe(self) -> str:
        """Describe the graph and the device in one line for the log."""


def batch_limits(settings: Settings, device: int) -> BatchLimits:
    """The maximum batch size on `device`, a GPU id or -1 for the CPU.

    The token budget is `-max_batch_tokens`, whose default depends on the device. It does not grow with a `-max_seq_len`
    of thousands, because then short rows would form batches as large as a long row, and each request would wait for
    them. A row longer than the budget is computed alone.
    """
    is_gpu = device >= 0
    tokens = settings.max_batch_tokens
    if tokens is None:
        tokens = settings.max_batch_size * min(settings.max_seq_len or TYPICAL_LENGTH, LONG)
        tokens = tokens if is_gpu else min(tokens, CPU_TOKENS)
    if is_gpu:
        return BatchLimits(settings.max_batch_size, tokens, GPU_PAIRS)
    if settings.xla or settings.may_mix_devices:
        return BatchLimits(settings.max_batch_size, tokens, CPU_PAIRS, CPU_RUN_COST)
    return BatchLimits(settings.max_batch_size, tokens, CPU_PAIRS, CPU_RUN_PAIRS, costs_pairs=True)


def is_out_of_memory(error: Exception) -> bool:
    """Whether a batch failed for lack of memory: a MemoryError, or an engine's error with a certain name or text."""
    name = type(error).__name__
    return (
        isinstance(error, MemoryError)
        or name == 'ResourceExhaustedError'
        or (name == 'RuntimeException' and 'Failed to allocate memory' in str(error))
    )
