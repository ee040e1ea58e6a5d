"""A worker: turns the texts of jobs into vectors, on one device.

Runs in a process of its own, started by the supervisor. Two threads share a `batcher.Batcher`: the intake thread
receives jobs, decodes and tokenises them; the compute thread takes runs, computes them and sends the parts to the
sink. So tokenising, computing and sending overlap. A worker never talks to the ventilator; what goes wrong with a job
goes to the sink as a `FailedPart`, and from there to the client.

When the sink is lost, what waits here is dropped: the ventilator hands everything out again that was not published, and
what comes after its `SinkMoved` is answered to the new sink.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import zmq
from numpy.typing import NDArray

from ..console.formatting import format_bytes
from ..console.logs import timed
from ..errors import InternalError, RequestError, WireError
from ..options.settings import Settings
from ..process.child import Instructions, ReportReady
from ..protocol.ring import (
    Drop,
    DroppedPart,
    FailedPart,
    Job,
    Part,
    SinkMoved,
    Stop,
    decode_ring_message,
    encode_ring_message,
)
from ..protocol.texts import decode_texts, parse_texts
from ..protocol.wire import Answer
from ..stats import WorkerTally
from ..transport import Context, Socket, make_socket
from .batcher import Batcher, Limits, ReadyJob, Run
from .rows import RowEncoder, pack
from .wordpiece import WordPiece, load_vocab

logger = logging.getLogger(__name__)

SWITCH_INTERVAL_S = 0.0005
"""How soon the intake thread, which tokenises in Python, must let the compute thread on: at Python's own 5 ms, a run
that has ended waits as long before the next begins."""

CPU_TOKENS = 1024
"""Tokens of a run on a CPU: the best or nearly so for small and large models (docs/adr/0009), and an urgent request waits
for the run that is on."""

TYPICAL_LENGTH = 64
"""Tokens of a row when `-max_seq_len` is NONE, for the purpose of a budget."""

Int32 = NDArray[np.int32]


class Encoder(Protocol):
    """What computes; `graph.runtime.GraphEncoder` is the real one."""

    def encode(self, input_ids: Int32, input_mask: Int32, input_type_ids: Int32) -> NDArray[np.generic]:
        """The answers to B rows, [B, D] or [B, T, D], from three arrays [B, T]; called by one thread."""
        ...

    def is_first(self, rows: int, width: int) -> bool:
        """Whether a run of that size has something to prepare that the next will not have: it may take very long."""
        ...


class Stopwatch:
    """Since when a thread has been at one piece of work, for the thread that reports it: no lock, one writer."""

    def __init__(self) -> None:
        self._since: float | None = None

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *_exc: object) -> None:
        self._since = None

    def seconds(self) -> float:
        """0 when it is idle."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since


