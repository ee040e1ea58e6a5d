"""Servers for tests: on ports that the system hands out, and gone when the test is over."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from bert_serving.client import BertClient
from bert_serving.server import BertServer
from bert_serving.server.helper import get_args_parser
from bert_serving.server.parent.child_factory import ChildModules

DATA = Path(__file__).resolve().parents[1] / 'golden' / 'data'
MODELS = DATA / 'models'
SMALL_MODEL = str(MODELS / 'uncased_L-4_H-32_A-4')

READY = re.compile(r'all set, ready to serve request! port=(\d+) port_out=(\d+)(?: http_port=(\d+))?')
READY_WITHIN_S = 120


@contextlib.contextmanager
def serve(*words: str, server_class: type[BertServer] = BertServer) -> Iterator[BertServer]:
    """A `BertServer` in this process, ready, on free ports and the CPU; closed at the end."""
    args = get_args_parser().parse_args([*words, '-cpu', '-port', '0', '-port_out', '0'])
    with server_class(args) as server:
        yield server


def connect(server: BertServer | ServerProcess, **options: Any) -> BertClient:
    """Make a client of a server on this machine. An answer may take a minute, unless `options` say otherwise."""
    return BertClient(port=server.port, port_out=server.port_out, **{'timeout': 60_000, **options})


class FakeServer(BertServer):
    """A server whose workers answer with `fake_encoder.FakeEncoder`: it starts in a moment.

    `PYTHONPATH` must lead its children here: see `fake_path`.
    """

    modules = ChildModules(exporter='support.fake_exporter', worker='support.fake_worker')


def fake_path() -> str:
    """A `PYTHONPATH` with which the children of a `FakeServer` find their modules."""
    return os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get('PYTHONPATH')])])


def time_of_day() -> str:
    """Now, to the millisecond, for the stories that tests print: those of clients and servers can be read together."""
    return datetime.now().strftime('%H:%M:%S.%f')[:-3]


class ServerProcess:
    """`bert-serving-start` as a user runs it: a process with a log, signals and an exit code."""

    always: tuple[str, ...] = ('-cpu', '-port', '0', '-port_out', '0')

    def __init__(
        self, *words: str, environment: dict[str, str] | None = None, module: str = 'bert_serving.server.cli'
    ) -> None:
        """`module` is what is run; `environment` is laid over this process's."""
        self.process = subprocess.Popen(
            [sys.executable, '-m', module, *self.always, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self._log: list[str] = []
        self._read_at: list[str] = []
        self._line = threading.Condition()
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        self.port = self.port_out = self.http_port = 0

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._line:
                self._log.append(line)
                self._read_at.append(time_of_day())
                self._line.notify_all()
        with self._line:
            self._line.notify_all()

    @property
    def log(self) -> str:
        return ''.join(self._log)

    @property
    def timed_log(self) -> list[str]:
        """The lines of the log, each after the time at which it was read."""
        return ['%s %s' % (at, line.rstrip()) for at, line in zip(self._read_at, self._log, strict=False)]

    def wait_for_log(self, pattern: str | re.Pattern[str], within_s: float = READY_WITHIN_S) -> re.Match[str]:
        """The first match of `pattern` in the log, now or as it comes; AssertionError with the log otherwise."""
        deadline = time.monotonic() + within_s
        with self._line:
            while (match := re.search(pattern, self.log)) is None:
                if time.monotonic() > deadline or (not self._reader.is_alive() and self.process.poll() is not None):
                    raise AssertionError('%r is not in the log:\n%s' % (pattern, self.log))
                self._line.wait(0.2)
        return match

    def wait_until_ready(self) -> Self:
        match = self.wait_for_log(READY)
        self.port, self.port_out, self.http_port = int(match[1]), int(match[2]), int(match[3] or 0)
        return self

    def stop(self, number: int = signal.SIGTERM, within_s: float = 60) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.wait(within_s)

    def wait(self, within_s: float = 60) -> int:
        """The exit code, once it ends."""
        code = self.process.wait(within_s)
        self._reader.join(within_s)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(10)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
