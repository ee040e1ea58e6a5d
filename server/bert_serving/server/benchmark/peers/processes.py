"""The processes that run `runner.py` in the interpreters of the peers."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import UsageError
from ..load import REQUEST_TIMEOUT_MS
from ..plan import Load
from ..results import Timing
from .catalog import MODULES, Versions
from .units import parse_isa

RUNNER = str(Path(__file__).with_name('runner.py'))

FIND_WITHIN_S = 60
ISA_WITHIN_S = 120

STOP_WITHIN_S = 10
"""Seconds that a peer has to exit before it is killed."""

_OFFLINE = {
    'HF_HUB_OFFLINE': '1',
    'TRANSFORMERS_OFFLINE': '1',
    'HF_DATASETS_OFFLINE': '1',
    'DO_NOT_TRACK': '1',
    'INFINITY_ANONYMOUS_USAGE_STATS': '0',
}
"""The model is a local folder, so no peer needs a network."""


class PeerError(Exception):
    """A peer failed. The message goes into the report."""


def find_versions(pythons: Sequence[str]) -> dict[str, Versions]:
    """The modules of the catalog that each interpreter has.

    Raises:
        UsageError: one of them is not an interpreter.
    """
    found = {}
    for python in pythons:
        try:
            done = _run(python, 'find', *MODULES, within_s=FIND_WITHIN_S)
            found[python] = json.loads(done.stdout.splitlines()[-1])
        except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
            raise UsageError('-peers_python: cannot run %s: %s' % (python, error)) from None
    return found


def isa_of(python: str, module: str) -> str | None:
    """The instruction set that `tensorflow` or `torch` reports, or None if it reports none."""
    try:
        return parse_isa(_run(python, 'isa', module, within_s=ISA_WITHIN_S).stdout)
    except (OSError, subprocess.SubprocessError):
        return None


def _run(python: str, *words: str, within_s: float) -> subprocess.CompletedProcess[str]:
    command = [python, RUNNER, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=within_s, check=True, env=_environment())


def _environment() -> Mapping[str, str]:
    return {**os.environ, **_OFFLINE}


def start_runner(python: str, words: Sequence[str], log: IO[bytes], *, has_pipes: bool) -> subprocess.Popen[bytes]:
    """Start `runner.py`, which dies with this process. Ctrl-C in the terminal does not reach it.

    With `has_pipes`, its standard input and output are pipes; otherwise it has no input, and `log` gets its output.

    Raises:
        OSError: the process cannot be started.
    """
    return subprocess.Popen(
        [python, RUNNER, *words],
        stdin=subprocess.PIPE if has_pipes else subprocess.DEVNULL,
        stdout=subprocess.PIPE if has_pipes else log,
        stderr=log,
        env=_environment(),
        start_new_session=True,
    )


def stop(process: subprocess.Popen[bytes]) -> None:
    """Wait until the process has ended, and kill it after `STOP_WITHIN_S`."""
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class LibraryProcess:
    """A library in its own process. A context manager."""

    def __init__(self, python: str, log: IO[bytes]) -> None:
        self._process = start_runner(python, ['peer'], log, has_pipes=True)
        self._received = b''

    def __enter__(self) -> LibraryProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if kind is not None and not issubclass(kind, Exception):
            self._process.terminate()
        with suppress(BrokenPipeError):  # it has already exited
            self._stdin.close()
        stop(self._process)
        self._stdout.close()

    @property
    def _stdin(self) -> IO[bytes]:
        if self._process.stdin is None:
            raise ValueError('the process has no pipe for requests')
        return self._process.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        if self._process.stdout is None:
            raise ValueError('the process has no pipe for replies')
        return self._process.stdout

    def ask(self, request: Mapping[str, Any], within_s: float = REQUEST_TIMEOUT_MS / 1000) -> dict[str, Any]:
        """Send a request and return the reply.

        Raises:
            PeerError: the peer failed, ended, or did not answer in time.
        """
        try:
            self._stdin.write(json.dumps(request).encode('ascii') + b'\n')
            self._stdin.flush()
        except OSError:
            raise PeerError(self._how_it_ended()) from None
        reply: dict[str, Any] = json.loads(self._read_line(time.monotonic() + within_s, within_s))
        if 'error' in reply:
            raise PeerError(reply['error'])
        return reply

    def _read_line(self, deadline: float, within_s: float) -> bytes:
        while b'\n' not in self._received:
            if not select.select([self._stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                self._process.kill()
                raise PeerError('no answer within %g s' % within_s)
            read = os.read(self._stdout.fileno(), 1 << 20)
            if not read:
                raise PeerError(self._how_it_ended())
            self._received += read
        line, _, self._received = self._received.partition(b'\n')
        return line

    def _how_it_ended(self) -> str:
        stop(self._process)
        return 'its process ended with exit code %d (see peers.log)' % self._process.returncode

    def encode(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        """Vectors [B, D] of sentences."""
        reply = self.ask({'do': 'encode', 'texts': list(sentences)})
        return np.frombuffer(base64.b64decode(reply['vectors']), np.float32).reshape(reply['shape'])

    @contextmanager
    def load(self, load: Load) -> Iterator[LibraryLoad]:
        yield LibraryLoad(self, load)


class LibraryLoad:
    """The clients of one load, which are threads of the library's process. That process measures the time."""

    def __init__(self, process: LibraryProcess, load: Load) -> None:
        self._process = process
        self._load = load

    def run(self, sentences: Sequence[str]) -> Timing:
        request = {
            'do': 'run',
            'texts': list(sentences),
            'clients': self._load.num_client,
            'batch_rows': self._load.batch_rows,
        }
        reply = self._process.ask(request)
        return Timing(len(sentences), reply['seconds'], reply['latencies'])
