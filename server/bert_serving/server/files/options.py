"""The options of `bert-serving-encode`, except those that it shares with the server."""

from __future__ import annotations

from collections.abc import Callable

from ..options.option import Option
from ..options.values import one_of, whole_number
from ..parent.address import read_address
from .inputs import FORMATS as INPUT_FORMATS
from .parts import FORMATS as OUTPUT_FORMATS

FILES = 'Files'

DTYPES = ('float32', 'float16', 'int8', 'binary')

SENT = ('normalize', 'prompt_name', 'prompt', 'dimensions', 'truncate')
"""The options that go to the server with each request, in addition to the dtype."""


def yes_or_no(text: str) -> bool:
    return {'yes': True, 'no': False}[one_of(('yes', 'no'))(text)]


def _option(
    name: str,
    *,
    help: str,
    default: object = None,
    parse: Callable[[str], object] = str,
    metavar: str,
    flag: bool | None = None,
) -> Option:
    return Option((name,), FILES, help, default, parse, metavar, flag=flag)


ENCODE_OPTIONS = [
    _option(
        'output',
        help='folder for the parts and their manifest. After an interruption, the same command continues where it '
        'stopped',
        metavar='DIR',
    ),
    _option(
        'column',
        help='column with the texts; a text file needs none, because its lines are the rows',
        metavar='NAME',
    ),
    _option(
        'id_column',
        help='column with the ids, which are numbers or strings (default: the row number, counted from 0 over all '
        'files)',
        metavar='NAME',
    ),
    _option(
        'input_format',
        help='format of all input files: %s (default: by the extension of each file)'
        % ', '.join(dict.fromkeys(INPUT_FORMATS.values())),
        parse=one_of(tuple(dict.fromkeys(INPUT_FORMATS.values()))),
        metavar='FORMAT',
    ),
    _option(
        'output_format',
        help='format of the parts: %s. With npy, a JSONL file next to each part has the ids and errors'
        % ', '.join(OUTPUT_FORMATS),
        default='parquet',
        parse=one_of(OUTPUT_FORMATS),
        metavar='FORMAT',
    ),
    _option(
        'server',
        help='running server to use (default: start one with the options below and stop it at the end)',
        parse=read_address,
        metavar='HOST:PORT,PORT_OUT',
    ),
    _option(
        'dtype',
        help='type of the numbers: %s. int8 is 127 times the normalized vector; binary has one bit per number, its sign'
        % ', '.join(DTYPES),
        default='float32',
        parse=one_of(DTYPES),
        metavar='TYPE',
    ),
    _option(
        'normalize',
        help='yes: scale vectors to length 1; no: leave them as pooled (default: as the model says)',
        parse=yes_or_no,
        metavar='YES|NO',
    ),
    _option(
        'prompt_name',
        help="name of the model's prompt to put before each text, such as document",
        metavar='NAME',
    ),
    _option(
        'prompt',
        help='text to put before each text, instead of a prompt of the model',
        metavar='TEXT',
    ),
    _option(
        'dimensions',
        help='keep only the first N numbers of each vector (default: all)',
        parse=whole_number(1),
        metavar='N',
    ),
    _option(
        'truncate',
        help='how to treat a text that is too long: right drops its end, left drops its beginning, error records an '
        'error instead of a vector',
        default='right',
        parse=one_of(('right', 'left', 'error')),
        metavar='WHERE',
    ),
    _option(
        'part_rows',
        help='rows per part; an interrupted job repeats at most the unfinished part',
        default=100_000,
        parse=whole_number(1),
        metavar='ROWS',
    ),
    _option(
        'request_rows',
        help='maximum rows per request; fewer if their vectors exceed a megabyte',
        default=1024,
        parse=whole_number(1),
        metavar='ROWS',
    ),
    _option(
        'concurrency',
        help='requests in flight; a server with many workers needs more',
        default=4,
        parse=whole_number(1, 1024),
        metavar='N',
    ),
    _option(
        'max_text_bytes',
        help='maximum bytes of a text; for a longer one, the output has an error instead of a vector',
        default=1 << 20,
        parse=whole_number(1, 16 << 20),
        metavar='BYTES',
    ),
    _option(
        'wait_till_ready',
        help='seconds to wait until the started server is ready',
        default=600,
        parse=whole_number(1),
        metavar='SECONDS',
    ),
    Option(
        ('overwrite',),
        FILES,
        'remove the output of an earlier job from the output folder and start from the beginning',
        default=False,
        flag=True,
    ),
]
