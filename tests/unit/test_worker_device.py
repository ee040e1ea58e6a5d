"""The batch limits of a device, and which failures mean that its memory was too small."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bert_serving.server.options.settings import Settings
from bert_serving.server.worker.batch_limits import BatchLimits
from bert_serving.server.worker.device import (
    CPU_PAIRS,
    CPU_RUN_COST,
    CPU_RUN_PAIRS,
    CPU_TOKENS,
    GPU_PAIRS,
    TYPICAL_LENGTH,
    batch_limits,
    is_out_of_memory,
)

CPU, GPU = -1, 0
SETTINGS = replace(Settings(), max_batch_size=100, max_seq_len=50)


class RuntimeException(Exception):
    """Named like ONNX Runtime's."""


class ResourceExhaustedError(Exception):
    """TensorFlow's error has this name."""


@pytest.mark.parametrize('device', [CPU, GPU])
def test_a_token_budget_that_is_given_holds_on_every_device(device: int) -> None:
    limits = batch_limits(replace(SETTINGS, max_batch_tokens=7), device)
    assert (limits.rows, limits.tokens) == (100, 7)


def test_without_a_budget_a_gpu_takes_as_many_rows_as_allowed_up_to_512_tokens_each() -> None:
    assert batch_limits(SETTINGS, GPU) == BatchLimits(100, 100 * 50, GPU_PAIRS)
    assert batch_limits(replace(SETTINGS, max_seq_len=None), GPU) == BatchLimits(100, 100 * TYPICAL_LENGTH, GPU_PAIRS)
    for longer in (512, 8192):
        assert batch_limits(replace(SETTINGS, max_seq_len=longer), GPU) == BatchLimits(100, 100 * 512, GPU_PAIRS)


def test_without_a_budget_a_cpu_takes_small_batches_so_that_urgent_requests_do_not_wait() -> None:
    limits = BatchLimits(100, CPU_TOKENS, CPU_PAIRS, CPU_RUN_PAIRS, costs_pairs=True)
    assert batch_limits(SETTINGS, CPU) == limits
    assert batch_limits(replace(SETTINGS, max_batch_size=4), CPU) == replace(limits, rows=4, tokens=4 * 50)


@pytest.mark.parametrize('options', [{'xla': True}, {'device_map': (0, -1), 'num_worker': 2}], ids=str)
def test_a_graph_that_computes_padding_has_rows_cut_by_their_tokens(options: dict[str, Any]) -> None:
    """That of XLA, and one that GPUs run, too."""
    limits = BatchLimits(100, CPU_TOKENS, CPU_PAIRS, CPU_RUN_COST)
    assert batch_limits(replace(SETTINGS, **options), CPU) == limits
    if 'device_map' in options:
        assert batch_limits(replace(SETTINGS, cpu=True, **options), CPU) != limits


def test_the_budget_of_a_cpu_does_not_grow_with_the_longest_row_which_is_computed_alone() -> None:
    limits = batch_limits(replace(SETTINGS, max_seq_len=8192), CPU)
    assert limits == BatchLimits(100, CPU_TOKENS, CPU_PAIRS, CPU_RUN_PAIRS, costs_pairs=True)
    assert limits.rows_of(8192) == 1
    assert limits.rows_of(100) == 10


@pytest.mark.parametrize(('device', 'most'), [(CPU, 210), (GPU, 3300)])
@pytest.mark.parametrize('max_batch_tokens', [None, 10**9])
def test_the_scores_of_a_batch_need_no_more_memory_than_stated(
    device: int, most: int, max_batch_tokens: int | None
) -> None:
    """In MB, for 12 heads in float32. A row of more tokens is computed in chunks of queries."""
    settings = replace(SETTINGS, max_batch_size=256, max_seq_len=8192, max_batch_tokens=max_batch_tokens)
    limits = batch_limits(settings, device)
    for width in range(1, 8193):
        rows = limits.rows_of(width)
        assert rows * 12 * min(width, 256 if rows == 1 else width) * width * 4 <= most * 1e6, width


@pytest.mark.parametrize(
    ('error', 'expected'),
    [
        (MemoryError(), True),
        (ResourceExhaustedError('OOM'), True),
        (ValueError('out of memory'), False),
        (RuntimeException('Failed to allocate memory for requested buffer of size 9'), True),
        (RuntimeException('Invalid shape'), False),
    ],
)
def test_a_lack_of_memory_is_told_from_other_failures(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected
