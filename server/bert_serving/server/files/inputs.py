"""Find the files that a job reads: files, folders of them, globs and the standard input, in their order."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..console.suggestions import did_you_mean
from ..errors import UsageError

STDIN = '-'

PARQUET, JSONL, CSV, TEXT = 'parquet', 'jsonl', 'csv', 'text'

FORMATS = {'parquet': PARQUET, 'jsonl': JSONL, 'ndjson': JSONL, 'csv': CSV, 'tsv': CSV, 'text': TEXT, 'txt': TEXT}
"""The formats by the ends of the names of files."""

COMPRESSED = ('gz', 'bz2', 'xz')
"""The further ends of files other than parquet that are compressed."""


@dataclass(frozen=True, slots=True)
class Input:
    """A file. Its size and the time of its last change tell whether it is the one that it was; stdin has neither."""

    path: str
    format: str
    size: int = 0
    mtime_ns: int = 0

    @property
    def delimiter(self) -> str:
        """Between the fields of a CSV file."""
        return '\t' if 'tsv' in os.path.basename(self.path).lower().split('.')[1:] else ','

    @property
    def compression(self) -> str | None:
        end = self.path.lower().rpartition('.')[2]
        return end if end in COMPRESSED else None

    def to_dict(self) -> dict[str, Any]:
        """The input as the manifest has it."""
        return {'path': self.path, 'format': self.format, 'size': self.size, 'mtime_ns': self.mtime_ns}


def format_of(path: str) -> str | None:
    """The format that the name of a file says; None if it says none."""
    words = os.path.basename(path).lower().split('.')
    if words[-1] in COMPRESSED:
        words.pop()
        if words[-1] == PARQUET:
            return None
    return FORMATS.get(words[-1]) if len(words) > 1 else None


def find_inputs(names: Sequence[str], input_format: str | None, output: str) -> list[Input]:
    """The files that `names` stand for: names as they are given, the files of a folder or a glob by their names.

    Raises:
        UsageError: there is no such file, its format is unknown, or it is given twice.
    """
    if STDIN in names:
        if len(names) > 1:
            raise UsageError('-: the standard input is read alone, without files')
        if input_format == PARQUET:
            raise UsageError('-: parquet cannot be read from the standard input: name a file')
        return [Input(STDIN, input_format or TEXT)]
    found: dict[str, Input] = {}
    for name in names:
        for path in _files_of(name):
            path = os.path.abspath(path)
            if path in found:
                raise UsageError('%s: the file is given twice' % path)
            if path.startswith(os.path.join(os.path.abspath(output), '')):
                raise UsageError('%s: the file is in the folder of the output' % path)
            kind = input_format or format_of(path)
            if kind is None:
                raise UsageError(
                    '%s: the name of the file does not say its format: give -input_format, one of %s'
                    % (path, ', '.join(dict.fromkeys(FORMATS.values())))
                )
            status = os.stat(path)
            found[path] = Input(path, kind, status.st_size, status.st_mtime_ns)
    return list(found.values())


def _files_of(name: str) -> list[str]:
    if os.path.isdir(name):
        files = sorted(_files_below(name))
        if not files:
            raise UsageError(
                '%s: the folder has no file whose name ends in %s' % (name, ', '.join('.' + f for f in FORMATS))
            )
        return files
    if os.path.exists(name):
        return [name]
    files = sorted(path for path in glob.glob(name, recursive=True) if os.path.isfile(path))
    if not files:
        folder = os.path.dirname(name) or '.'
        near = os.listdir(folder) if os.path.isdir(folder) else []
        raise UsageError('%s: there is no such file or folder%s' % (name, did_you_mean(os.path.basename(name), near)))
    return files


def _files_below(folder: str) -> Iterator[str]:
    """The files in a folder and its folders whose names say a format, and do not begin with a dot or underscore."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [each for each in folders if each[0] not in '._']
        for name in names:
            if name[0] not in '._' and format_of(name) is not None:
                yield os.path.join(parent, name)
