"""The host of a worker on a node: an actor that starts the worker as a process, and passes its reports on.

The host does for the worker what the parent does on the server's machine: if the host dies, the worker's lifeline
closes and the worker exits. The host fetches only files and passes on no requests: jobs and parts go over the ring.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import select
import threading
import time
from collections.abc import Sequence
from typing import Any

from ..errors import ServingError
from ..process.child_process import ChildProcess
from ..process.reports import Exited, Failed, Heartbeat, Leaving, encode_report
from ..release import RELEASE
from .luggage import PackedFile
from .node_files import held_files, relocate

logger = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often a host without reports says that it is alive, and checks whether its node is draining."""

CRASHED = 1
"""The exit code of a worker that could not start."""


class Host:
    """Hosts one worker. Several threads of the actor call its methods."""

    def __init__(self) -> None:
        """Create a host without a worker."""
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._child: ChildProcess | None = None
        self._is_killed = threading.Event()

    # ---- knowledge of the cluster, which fakes replace

    def fetch(self, content: Any) -> Any:
        """Get a buffer from the cluster; `content` is the result of `Cluster.put`."""
        return content

    def is_node_leaving(self) -> bool:
        """Whether the node is draining."""
        return False

    def where(self) -> tuple[str, str]:
        """Return the name and the address of the node."""
        return 'local', '127.0.0.1'

    # ---- for the server

    def describe(self) -> dict[str, str]:
        """Return the `node`, its `address`, and the installed `release` of the server."""
        node, address = self.where()
        return {'node': node, 'address': address, 'release': RELEASE}

    def start(
        self,
        module: str,
        name: str,
        config: dict[str, Any],
        environment: dict[str, str | None],
        files: Sequence[PackedFile],
    ) -> None:
        """Start the worker of a `ChildSpec` as soon as its `files` are on this node."""
        spec = (module, name, config, environment)
        threading.Thread(target=self._host, args=(*spec, files), name='host', daemon=True).start()

    def next_reports(self) -> list[bytes]:
        """Wait for reports and return them. Before the worker starts, return a heartbeat if there are none.

        Reports are lines of `encode_report`. In addition, `{"pid": ID}` names the process of the worker, and
        `{"exited": CODE}` comes last.
        """
        try:
            lines = [self._lines.get(timeout=LOOK_S)]
        except queue.Empty:
            return [] if self._child is not None else [encode_report(Heartbeat({}))]
        with contextlib.suppress(queue.Empty):
            while True:
                lines.append(self._lines.get_nowait())
        return lines

    def kill(self) -> None:
        """Kill the worker."""
        self._is_killed.set()
        if self._child is not None:
            self._child.kill_from_any_thread()

    # ---- in its own thread

    def _host(
        self,
        module: str,
        name: str,
        config: dict[str, Any],
        environment: dict[str, str | None],
        files: Sequence[PackedFile],
    ) -> None:
        code = CRASHED
        try:
            with held_files(files, self.fetch) as places:
                child = ChildProcess(module, name, relocate(config, places), environment)
                child.start()
                self._child = child
                self._say(json.dumps({'pid': child.pid}).encode() + b'\n')
                if self._is_killed.is_set():
                    self.kill()
                code = self._pass_on(child)
        except ServingError as error:
            self._say(encode_report(Failed(str(error), error.exit_code)))
        except Exception as error:
            logger.exception('failed to host %s', name)
            self._say(encode_report(Failed('%s: %s' % (type(error).__name__, error), CRASHED)))
        self._say(json.dumps({'exited': code}).encode() + b'\n')

    def _pass_on(self, child: ChildProcess) -> int:
        """Pass on the reports of a child until it has exited, and return its exit code."""
        is_leaving, look_at = False, 0.0
        while True:
            if time.monotonic() >= look_at and not is_leaving:
                look_at = time.monotonic() + LOOK_S
                is_leaving = self.is_node_leaving()
                if is_leaving:
                    self._say(encode_report(Leaving()))
            if not select.select([child], [], [], LOOK_S)[0]:
                continue
            for report in child.read_reports():
                if isinstance(report, Exited):
                    return report.code
                self._say(encode_report(report))

    def _say(self, line: bytes) -> None:
        self._lines.put(line)