class Worker:
    """The two loops of a worker."""

    def __init__(
        self, number: int, intake: str, sink: str, rows: RowEncoder, encoder: Encoder, limits: Limits,
        show_tokens: bool, embed_length: int | None,
    ) -> None:  # fmt: skip
        """`intake` is the endpoint on which jobs come in, `sink` the one to which parts go, `limits` those of a run.

        `embed_length` is the T to which every token-level answer is padded, None for the L of its job.
        """
        self._number = number
        self._intake_endpoint = intake
        self._sink_endpoint = sink
        self._rows = rows
        self._encoder = encoder
        self._show_tokens = show_tokens
        self._embed_length = embed_length
        self._batcher = Batcher(limits)
        self._changed = threading.Condition()
        self._stopping = False
        self._tally = WorkerTally()
        self._taking_in, self._computing = Stopwatch(), Stopwatch()
        self._preparing = False
        self._crash: BaseException | None = None

    def run(self, context: Context, report_ready: ReportReady) -> None:
        """Serve until a `Stop` comes and what came before it is computed and sent.

        Raises:
            BaseException: whatever ended the compute thread.
        """
        intake = make_socket(context, zmq.PULL)
        intake.bind(self._intake_endpoint)
        logger.info('ready and listening!')
        report_ready({}, self._pulse)
        compute = threading.Thread(target=self._compute_until_stopped, args=(context,), name='compute')
        compute.start()
        with intake:
            self._take_in_until_stopped(context, intake)
        compute.join()
        if self._crash is not None:
            raise self._crash

    # The intake thread -----------------------------------------------------------------------------------------------

    def _pulse(self) -> dict[str, Any]:
        """How it does, and what it has computed so far; called by the thread that reports it to the supervisor."""
        computing = 0.0 if self._preparing else self._computing.seconds()
        return {'busy_s': max(self._taking_in.seconds(), computing), 'tally': self._tally.to_json()}

    def _take_in_until_stopped(self, context: Context, intake: Socket) -> None:
        sink = self._connect_to_sink(context, self._sink_endpoint)
        while self._crash is None:
            if not intake.poll(500):
                continue
            try:
                message = decode_ring_message([frame.buffer for frame in intake.recv_multipart(copy=False)])
            except WireError as error:
                logger.error('%s', error)
                continue
            match message:
                case Job():
                    with self._taking_in:
                        self._take_in(message, sink)
                case Drop(number):
                    self._let_go(number, sink)
                case SinkMoved(endpoint) if endpoint != self._sink_endpoint:
                    sink.close()
                    self._move_to(endpoint)
                    sink = self._connect_to_sink(context, self._sink_endpoint)
                case Stop():
                    break
        sink.close()
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def _let_go(self, number: int, sink: Socket) -> None:
        with self._changed:
            dropped = self._batcher.drop(number)
        for job in dropped:
            self._send(sink, DroppedPart(self._number, job.header))

    def _move_to(self, sink: str) -> None:
        """What is computed just now was for the old sink; the compute thread sees the new one before its next run."""
        with self._changed:
            self._batcher.clear()
            self._sink_endpoint = sink

    def _take_in(self, job: Job, sink: Socket) -> None:
        header = job.header
        logger.debug('new job number=%d part=%d rows=%d', header.request.number, header.part, header.rows)
        try:
            texts = parse_texts(decode_texts(job.payload), header.rows)
            encoded = self._rows.encode(texts, header.first_row)
        except RequestError as error:
            self._send(sink, FailedPart(self._number, header, error))
            return
        except Exception as error:
            logger.exception('a job could not be tokenised number=%d part=%d', header.request.number, header.part)
            self._send(sink, FailedPart(self._number, header, self._explain(error)))
            return
        job_rows = ReadyJob(header, encoded.rows, encoded.max_len)
        if header.tokenize:
            self._send(sink, self._make_tokens(job_rows))
            return
        with self._changed:
            self._batcher.add(job_rows)
            self._changed.notify()

    # The compute thread ----------------------------------------------------------------------------------------------

    def _compute_until_stopped(self, context: Context) -> None:
        endpoint, sink = self._sink_endpoint, self._connect_to_sink(context, self._sink_endpoint)
        try:
            while (next_run := self._next_run()) is not None:
                run, wanted = next_run
                if wanted != endpoint:
                    sink.close()
                    endpoint, sink = wanted, self._connect_to_sink(context, wanted)
                self._compute(run, sink)
        except BaseException as error:
            self._crash = error
        finally:
            sink.close()

    def _next_run(self) -> tuple[Run, str] | None:
        """Wait for rows; return a run and the sink that it is for. None when the worker is to stop and all is computed."""
        with self._changed:
            while (run := self._batcher.next_run()) is None and not self._stopping:
                self._changed.wait()
            return None if run is None else (run, self._sink_endpoint)

    def _compute(self, run: Run, sink: Socket) -> None:
        """Compute a run and send what it completes.

        If it fails, its halves are tried: the fault of one row is its job's alone, and what is too much for the memory at
        once may do in two.
        """
        rows = run.rows
        try:
            output = self._encode(run)
        except Exception as error:
            if len(rows) > 1:
                logger.warning('%s and is tried in halves rows=%d width=%d: %s',
                               'out of memory: a run failed' if is_out_of_memory(error) else 'a run failed',
                               len(rows), run.width, error)  # fmt: skip
                for half in run.halves():
                    self._compute(half, sink)
                return
            logger.exception('a row cannot be computed width=%d', run.width)
            with self._changed:
                failed = list(self._batcher.fail(run))
            for job in failed:
                self._send(sink, FailedPart(self._number, job.header, self._explain(error)))
            return
        logger.debug('run done rows=%d width=%d padding=%.0f%%', len(rows), run.width,
                     100 - 100 * run.tokens / (len(rows) * run.width))  # fmt: skip
        for job, array in self._batcher.finish(run, output):
            self._send(sink, self._make_part(job, array))

    def _encode(self, run: Run) -> NDArray[np.generic]:
        rows = run.rows
        self._preparing = self._encoder.is_first(len(rows), run.width)
        started = time.monotonic()
        with self._computing:
            output = self._encoder.encode(*pack(rows, run.width))
        self._tally.count_run(len(rows), run.tokens, len(rows) * run.width, time.monotonic() - started)
        return output

    # What goes to the sink -------------------------------------------------------------------------------------------

    def _make_part(self, job: ReadyJob, array: NDArray[np.generic]) -> Part:
        tokens = [self._rows.tokens(row) for row in job.rows] if self._show_tokens else None
        counts = [len(row) for row in job.rows] if job.header.token_counts else None
        width = 0 if array.ndim == 2 else self._embed_length or job.max_len
        body = array.reshape(-1).view(np.uint8).data  # an array of no elements, too: rows without a token
        answer = Answer(str(array.dtype), list(array.shape), body, tokens, counts)
        return Part(self._number, job.header, answer, width)

    def _make_tokens(self, job: ReadyJob) -> Part:
        """The answer to a job that wants no vectors: the ids, int32 [rows, T] of the longest row, with the tokens."""
        counts = [len(row) for row in job.rows]
        ids = np.zeros((len(counts), max(counts)), np.int32)
        for row, at in zip(job.rows, ids, strict=True):
            at[: len(row)] = row.ids
        tokens = [self._rows.tokens(row) for row in job.rows]
        answer = Answer('int32', list(ids.shape), ids.tobytes(), tokens, counts)
        return Part(self._number, job.header, answer, ids.shape[1])

    def _connect_to_sink(self, context: Context, endpoint: str) -> Socket:
        """A socket of the calling thread's own; ZeroMQ sockets are not to be shared."""
        socket = make_socket(context, zmq.PUSH)
        socket.connect(endpoint)
        return socket

    def _send(self, sink: Socket, message: Part | FailedPart | DroppedPart) -> None:
        sink.send_multipart(encode_ring_message(message), copy=False)

    def _explain(self, error: Exception) -> InternalError:
        return InternalError('worker %d failed on the request: %s: %s' % (self._number, type(error).__name__, error))


