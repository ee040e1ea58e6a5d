"""The argument parsers under the names that programs written for 1.10 import; nothing else."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from .benchmark.plan import EXPERIMENTS, FP32, PRECISION_FLAGS
from .benchmark.random_model import SHAPES
from .console.suggestions import did_you_mean
from .http.config import DEFAULT_PORT
from .options.parser import EnvironmentParser, add_help_and_version, add_options, add_server_options
from .options.settings import HTTP, OPTIONS, Option, Settings, integer, whole_number
from .release import RELEASE

__all__ = ['get_args_parser', 'get_benchmark_parser', 'get_http_parser', 'get_shutdown_parser']


def get_args_parser() -> EnvironmentParser:
    """The parser of `bert-serving-start`; its namespace is what `BertServer` takes."""
    parser = EnvironmentParser(
        prog='bert-serving-start',
        description='Start a server that turns texts into vectors with BERT.',
        examples=(
            'bert-serving-start -cpu',
            'bert-serving-start -model_dir /path/to/model -num_worker 2',
            'bert-serving-start -cpu -http_port 8125',
        ),
    )
    add_server_options(parser)
    add_help_and_version(parser, RELEASE)
    return parser


def get_shutdown_parser() -> EnvironmentParser:
    """The parser of `bert-serving-terminate`; its namespace is what `BertServer.shutdown` takes."""
    parser = EnvironmentParser(
        prog='bert-serving-terminate',
        description='Stop the server that listens on a port: what it has accepted is answered first.',
        examples=('bert-serving-terminate -port 5555',),
    )
    server = parser.group('Server')
    port, limit = whole_number(1, 65535), whole_number(1)
    server.add_argument('-ip', default='localhost', help='address of the server')
    server.add_argument(
        '-port',
        '-port_in',
        '-port_data',
        type=port,
        required=True,
        metavar='PORT',
        help='port on which it takes requests',
    )
    server.add_argument(
        '-timeout',
        type=limit,
        default=5000,
        metavar='MS',
        help='milliseconds to wait for a connection; not for its end',
    )
    add_help_and_version(parser, RELEASE)
    return parser


def get_http_parser() -> EnvironmentParser:
    """The parser of `bert-serving-http`: where the server is, and those of its options that are the proxy's."""
    parser = EnvironmentParser(
        prog='bert-serving-http',
        description='Serve HTTP for a server that runs already, here or on another machine.',
        examples=('bert-serving-http -ip gpu-machine -http_port 8125',),
        guide='docs/http.md',
    )
    group = parser.group('Server', 'the server behind')
    parser.add_option(
        group, 'ip', Option(('ip',), 'Server', 'address of the server behind', metavar='ADDRESS'), 'localhost'
    )
    for name, what in _PORTS_BEHIND.items():
        option = replace(OPTIONS[name], help=what)
        parser.add_option(group, name, option, getattr(Settings, name))
    add_options(parser, lambda name, option: option.group == HTTP or name in _OF_THE_PROXY, _SAID_OF_THE_PROXY)
    parser.set_defaults(http_port=DEFAULT_PORT)
    add_help_and_version(parser, RELEASE)
    return parser


_PORTS_BEHIND = {
    'port': 'port on which the server behind takes requests',
    'port_out': 'port on which its answers go out',
}

_OF_THE_PROXY = ('shutdown_timeout', 'verbose')

_SAID_OF_THE_PROXY = {
    'http_port': 'port of the HTTP server; 0 for any free one',
    'shutdown_timeout': 'seconds in which what has come is still answered after a signal',
    'verbose': 'log every request',
}
"""Where an option means less than it does to a whole server."""


def get_benchmark_parser() -> EnvironmentParser:
    """The parser of `bert-serving-benchmark`: the server's options, and what is measured."""
    parser = EnvironmentParser(
        prog='bert-serving-benchmark',
        description='Measure how fast servers with these options are. Those that an experiment varies, -num_worker '
        'among them, come from its -test_... option; the ports are always free ones.',
        examples=(
            'bert-serving-benchmark -cpu -experiments targets',
            'bert-serving-benchmark -random_model base -max_seq_len 64',
        ),
        guide='docs/benchmark.md',
    )
    group = parser.group('Benchmark', 'what is measured, and with what')
    for dest, (default, option) in _BENCHMARK_OPTIONS.items():
        parser.add_option(group, dest, option, default)
    add_server_options(parser)
    parser.set_defaults(max_seq_len=40)
    add_help_and_version(parser, RELEASE)
    return parser


def _one_of(words: Collection[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError('expected one of %s, got %r%s' % (', '.join(words), text, did_you_mean(text, words)))
        return text

    return parse


def _benchmark_option(
    name: str, default: object, help_: str, parse: Callable[[str], object] = str, metavar: str = 'N', many: bool = False
) -> tuple[str, tuple[object, Option]]:
    return name, (default, Option((name,), 'Benchmark', help_, parse, metavar, many))


_PRECISIONS = (FP32, *(flag for flag in PRECISION_FLAGS if flag in OPTIONS))

_BENCHMARK_OPTIONS = dict([
    _benchmark_option(
        'experiments', EXPERIMENTS, 'which are run', _one_of(EXPERIMENTS), 'NAME', many=True),
    _benchmark_option(
        'test_client_batch_size', (1, 4, 8, 16, 64, 256, 512, 1024), 'rows of a request', whole_number(1), many=True),
    _benchmark_option(
        'test_max_batch_size', (32, 64, 128, 256, 512), 'most rows of a graph run', whole_number(1), many=True),
    _benchmark_option(
        'test_max_seq_len', None, 'longest sequences (default: those of 20 40 80 160 320 that the model has positions '
        'for)', whole_number(4), many=True),
    _benchmark_option('test_num_client', (1, 2, 4, 8, 16, 32), 'clients at once', whole_number(1), many=True),
    _benchmark_option(
        'test_pooling_layer', None, 'pooled layers, one at a time (default: all of the model)', integer, 'LAYER', many=True),
    _benchmark_option(
        'test_num_worker', None, 'workers; a column of each table for each (default: those of 1 2 4 for which there are '
        'GPUs, or cores)', whole_number(1), many=True),
    _benchmark_option(
        'test_precision', _PRECISIONS, 'precisions, in which each of these options is on by itself', _one_of(_PRECISIONS),
        'NAME', many=True),
    _benchmark_option(
        'test_rows', 512, 'rows of a measurement, as far as its clients and batches allow', whole_number(1), 'ROWS'),
    _benchmark_option('num_repeat', 3, 'repeats that count, after one that does not', whole_number(1)),
    _benchmark_option('wait_till_ready', 300, 'seconds in which a server must be ready', whole_number(1), 'SECONDS'),
    _benchmark_option(
        'client_vocab_file', None, 'a text whose words the sentences are made of (default: frequent English ones)',
        metavar='FILE'),
    _benchmark_option(
        'random_model', None, 'serve random weights of this shape (%s) instead of a model' % ', '.join(SHAPES),
        _one_of(SHAPES), 'SHAPE'),
    _benchmark_option(
        'against', None, 'another running server of the same protocol, measured in turn with ours wherever both do the '
        'same work; the ratio is printed', metavar='HOST:PORT,PORT_OUT'),
    _benchmark_option(
        'output_dir', 'benchmark-results', 'folder for the report, the numbers, the pictures and the log', metavar='DIR'),
])  # fmt: skip
