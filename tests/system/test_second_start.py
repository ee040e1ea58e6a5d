"""A second start finds the graph of the first, and a running server does not depend on what is kept."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import numpy as np

from support.processes import WORKER, children_of
from support.serving import SMALL_MODEL, ServerProcess, connect

TEXTS = ['First do it', 'then do it right', 'then do it better']


def encode(server: ServerProcess) -> np.ndarray:
    with connect(server) as client:
        return client.encode(TEXTS)


def test_a_second_start_does_not_export_and_outlives_what_is_kept(tmp_path: Path) -> None:
    options = ('-model_dir', SMALL_MODEL, '-export_cache', str(tmp_path))
    exports = tmp_path / 'exports'
    with ServerProcess(*options) as server:
        expected = encode(server.wait_until_ready())
        assert 'GRAPHOPT:[exp:mak: ' in server.log
        assert server.stop() == 0
    assert not list(exports.glob('bert-serving*'))
    with ServerProcess(*options) as server:
        server.wait_until_ready()
        assert 'found the export of an earlier start' in server.log
        assert 'load checkpoint' not in server.log
        assert 'try tokens of the vocabulary (tokens=128/' in server.log
        assert len(list(exports.glob('bert-serving*'))) == 1
        for entry in exports.glob('*/entry.json'):
            shutil.rmtree(entry.parent)
        (worker,) = children_of(server, WORKER)
        os.kill(worker, signal.SIGKILL)
        server.wait_for_log(r'WORKER-0 is ready[^$]*WORKER-0 is ready')
        np.testing.assert_array_equal(encode(server), expected)
        assert server.stop() == 0
    assert not list(exports.glob('bert-serving*'))


def test_a_server_serves_where_nothing_can_be_kept() -> None:
    home = {'XDG_CACHE_HOME': '/proc/caches', 'HOME': '/proc'}
    with ServerProcess('-model_dir', SMALL_MODEL, '-verbose', environment=home) as server:
        server.wait_until_ready()
        assert server.log.count('exports are not kept') == 1
        assert server.stop() == 0
