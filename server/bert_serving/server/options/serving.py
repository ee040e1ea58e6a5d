"""Options: ports, batches, the queue and their limits."""

from __future__ import annotations

from dataclasses import dataclass

from ..protocol.wire import MAX_ROWS
from .option import SERVING, flag, option
from .values import host, port_number, whole_number


@dataclass(frozen=True)
class ServingOptions:
    """The options of the group `SERVING`."""

    host: str = option(
        default='*',
        group=SERVING,
        help='address of this machine to listen on. * is every IPv4 address, :: every IPv6 and IPv4 address; 127.0.0.1 '
        'or ::1 accepts clients on this machine only',
        parse=host,
        metavar='ADDRESS',
    )
    port: int = option(
        default=5555,
        group=SERVING,
        help='port for requests; 0 picks a free one',
        names=('port', 'port_in', 'port_data'),
        parse=port_number,
        metavar='PORT',
    )
    port_out: int = option(
        default=5556,
        group=SERVING,
        help='port for results; 0 picks a free one',
        names=('port_out', 'port_result'),
        parse=port_number,
        metavar='PORT',
    )
    num_worker: int = option(
        default=1,
        group=SERVING,
        help='number of worker processes, each with its own copy of the model',
        parse=whole_number(1),
        metavar='N',
    )
    max_batch_size: int = option(
        default=256,
        group=SERVING,
        help='maximum rows per batch; a larger request is split',
        parse=whole_number(1, MAX_ROWS),
        metavar='ROWS',
    )
    max_batch_tokens: int | None = option(
        default=None,
        group=SERVING,
        help='maximum tokens per batch, padding included (default: -max_batch_size × -max_seq_len; at most 1024 on a '
        'CPU, to keep urgent requests from waiting)',
        parse=whole_number(1),
        metavar='TOKENS',
    )
    cache_rows: int = option(
        default=0,
        group=SERVING,
        help='maximum rows in the cache of each worker, which answers repeated rows without computing them again, in '
        'at most 256 MB (default: 0, no cache)',
        parse=whole_number(0),
        metavar='ROWS',
    )
    priority_batch_size: int = option(
        default=16,
        group=SERVING,
        help='maximum rows of an urgent job; workers compute urgent jobs before larger ones',
        parse=whole_number(0),
        metavar='ROWS',
    )
    prefetch_size: int = option(
        default=10,
        group=SERVING,
        help='number of batches queued at each worker, to keep it from waiting for the next one',
        parse=whole_number(1),
        metavar='BATCHES',
    )
    max_queue_rows: int = option(
        default=1_000_000,
        group=SERVING,
        help='maximum rows accepted but not yet answered; further requests are rejected. A request larger than this is '
        'accepted when the queue is empty',
        parse=whole_number(1),
        metavar='ROWS',
    )
    max_request_rows: int = option(
        default=10_000_000,
        group=SERVING,
        help='maximum rows per request',
        parse=whole_number(1, MAX_ROWS),
        metavar='ROWS',
    )
    max_message_bytes: int = option(
        default=128 << 20,
        group=SERVING,
        help='maximum bytes of text per request',
        parse=whole_number(1),
        metavar='BYTES',
    )
    max_memory_bytes: int | None = option(
        default=None,
        group=SERVING,
        help='memory to divide among pending requests, replies and unread results (default: the memory limit of the '
        'container, or the memory of the machine)',
        parse=whole_number(64 << 20),
        metavar='BYTES',
    )
    max_reply_bytes: int | None = option(
        default=None,
        group=SERVING,
        help='maximum bytes of a reply; requests that need a larger one are rejected (default: a sixth of '
        '-max_memory_bytes)',
        parse=whole_number(1 << 20),
        metavar='BYTES',
    )
    max_unread_bytes: int | None = option(
        default=None,
        group=SERVING,
        help="maximum bytes of replies that a client leaves unread; beyond it the server closes the client's "
        'connections (default: 256 MiB, or a sixteenth of -max_memory_bytes if that is less)',
        parse=whole_number(1 << 20),
        metavar='BYTES',
    )
    worker_timeout: int = option(
        default=120,
        group=SERVING,
        help='seconds without a heartbeat, or on one piece of work such as a batch, after which a worker or the sink '
        'is killed and restarted',
        parse=whole_number(3),
        metavar='SECONDS',
    )
    allow_remote_terminate: bool = flag(
        group=SERVING,
        help='let bert-serving-terminate stop the server from another machine',
    )
    no_terminate: bool = flag(
        group=SERVING,
        help='ignore bert-serving-terminate and other shutdown requests; only a signal stops the server',
    )
    shutdown_timeout: int = option(
        default=30,
        group=SERVING,
        help='seconds to keep serving accepted requests during shutdown',
        parse=whole_number(0),
        metavar='SECONDS',
    )
