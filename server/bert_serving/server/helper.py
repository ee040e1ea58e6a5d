"""The argument parsers of the commands, under the names that programs written for 1.10 import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from .benchmark.options import BENCHMARK_OPTIONS
from .files.options import ENCODE_OPTIONS, FILES
from .http.config import DEFAULT_PORT
from .http.upstreams import read_upstream
from .options.option import HTTP, SECURITY, Option
from .options.parser import EnvironmentParser, add_help_and_version, add_options, add_server_options
from .options.settings import OPTIONS
from .options.values import whole_number
from .release import RELEASE

__all__ = ['get_args_parser', 'get_benchmark_parser', 'get_encode_parser', 'get_http_parser', 'get_shutdown_parser']


def get_args_parser() -> EnvironmentParser:
    """The parser of `bert-serving-start`; its namespace is what `BertServer` takes."""
    parser = EnvironmentParser(
        prog='bert-serving-start',
        description='Start a server that maps texts to vectors with BERT.',
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
        description='Stop a running server. It first finishes the requests that it has accepted.',
        examples=('bert-serving-terminate -port 5555',),
    )
    server = parser.group('Server')
    server.add_argument('-ip', default='localhost', metavar='ADDRESS', help='address of the server')
    server.add_argument(
        *('-port', '-port_in', '-port_data'),
        type=whole_number(1, 65535),
        required=True,
        metavar='PORT',
        help='request port of the server',
    )
    server.add_argument(
        '-timeout',
        type=whole_number(1),
        default=5000,
        metavar='MS',
        help='milliseconds to wait for a connection to the server; the command does not wait for the end of the '
        'shutdown',
    )
    for dest, option in KEY_OPTIONS.items():
        parser.add_option(server, dest, option)
    add_help_and_version(parser, RELEASE)
    return parser


KEY_OPTIONS: Mapping[str, Option] = {
    'server_key': Option(
        names=('server_key',),
        group='Server',
        help='public key of a server with -curve_key_file, or the file of its certificate',
        metavar='KEY',
    ),
    'key_file': Option(
        names=('key_file',),
        group='Server',
        help='secret certificate of this client; "bert-serving-keys client FILE" makes one',
        metavar='FILE',
    ),
}
"""The keys with which a command connects to a server."""


def get_http_parser() -> EnvironmentParser:
    """The parser of `bert-serving-http`: the address of the server, and those server options that the proxy shares."""
    parser = EnvironmentParser(
        prog='bert-serving-http',
        description='Serve the HTTP API of a running server, on this machine or another one.',
        examples=('bert-serving-http -ip gpu-machine -http_port 8125',),
        guide='docs/http.md',
    )
    group = parser.group('Server', 'the server to forward requests to')
    for dest, option in {**_SERVER_OF_THE_PROXY, **KEY_OPTIONS}.items():
        parser.add_option(group, dest, option)
    add_options(parser, lambda dest, option: option.group == HTTP or dest in _SHARED_WITH_THE_PROXY, _HELP_OF_THE_PROXY)
    parser.set_defaults(http_port=DEFAULT_PORT)
    add_help_and_version(parser, RELEASE)
    return parser


_SERVER_OF_THE_PROXY: Mapping[str, Option] = {
    'ip': Option(
        names=('ip',),
        group='Server',
        help='address of the server',
        default='localhost',
        metavar='ADDRESS',
    ),
    'port': replace(OPTIONS['port'], help='request port of the server'),
    'port_out': replace(OPTIONS['port_out'], help='result port of the server'),
    'upstream': Option(
        names=('upstream',),
        group='Server',
        help='name of a model and address of its server, instead of -ip, -port and -port_out. Repeat the option for '
        'several models, or for several servers of one model',
        parse=read_upstream,
        metavar='NAME=HOST:PORT,PORT_OUT',
        many=True,
        adds_up=True,
    ),
    'upstream_file': Option(
        names=('upstream_file',),
        group='Server',
        help='file with one -upstream on each line',
        metavar='FILE',
    ),
}

_SHARED_WITH_THE_PROXY = ('principals', 'audit_file', 'shutdown_timeout', 'log_format', 'verbose')

_HELP_OF_THE_PROXY = {
    'http_port': 'port of the HTTP server; 0 picks a free one',
    'verbose': 'log every request',
}
"""The help of options that do less in the proxy than in a server."""


def get_benchmark_parser() -> EnvironmentParser:
    """The parser of `bert-serving-benchmark`: the options of the measurement and of the servers."""
    parser = EnvironmentParser(
        prog='bert-serving-benchmark',
        description='Start servers with these options and measure their speed, on free ports. The options that an '
        'experiment varies, such as -num_worker, take their values from the -test_... options.',
        examples=(
            'bert-serving-benchmark -cpu -experiments targets',
            'bert-serving-benchmark -random_model base -max_seq_len 64',
        ),
        guide='docs/benchmark.md',
    )
    group = parser.group('Benchmark', 'the experiments and their data')
    for option in BENCHMARK_OPTIONS:
        parser.add_option(group, option.name, option)
    for dest, option in KEY_OPTIONS.items():
        parser.add_option(group, dest, option)
    add_server_options(parser)
    parser.set_defaults(max_seq_len=40)
    add_help_and_version(parser, RELEASE)
    return parser


def get_encode_parser() -> EnvironmentParser:
    """The parser of `bert-serving-encode`: the options for the files, and those of a server that it starts."""
    parser = EnvironmentParser(
        prog='bert-serving-encode',
        description='Encode the texts of files of any size and write the vectors to files in parts. Without -server, '
        'the command starts a server with the options below, on free ports, and stops it at the end.',
        examples=(
            'bert-serving-encode questions.parquet -column text -id_column id -output vectors -cpu',
            'bert-serving-encode corpus/*.txt.gz -output vectors -dtype float16 -server gpu-machine:5555,5556',
        ),
        guide='docs/files.md',
    )
    parser.add_argument(
        'input',
        nargs='+',
        metavar='INPUT',
        help='Parquet, JSONL, CSV or text files, folders or globs of them, or - for standard input',
    )
    group = parser.group(FILES, 'input, output, and how to encode')
    for option in ENCODE_OPTIONS:
        parser.add_option(group, option.name, option)
    for dest, option in KEY_OPTIONS.items():
        parser.add_option(group, dest, option)
    unused = (HTTP, SECURITY)
    add_options(parser, lambda dest, option: option.group not in unused and dest not in _CHOSEN_BY_ENCODE)
    add_help_and_version(parser, RELEASE)
    return parser


_CHOSEN_BY_ENCODE = ('host', 'port', 'port_out', 'allow_remote_terminate', 'no_terminate')
"""The options of a server that `bert-serving-encode` sets by itself."""
