"""An exporter process that exports nothing; see `serving.FakeServer`.

`FAKE_EXPORTER_SECONDS` is how long it takes, and says how far it is, as one does that reads a large model. Meanwhile it
has half a file, as one does that writes a large graph.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from bert_serving.server.process.reports import ChildConfig, Reporter

BYTES, STEPS = 1_280_000_000, 20


def main(config: ChildConfig, report_ready: Reporter) -> None:
    seconds = float(os.environ.get('FAKE_EXPORTER_SECONDS', '0'))
    unfinished = Path('%s.%d.part' % (config['path'], os.getpid()))
    unfinished.touch()
    for step in range(1, STEPS + 1) if seconds else ():
        time.sleep(seconds / STEPS)
        report_ready.progress('read the weights', BYTES * step // STEPS, BYTES)
    unfinished.unlink()
    report_ready({'path': config['path'], 'bytes': 0, 'sha256': ''})
