"""Read the small files of a model folder safely, with errors that name the file and the remedy.

A folder can be anything: a partial download, a clone without its large files, or malicious. So this module checks the
size of a file before reading it. Every failure is a `ModelError` of one line that names the file.
"""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Mapping
from typing import Any

from ..errors import ModelError

MOST_JSON_BYTES = 4 << 20
"""The maximum size of a configuration. The longest published ones, with thousands of labels, have some hundred kB."""

_BEGINNING_BYTES = 512
"""Bytes to check for a pointer or a web page in place of the file."""

_LFS_POINTERS = (b'version https://git-lfs.github.com/spec/', b'version https://hawser.github.com/spec/')
_ANNEX_POINTER = b'/annex/objects/'
_PAGES = (b'<!doctype html', b'<html', b'<?xml')


def read_json_object(path: str) -> Mapping[str, Any]:
    """Return the JSON object in the file `path`.

    Raises:
        ModelError: there is no such file, or it holds something else.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise ModelError('%s must hold a JSON object, not %s' % (path, type(value).__name__))
    return value


def read_json_list(path: str) -> list[Any]:
    """Return the JSON array in the file `path`.

    Raises:
        ModelError: there is no such file, or it holds something else.
    """
    value = read_json(path)
    if not isinstance(value, list):
        raise ModelError('%s must hold a JSON array, not %s' % (path, type(value).__name__))
    return value


def read_json(path: str, most_bytes: int = MOST_JSON_BYTES) -> Any:
    """Return the JSON value in the file `path`, of at most `most_bytes`. It skips a byte order mark.

    Raises:
        ModelError: the file cannot be read, is too large, is not UTF-8 or JSON, or is nested too deeply.
    """
    data = _read(path, most_bytes)
    try:
        return json.loads(data.decode('utf-8-sig'))
    except UnicodeDecodeError as error:
        raise ModelError('%s is not UTF-8: byte %d cannot be decoded' % (path, error.start)) from None
    except RecursionError:
        raise ModelError('%s is not a configuration: its JSON is nested too deeply' % path) from None
    except ValueError as error:
        raise ModelError('%s is not JSON: %s' % (path, error)) from error


def check_file(path: str, what: str) -> None:
    """Check that `path` is a readable, non-empty file. `what` describes it in the error.

    Raises:
        ModelError: it is missing, empty, a folder, a broken link, or a pointer of Git LFS.
    """
    _open_and_measure(path, what)


def _read(path: str, most_bytes: int) -> bytes:
    size = _open_and_measure(path, 'the file')
    if size > most_bytes:
        raise ModelError('%s has %d bytes: at most %d are read' % (path, size, most_bytes))
    try:
        with open(path, 'rb') as file:
            return file.read(most_bytes)
    except OSError as error:
        raise ModelError('%s cannot be read: %s' % (path, error.strerror)) from error


def _open_and_measure(path: str, what: str) -> int:
    """Check that the file is readable, and return its size in bytes."""
    if os.path.islink(path) and not os.path.exists(path):
        raise ModelError('%s is a broken link, to %s: download the model again' % (path, os.readlink(path)))
    if not os.path.exists(path):
        raise ModelError('%s is missing: there is no file %s' % (what, path))
    if not os.path.isfile(path):
        raise ModelError('%s is not a file' % path)
    try:
        with open(path, 'rb') as file:
            start = file.read(_BEGINNING_BYTES)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise ModelError('%s cannot be read: %s' % (path, error.strerror)) from error
    _check_beginning(path, start)
    if not size:
        raise ModelError('%s is empty: download it again' % path)
    return size


def _check_beginning(path: str, start: bytes) -> None:
    """Reject the pointers of git and web pages in place of a file."""
    text = start.removeprefix(codecs.BOM_UTF8).lstrip()
    folder = os.path.dirname(path) or '.'
    if text.startswith(_LFS_POINTERS):
        raise ModelError('%s is a pointer of Git LFS, not the file itself: run `git lfs pull` in %s' % (path, folder))
    if text.startswith(_ANNEX_POINTER):
        raise ModelError(
            '%s is a pointer of git-annex, not the file itself: run `git annex get %s` in %s'
            % (path, os.path.basename(path), folder)
        )
    if text.lower().startswith(_PAGES):
        raise ModelError('%s is a page that a server sent, not the file itself: download it again' % path)
