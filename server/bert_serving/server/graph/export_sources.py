"""The inputs of an export: the weights, our code, TensorFlow and the processor.

This module remembers the digest of a large file with the file's identity. The same device, inode, size and times of the
last change, to the nanosecond, mean the same content, because no program can set the change time of an inode (ctime).
It does not remember a file that changed in the last seconds before reading, because a second change within a clock tick
would be invisible.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from glob import escape, glob
from typing import Any

from ..model.folder import Model
from ..model.pipeline import Normalize
from ..model.safetensors_file import read_tensors
from ..release import RELEASE

SETTLED_S = 2.0
"""Seconds since the last change of a file before its digest is remembered."""

MOST_REMEMBERED = 256
"""The maximum number of digests. Each takes 4 KB on the disk."""

READ_BYTES = 1 << 24

_PACKAGES = ('tensorflow', 'tensorflow-cpu', 'onnx', 'onnxruntime')
_MODULES = ('tensorflow', 'onnxruntime', 'numpy')


def weight_files(model: Model) -> list[str]:
    """Return the files with the weights of `model`, in a fixed order.

    Raises:
        ModelError: a safetensors file is missing or damaged.
    """
    if model.kind == 'google':
        files = [model.weights + '.index', *sorted(glob(escape(model.weights) + '.data-*'))]
    else:
        files = sorted({tensor.path for tensor in read_tensors(model.weights).values()})
    modules = model.pipeline.modules if model.pipeline is not None else ()
    return files + [module.weights for module in modules if not isinstance(module, Normalize)]


def maker_facts() -> dict[str, Any]:
    """Return what determines a graph apart from the model and the options.

    An exporter tests fused kernels on this processor, so the processor counts, and so do TensorFlow's environment
    variables. Our own code counts by its content, which varies in a checkout.
    """
    return {
        'release': RELEASE,
        'code': _digest_of_code(),
        'packages': {name: _version(name) for name in _PACKAGES},
        'modules': {name: _place(name) for name in _MODULES},
        'machine': platform.machine(),
        'processor': _processor(),
        'environment': {
            name: value
            for name, value in os.environ.items()
            if name.startswith(('TF_', 'ONEDNN_', 'DNNL_')) and not name.startswith('TF_CPP_')
        },
    }


def _digest_of_code() -> str:
    """The digest of all modules of this folder and of `model/`, which decide what is exported."""
    here = os.path.dirname(os.path.abspath(__file__))
    digest = hashlib.sha256()
    for folder in (here, os.path.join(os.path.dirname(here), 'model')):
        for path in sorted(glob(os.path.join(escape(folder), '**', '*.py'), recursive=True)):
            with open(path, 'rb') as file:
                digest.update(b'%s %d\n' % (os.fsencode(os.path.basename(path)), os.fstat(file.fileno()).st_size))
                digest.update(file.read())
    return digest.hexdigest()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _place(module: str) -> list[Any]:
    """The path and time of a module, without importing it."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return []
    status = os.stat(spec.origin)
    return [spec.origin, status.st_size, status.st_mtime_ns]


def _processor() -> list[str]:
    """The name and features of the first processor, or empty if unknown."""
    with suppress(OSError), open('/proc/cpuinfo', encoding='utf-8', errors='replace') as file:
        lines = file.read(1 << 16).partition('\n\n')[0].splitlines()
        return [line for line in lines if line.startswith(('model name', 'flags', 'Features', 'CPU part'))]
    return []


class SourceDigests:
    """The digests of large files, remembered in a private folder of this user."""

    def __init__(self, folder: str, clock: Callable[[], float] = time.time) -> None:
        """`folder` is made on demand. `clock` returns the time of the file system in seconds."""
        self._folder = folder
        self._clock = clock

    def digest(self, path: str, on_read: Callable[[int], None] = lambda count: None) -> str:
        """Return the SHA-256 of the file in hexadecimal digits. `on_read` is called with each number of bytes read.

        Raises:
            OSError: the file cannot be read, or changed while it was.
        """
        with open(path, 'rb') as file:
            identity = _identity(os.fstat(file.fileno()))
            note = os.path.join(self._folder, hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:32])
            known = _read_note(note)
            if known.get('identity') == identity:
                return str(known['sha256'])
            started = self._clock()
            digest = hashlib.sha256()
            while part := file.read(READ_BYTES):
                digest.update(part)
                on_read(len(part))
            if _identity(os.fstat(file.fileno())) != identity:
                raise OSError('%s changes while it is read' % path)
        if max(identity[-2:]) < (started - SETTLED_S) * 1e9:
            with suppress(OSError):
                self._write_note(note, {'identity': identity, 'sha256': digest.hexdigest()})
        return digest.hexdigest()

    def _write_note(self, note: str, content: dict[str, Any]) -> None:
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        handle, unfinished = tempfile.mkstemp(dir=self._folder)
        try:
            with open(handle, 'w', encoding='utf-8') as file:
                json.dump(content, file)
            os.replace(unfinished, note)
        except OSError:
            os.unlink(unfinished)
            raise
        notes = sorted(os.scandir(self._folder), key=lambda entry: entry.stat().st_mtime)
        for old in notes[:-MOST_REMEMBERED]:
            os.unlink(old)


def _identity(status: os.stat_result) -> list[int]:
    return [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _read_note(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding='utf-8') as file:
            note = json.load(file)
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) and isinstance(note.get('sha256'), str) else {}
