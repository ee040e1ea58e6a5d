"""The options of `bert-serving-encode` that are not those of a server."""

from __future__ import annotations

from collections.abc import Callable, Collection

from ..console.suggestions import did_you_mean
from ..options.option import Option
from ..options.values import whole_number
from ..parent.address import read_address
from .inputs import FORMATS as INPUT_FORMATS
from .parts import FORMATS as OUTPUT_FORMATS

FILES = 'Files'

DTYPES = ('float32', 'float16', 'int8', 'binary')

SENT = ('normalize', 'prompt_name', 'prompt', 'dimensions', 'truncate')
"""The options that go to the server with each request, in addition to the dtype."""


def one_of(words: Collection[str]) -> Callable[[str], str]:
    """Make a parser that takes these words alone."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError('expected one of %s, got %r%s' % (', '.join(words), text, did_you_mean(text, words)))
        return text

    return parse


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
        help='folder for the parts and their manifest; the same command goes on where it was interrupted',
        metavar='DIR',
    ),
    _option(
        'column',
        help='column with the texts; not for files of text, whose lines are the rows',
        metavar='NAME',
    ),
    _option(
        'id_column',
        help='column with the ids, numbers or texts (default: the number of the row, from 0 over all files)',
        metavar='NAME',
    ),
    _option(
        'input_format',
        help='format of all input files: %s (default: as the name of each file ends)'
        % ', '.join(dict.fromkeys(INPUT_FORMATS.values())),
        parse=one_of(tuple(dict.fromkeys(INPUT_FORMATS.values()))),
        metavar='FORMAT',
    ),
    _option(
        'output_format',
        help='format of the parts: %s. npy has the ids and errors in a file of JSON lines next to it'
        % ', '.join(OUTPUT_FORMATS),
        default='parquet',
        parse=one_of(OUTPUT_FORMATS),
        metavar='FORMAT',
    ),
    _option(
        'server',
        help='running server to ask (default: start one with the options below, and stop it at the end)',
        parse=read_address,
        metavar='HOST:PORT,PORT_OUT',
    ),
    _option(
        'dtype',
        help='type of the vectors: %s. int8 is 127 times the vector of length 1; binary has the sign of each number as '
        'a bit' % ', '.join(DTYPES),
        default='float32',
        parse=one_of(DTYPES),
        metavar='TYPE',
    ),
    _option(
        'normalize',
        help='yes: vectors of length 1; no: as they are pooled (default: as the model says)',
        parse=yes_or_no,
        metavar='YES|NO',
    ),
    _option(
        'prompt_name',
        help="one of the model's prompts, to put before each text, such as document",
        metavar='NAME',
    ),
    _option(
        'prompt',
        help='your own prompt, to put before each text',
        metavar='TEXT',
    ),
    _option(
        'dimensions',
        help='only the first N numbers of each vector (default: all)',
        parse=whole_number(1),
        metavar='N',
    ),
    _option(
        'truncate',
        help='for a text that is too long: right drops its end, left its beginning, and error makes it an error of its '
        'row',
        default='right',
        parse=one_of(('right', 'left', 'error')),
        metavar='WHERE',
    ),
    _option(
        'part_rows',
        help='rows of a part; an interrupted job repeats at most the part that was not complete',
        default=100_000,
        parse=whole_number(1),
        metavar='ROWS',
    ),
    _option(
        'request_rows',
        help='maximum rows of a request; fewer if their vectors have more than a megabyte',
        default=1024,
        parse=whole_number(1),
        metavar='ROWS',
    ),
    _option(
        'concurrency',
        help='requests in flight; more of them keep a server with many workers busy',
        default=4,
        parse=whole_number(1, 1024),
        metavar='N',
    ),
    _option(
        'max_text_bytes',
        help='maximum bytes of a text; a longer one is an error of its row',
        default=1 << 20,
        parse=whole_number(1, 16 << 20),
        metavar='BYTES',
    ),
    _option(
        'wait_till_ready',
        help='seconds to wait until the server that it starts is ready',
        default=600,
        parse=whole_number(1),
        metavar='SECONDS',
    ),
    Option(
        ('overwrite',),
        FILES,
        'remove what an earlier job has left in the folder of the output, and start anew',
        default=False,
        flag=True,
    ),
]
