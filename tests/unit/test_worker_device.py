"""The batch limits of a device, and which failures mean that its memory was too small."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bert_serving.server.options.settings import Settings
from bert_serving.server.worker.batcher import BatchLimits
from bert_serving.server.worker.device import CPU_TOKENS, TYPICAL_LENGTH, batch_limits, is_out_of_memory

CPU, GPU = -1, 0
SETTINGS = replace(Settings(), max_batch_size=100, max_seq_len=50)


class ResourceExhaustedError(Exception):
    """TensorFlow's error has this name."""


@pytest.mark.parametrize('device', [CPU, GPU])
def test_a_token_budget_that_is_given_holds_on_every_device(device: int) -> None:
    assert batch_limits(replace(SETTINGS, max_batch_tokens=7), device) == BatchLimits(100, 7)


def test_without_a_budget_a_gpu_takes_as_many_rows_as_allowed_whatever_their_length() -> None:
    assert batch_limits(SETTINGS, GPU) == BatchLimits(100, 100 * 50)
    assert batch_limits(replace(SETTINGS, max_seq_len=None), GPU) == BatchLimits(100, 100 * TYPICAL_LENGTH)


def test_without_a_budget_a_cpu_takes_small_batches_so_that_urgent_requests_do_not_wait() -> None:
    assert batch_limits(SETTINGS, CPU) == BatchLimits(100, CPU_TOKENS)
    assert batch_limits(replace(SETTINGS, max_batch_size=4), CPU) == BatchLimits(4, 4 * 50)


def test_the_budget_of_a_cpu_has_room_for_the_longest_row() -> None:
    assert batch_limits(replace(SETTINGS, max_seq_len=2000), CPU) == BatchLimits(100, 2000)


@pytest.mark.parametrize(
    ('error', 'expected'),
    [(MemoryError(), True), (ResourceExhaustedError('OOM'), True), (ValueError('out of memory'), False)],
)
def test_a_lack_of_memory_is_told_from_other_failures(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected
