"""The limits follow from the memory that the server can have, in a container too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bert_serving.server.options.settings import Settings
from bert_serving.server.parent.memory import GIB, MIB, MemoryShares, available_bytes, share_memory
from bert_serving.server.sink.limits import SinkLimits

MACHINE = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')


@pytest.mark.parametrize(
    ('cgroup', 'limits', 'expected'),
    [
        ('0::/', {'memory.max': '8388608'}, 8 * MIB),
        ('0::/', {'memory.max': 'max'}, MACHINE),
        ('0::/a/b', {'memory.max': 'max', 'a/memory.max': '1000', 'a/b/memory.max': '2000'}, 1000),
        ('0::/a/b', {'a/memory.max': 'max', 'a/b/memory.max': '2000'}, 2000),
        ('0::/on/the/host', {'memory.max': '3000'}, 3000),
        ('0::/../../a', {'a/memory.max': '4000'}, 4000),
        ('5:cpu:/x\n9:memory:/docker/1', {'memory/docker/1/memory.limit_in_bytes': '5000'}, 5000),
        ('9:memory,hugetlb:/docker/1', {'memory/memory.limit_in_bytes': '6000'}, 6000),
        ('9:memory:/', {'memory/memory.limit_in_bytes': '9223372036854771712'}, MACHINE),
        ('5:cpu:/x', {'memory.max': '7000'}, MACHINE),
        ('0::/', {}, MACHINE),
        ('', {}, MACHINE),
        (None, {'memory.max': '8000'}, MACHINE),
    ],
)
def test_the_least_limit_around_the_process_holds(
    tmp_path: Path, cgroup: str | None, limits: dict[str, str], expected: int
) -> None:
    """Of both versions, in a cgroup or around it, with and without a namespace of the container's own."""
    (tmp_path / 'self').mkdir()
    if cgroup is not None:
        (tmp_path / 'self' / 'cgroup').write_text(cgroup + '\n')
    for path, limit in limits.items():
        file = tmp_path / 'sys' / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(limit + '\n')
    assert available_bytes(str(tmp_path), str(tmp_path / 'sys')) == expected


@pytest.mark.parametrize('total', [0, 64 * MIB, 2 * GIB, 16 * GIB, 512 * GIB])
def test_the_shares_leave_memory_for_the_rest(total: int) -> None:
    shares = MemoryShares.of(total, Settings())
    total = max(total, 64 * MIB)
    assert shares.queue + shares.open_parts + shares.reply + shares.unread + shares.http < 0.85 * total
    assert shares.unread_by_client <= shares.unread


def test_the_options_go_before_the_shares() -> None:
    shares = share_memory(Settings(max_memory_bytes=8 * GIB, max_reply_bytes=5 * MIB, max_unread_bytes=6 * MIB))
    assert shares == MemoryShares(GIB, 2 * GIB, 5 * MIB, GIB, 6 * MIB, 256 * MIB)
    assert SinkLimits(**shares.for_sink()).reply_bytes == 5 * MIB
    assert share_memory(Settings()) == MemoryShares.of(available_bytes(), Settings())
