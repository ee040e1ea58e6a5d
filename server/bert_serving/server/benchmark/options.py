"""The options of `bert-serving-benchmark`, except those that it shares with the server."""

from __future__ import annotations

from collections.abc import Callable

from ..options.option import Option
from ..options.settings import OPTIONS
from ..options.values import integer, one_of, whole_number
from .peers.catalog import NAMES as PEERS
from .plan import EXPERIMENTS, FP32, MAX_REQUESTS, PRECISION_FLAGS
from .random_model import SHAPES


def _option(
    name: str,
    *,
    help: str,
    default: object = None,
    parse: Callable[[str], object] = str,
    metavar: str = 'N',
    many: bool = False,
    flag: bool | None = None,
) -> Option:
    return Option((name,), 'Benchmark', help, default, parse, metavar, many, flag=flag)


_PRECISIONS = (FP32, *(flag for flag in PRECISION_FLAGS if flag in OPTIONS))

BENCHMARK_OPTIONS = [
    _option(
        'experiments',
        help='experiments to run',
        default=EXPERIMENTS,
        parse=one_of(EXPERIMENTS),
        metavar='NAME',
        many=True,
    ),
    _option(
        'test_client_batch_size',
        help='rows per request',
        default=(1, 4, 8, 16, 64, 256, 512, 1024),
        parse=whole_number(1),
        metavar='ROWS',
        many=True,
    ),
    _option(
        'test_max_batch_size',
        help='maximum rows per batch',
        default=(32, 64, 128, 256, 512),
        parse=whole_number(1),
        metavar='ROWS',
        many=True,
    ),
    _option(
        'test_max_seq_len',
        help='maximum tokens per sequence (default: those of 20 40 80 160 320 that the model supports)',
        parse=whole_number(4),
        many=True,
    ),
    _option(
        'test_num_client',
        help='number of concurrent clients',
        default=(1, 2, 4, 8, 16, 32),
        parse=whole_number(1),
        many=True,
    ),
    _option(
        'test_pooling_layer',
        help='layers to pool, one at a time (default: all layers of the model)',
        parse=integer,
        metavar='LAYER',
        many=True,
    ),
    _option(
        'test_num_worker',
        help='number of workers, one column per value (default: those of 1 2 4 that the GPUs or cores suffice for)',
        parse=whole_number(1),
        many=True,
    ),
    _option(
        'test_precision',
        help='precisions to compare; each one turns on the option of its name, int8 also -engine onnxruntime, and %s turns '
        'on none (default: all that the engine has, and int8 if ONNX Runtime is installed)' % FP32,
        parse=one_of(_PRECISIONS),
        metavar='NAME',
        many=True,
    ),
    _option(
        'test_rows',
        help='rows per measurement, sent in at most %d requests per client' % MAX_REQUESTS,
        default=512,
        parse=whole_number(1),
        metavar='ROWS',
    ),
    _option(
        'num_repeat',
        help='measurements per cell of a table, after a warm-up that does not count',
        default=3,
        parse=whole_number(1),
    ),
    _option(
        'wait_till_ready',
        help='seconds to wait until a server is ready',
        default=300,
        parse=whole_number(1),
        metavar='SECONDS',
    ),
    _option(
        'client_vocab_file',
        help='text file whose words make up the sentences (default: frequent English words)',
        metavar='FILE',
    ),
    _option(
        'random_model',
        help='serve random weights of this shape (%s) instead of a model' % ', '.join(SHAPES),
        parse=one_of(SHAPES),
        metavar='SHAPE',
    ),
    _option(
        'against',
        help='another running server of the same protocol: measure it alternately with ours, and print the ratio wherever '
        'both do the same work',
        metavar='HOST:PORT,PORT_OUT',
    ),
    _option(
        'peers',
        help='instead of running the experiments, compare our servers with other libraries and servers, as far as they are '
        'installed: sentence-transformers, fastembed and Infinity',
        default=False,
        flag=True,
    ),
    _option(
        'peers_python',
        help='interpreters of the environments with the peers; each peer runs in the first one that has it (default: '
        'the interpreter of this command)',
        metavar='PYTHON',
        many=True,
    ),
    _option(
        'test_peers',
        help='peers to measure with -peers',
        default=PEERS,
        parse=one_of(PEERS),
        metavar='NAME',
        many=True,
    ),
    _option(
        'output_dir',
        help='folder for the report, the numbers, the charts and the log',
        default='benchmark-results',
        metavar='DIR',
    ),
]
