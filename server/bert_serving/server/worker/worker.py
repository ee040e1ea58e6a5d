"""A worker: turn the texts of jobs into vectors, on one device.

A worker is a separate process, started by the supervisor. Two threads share a `batcher.Batcher`. The intake thread
receives, decodes and tokenizes jobs. The compute thread takes batches, computes them and sends the parts to the sink.
So tokenizing, computing and sending overlap. A worker never talks to the ventilator. If a job fails, it sends a
`FailedPart` to the sink, which passes the error on to the client.

When the sink dies, the worker drops its waiting rows, because the ventilator hands out all unpublished jobs again. The
parts of jobs after the `SinkMoved` go to the new sink.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, assert_never

import numpy as np
import zmq
from numpy.typing import NDArray

from ..console.logs import timed
from ..errors import InternalError, ModelError, NotFinite, RequestError, WireError
from ..graph.engines import import_engine, is_installed
from ..graph.files import note_tried
from ..links.worker_links import WorkerLinks, make_links
from ..model.tokenizer_file import TokenizerFiles
from ..model.vocabulary import load_vocab
from ..options.engines import ONNX_RUNTIME, TITLES
from ..options.settings import Settings
from ..process.reports import ChildConfig, ReportReady
from ..protocol.options import EncodingOptions
from ..protocol.ring import (
    Drop,
    DroppedPart,
    FailedPart,
    Job,
    Part,
    SinkMoved,
    Stop,
    WorkerInput,
    decode_ring_message,
    encode_ring_message,
)
from ..protocol.wire import Answer
from ..stats import WorkerTally
from ..transport import Context, Socket
from .batch_limits import BatchLimits
from .batcher import Batch, Batcher, ReadyJob
from .cache import RowCache
from .cpu_flags import read_flags, recommendation
from .device import Encoder, LoadedEncoder, batch_limits, is_out_of_memory
from .finite import find_rows_not_finite, try_tokens
from .job_texts import read_texts
from .postprocess import AS_COMPUTED, Finish
from .rows import RowEncoder, pack
from .spelling import spell, unspell
from .tokenizer import Tokenizer
from .tracing import note_computed, note_computing, note_sent, note_tokenized
from .wordpiece import WordPiece

logger = logging.getLogger(__name__)

POLL_MS = 500
"""Milliseconds that the intake thread waits for a message before it checks that the compute thread is alive."""

FIRST_RUN_S = 0.5
"""Seconds for which the first worker computes tokens of the vocabulary before it serves, at least one batch."""

SWITCH_INTERVAL_S = 0.0005
"""Seconds after which the intake thread, which tokenizes in Python, must yield the GIL to the compute thread. With
Python's default of 5 ms, the device would idle that long after each batch."""


