"""Find the input files of a job: files, folders, globs and standard input, in order."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..console.suggestions import did_you_mean
from ..errors import UsageError

STDIN = '-'

PARQUET, JSONL, CSV, TEXT = 'parquet', 'jsonl', 'csv', 'text'

FORMATS = {'parquet': PARQUET, 'jsonl': JSONL, 'ndjson': JSONL, 'csv': CSV, 'tsv': CSV, 'text': TEXT, 'txt': TEXT}
"""The input formats by file extension."""

COMPRESSED = ('gz', 'bz2', 'xz')
"""The additional extensions of compressed files, of all formats but Parquet."""

NOT_DECOMPRESSED = ('zst', 'zip', 'lz4', 'br', 'lzma', '7z', 'tar', 'tgz', 'snappy')
"""The extensions of compressed files and archives that the command cannot read."""


@dataclass(frozen=True, slots=True)
class Input:
    """An input file. If it is regular, its size and modification time show whether it has changed.

    Others are standard input and pipes: they can be read only once, and a pipe has a new time after each writing.
    """

    path: str
    format: str
    size: int = 0
    mtime_ns: int = 0
    is_regular: bool = False

    @property
    def delimiter(self) -> str:
        """The delimiter between the fields of a CSV file."""
        return '\t' if 'tsv' in os.path.basename(self.path).lower().split('.')[1:] else ','

    @property
    def compression(self) -> str | None:
        end = self.path.lower().rpartition('.')[2]
        return end if end in COMPRESSED else None

    def to_dict(self) -> dict[str, Any]:
        """The input in the form of the manifest."""
        return {'path': self.path, 'format': self.format, 'size': self.size, 'mtime_ns': self.mtime_ns}


def check_unchanged(sources: Iterable[Input]) -> None:
    """Check that nobody has changed or replaced the regular files since `find_inputs`.

    Raises:
        UsageError: a file has changed or is missing.
    """
    for source in sources:
        if not source.is_regular:
            continue
        try:
            status = os.stat(source.path)
        except OSError as error:
            raise UsageError('%s: cannot read it: %s' % (source.path, error.strerror)) from error
        if (status.st_size, status.st_mtime_ns) != (source.size, source.mtime_ns):
            raise UsageError(
                '%s: the file changed while the command was reading it: wait until it is complete, and use -overwrite to '
                'start from the beginning' % source.path
            )


def format_of(path: str) -> str | None:
    """The format of a file by its extension, or None if the extension is unknown."""
    words = os.path.basename(path).lower().split('.')
    if words[-1] in COMPRESSED:
        words.pop()
        if words[-1] == PARQUET:
            return None
    return FORMATS.get(words[-1]) if len(words) > 1 else None


def find_inputs(names: Sequence[str], input_format: str | None, output: str) -> list[Input]:
    """Return the files for `names`, in their order. The files of a folder or a glob are sorted by name.

    Raises:
        UsageError: a file does not exist, its format is unknown, or it is given twice.
    """
    if STDIN in names:
        if len(names) > 1:
            raise UsageError('-: standard input cannot be combined with files: use one of them')
        if input_format == PARQUET:
            raise UsageError('-: Parquet cannot be read from standard input: give a file')
        return [Input(STDIN, input_format or TEXT)]
    found: dict[str, Input] = {}
    for name in names:
        for path in _files_of(name):
            path = os.path.abspath(path)
            if path in found:
                raise UsageError('%s: the file is given twice: remove one' % path)
            if path.startswith(os.path.join(os.path.abspath(output), '')):
                raise UsageError('%s: the file is in the output folder: choose another -output' % path)
            if path.lower().rpartition('.')[2] in NOT_DECOMPRESSED:
                raise UsageError(
                    '%s: cannot decompress the file: compress it as %s, or pipe its decompressed content to the input -'
                    % (path, ', '.join('.' + each for each in COMPRESSED))
                )
            kind = input_format or format_of(path)
            if kind is None:
                raise UsageError(
                    '%s: unknown file extension: give -input_format, one of %s'
                    % (path, ', '.join(dict.fromkeys(FORMATS.values())))
                )
            status = os.stat(path)
            is_regular = stat.S_ISREG(status.st_mode)
            found[path] = Input(path, kind, status.st_size, status.st_mtime_ns, is_regular)
    return list(found.values())


def _files_of(name: str) -> list[str]:
    if os.path.isdir(name):
        files = sorted(_files_below(name))
        if not files:
            raise UsageError(
                '%s: the folder has no file with the extension %s' % (name, ', '.join('.' + f for f in FORMATS))
            )
        return files
    if os.path.exists(name):
        return [name]
    files = sorted(path for path in glob.glob(name, recursive=True) if os.path.isfile(path))
    if not files:
        folder = os.path.dirname(name) or '.'
        near = os.listdir(folder) if os.path.isdir(folder) and not os.path.lexists(name) else []
        raise UsageError('%s: no such file or folder%s' % (name, did_you_mean(os.path.basename(name), near)))
    return files


def _files_below(folder: str) -> Iterator[str]:
    """The files in a folder and its subfolders with a known extension, without names that begin with `.` or `_`."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [each for each in folders if each[0] not in '._']
        for name in names:
            if name[0] not in '._' and format_of(name) is not None:
                yield os.path.join(parent, name)
