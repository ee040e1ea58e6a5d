"""The argument parsers under the names that programs written for 1.10 import; nothing else."""

from __future__ import annotations

from .release import RELEASE
from .settings import EnvironmentParser, add_help_and_version, add_server_options, whole_number

__all__ = ['get_args_parser', 'get_shutdown_parser']


def get_args_parser() -> EnvironmentParser:
    """The parser of `bert-serving-start`; its namespace is what `BertServer` takes."""
    parser = EnvironmentParser(
        prog='bert-serving-start',
        description='Start a server that turns texts into vectors with BERT.',
        epilog='Every option can also be set in the environment: -max_seq_len as BERT_SERVING_MAX_SEQ_LEN. '
        'The command line wins.',
    )
    add_server_options(parser)
    add_help_and_version(parser, RELEASE)
    return parser


def get_shutdown_parser() -> EnvironmentParser:
    """The parser of `bert-serving-terminate`; its namespace is what `BertServer.shutdown` takes."""
    parser = EnvironmentParser(prog='bert-serving-terminate', description='Stop the server that listens on a port.')
    server = parser.add_argument_group('Server')
    port, limit = whole_number(1, 65535), whole_number(0)
    server.add_argument('-ip', default='localhost', help='address of the server (default: localhost)')
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
        '-timeout', type=limit, default=5000, metavar='MS', help='milliseconds to wait for it (default: 5000)'
    )
    add_help_and_version(parser, RELEASE)
    return parser