class Stopwatch:
    """Measures how long a thread has been busy with one piece of work. One thread writes and another reads."""

    def __init__(self) -> None:
        self._since: float | None = None

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *_exc: object) -> None:
        self._since = None

    def seconds(self) -> float:
        """Seconds since the work began, or 0 when idle."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since


class Worker:
    """The two loops of a worker."""

    def __init__(
        self,
        number: int,
        links: WorkerLinks,
        sink: str,
        rows: RowEncoder,
        encoder: Encoder,
        limits: BatchLimits,
        show_tokens: bool,
        embed_length: int | None,
        finish: Finish = AS_COMPUTED,
        cache: RowCache | None = None,
    ) -> None:
        """`links` are its ends in the ring, `sink` the endpoint to which parts go; `limits` are a batch's.

        `embed_length` is the T to which token-level results are padded, or None for the L of each job. `finish` turns
        the output of the graph into the result. `cache` is None for no cache.
        """
        self._number = number
        self._links = links
        self._sink_endpoint = sink
        self._rows = rows
        self._encoder = encoder
        self._show_tokens = show_tokens
        self._finish = finish
        self._embed_length = embed_length
        self._batcher = Batcher(limits, cache)
        self._changed = threading.Condition()
        self._stopping = False
        self._traces = False  # until the first traced job arrives
        self._tally = WorkerTally()
        self._taking_in, self._computing = Stopwatch(), Stopwatch()
        self._compiling = False
        self._pieces = 1.0
        self._crash: BaseException | None = None

    def run(self, context: Context, report_ready: ReportReady) -> None:
        """Serve until a `Stop` arrives and all earlier jobs are computed and sent.

        Raises:
            BaseException: the error that ended the compute thread.
        """
        intake = self._links.open_intake(context)
        logger.info('ready and listening!')
        report_ready({}, self._status)
        compute = threading.Thread(target=self._compute_until_stopped, args=(context,), name='compute')
        compute.start()
        with intake:
            self._take_in_until_stopped(context, intake)
        compute.join()
        if self._crash is not None:
            raise self._crash

    # ---- the intake thread

    def _status(self) -> dict[str, Any]:
        """The payload of a heartbeat. The heartbeat thread calls it.

        A row longer than a whole batch counts as several pieces of work, because with 8,000 tokens it can take minutes
        on a CPU without the worker hanging.
        """
        computing = 0.0 if self._compiling else self._computing.seconds() / self._pieces
        return {'busy_s': max(self._taking_in.seconds(), computing), 'tally': self._tally.to_json()}

    def _take_in_until_stopped(self, context: Context, intake: Socket) -> None:
        sink = self._links.connect_to_sink(context, self._sink_endpoint)
        while self._crash is None:
            message = self._receive(intake)
            match message:
                case None:
                    continue
                case Job():
                    with self._taking_in:
                        self._take_in(message, sink)
                case Drop(number):
                    self._drop(number, sink)
                case SinkMoved(endpoint):
                    if endpoint != self._sink_endpoint:
                        sink.close()
                        self._move_to(endpoint)
                        sink = self._links.connect_to_sink(context, endpoint)
                case Stop():
                    break
                case _:
                    assert_never(message)
        self._links.release()
        sink.close()
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def _receive(self, intake: Socket) -> WorkerInput | None:
        """Receive the next message, or None if none arrived within `POLL_MS` or it is not for a worker."""
        if not intake.poll(POLL_MS):
            return None
        try:
            message = decode_ring_message([frame.buffer for frame in intake.recv_multipart(copy=False)])
        except WireError as error:
            logger.error('%s', error)
            return None
        if not isinstance(message, WorkerInput):
            logger.error('dropped a message that is not for a worker kind=%s', type(message).__name__)
            return None
        return message

    def _drop(self, number: int, sink: Socket) -> None:
        with self._changed:
            dropped = self._batcher.drop(number)
        for job in dropped:
            self._send(sink, DroppedPart(self._number, job.header))

    def _move_to(self, sink: str) -> None:
        """Drop all waiting rows. From the next batch on, the compute thread sends to `sink`."""
        with self._changed:
            self._batcher.clear()
            self._sink_endpoint = sink

    def _take_in(self, job: Job, sink: Socket) -> None:
        header, options = job.header, job.options
        if header.trace is not None and self._links.shares_clock:
            header.trace.received_at, self._traces = time.monotonic(), True
        logger.debug('new job number=%d part=%d rows=%d', header.request.number, header.part, header.rows)
        try:
            texts = read_texts(job)
            if options is not None and (options.offsets or options.decode):
                answer = self._spell(texts, header.first_row, options)
                self._send(sink, Part(self._number, header, answer, answer.shape[1]))
                return
            if options is None:
                encoded = self._rows.encode(texts, header.first_row)
            elif options.pairs:
                encoded = self._rows.encode_pairs(texts, header.first_row, options)
            else:
                encoded = self._rows.encode(texts, header.first_row, options)
        except RequestError as error:
            self._send(sink, FailedPart(self._number, header, error))
            return
        except Exception as error:
            logger.exception('could not tokenize a job number=%d part=%d', header.request.number, header.part)
            self._send(sink, FailedPart(self._number, header, self._explain(error)))
            return
        ready = ReadyJob(header, encoded.rows, encoded.max_len, options, encoded.truncated)
        if self._traces:
            note_tokenized(ready, time.monotonic())
        if encoded.truncated:
            self._note_truncated(len(encoded.truncated), encoded.max_len)
        if header.tokenize:
            self._send(sink, self._make_tokens(ready))
            return
        with self._changed:
            cached = self._batcher.add(ready)
            self._tally.cached_rows = self._batcher.num_cached
            self._changed.notify()
        if cached is not None:
            self._send(sink, self._answer(ready, cached))

    def _note_truncated(self, rows: int, max_len: int) -> None:
        if not self._tally.truncated_rows:
            logger.info(
                'truncated texts rows=%d tokens=%d: the model takes no more; '
                'num_truncated_row in the status counts later ones',
                rows,
                max_len,
            )
        self._tally.truncated_rows += rows

    # ---- the compute thread

    def _compute_until_stopped(self, context: Context) -> None:
        endpoint, sink = self._sink_endpoint, self._links.connect_to_sink(context, self._sink_endpoint)
        try:
            while (taken := self._next_batch()) is not None:
                batch, wanted = taken
                if wanted != endpoint:
                    sink.close()
                    endpoint, sink = wanted, self._links.connect_to_sink(context, wanted)
                self._compute(batch, sink)
        except BaseException as error:
            self._crash = error
        finally:
            sink.close()

    def _next_batch(self) -> tuple[Batch, str] | None:
        """Wait for the next batch. Return it with the endpoint of its sink, or None after the last batch."""
        with self._changed:
            while (batch := self._batcher.next_batch()) is None and not self._stopping:
                self._changed.wait()
            return None if batch is None else (batch, self._sink_endpoint)

    def _compute(self, batch: Batch, sink: Socket) -> None:
        """Compute a batch, and send the parts of the jobs that it completes.

        If it fails, retry its halves, so that a faulty row fails only its own job. Half of a batch might also fit into
        memory.
        """
        rows = batch.rows
        if self._traces:
            note_computing(batch, time.monotonic())
        try:
            output = self._encode(batch)
        except Exception as error:
            if len(rows) > 1:
                event = 'out of memory: batch failed' if is_out_of_memory(error) else 'batch failed'
                size = (len(rows), batch.width)
                logger.warning('%s, retrying as two halves rows=%d width=%d: %s', event, *size, error)
                for half in batch.halves():
                    self._compute(half, sink)
                return
            logger.exception('could not compute a row width=%d', batch.width)
            with self._changed:
                failed = list(self._batcher.fail(batch))
            for job in failed:
                self._send(sink, FailedPart(self._number, job.header, self._explain(error)))
            return
        padding = 100 - 100 * batch.tokens / (len(rows) * batch.width)
        logger.debug('computed a batch rows=%d width=%d padding=%.0f%%', len(rows), batch.width, padding)
        if self._batcher.cache is not None:
            with self._changed:
                self._batcher.remember(batch, output)
        for job, array in self._batcher.finish(batch, output):
            if self._traces:
                note_computed(job, time.monotonic())
            self._send(sink, self._answer(job, array))

    def _encode(self, batch: Batch) -> NDArray[np.generic]:
        rows = batch.rows
        self._compiling = self._encoder.will_compile(len(rows), batch.width)
        self._pieces = max(1.0, len(rows) * batch.width / self._batcher.limits.tokens)
        started = time.monotonic()
        with self._computing:
            output = self._encoder.encode(*pack(rows, batch.width, pooling_mask=any(row.prompt_length for row in rows)))
        self._tally.count_batch(len(rows), batch.tokens, len(rows) * batch.width, time.monotonic() - started)
        return output

    # ---- messages to the sink

    def _answer(self, job: ReadyJob, array: NDArray[np.generic]) -> Part | FailedPart:
        """Make the result of a completely computed job, or an error if a row is not finite."""
        bad = find_rows_not_finite(array)
        if not bad:
            return self._make_part(job, array)
        with self._changed:  # both threads send parts
            self._tally.not_finite_rows += len(bad)
        header = job.header
        logger.warning(
            'computed NaN or infinity number=%d part=%d rows=%d',
            header.request.number,
            header.part,
            len(bad),
        )
        return FailedPart(self._number, header, _not_finite(header.first_row + bad[0], len(bad)))

    def _make_part(self, job: ReadyJob, array: NDArray[np.generic]) -> Part:
        tokens = [self._rows.tokens(row) for row in job.rows] if self._show_tokens else None
        counts = [len(row) for row in job.rows] if job.header.token_counts else None
        width = 0 if array.ndim == 2 else self._embed_length or job.max_len
        array = self._finish.apply(array, job.options)
        body = array.reshape(-1).view(np.uint8).data  # also for an empty array, of rows without tokens
        truncated = None if counts is None else list(job.truncated)
        answer = Answer(str(array.dtype), list(array.shape), body, tokens, counts, truncated)
        return Part(self._number, job.header, answer, width)

    def _spell(self, texts: Sequence[Any], first_row: int, options: EncodingOptions) -> Answer:
        """Make the result of a job for tokens with positions, or for texts from ids."""
        tokenizer = self._rows.tokenizer
        if options.decode:
            return unspell(tokenizer, texts, first_row, bool(options.special_tokens))
        return spell(tokenizer, texts, first_row, self._rows.prompt_of(options))

    def _make_tokens(self, job: ReadyJob) -> Part:
        """Make the result of a job without vectors: ids, int32 [rows, T of the longest row], and tokens."""
        counts = [len(row) for row in job.rows]
        ids = np.zeros((len(counts), max(counts)), np.int32)
        for row, at in zip(job.rows, ids, strict=True):
            at[: len(row)] = row.ids
        tokens = [self._rows.tokens(row) for row in job.rows]
        answer = Answer('int32', list(ids.shape), ids.tobytes(), tokens, counts, list(job.truncated))
        return Part(self._number, job.header, answer, ids.shape[1])

    def _send(self, sink: Socket, message: Part | FailedPart | DroppedPart) -> None:
        if self._traces:
            note_sent(message.header, self._number, time.monotonic())
        sink.send_multipart(encode_ring_message(message), copy=False)

    def _explain(self, error: Exception) -> InternalError:
        return InternalError('worker %d failed on the request: %s: %s' % (self._number, type(error).__name__, error))


def _not_finite(row: int, rows: int) -> NotFinite:
    others = '' if rows == 1 else ', and for %d more elements' % (rows - 1)
    return NotFinite('the model computes NaN or infinity for element %d%s: leave it out' % (row, others))


def _check_vocabulary(encoder: LoadedEncoder, config: ChildConfig, settings: Settings) -> None:
    """Compute tokens of the vocabulary for `FIRST_RUN_S` seconds, or one batch if an earlier start has tried them.

    Raises:
        ModelError: the model computes NaN or infinity for a token.
    """
    vocab_size: int = config['vocab_size']
    deadline = time.monotonic() + (0 if config['graph_tried'] else FIRST_RUN_S)
    with timed(logger, 'try tokens of the vocabulary') as facts:
        run = try_tokens(
            encoder, encoder.unusual_ids, vocab_size, encoder.most_tokens, lambda: time.monotonic() > deadline
        )
        facts['tokens'] = '%d/%d' % (run.tried, vocab_size)
    if run.failed:
        names = ', '.join(map(repr, load_tokenizer(config).tokens_of(run.failed)))
        raise ModelError(
            'the model computes NaN or infinity for tokens such as %s: its weights are damaged or overflow; download '
            'or convert it again%s' % (names, ', or leave out -fp16' if settings.fp16 else '')
        )
    if config['graph_entry'] is not None:
        note_tried(config['graph_entry'])


def load_encoder(config: ChildConfig, settings: Settings) -> Encoder:
    """Load the exported graph onto this worker's device."""
    with timed(logger, 'load %s' % TITLES[settings.engine]):
        load_graph = import_engine(settings.engine)

    device: int = config['device']
    encoder: LoadedEncoder = load_graph(
        config['graph'],
        sha256=config['graph_sha256'],
        device=device,
        threads=config['threads'],
        settings=settings,
    )
    if device < 0 and not settings.fp16 and config['worker'] == 0:
        advice = recommendation(
            read_flags(),
            engine=settings.engine,
            bf16=settings.bf16,
            int8=settings.int8,
            has_onnx=is_installed(ONNX_RUNTIME),
        )
        if advice is not None:
            logger.info('%s', advice)
    if config['worker'] == 0:  # the other workers have the same graph
        _check_vocabulary(encoder, config, settings)
    return encoder


