"""The export cache: keep exports in a folder, and find them again for any server of this user.

    FOLDER/KEY/entry.json       the sizes and digests of the files, and what the exporter reported
    FOLDER/KEY/graph...         the files of one export
    FOLDER/KEY/tried            there once a worker has found that the graph computes the vocabulary
    FOLDER/locks/XX             held by the exporter that makes an entry whose key begins with XX
    FOLDER/bert-serving-.../    the folder of one running server (`parent/folders.py`), with links to what it uses

A server uses links to the files of an entry, so an entry can be removed at any time. An entry appears complete, by a
rename. Each use checks owner, mode, size and SHA-256 of every file, so that a damaged entry is exported again. If the
cache cannot read, write or lock, the export continues without it.

It does not know graphs: an export is a set of files with a common path prefix, and a report in JSON.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import hmac
import json
import logging
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from glob import escape, glob
from typing import Any

from ..console.formatting import format_bytes
from ..console.logs import timed
from .export_key import Entry, entries_to_remove
from .files import TRIED, new_graph_path

logger = logging.getLogger(__name__)

LIMIT_BYTES = 8 << 30
"""The maximum size of all entries together."""

LEAST_FREE_BYTES = 1 << 30
"""The free bytes that an entry must leave on the disk."""

MOST_WAIT_S = 600.0
"""Seconds to wait for another server that makes the same entry, before making it anyway."""

WAIT_STEP_S = 0.05

_MANIFEST = 'entry.json'
_NAME = 'graph'
_LOCKS = 'locks'
_MOST_MANIFEST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Kept:
    """A kept export: the path of its first file in the folder of this server, and its report.

    `entry` is its folder, for `note_tried`. `tried` says whether that was called.
    """

    path: str
    report: Mapping[str, Any]
    entry: str
    tried: bool


class Damaged(Exception):
    """An entry has changed since it was written. The message says how."""


class ExportCache:
    """The exports in `folder`, for a server with the subfolder `work` for its links."""

    def __init__(self, folder: str, work: str, *, limit: int = LIMIT_BYTES, least_free: int = LEAST_FREE_BYTES) -> None:
        self._folder = folder
        self._work = work
        self._limit = limit
        self._least_free = least_free

    @contextmanager
    def turn(self, key: str, sleep: Callable[[float], None] = time.sleep) -> Iterator[None]:
        """Within the block, keep other servers from making the same entry: they wait, and then find it."""
        lock = self._lock_of(key)
        try:
            if lock is not None:
                self._wait_for(lock, sleep)
            yield
        finally:
            if lock is not None:
                os.close(lock)

    def _lock_of(self, key: str) -> int | None:
        folder = os.path.join(self._folder, _LOCKS)
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            path = os.path.join(folder, key[:2])
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            logger.debug('no lock in %s: %s', folder, error)
            return None

    def _wait_for(self, lock: int, sleep: Callable[[float], None]) -> None:
        waited = 0.0
        while waited < MOST_WAIT_S:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not waited:
                    logger.info('wait for another server, which exports the same graph')
                sleep(WAIT_STEP_S)
                waited += WAIT_STEP_S
            except OSError as error:  # a file system without locks: two can make the same entry, and one is kept
                logger.debug('no locks in %s: %s', self._folder, error)
                return
            else:
                return

    def find(self, key: str) -> Kept | None:
        """Return the entry with this key, linked into the folder of this server, or None if there is no valid one.

        A damaged entry is removed.
        """
        entry = os.path.join(self._folder, key)
        path = new_graph_path(self._work)
        started = time.monotonic()
        try:
            manifest = json.loads(_read_private(os.path.join(entry, _MANIFEST)))
            for suffix, facts in manifest['files'].items():
                _link(os.path.join(entry, _NAME + suffix), path + suffix)
                _check(path + suffix, facts['bytes'], facts['sha256'])
            report: Mapping[str, Any] = manifest['report']
            os.utime(os.path.join(entry, _MANIFEST))
        except (OSError, Damaged, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            for link in _files_of(path).values():
                with suppress(OSError):
                    os.unlink(link)
            if os.path.lexists(entry):
                logger.warning('the kept export %s is damaged, so the graph is exported again: %s', entry, error)
                self._remove(entry)
            return None
        logger.info('found the export of an earlier start (key=%s seconds=%.2f)', key, time.monotonic() - started)
        return Kept(path, report, entry, os.path.exists(os.path.join(entry, TRIED)))

    def keep(self, key: str, path: str, report: Mapping[str, Any]) -> str | None:
        """Keep the files with the prefix `path`, and the report. Return the folder, or None if they are not kept.

        The least recently used entries make room.
        """
        try:
            files = _files_of(path)
            size = sum(map(os.path.getsize, files.values()))
            if not self._make_room(key, size):
                logger.info('no room to keep the export in %s', self._folder)
                return None
            with timed(logger, 'keep the export for the next start', key=key, size=format_bytes(size)):
                self._keep(key, files, report)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # or another server was faster
                logger.debug('cannot keep the export in %s: %s', self._folder, error)
                return None
        return os.path.join(self._folder, key)

    def _keep(self, key: str, files: Mapping[str, str], report: Mapping[str, Any]) -> None:
        staged = tempfile.mkdtemp(dir=self._work)
        try:
            for suffix, file in files.items():
                _link(file, os.path.join(staged, _NAME + suffix))
            manifest = {
                'files': {
                    suffix: {'bytes': os.path.getsize(file), 'sha256': _digest(file)} for suffix, file in files.items()
                },
                'report': report,
            }
            path = os.path.join(staged, _MANIFEST)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), 'w') as out:
                json.dump(manifest, out)
            os.rename(staged, os.path.join(self._folder, key))
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def _make_room(self, key: str, wanted: int) -> bool:
        entries = [entry for entry in self._entries() if entry.key != key]
        free = shutil.disk_usage(self._folder).free
        removed = entries_to_remove(entries, wanted, limit=self._limit, free=free, least_free=self._least_free)
        for old in removed or ():
            logger.info('removed the kept export that was unused for longest key=%s', old)
            self._remove(os.path.join(self._folder, old))
        return removed is not None

    def _entries(self) -> Iterator[Entry]:
        for manifest in glob(os.path.join(escape(self._folder), '*', _MANIFEST)):
            folder = os.path.dirname(manifest)
            with suppress(OSError):
                size = sum(entry.stat().st_size for entry in os.scandir(folder))
                yield Entry(os.path.basename(folder), size, os.stat(manifest).st_mtime)

    def _remove(self, entry: str) -> None:
        """Remove an entry atomically. Servers that use it have their own links."""
        with suppress(OSError):
            doomed = os.path.join(tempfile.mkdtemp(dir=self._work), 'entry')
            os.rename(entry, doomed)
            shutil.rmtree(os.path.dirname(doomed), ignore_errors=True)


def _files_of(path: str) -> dict[str, str]:
    """The files of the export at `path`, by the rest of their names after `path`."""
    return {file.removeprefix(path): file for file in sorted(glob(escape(path) + '*')) if not file.endswith('.part')}


def _link(file: str, name: str) -> None:
    """Link `file` to another name, or copy it if the two are on different disks."""
    try:
        os.link(file, name, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:
        with open(file, 'rb', opener=_open_itself) as source, open(name, 'xb', opener=_open_privately) as copy:
            shutil.copyfileobj(source, copy, 1 << 24)


def _open_itself(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)


def _open_privately(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _read_private(path: str) -> bytes:
    with open(path, 'rb', opener=_open_itself) as file:
        _check_private(path, os.fstat(file.fileno()))
        return file.read(_MOST_MANIFEST_BYTES)


def _check(path: str, size: int, sha256: str) -> None:
    with open(path, 'rb', opener=_open_itself) as file:
        status = os.fstat(file.fileno())
        _check_private(path, status)
        if status.st_size != size:
            raise Damaged('%s has %d bytes instead of %d' % (path, status.st_size, size))
        if not hmac.compare_digest(hashlib.file_digest(file, 'sha256').hexdigest(), sha256):
            raise Damaged('%s has another content than was written' % path)


def _check_private(path: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise Damaged('%s can be changed by other users' % path)


def _digest(path: str) -> str:
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()
