"""The one table of options, from which the parsers, the environment variables, the status and the documentation come.

`Settings` is a frozen dataclass whose fields are the options; the metadata of each field holds its `Option`. Every
process reads the settings (a child gets those of its server as JSON), and none changes them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ..console.suggestions import did_you_mean
from ..errors import UsageError
from ..model.pooling import PoolingStrategy
from ..protocol.wire import MAX_ROWS

ENVIRONMENT_PREFIX = 'BERT_SERVING_'

MODEL = 'Model'
BERT = 'BERT parameters'
SERVING = 'Serving'
HTTP = 'HTTP'
DEVICES = 'Devices'
OTHER = 'Other'

GROUPS = {
    MODEL: 'the model to serve; without these options, the embedded default model',
    BERT: 'how the model turns a text into a vector',
    SERVING: 'ports, batches and the queue',
    HTTP: 'the HTTP API, for clients in any language; needs the extra [http]',
    DEVICES: 'where the model runs',
    OTHER: '',
}

MODEL_SAYS = ('max_seq_len', 'pooling_layer', 'pooling_strategy')
"""The options that a published folder has values for, which hold unless the user gives others."""

_TRUE = ('1', 'true', 'yes', 'on')
_FALSE = ('', '0', 'false', 'no', 'off')


@dataclass(frozen=True)
class Option:
    """An option as the command line, the environment and the documentation describe it.

    `default` is its value when it is not given. `parse` turns one word of the command line into a value and raises
    ValueError, which says what it expected, for any other word. A `flag` takes no word: giving it stores that value.
    `many` words may follow it; if it `adds_up`, those of all its occurrences count, else those of the last.
    """

    names: tuple[str, ...]
    group: str
    help: str
    default: Any = None
    parse: Callable[[str], Any] = str
    metavar: str | None = None
    many: bool = False
    adds_up: bool = False
    flag: bool | None = None
    secret: bool = False

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def variable(self) -> str:
        return ENVIRONMENT_PREFIX + self.name.upper()

    def parse_variable(self, text: str) -> Any:
        """Parse the text of the environment variable; ValueError says what was expected.

        A flag is on for 1, true, yes or on. Several values are separated by spaces.
        """
        if self.flag is not None:
            if text.strip().lower() in _TRUE:
                return self.flag
            if text.strip().lower() in _FALSE:
                return not self.flag
            raise ValueError('expected one of %s' % ', '.join(_TRUE + _FALSE[1:]))
        if self.many:
            return [self.parse(word) for word in text.split()]
        return self.parse(text)


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """Make a parser of whole numbers from `least` to `most`."""
    wanted = 'a whole number of at least %d' % least if most is None else 'a number from %d to %d' % (least, most)

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError('expected %s, got %r' % (wanted, text)) from None
        if value < least or (most is not None and value > most):
            raise ValueError('expected %s, got %d' % (wanted, value))
        return value

    return parse


def host(text: str) -> str:
    """Parse an address or a name. Not an empty text: it would mean every address to one who expects none of them."""
    if not text.strip():
        raise ValueError('expected an address or a name, got %r' % text)
    return text.strip()


def integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError('expected an integer, got %r' % text) from None


def fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float('nan')
    if not 0.0 < value <= 1.0:
        raise ValueError('expected a fraction above 0 and up to 1, got %r' % text)
    return value


def sequence_length(text: str) -> int | None:
    """Parse `-max_seq_len`: above 3, so that [CLS], [SEP] and a token fit; NONE for the longest of each batch."""
    if text in ('NONE', 'none', 'None'):
        return None
    try:
        value = int(text)
    except ValueError:
        raise ValueError('expected a number above 3, or NONE; got %r' % text) from None
    if value <= 3:
        raise ValueError('expected a number above 3, or NONE; got %d' % value)
    return value


def pooling_strategy(text: str) -> PoolingStrategy:
    try:
        return PoolingStrategy.from_string(text)
    except KeyError as error:
        raise ValueError(error.args[0] + did_you_mean(text, PoolingStrategy.__members__)) from None


_port = whole_number(0, 65535)


def _option(
    *,
    default: Any,
    group: str,
    help: str,
    names: tuple[str, ...] = (),
    parse: Callable[[str], Any] = str,
    metavar: str,
    many: bool = False,
    secret: bool = False,
) -> Any:
    """A field of `Settings` whose option takes a value. `names` defaults to the name of the field."""
    option = Option(names, group, help, default, parse, metavar, many, secret=secret)
    return field(default=default, metadata={'option': option})


def _flag(*, group: str, help: str, names: tuple[str, ...] = (), stores: bool = True) -> Any:
    """A field of `Settings` whose option takes no value: giving it makes the field `stores`."""
    option = Option(names, group, help, default=not stores, flag=stores)
    return field(default=not stores, metadata={'option': option})


@dataclass(frozen=True)
class Settings:
    """The value of every option of `bert-serving-start`; the field names are the keys of the server's status."""

    model_dir: str | None = _option(
        default=None,
        group=MODEL,
        help='folder of the pre-trained model, in the layout of Google (bert_config.json, bert_model.ckpt.*, '
        'vocab.txt) or Hugging Face (config.json, model.safetensors, tokenizer.json or vocab.txt), or the name of a '
        'model on the Hugging Face hub (ORG/NAME or ORG/NAME@REVISION, with the extra [hub]); without it, the embedded '
        'default model is served',
        metavar='DIR',
    )
    tuned_model_dir: str | None = _option(
        default=None,
        group=MODEL,
        help='folder of a fine-tuned checkpoint; the configuration and vocabulary still come from -model_dir',
        metavar='DIR',
    )
    ckpt_name: str = _option(
        default='bert_model.ckpt',
        group=MODEL,
        help='file name prefix of the checkpoint',
        metavar='NAME',
    )
    config_name: str = _option(
        default='bert_config.json',
        group=MODEL,
        help='file name of the configuration',
        metavar='NAME',
    )
    graph_tmp_dir: str | None = _option(
        default=None,
        group=MODEL,
        help='folder in which to write and keep the frozen graph (default: a temporary file, removed at exit)',
        metavar='DIR',
    )

    max_seq_len: int | None = _option(
        default=25,
        group=BERT,
        help='maximum tokens per sequence, [CLS] and [SEP] included, at least 4; longer sequences are truncated on the '
        'right. NONE: the length of the longest sequence in each batch. The folder of a published model has its own default',
        parse=sequence_length,
        metavar='N',
    )
    do_lower_case: bool = _flag(
        group=BERT,
        help='keep case and accents, for a cased model',
        names=('cased_tokenization',),
        stores=False,
    )
    pooling_layer: Sequence[int] = _option(
        default=(-2,),
        group=BERT,
        help='encoder layers to pool, negative numbers counting from the last; several layers are concatenated on the '
        'last axis. The default for a published model is -1',
        parse=integer,
        metavar='LAYER',
        many=True,
    )
    pooling_strategy: PoolingStrategy = _option(
        default=PoolingStrategy.REDUCE_MEAN,
        group=BERT,
        help='how to pool the hidden states of a text into one vector: one of %s. The default for a published model is '
        'what its folder says' % ', '.join(PoolingStrategy.__members__),
        parse=pooling_strategy,
        metavar='STRATEGY',
    )
    mask_cls_sep: bool = _flag(
        group=BERT,
        help='mask [CLS] and [SEP] in attention and pooling; FIRST_TOKEN still returns the state of [CLS]',
    )
    no_special_token: bool = _flag(
        group=BERT,
        help='do not add [CLS] and [SEP] to a single sequence that the client has tokenized',
    )
    show_tokens_to_client: bool = _flag(
        group=BERT,
        help='return the tokens along with the vectors to clients that ask for them',
    )
    no_position_embeddings: bool = _flag(
        group=BERT,
        help='do not add position embeddings',
    )
    num_labels: int = _option(
        default=2,
        group=BERT,
        help='number of classes of the CLASSIFICATION head',
        parse=whole_number(1),
        metavar='N',
    )
    fixed_embed_length: bool = _flag(
        group=BERT,
        help='with -max_seq_len NONE and -pooling_strategy NONE: pad every answer to max_position_embeddings, so that '
        'all answers have the same shape',
    )

    host: str = _option(
        default='*',
        group=SERVING,
        help='address of this machine on which to take requests and send results. *: every IPv4 address; ::: every '
        'IPv6 and IPv4 address; 127.0.0.1 or ::1: programs on this machine only',
        parse=host,
        metavar='ADDRESS',
    )
    port: int = _option(
        default=5555,
        group=SERVING,
        help='port for requests; 0 picks a free one',
        names=('port', 'port_in', 'port_data'),
        parse=_port,
        metavar='PORT',
    )
    port_out: int = _option(
        default=5556,
        group=SERVING,
        help='port for results; 0 picks a free one',
        names=('port_out', 'port_result'),
        parse=_port,
        metavar='PORT',
    )
    num_worker: int = _option(
        default=1,
        group=SERVING,
        help='number of worker processes, each with its own copy of the model',
        parse=whole_number(1),
        metavar='N',
    )
    max_batch_size: int = _option(
        default=256,
        group=SERVING,
        help='maximum rows per batch; a larger request is split',
        parse=whole_number(1, MAX_ROWS),
        metavar='ROWS',
    )
    max_batch_tokens: int | None = _option(
        default=None,
        group=SERVING,
        help='maximum tokens per batch, padding included (default: -max_batch_size × -max_seq_len; at most 1024 on a '
        'CPU, to keep urgent requests from waiting)',
        parse=whole_number(1),
        metavar='TOKENS',
    )
    cache_rows: int = _option(
        default=0,
        group=SERVING,
        help='number of rows whose vectors each worker keeps, to answer equal rows without computing them; at most 256 MB '
        'a worker (default: 0, none)',
        parse=whole_number(0),
        metavar='ROWS',
    )
    priority_batch_size: int = _option(
        default=16,
        group=SERVING,
        help='maximum rows of an urgent job; urgent jobs go ahead of larger ones',
        parse=whole_number(0),
        metavar='ROWS',
    )
    prefetch_size: int = _option(
        default=10,
        group=SERVING,
        help='number of batches queued at each worker, so that it never waits for the next one',
        parse=whole_number(1),
        metavar='BATCHES',
    )
    max_queue_rows: int = _option(
        default=1_000_000,
        group=SERVING,
        help='maximum rows accepted but not yet answered; further requests are rejected. A request larger than this is '
        'accepted when the queue is empty',
        parse=whole_number(1),
        metavar='ROWS',
    )
    max_request_rows: int = _option(
        default=10_000_000,
        group=SERVING,
        help='maximum rows per request',
        parse=whole_number(1, MAX_ROWS),
        metavar='ROWS',
    )
    max_message_bytes: int = _option(
        default=128 << 20,
        group=SERVING,
        help='maximum bytes of text per request',
        parse=whole_number(1),
        metavar='BYTES',
    )
    worker_timeout: int = _option(
        default=120,
        group=SERVING,
        help='seconds without a heartbeat, or on one piece of work such as a batch, after which a worker or the sink '
        'is killed and restarted',
        parse=whole_number(3),
        metavar='SECONDS',
    )
    allow_remote_terminate: bool = _flag(
        group=SERVING,
        help='let bert-serving-terminate stop the server from another machine',
    )
    no_terminate: bool = _flag(
        group=SERVING,
        help='ignore bert-serving-terminate, which any user of this machine can run; stop the server with a signal',
    )
    shutdown_timeout: int = _option(
        default=30,
        group=SERVING,
        help='seconds to keep serving accepted requests during shutdown',
        parse=whole_number(0),
        metavar='SECONDS',
    )

    http_port: int | None = _option(
        default=None,
        group=HTTP,
        help='port of the HTTP server; 0 picks a free one (default: no HTTP server)',
        parse=_port,
        metavar='PORT',
    )
    http_host: str = _option(
        default='0.0.0.0',
        group=HTTP,
        help='address to listen on; 127.0.0.1 accepts requests from this machine only',
        metavar='ADDRESS',
    )
    http_max_connect: int = _option(
        default=10,
        group=HTTP,
        help='maximum HTTP requests served at the same time',
        parse=whole_number(1),
        metavar='N',
    )
    http_max_waiting: int = _option(
        default=128,
        group=HTTP,
        help='maximum HTTP requests waiting for their turn; further ones are rejected with status 429',
        parse=whole_number(0),
        metavar='N',
    )
    http_timeout: int = _option(
        default=60,
        group=HTTP,
        help='seconds to answer an HTTP request, waiting included; after that it is answered with status 504',
        parse=whole_number(1, 86400),
        metavar='SECONDS',
    )
    http_max_body: int = _option(
        default=1 << 24,
        group=HTTP,
        help='maximum bytes of the body of an HTTP request',
        parse=whole_number(1024),
        metavar='BYTES',
    )
    http_api_key: str | None = _option(
        default=None,
        group=HTTP,
        help='key that HTTP requests must send as "Authorization: Bearer KEY". Command lines are visible in process '
        'listings: prefer the environment variable or -http_api_key_file',
        metavar='KEY',
        secret=True,
    )
    http_api_key_file: str | None = _option(
        default=None,
        group=HTTP,
        help='file with the accepted keys, one per line',
        metavar='FILE',
    )
    http_model_name: str | None = _option(
        default=None,
        group=HTTP,
        help='comma-separated model names for the OpenAI API (default: name of the model)',
        metavar='NAME',
    )
    http_token_ids: bool = _flag(
        group=HTTP,
        help="accept token ids instead of texts, as ids of the model's own vocabulary; by default they are rejected, "
        'because LangChain sends ids of another vocabulary',
    )
    cors: str = _option(
        default='*',
        group=HTTP,
        help='comma-separated origins whose pages can call the HTTP server from a browser',
        metavar='ORIGIN',
    )

    cpu: bool = _flag(
        group=DEVICES,
        help='run on the CPU',
    )
    xla: bool = _flag(
        group=DEVICES,
        help='compile the graph with XLA',
    )
    fp16: bool = _flag(
        group=DEVICES,
        help='compute in float16 if all workers run on GPUs, and return float16 vectors',
    )
    bf16: bool = _flag(
        group=DEVICES,
        help='compute in bfloat16, and return float32 vectors',
    )
    gpu_memory_fraction: float = _option(
        default=0.5,
        group=DEVICES,
        help="fraction of a GPU's memory that each worker can use",
        parse=fraction,
        metavar='FRACTION',
    )
    device_map: Sequence[int] = _option(
        default=(),
        group=DEVICES,
        help='GPU ids, assigned to the workers in turn; -1 is the CPU, so "0 -1" uses both; ignored with -cpu',
        parse=whole_number(-1),
        metavar='ID',
        many=True,
    )

    verbose: bool = _flag(
        group=OTHER,
        help='log every request, and the messages of TensorFlow',
    )

    left_to_model: frozenset[str] = field(default=frozenset(), compare=False)
    """No option: which of `MODEL_SAYS` nobody has given, so that a published folder decides. `parent.plan` looks."""

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Settings:
        """The settings in a namespace of `argparse`. Missing attributes get their defaults, others are ignored.

        Raises:
            UsageError: two options contradict each other.
        """
        known = {name: getattr(args, name) for name in OPTIONS if hasattr(args, name)}
        settings = cls.from_dict(known)
        given = getattr(args, 'given_options', ())
        left = [name for name in MODEL_SAYS if name not in given and getattr(settings, name) == getattr(cls, name)]
        return replace(settings, left_to_model=frozenset(left))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """The settings of `to_dict`, from any mapping of field names to values."""
        values = dict(values)
        strategy = values.get('pooling_strategy', cls.pooling_strategy)
        if isinstance(strategy, str):
            strategy = PoolingStrategy.from_string(strategy)
        values['pooling_strategy'] = PoolingStrategy(strategy)
        for name in ('pooling_layer', 'device_map'):
            given = values.get(name, getattr(cls, name))
            values[name] = (given,) if isinstance(given, int) else tuple(given)
        if not values['pooling_layer']:
            raise UsageError('-pooling_layer: expected at least one layer')
        settings = cls(**values)
        if settings.bf16 and settings.fp16:
            raise UsageError('-bf16 and -fp16 are mutually exclusive')
        if settings.no_terminate and settings.allow_remote_terminate:
            raise UsageError('-no_terminate and -allow_remote_terminate are mutually exclusive')
        if 0 != settings.port == settings.port_out:
            raise UsageError('-port and -port_out are both %d: give them different ports' % settings.port)
        return settings

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values; `pooling_strategy` is its integer, as in the status of 1.10."""
        values = {name: getattr(self, name) for name in OPTIONS}
        values['pooling_strategy'] = self.pooling_strategy.value
        values['pooling_layer'] = list(self.pooling_layer)
        values['device_map'] = list(self.device_map)
        return values

    def without_secrets(self) -> Settings:
        """The settings for a process that needs no secret."""
        hidden: dict[str, Any] = {name: None for name, option in OPTIONS.items() if option.secret}
        return replace(self, **hidden)

    def to_status(self) -> dict[str, Any]:
        """`to_dict` for clients: secrets are replaced by `***`."""
        options = OPTIONS
        return {
            name: '***' if options[name].secret and value is not None else value
            for name, value in self.to_dict().items()
        }

    def to_table(self) -> str:
        """The two columns ARG and VALUE that the server prints when it starts."""
        rows = {**self.to_status(), 'pooling_strategy': str(self.pooling_strategy)}
        for name in self.left_to_model:
            rows[name] = '%s, unless the folder of the model says otherwise' % rows[name]
        lines = ['%30s   %s' % ('ARG', 'VALUE'), '_' * 60]
        lines += ['%30s = %s' % (name, rows[name]) for name in sorted(rows)]
        return '\n'.join(lines)


def _read_options() -> dict[str, Option]:
    options: dict[str, Option] = {f.name: f.metadata['option'] for f in fields(Settings) if f.metadata}
    return {name: replace(option, names=option.names or (name,)) for name, option in options.items()}


OPTIONS: Mapping[str, Option] = _read_options()
"""The options by field name of `Settings`."""
