"""A process that has read large messages becomes as small again as it was."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
