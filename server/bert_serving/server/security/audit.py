"""The audit: write one JSON object per line about each action of a principal, and count actions. Thread-safe.

No line has a text, a token or a key. The lines per second of each action are limited. The next line of the action has
the number of lines that were left out.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from ..errors import UsageError
from .actions import AuditAction

logger = logging.getLogger(__name__)

LINES_A_SECOND = 100
"""The maximum number of lines per second and action."""


class Audit:
    """Counts actions, and writes them to a file if there is one."""

    def __init__(
        self,
        path: str | None = None,
        clock: Callable[[], float] = time.time,
        lines_a_second: int = LINES_A_SECOND,
    ) -> None:
        """Open the file, to which several processes append. It is opened again after it was moved away.

        Raises:
            UsageError: the file cannot be written.
        """
        self._path = path
        self._clock = clock
        self._lines_a_second = lines_a_second
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._lines: dict[str, tuple[int, int]] = {}  # action -> (second, lines in it)
        self._left_out: Counter[str] = Counter()
        self._inode = -1
        self._file: int | None = None
        if path is not None:
            try:
                self._open(path)
            except OSError as error:
                raise UsageError('-audit_file: cannot write %s: %s' % (path, error.strerror)) from None

    @property
    def counts(self) -> Mapping[str, int]:
        """The count of each action, by its key in the status."""
        with self._lock:
            return {action.key: self._counts[action] for action in AuditAction}

    def record(self, action: AuditAction, principal: str = '', address: str = '', **facts: Any) -> None:
        """Count an action and write its line. `facts` are JSON values; None is left out."""
        with self._lock:
            self._counts[action] += 1
            if self._path is None:
                return
            now = self._clock()
            second, lines = self._lines.get(action, (0, 0))
            lines = lines + 1 if second == int(now) else 1
            self._lines[action] = int(now), lines
            if lines > self._lines_a_second:
                self._left_out[action] += 1
                return
            left_out = self._left_out.pop(action, None)
            line = {
                'time': datetime.fromtimestamp(now, UTC).isoformat(timespec='milliseconds'),
                'principal': principal,
                'address': address,
                'action': action,
                **facts,
                'left_out': left_out,
            }
            self._write(self._path, {name: value for name, value in line.items() if value is not None})

    def close(self) -> None:
        """Close the file. Later actions are only counted."""
        with self._lock:
            self._path = None
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _write(self, path: str, line: Mapping[str, Any]) -> None:
        try:
            if self._was_moved(path):
                self._open(path)
            if self._file is not None:
                os.write(self._file, (json.dumps(line) + '\n').encode())
        except OSError as error:
            logger.error('cannot write the audit to %s: %s', path, error.strerror)

    def _open(self, path: str) -> None:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if self._file is not None:
            os.close(self._file)
        self._file, self._inode = file, os.fstat(file).st_ino

    def _was_moved(self, path: str) -> bool:
        try:
            return os.stat(path).st_ino != self._inode
        except FileNotFoundError:
            return True
