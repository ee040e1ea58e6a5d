"""A file that is read again when it changes. While its text is invalid, the last valid text counts."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Generic, TypeVar

from ..errors import UsageError
from .regular_file import read_text

logger = logging.getLogger(__name__)

MAX_BYTES = 16 << 20
"""The maximum size of a watched file, which is enough for 100,000 principals."""

Value = TypeVar('Value')

Stamp = tuple[int, int, int] | None
"""A value that changes with a file: its time, size and inode."""


class WatchedFile(Generic[Value]):
    """The value of a file. `refresh` checks whether the file has changed. For one thread only.

    Attributes:
        value: the last valid value.
    """

    def __init__(self, path: str, read: Callable[[str, str], Value], option: str) -> None:
        """Read the file. `read(text, name for errors)` makes the value. `option` is the option with the file's name.

        Raises:
            UsageError: the file cannot be read, or `read` rejects its text.
        """
        self.path = path
        self._read = read
        self._option = option
        self._stamp = self._look()
        self.value = self._load()

    def refresh(self) -> bool:
        """Read the file again if it has changed since the last call, and return whether there is a new value.

        If the file cannot be read or is invalid, it logs that once, and the old value stays.
        """
        stamp = self._look()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self.value = self._load()
        except UsageError as error:
            logger.error('kept the previous content of %s: %s', self.path, error)
            return False
        logger.info('read %s again after a change', self.path)
        return True

    def _look(self) -> Stamp:
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _load(self) -> Value:
        try:
            text, _mode = read_text(self.path, MAX_BYTES, 'utf-8-sig')
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else 'it is not UTF-8 text'
            raise UsageError('-%s: cannot read %s: %s' % (self._option, self.path, why)) from None
        return self._read(text, '-%s %s' % (self._option, self.path))
