"""The output folder: a lock, complete parts, and the manifest."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Sequence

from ..errors import UsageError
from .manifest import DONE_LINE, NAME, Job, Manifest, Part, read_manifest
from .parts import sync

_UNFINISHED = re.compile(r'\.part-\d{6,}\.[a-z.]+\.unfinished')
_PART = re.compile(r'part-\d{6,}\.(parquet|npy|ids\.jsonl|jsonl)')


class OutputFolder:
    """The output folder. As a context manager, it locks the folder and reads the manifest."""

    def __init__(self, path: str, overwrite: bool) -> None:
        self._path = path
        self._overwrite = overwrite
        self.manifest = Manifest()

    def __enter__(self) -> OutputFolder:
        """Create the folder if necessary, lock it, and remove unfinished files of a killed process.

        Raises:
            UsageError: another process uses the folder, or it has parts but no manifest.
        """
        try:
            os.makedirs(self._path, exist_ok=True)
            self._file = os.open(self.path_of(NAME), os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UsageError('-output: cannot write into %s: %s' % (self._path, error.strerror)) from error
        try:
            self._lock()
            self._read()
        except BaseException:
            os.close(self._file)
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        os.close(self._file)

    def path_of(self, name: str) -> str:
        return os.path.join(self._path, name)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(
                '-output: another bert-serving-encode is writing to %s: wait until it has finished' % self._path
            ) from None

    def _read(self) -> None:
        if self._overwrite:
            os.truncate(self._file, 0)
            os.fsync(self._file)
            self._remove(_PART)
        self._remove(_UNFINISHED)
        with open(self.path_of(NAME), 'rb') as file:
            self.manifest = read_manifest(file.read())
        os.truncate(self._file, self.manifest.size)
        if self.manifest.job is None and any(map(_PART.fullmatch, os.listdir(self._path))):
            raise UsageError(
                '-output: %s has parts, but no manifest of their job: choose another folder, or use -overwrite to '
                'start from the beginning' % self._path
            )
        for part in self.manifest.parts:
            for name, size in part.files.items():
                if self._size_of(name) != size:
                    raise UsageError(
                        '-output: %s is missing or has changed since it was written: restore it, or use -overwrite '
                        'to start from the beginning' % self.path_of(name)
                    )

    def _size_of(self, name: str) -> int | None:
        with contextlib.suppress(OSError):
            return os.stat(self.path_of(name)).st_size
        return None

    def _remove(self, names: re.Pattern[str]) -> None:
        for name in os.listdir(self._path):
            if names.fullmatch(name):
                os.unlink(self.path_of(name))

    # ---- what the job does

    def begin(self, job: Job) -> None:
        """Write the job to the manifest, as its first line."""
        self._append(job.to_line())
        self.manifest.job = job

    def unfinished(self, names: Sequence[str]) -> list[str]:
        """The temporary paths of the files of a part."""
        return [self.path_of('.%s.unfinished' % name) for name in names]

    def complete(self, names: Sequence[str], part: Part) -> None:
        """Rename the files of a part, already on the disk, to their final names, and write it to the manifest."""
        for name, path in zip(names, self.unfinished(names), strict=True):
            os.rename(path, self.path_of(name))
        sync(self._path)
        self._append(part.to_line())
        self.manifest.parts.append(part)

    def finish(self) -> None:
        """Mark the manifest as done."""
        self._append(DONE_LINE)
        self.manifest.is_done = True

    def _append(self, line: bytes) -> None:
        while line:  # a nearly full disk can write a part of the line
            line = line[os.write(self._file, line) :]
        os.fsync(self._file)
