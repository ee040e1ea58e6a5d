"""Run a job: find the files, start a server if necessary, and write the parts.

`cli.encode_main` calls it. This thread reads, cuts and writes; the threads of `requests` wait for the server.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from bert_serving.client import BertClient

from ..console.formatting import format_duration
from ..errors import StartError, UsageError
from ..options.settings import OPTIONS, Settings
from ..parent.address import Address
from ..parent.server_process import MODULE, ServerProcess
from ..security.client_keys import ClientKeys
from . import inputs as formats
from .asking import Encoded, scattered
from .display import Display
from .estimate import Progress, fraction_done
from .folder import OutputFolder
from .inputs import Input, check_unchanged, find_inputs
from .manifest import Job, Part, check_same_job, describe_model, difference_of
from .options import SENT
from .parts import PARQUET, Form, PartWriter, file_names, make_writer
from .readers import Columns, check_columns, read_blocks
from .requests import CONNECT_TIMEOUT_MS, Requests, connect, describe_server, probe
from .rows import Block, Piece, PieceCutter, Span, joined, kind_of_ids

logger = logging.getLogger(__name__)

REQUEST_BYTES = 1 << 20
"""The approximate maximum bytes of texts in a request, and of vectors in its reply."""

SERVER_LOG = '_server.log'
"""The log file, in the output folder, of the server that a job starts."""

INSTALL = "pip install 'bert-serving-server[encode]>=2'"


def run_encode(args: argparse.Namespace, server_module: str = MODULE) -> str:
    """Run the job for `args`, from `helper.get_encode_parser`, and return the summary line.

    `server_module` is the module of the server process; a test passes another one.

    Raises:
        UsageError, ModelError: nothing was written.
        StartError: the server did not start, or has stopped.
    """
    if not args.output:
        raise UsageError('-output is missing: give the folder for the vectors')
    if args.prompt is not None and args.prompt_name is not None:
        raise UsageError('-prompt and -prompt_name are mutually exclusive: use one of them')
    inputs = find_inputs(args.input, args.input_format, args.output)
    uses_parquet = args.output_format == PARQUET or any(each.format == formats.PARQUET for each in inputs)
    if uses_parquet and importlib.util.find_spec('pyarrow') is None:
        raise UsageError('Parquet needs pyarrow, which is not installed: %s' % INSTALL)
    if uses_parquet:
        import pyarrow

        pyarrow.set_memory_pool(pyarrow.system_memory_pool())  # others do not return freed memory: 30 MB more
    with OutputFolder(args.output, args.overwrite) as folder:
        old = folder.manifest.job
        check_columns(inputs, Columns(args.column, args.id_column))  # before starting a server, which takes a while
        if old is not None:
            check_same_job(old, Job([each.to_dict() for each in inputs], _shaping(args), old.model, old.id_kind))
        with _server(args, folder, server_module) as (server, process):
            return _Run(args, inputs, folder, server, process).run()


def _shaping(args: argparse.Namespace) -> dict[str, Any]:
    """The options that shape the output."""
    names = ('column', 'id_column', 'output_format', 'dtype', 'part_rows', 'request_rows', 'max_text_bytes', *SENT)
    return {name: getattr(args, name) for name in names}


def _sent(args: argparse.Namespace) -> dict[str, Any]:
    """The options of each request."""
    options = {name: getattr(args, name) for name in SENT}
    if options['truncate'] == 'right':  # the server's default
        options['truncate'] = None
    dtype = {'binary': 'ubinary', 'float32': None}.get(args.dtype, args.dtype)
    return {**options, 'dtype': dtype}


@contextlib.contextmanager
def _server(
    args: argparse.Namespace, folder: OutputFolder, module: str
) -> Iterator[tuple[Address, ServerProcess | None]]:
    """Yield the address of the server, and its process if this job starts it."""
    if args.server is not None:
        ignored = [name for name in args.given_options if name in OPTIONS and name not in ('verbose', 'log_format')]
        if ignored:
            logger.warning('ignored server options because of -server: %s', ' '.join('-' + name for name in ignored))
        yield args.server._replace(keys=ClientKeys.from_args(args)), None
        return
    settings = replace(Settings.from_args(args), host='127.0.0.1', port=0, port_out=0, http_port=None)
    log = folder.path_of(SERVER_LOG)
    logger.info('started a server log=%s', log)
    with contextlib.ExitStack() as stack:
        try:
            process = stack.enter_context(ServerProcess(settings, log, args.wait_till_ready, module=module))
        except StartError as error:
            raise StartError('%s (its log: %s)' % (error, log)) from error
        yield process.address, process


class _Run:
    """One run of a job, with a server."""

    def __init__(
        self,
        args: argparse.Namespace,
        inputs: list[Input],
        folder: OutputFolder,
        server: Address,
        process: ServerProcess | None,
    ) -> None:
        self._args = args
        self._inputs = inputs
        self._folder = folder
        self._server = server
        self._process = process
        self._options = _sent(args)
        self._started = time.monotonic()
        manifest = folder.manifest
        self._begun = self._rows = manifest.rows
        self._errors, self._tokens = manifest.errors, manifest.tokens
        self._given = 0  # rows read from the inputs in this run
        self._open: _OpenPart | None = None

    def run(self) -> str:
        """Write all missing parts and return the summary line."""
        manifest = self._folder.manifest
        with connect(self._server, CONNECT_TIMEOUT_MS) as client:
            self._client = client
            self._model = self._describe(client)
            if manifest.job is not None:
                check_same_job(manifest.job, replace(manifest.job, model=self._model))
            if not manifest.is_done:
                self._width, self._dtype = probe(client, self._options)
                self._encode()
                self._folder.finish()
        if self._begun:
            logger.info('continued after the rows of earlier runs rows=%d', self._begun)
        seconds = time.monotonic() - self._started
        line = 'rows=%d errors=%d tokens=%d time=%s' % (
            self._rows,
            self._errors,
            self._tokens,
            format_duration(seconds),
        )
        if self._begun and self._begun == self._rows:
            return line + ' (all from earlier runs)'
        return line + ' rows_per_s=%d' % ((self._rows - self._begun) / seconds)

    def _describe(self, client: BertClient) -> dict[str, Any]:
        model, release = describe_server(client)
        if model['labels'] is not None:
            raise UsageError(
                'the model of the server computes scores, not vectors: choose another -model_dir or '
                '-server, or call predict of the client'
            )
        return describe_model(model, release, self._options)

    def _encode(self) -> None:
        manifest, self._sizes = self._folder.manifest, [each.size for each in self._inputs]
        self._is_stream = self._inputs[0].path == formats.STDIN
        source, row = (0, 0) if self._is_stream else manifest.position
        blocks = read_blocks(self._inputs, Columns(self._args.column, self._args.id_column), source, row)
        first = next(blocks, None)
        job = manifest.job or self._begin(first)
        self._form = self._make_form(job)
        is_late = self._begun > 0 and not self._is_stream
        self._begun_fraction = fraction_done(self._sizes, first.source, first.share) if first and is_late else 0.0
        with Display(self._begun) as self._display, self._make_requests() as requests:
            try:
                self._write_all(_pieces(self._make_cutter(job), first, blocks), requests)
            finally:
                if self._open is not None:
                    self._open.writer.abort()
        if self._is_stream and self._given < self._begun:
            raise UsageError('-: standard input ended before the rows that are already done: pass the same input again')

    def _begin(self, first: Block | None) -> Job:
        """Define the job, using the first block of its inputs, and write it to the manifest."""
        kind = kind_of_ids(None if first is None else first.ids)
        job = Job([each.to_dict() for each in self._inputs], _shaping(self._args), self._model, kind)
        self._folder.begin(job)
        return job

    def _make_form(self, job: Job) -> Form:
        is_binary = self._args.dtype == 'binary'
        dimensions = self._width * (8 if is_binary else 1)
        return Form(
            output_format=self._args.output_format,
            width=self._width,
            dtype=self._dtype,
            is_binary=is_binary,
            id_kind=job.id_kind,
            about={**self._model, 'dtype': self._args.dtype, 'dimensions': dimensions},
        )

    def _make_cutter(self, job: Job) -> PieceCutter:
        return PieceCutter(
            request_rows=min(self._args.request_rows, max(1, REQUEST_BYTES // self._form.row_bytes)),
            request_bytes=REQUEST_BYTES,
            part_rows=self._args.part_rows,
            max_text_bytes=self._args.max_text_bytes,
            id_kind=job.id_kind,
            first_row=0 if self._is_stream else self._begun,
            has_digests=self._is_stream,
        )

    def _make_requests(self) -> Requests:
        why_gone = (lambda: None) if self._process is None else self._process.why_gone
        return Requests(self._server, self._options, self._args.concurrency, why_gone)

    def _write_all(self, pieces: Iterator[Piece], requests: Requests) -> None:
        """Send the pieces of the missing parts, and write their replies in order."""
        for piece in pieces:
            self._given += len(piece)
            if piece.part < len(self._folder.manifest.parts):
                self._check_digest(piece)
                continue
            while requests.is_full:
                self._take(requests)
            requests.send(piece)
        while self._take(requests):
            pass

    def _check_digest(self, piece: Piece) -> None:
        """Check that standard input has the same rows as in the run that wrote this part."""
        if piece.ends_part and piece.digest != self._folder.manifest.parts[piece.part].digest:
            raise UsageError(
                '-: standard input differs from the earlier run in part %d: pass the same input again, or use '
                '-overwrite to start from the beginning' % piece.part
            )

    def _take(self, requests: Requests) -> bool:
        """Write the reply to the oldest request. Return False if there is none."""
        answer = requests.next()
        if answer is None:
            return False
        piece, encoded = answer
        if self._open is None:
            self._open = _OpenPart(self._folder, self._form, piece.part)
        self._open.write(piece, encoded)
        self._rows += len(piece)
        self._errors += len(piece.errors)
        self._tokens += encoded.tokens
        if piece.ends_part:
            check_unchanged(self._inputs[span.source] for span in self._open.spans)
            self._check_that_the_model_is_the_same()
            self._open.complete(piece.digest)
            self._open = None
        self._show(piece)
        return True

    def _check_that_the_model_is_the_same(self) -> None:
        """Check that the server has not been replaced by one with another model while this part was encoded."""
        old = Job([], {}, self._model, '')
        difference = difference_of(old, Job([], {}, self._describe(self._client), ''))
        if difference:
            raise StartError('another server has replaced the first: %s: start the first one again' % difference)

    def _show(self, piece: Piece) -> None:
        span = piece.spans[-1]
        is_stream = self._inputs[span.source].path == formats.STDIN
        fraction = None if is_stream else fraction_done(self._sizes, span.source, piece.share)
        seconds = time.monotonic() - self._started
        self._display.show(
            Progress(self._rows, self._errors, self._tokens, self._begun, fraction, self._begun_fraction, seconds)
        )


class _OpenPart:
    """The part that is being written now."""

    def __init__(self, folder: OutputFolder, form: Form, number: int) -> None:
        self._folder = folder
        self._form = form
        self._names = file_names(form.output_format, number)
        self._paths = folder.unfinished(self._names)
        self.writer: PartWriter = make_writer(form, self._paths)
        self._rows = self._errors = self._tokens = 0
        self.spans: list[Span] = []

    def write(self, piece: Piece, encoded: Encoded) -> None:
        """Write the rows of a piece, and add the server's errors to the errors of `piece`."""
        for place, reason in encoded.errors.items():
            piece.errors[piece.places[place]] = reason
        try:
            vectors = scattered(encoded, piece.places, len(piece), self._form.width, self._form.dtype)
        except ValueError as error:
            raise StartError('another server has replaced the first: %s' % error) from None
        self.writer.write(piece.ids, vectors, piece.errors)
        self._rows += len(piece)
        self._errors += len(piece.errors)
        self._tokens += encoded.tokens
        self.spans = joined(self.spans, piece.spans)

    def complete(self, digest: str | None) -> None:
        """Complete the files, then rename them to their final names."""
        self.writer.close()
        files = {name: os.stat(path).st_size for name, path in zip(self._names, self._paths, strict=True)}
        self._folder.complete(self._names, Part(files, self._rows, self._errors, self._tokens, self.spans, digest))


def _pieces(cutter: PieceCutter, first: Block | None, blocks: Iterator[Block]) -> Iterator[Piece]:
    if first is not None:
        yield from cutter.cut(first)
    for block in blocks:
        yield from cutter.cut(block)
    last = cutter.end()
    if last is not None:
        yield last
