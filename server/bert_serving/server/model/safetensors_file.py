"""Read safetensors files through a memory mapping, so that float32 weights are not copied.

The library of that name needs another one for bfloat16 and copies each tensor. This module can read a table of a
gigabyte in parts. It limits the header, and checks it against the size of the file before reading, because a file can
be damaged or malicious.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from .files import check_file, read_json_object

MOST_HEADER_BYTES = 16 << 20
"""The maximum size of a header. It has about a hundred bytes per tensor; a model of a thousand layers needs a tenth of
this."""

ITEM_BYTES: Mapping[str, int] = {
    **dict.fromkeys(('F64', 'I64', 'U64'), 8),
    **dict.fromkeys(('F32', 'I32', 'U32'), 4),
    **dict.fromkeys(('F16', 'BF16', 'I16', 'U16'), 2),
    **dict.fromkeys(('I8', 'U8', 'BOOL'), 1),
}

_FLOATS: Mapping[str, str] = {'F64': '<f8', 'F32': '<f4', 'F16': '<f2', 'BF16': '<u2'}
"""The supported types of weights, with the NumPy type of their bytes. NumPy lacks bfloat16."""

_LENGTH_BYTES = 8


@dataclass(frozen=True, slots=True)
class Tensor:
    """The place of a tensor in a file. `offset` is its first byte."""

    path: str
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int

    def read(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Read the elements `start` to `stop` along the first axis as float32, as a view of the file if possible.

        Raises:
            ModelError: the file is missing, or the tensor is not floating-point (it is quantized).
        """
        if self.dtype not in _FLOATS:
            raise ModelError(
                '%s: %s holds %s, not floating-point weights' % (self.path, self.name, _long_name(self.dtype))
            )
        if not math.prod(self.shape):
            return np.zeros(self.shape, np.float32)[start:stop]
        try:
            stored = np.memmap(self.path, _FLOATS[self.dtype], 'r', self.offset, self.shape)[start:stop]
        except (OSError, ValueError) as error:
            raise ModelError('%s cannot be read: %s' % (self.path, error)) from error
        if self.dtype == 'BF16':
            return (stored.astype(np.uint32) << 16).view(np.float32)
        return np.asarray(stored).astype(np.float32, copy=False)


def read_tensors(path: str) -> dict[str, Tensor]:
    """The tensors by name, of a safetensors file or of all files in an index (`.json`).

    Raises:
        ModelError: a file is missing or damaged, or does not match the index.
    """
    return _read_index(path) if path.endswith('.json') else _read_header(path)


def _read_index(path: str) -> dict[str, Tensor]:
    where = read_json_object(path).get('weight_map')
    if not isinstance(where, dict) or not all(isinstance(file, str) for file in where.values()):
        raise ModelError("%s: 'weight_map' must be an object with the file of each tensor" % path)
    folder, files = os.path.dirname(path), {}
    for file in sorted(set(where.values())):
        if os.path.basename(file) != file or not file.endswith('.safetensors'):
            raise ModelError("%s: 'weight_map' names %r, which is no safetensors file of this folder" % (path, file))
        files[file] = _read_header(os.path.join(folder, file))
    for name, file in where.items():
        if name not in files[file]:
            raise ModelError('%s says that %s is in %s, and it is not: download the model again' % (path, name, file))
    return {name: files[file][name] for name, file in where.items()}


def _read_header(path: str) -> dict[str, Tensor]:
    check_file(path, 'the weights')
    try:
        size = os.path.getsize(path)
        with open(path, 'rb') as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), 'little')
            if length > min(size - _LENGTH_BYTES, MOST_HEADER_BYTES):
                raise _damaged(path, 'its header would have %d bytes, of %d in all' % (length, size))
            header = file.read(length)
    except OSError as error:
        raise ModelError('%s cannot be read: %s' % (path, error.strerror)) from error
    try:
        entries = json.loads(header)
    except (ValueError, RecursionError):
        raise _damaged(path, 'its header is not JSON') from None
    if not isinstance(entries, dict):
        raise _damaged(path, 'its header is no JSON object')
    entries.pop('__metadata__', None)
    start, ends = _LENGTH_BYTES + length, [0]
    tensors = {}
    for name, entry in entries.items():
        dtype, shape, begin, end = _entry(path, name, entry)
        if dtype in ITEM_BYTES and end - begin != math.prod(shape) * ITEM_BYTES[dtype]:
            raise _damaged(path, '%s of shape %s has %d bytes' % (name, list(shape), end - begin))
        tensors[name] = Tensor(path, name, dtype, shape, start + begin)
        ends.append(end)
    if start + max(ends) > size:
        raise _damaged(path, 'it has %d bytes, and its tensors need %d' % (size, start + max(ends)))
    return tensors


def _entry(path: str, name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    """The type and shape of a tensor, and its begin and end after the header."""
    match entry:
        case {'dtype': str(dtype), 'shape': list(shape), 'data_offsets': [int(begin), int(end)]}:
            if all(type(size) is int and size >= 0 for size in shape) and 0 <= begin <= end:
                return dtype, tuple(shape), begin, end
    raise _damaged(path, 'its header has nonsense for %s' % name)


def _damaged(path: str, how: str) -> ModelError:
    return ModelError('%s cannot be read: %s; download it again' % (path, how))


def _long_name(dtype: str) -> str:
    """The NumPy name of a type, such as `int8` for `I8`, or the name in the file if NumPy lacks the type."""
    if dtype not in ITEM_BYTES:
        return dtype
    return dtype.lower() if dtype == 'BOOL' else dtype.replace('U', 'uint').replace('I', 'int')