def load_tokenizer(config: ChildConfig) -> Tokenizer:
    """Load the tokenizer of the model: 1.10's WordPiece, or the model's own."""
    if config['tokenizer'] is None:
        return WordPiece(load_vocab(config['vocab']), lower_case=config['lower_case'])
    from .published_tokenizer import PublishedTokenizer

    files = TokenizerFiles(**config['tokenizer'])
    return PublishedTokenizer(files.load(config['vocab_size']), gives_types=files.gives_types())


def main(
    config: ChildConfig,
    report_ready: ReportReady,
    load_encoder: Callable[[ChildConfig, Settings], Encoder] = load_encoder,
) -> None:
    """Run a worker: load the tokenizer and the graph, then serve.

    `config` comes from `parent/child_factory.py`. A test passes a double as `load_encoder`.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    settings = Settings.from_dict(config['settings'])
    device: int = config['device']
    logger.info('use device %s, load graph from %s', 'cpu' if device < 0 else 'gpu: %d' % device, config['graph'])
    max_position_embeddings: int = config['max_position_embeddings']
    fixed = settings.fixed_embed_length and settings.max_seq_len is None
    worker = Worker(
        number=config['worker'],
        links=make_links(config),
        sink=config['sink'],
        rows=RowEncoder(
            load_tokenizer(config),
            max_seq_len=settings.max_seq_len,
            max_position_embeddings=max_position_embeddings,
            mask_cls_sep=settings.mask_cls_sep,
            no_special_token=settings.no_special_token,
            prompt=config['prompt'],
            pools_prompt=config['pools_prompt'],
        ),
        encoder=load_encoder(config, settings),
        limits=batch_limits(settings, device),
        show_tokens=settings.show_tokens_to_client,
        embed_length=max_position_embeddings if fixed else None,
        finish=Finish(config['normalizes'], config['activation']),
        cache=RowCache(settings.cache_rows) if settings.cache_rows else None,
    )
    context = zmq.Context()
    worker.run(context, report_ready)
    context.term()
