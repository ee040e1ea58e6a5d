"""A process that has read large messages becomes as small again as it was."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bert_serving.server.process.allocator import GROWN_BYTES, WAITS_S, Ebb

PROGRAM = """
import sys
from bert_serving.server.process.allocator import return_large_blocks

def resident():
    return int(open('/proc/self/statm').read().split()[1]) * 4096

return_large_blocks()
before = resident()
for _ in range(4):
    blocks = [bytes(bytearray(b'x') * size) for size in (60 << 20, 20 << 20, 15 << 20, 8 << 20, 3 << 20, 2 << 20)]
    small = [bytes(1000) for _ in range(1000)]
    del blocks
sys.exit(resident() - before > 8 << 20)
"""


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='glibc alone does it')
def test_large_blocks_that_are_free_go_back_to_the_system() -> None:
    assert subprocess.run([sys.executable, '-c', PROGRAM], timeout=60).returncode == 0


RETURNING = """
import sys
from bert_serving.server.process.allocator import return_free_memory

def resident():
    return int(open('/proc/self/statm').read().split()[1]) * 4096

before = resident()
small = [bytes(1000) for _ in range(100_000)]
kept = small[-1]
del small
return_free_memory()
sys.exit(resident() - before > 8 << 20)
"""


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='glibc alone does it')
def test_small_blocks_that_are_free_can_be_returned_though_a_later_one_is_kept() -> None:
    assert subprocess.run([sys.executable, '-c', RETURNING], timeout=60).returncode == 0


def seconds_of_returns(memory: list[int]) -> list[int]:
    """The seconds at which `Ebb` returns free memory, by the memory of the process in each second."""
    ebb = Ebb(1.0)
    return [second for second, size in enumerate(memory) if ebb.has_come(size)]


def test_free_memory_is_returned_a_few_times_after_the_process_has_grown() -> None:
    large = GROWN_BYTES + 1
    assert seconds_of_returns([0] * 5 + [large] * 1000) == [5 + sum(WAITS_S[: n + 1]) for n in range(len(WAITS_S))]


def test_free_memory_is_not_looked_for_without_growth_and_again_after_the_next() -> None:
    assert seconds_of_returns([GROWN_BYTES] * 1000) == []
    twice = seconds_of_returns([0] + [2 * GROWN_BYTES] * 200 + [GROWN_BYTES // 2] + [2 * GROWN_BYTES] * 200)
    assert len(twice) == 2 * len(WAITS_S)
