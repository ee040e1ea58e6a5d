"""Write the parts of the output: Parquet, JSONL, or `.npy` with a file of ids next to it.

A writer writes the files of one part under temporary names. The same rows always make the same bytes.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from .rows import INT

PARQUET, NPY, JSONL = 'parquet', 'npy', 'jsonl'
FORMATS = (PARQUET, NPY, JSONL)

ROW_GROUP_BYTES = 2 << 20
"""The approximate bytes of vectors in one row group of a Parquet part."""

NPY_HEADER_BYTES = 128

METADATA_KEY = 'bert_serving'
"""The metadata key of a Parquet part that holds the model, as JSON."""


@dataclass(frozen=True, slots=True)
class Form:
    """The form of all parts of a job.

    `width` and `dtype` describe the arrays from the server. With `is_binary`, the bytes of a row are the bits of its
    vector. `about` describes the model.
    """

    output_format: str
    width: int
    dtype: str
    is_binary: bool
    id_kind: str
    about: Mapping[str, Any]

    @property
    def row_bytes(self) -> int:
        return self.width * np.dtype(self.dtype).itemsize


def file_names(output_format: str, part: int) -> list[str]:
    """The names of the files of a part."""
    name = 'part-%06d' % part
    if output_format == NPY:
        return [name + '.npy', name + '.ids.jsonl']
    return ['%s.%s' % (name, output_format)]


class PartWriter(ABC):
    """Writes one part to its own files."""

    @abstractmethod
    def write(self, ids: Sequence[int | str | None], vectors: NDArray[np.generic], errors: Mapping[int, str]) -> None:
        """Write rows. `vectors` has one vector for each id; the vectors at the positions in `errors` are ignored."""

    @abstractmethod
    def close(self) -> None:
        """Complete the files, and flush them to the disk."""

    @abstractmethod
    def abort(self) -> None:
        """Close the files, complete or not."""


def make_writer(form: Form, paths: Sequence[str]) -> PartWriter:
    """Make a writer for a part. `paths` has its files in the order of `file_names`."""
    kinds: dict[str, Callable[[Form, Sequence[str]], PartWriter]] = {
        PARQUET: ParquetWriter,
        NPY: NpyWriter,
        JSONL: JsonlWriter,
    }
    return kinds[form.output_format](form, paths)


def sync(path: str) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class JsonlWriter(PartWriter):
    """Writes one object per line: `id`, `vector` (numbers, or null) and `error` (null, or a string)."""

    def __init__(self, form: Form, paths: Sequence[str]) -> None:
        self._is_half = form.dtype == 'float16'
        self._file = open(paths[0], 'wb')  # noqa: SIM115  `close` closes it

    def write(self, ids: Sequence[int | str | None], vectors: NDArray[np.generic], errors: Mapping[int, str]) -> None:
        array = np.ascontiguousarray(vectors.astype(np.float32) if self._is_half else vectors)
        for position, row_id in enumerate(ids):
            error = errors.get(position)
            row = {'id': row_id, 'vector': array[position] if error is None else None, 'error': error}
            self._file.write(orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE))

    def close(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def abort(self) -> None:
        self._file.close()


def npy_header(dtype: str, rows: int, width: int) -> bytes:
    """The header of an `.npy` file of `NPY_HEADER_BYTES` bytes, for any number of rows."""
    text = repr({'descr': np.dtype(dtype).str, 'fortran_order': False, 'shape': (rows, width)})
    return b'\x93NUMPY\x01\x00\x76\x00' + text.encode('ascii').ljust(NPY_HEADER_BYTES - 11) + b'\n'


class NpyWriter(PartWriter):
    """Writes an array [rows, width], with zeros for errors. A second file has a line `{"id", "error"}` for each row."""

    def __init__(self, form: Form, paths: Sequence[str]) -> None:
        self._form = form
        self._rows = 0
        self._array = open(paths[0], 'wb')  # noqa: SIM115  `close` closes it
        self._ids = open(paths[1], 'wb')  # noqa: SIM115
        self._array.write(npy_header(form.dtype, 0, form.width))

    def write(self, ids: Sequence[int | str | None], vectors: NDArray[np.generic], errors: Mapping[int, str]) -> None:
        self._array.write(np.ascontiguousarray(vectors).data)
        for position, row_id in enumerate(ids):
            self._ids.write(orjson.dumps({'id': row_id, 'error': errors.get(position)}) + b'\n')
        self._rows += len(ids)

    def close(self) -> None:
        self._array.seek(0)
        self._array.write(npy_header(self._form.dtype, self._rows, self._form.width))
        for file in (self._array, self._ids):
            file.flush()
            os.fsync(file.fileno())
            file.close()

    def abort(self) -> None:
        self._array.close()
        self._ids.close()


class ParquetWriter(PartWriter):
    """Writes the columns `id`, `vector` (null for an error) and `error`."""

    def __init__(self, form: Form, paths: Sequence[str]) -> None:
        import pyarrow
        from pyarrow import parquet

        self._arrow = pyarrow
        self._form = form
        self._path = paths[0]
        element = pyarrow.from_numpy_dtype(np.dtype(form.dtype))
        self._type = pyarrow.binary(form.width) if form.is_binary else pyarrow.list_(element, form.width)
        self._id_type = pyarrow.int64() if form.id_kind == INT else pyarrow.string()
        fields = [('id', self._id_type), ('vector', self._type), ('error', pyarrow.string())]
        schema = pyarrow.schema(fields, {METADATA_KEY: json.dumps(dict(form.about), sort_keys=True)})
        leaf = 'vector' if form.is_binary else 'vector.list.element'
        self._writer = parquet.ParquetWriter(
            self._path,
            schema,
            compression={'id': 'snappy', leaf: 'NONE', 'error': 'snappy'},
            use_dictionary=['error'],
            write_statistics=['id'],
        )
        self._tables: list[Any] = []
        self._bytes = 0

    def write(self, ids: Sequence[int | str | None], vectors: NDArray[np.generic], errors: Mapping[int, str]) -> None:
        arrow = self._arrow
        is_error = np.zeros(len(ids), bool)
        is_error[list(errors)] = True
        column = self._column(np.ascontiguousarray(vectors), is_error)
        texts = arrow.array([errors.get(position) for position in range(len(ids))], arrow.string())
        self._tables.append(
            arrow.Table.from_arrays([arrow.array(ids, self._id_type), column, texts], self._writer.schema.names)
        )
        self._bytes += vectors.nbytes
        if self._bytes >= ROW_GROUP_BYTES:
            self._write_row_group()

    def _column(self, vectors: NDArray[np.generic], is_error: NDArray[np.bool_]) -> Any:
        arrow = self._arrow
        mask = arrow.array(is_error) if is_error.any() else None
        if not self._form.is_binary:
            return arrow.FixedSizeListArray.from_arrays(arrow.array(vectors.ravel()), type=self._type, mask=mask)
        rows = [None if wrong else row.tobytes() for row, wrong in zip(vectors, is_error, strict=True)]
        return arrow.array(rows, self._type)

    def _write_row_group(self) -> None:
        if self._tables:
            table = self._arrow.concat_tables(self._tables).cast(self._writer.schema)
            self._tables, self._bytes = [], 0
            self._writer.write_table(table, row_group_size=max(1, len(table)))

    def close(self) -> None:
        self._write_row_group()
        self._writer.close()
        sync(self._path)

    def abort(self) -> None:
        self._tables = []
        self._writer.close()