def is_out_of_memory(error: Exception) -> bool:
    """Whether a run failed for want of memory: Python's own error or TensorFlow's, which is not imported for this."""
    return isinstance(error, MemoryError) or type(error).__name__ == 'ResourceExhaustedError'


def load_graph(instructions: Instructions, settings: Settings) -> Encoder:
    """The encoder that runs the exported graph on this worker's device."""
    with timed(logger, 'load TensorFlow'):
        from ..graph.runtime import GraphEncoder  # seconds, and only here
        from .cpu_flags import read_flags, recommendation

    on_gpu = instructions['device'] >= 0
    encoder = GraphEncoder(
        instructions['graph'], threads=instructions['threads'], on_gpu=on_gpu,
        gpu_memory_fraction=settings.gpu_memory_fraction, xla=settings.xla,
    )  # fmt: skip
    with timed(logger, 'load graph and run it once', size=format_bytes(os.path.getsize(instructions['graph']))):
        encoder.load()
    logger.info('graph: %s', encoder.describe())
    if on_gpu and not encoder.sees_gpu:
        logger.warning('TensorFlow sees no GPU %d and runs on the CPU: is it built for CUDA (the extra [gpu]), and is '
                       '-device_map right?', instructions['device'])  # fmt: skip
    if not on_gpu and not settings.fp16 and instructions['worker'] == 0:
        advice = recommendation(read_flags(), settings.bf16)
        if advice is not None:
            logger.info('%s', advice)
    return encoder


def run_limits(settings: Settings, device: int) -> Limits:
    """The most rows and tokens of a graph run, by the options or, without `-max_batch_tokens`, by the device."""
    if settings.max_batch_tokens is not None:
        return Limits(settings.max_batch_size, settings.max_batch_tokens)
    longest = settings.max_seq_len or TYPICAL_LENGTH
    tokens = settings.max_batch_size * longest
    return Limits(settings.max_batch_size, tokens if device >= 0 else min(tokens, max(CPU_TOKENS, longest)))


def main(
    instructions: Instructions,
    report_ready: ReportReady,
    load_encoder: Callable[[Instructions, Settings], Encoder] = load_graph,
) -> None:
    """Be a worker: load the vocabulary and the graph, then serve.

    `instructions` are those that `server.py` gives; `load_encoder` is the seam at which a test puts a double.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    settings = Settings.from_dict(instructions['settings'])
    device: int = instructions['device']
    logger.info('use device %s, load graph from %s', 'cpu' if device < 0 else 'gpu: %d' % device, instructions['graph'])
    word_piece = WordPiece(load_vocab(instructions['vocab']), lower_case=instructions['lower_case'])
    rows = RowEncoder(
        word_piece, settings.max_seq_len, instructions['max_position_embeddings'], settings.mask_cls_sep,
        settings.no_special_token,
    )  # fmt: skip
    encoder = load_encoder(instructions, settings)
    fixed = settings.fixed_embed_length and settings.max_seq_len is None
    worker = Worker(
        instructions['worker'], instructions['intake'], instructions['sink'], rows, encoder, run_limits(settings, device),
        settings.show_tokens_to_client, instructions['max_position_embeddings'] if fixed else None,
    )  # fmt: skip
    context = zmq.Context()
    worker.run(context, report_ready)
    context.term()
