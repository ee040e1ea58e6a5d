"""The one table of options: the parsers, the environment, the status and the documentation all come from it.

`Settings` is a frozen dataclass whose fields are the options; what the command line says about each stands in the
field's metadata. Read by every process (each child gets the settings of its server as JSON), changed by none.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
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
    MODEL: 'which model is served; without any of them, the embedded default',
    BERT: 'how a text becomes a vector',
    SERVING: 'ports, batches and the queue',
    HTTP: "the server's second face, for everyone who is not Python; needs the extra [http]",
    DEVICES: 'what the model runs on',
    OTHER: '',
}

_TRUE = ('1', 'true', 'yes', 'on')
_FALSE = ('', '0', 'false', 'no', 'off')


@dataclass(frozen=True)
class Option:
    """What the command line, the environment and the documentation say of one field of `Settings`.

    `parse` turns one word of the command line into a value and raises ValueError, with what it expected, for any
    other. A `flag` takes no word: giving it stores that value.
    """

    names: tuple[str, ...]
    group: str
    help: str
    parse: Callable[[str], Any] = str
    metavar: str | None = None
    many: bool = False
    flag: bool | None = None
    secret: bool = False

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def variable(self) -> str:
        return ENVIRONMENT_PREFIX + self.name.upper()

    def parse_variable(self, text: str) -> Any:
        """The value that the environment variable's text stands for; ValueError says what was expected.

        A flag is on for 1, true, yes or on; several values are separated by blanks.
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
    """A parser of whole numbers from `least` to `most`."""
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
    """`-max_seq_len`: above 3, so that [CLS], [SEP] and a token fit; NONE for the longest of each batch."""
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


def _option(default: Any, group: str, help_: str, *names: str, **how: Any) -> Any:
    """A field of `Settings`; its first name defaults to the field's own."""
    return field(default=default, metadata={'names': names, 'group': group, 'help': help_, **how})


def _flag(group: str, help_: str, *names: str, stores: bool = True) -> Any:
    return _option(not stores, group, help_, *names, flag=stores)


@dataclass(frozen=True)
class Settings:
    """Every option of `bert-serving-start` with its value; the field names are the keys of the server's status."""

    model_dir: str | None = _option(
        None, MODEL, 'folder of the pre-trained model: of Google\'s layout (bert_config.json, bert_model.ckpt.*, '
        'vocab.txt) or Hugging Face\'s (config.json, model.safetensors, vocab.txt); without it, the embedded '
        'default model is served', metavar='DIR')  # fmt: skip
    tuned_model_dir: str | None = _option(
        None, MODEL, 'folder of a fine-tuned checkpoint; the configuration and the vocabulary stay those of '
        '-model_dir', metavar='DIR')  # fmt: skip
    ckpt_name: str = _option('bert_model.ckpt', MODEL, "prefix of the checkpoint's files", metavar='NAME')
    config_name: str = _option('bert_config.json', MODEL, 'file name of the configuration', metavar='NAME')
    graph_tmp_dir: str | None = _option(
        None, MODEL, 'folder where the frozen graph is written and kept; without it, a temporary file that is removed '
        'at exit', metavar='DIR')  # fmt: skip

    max_seq_len: int | None = _option(
        25, BERT, 'longest sequence in tokens, special tokens included, above 3; what is longer is cut on the right. '
        'NONE: as long as the longest of each batch', parse=sequence_length, metavar='N')  # fmt: skip
    do_lower_case: bool = _flag(
        BERT, 'keep case and accents; for a cased model', 'cased_tokenization', stores=False)  # fmt: skip
    pooling_layer: Sequence[int] = _option(
        (-2,), BERT, 'encoder layer(s) that are pooled, negative from the end; several are concatenated on the last '
        'axis', parse=integer, metavar='LAYER', many=True)  # fmt: skip
    pooling_strategy: PoolingStrategy = _option(
        PoolingStrategy.REDUCE_MEAN, BERT, 'how the hidden states of a text become one vector: one of %s'
        % ', '.join(PoolingStrategy.__members__), parse=pooling_strategy, metavar='STRATEGY')  # fmt: skip
    mask_cls_sep: bool = _flag(
        BERT, 'mask [CLS] and [SEP], in the attention as in the pooling; FIRST_TOKEN still answers its token'
    )
    no_special_token: bool = _flag(BERT, 'feed a tokenised single sequence without [CLS] and [SEP]')
    show_tokens_to_client: bool = _flag(BERT, 'send the tokens along with the vectors to clients that ask for them')
    no_position_embeddings: bool = _flag(BERT, 'leave the position embeddings out')
    num_labels: int = _option(
        2, BERT, 'number of classes of the CLASSIFICATION head', parse=whole_number(1), metavar='N'
    )
    fixed_embed_length: bool = _flag(
        BERT, 'with -max_seq_len NONE and -pooling_strategy NONE: pad every answer to max_position_embeddings, so that '
        'all have one shape')  # fmt: skip

    port: int = _option(
        5555, SERVING, 'port on which requests come in; 0 for any free one', 'port', 'port_in', 'port_data',
        parse=_port, metavar='PORT')  # fmt: skip
    port_out: int = _option(
        5556, SERVING, 'port on which answers go out; 0 for any free one', 'port_out', 'port_result',
        parse=_port, metavar='PORT')  # fmt: skip
    num_worker: int = _option(
        1, SERVING, 'number of workers, each a process with a model of its own', parse=whole_number(1), metavar='N'
    )
    max_batch_size: int = _option(
        256,
        SERVING,
        'most rows of a graph run; a larger request is split',
        parse=whole_number(1, MAX_ROWS),
        metavar='ROWS',
    )
    max_batch_tokens: int | None = _option(
        None, SERVING, 'most tokens of a graph run, padding included; without it -max_batch_size times -max_seq_len, '
        'and at most 1024 on a CPU, so that urgent requests do not wait long for the run that is on',
        parse=whole_number(1), metavar='TOKENS')  # fmt: skip
    priority_batch_size: int = _option(
        16, SERVING, 'a job of at most this many rows goes ahead of larger ones', parse=whole_number(0),
        metavar='ROWS')  # fmt: skip
    prefetch_size: int = _option(
        10, SERVING, 'batches that a worker holds, so that it never waits for the next', parse=whole_number(1),
        metavar='BATCHES')  # fmt: skip
    max_queue_rows: int = _option(
        1_000_000, SERVING, 'most rows that are accepted and not yet answered; what comes beyond is refused at once, '
        'except a request that is alone', parse=whole_number(1), metavar='ROWS')  # fmt: skip
    max_request_rows: int = _option(
        10_000_000, SERVING, 'most rows of a request', parse=whole_number(1, MAX_ROWS), metavar='ROWS'
    )
    max_message_bytes: int = _option(
        128 << 20, SERVING, 'most bytes of the texts of a request', parse=whole_number(1), metavar='BYTES'
    )
    worker_timeout: int = _option(
        120, SERVING, 'seconds after which a worker, or the sink, that is stopped or has not finished a piece of work is '
        'taken for stuck, killed and replaced', parse=whole_number(3), metavar='SECONDS')  # fmt: skip
    allow_remote_terminate: bool = _flag(SERVING, 'let bert-serving-terminate stop the server from another machine')
    shutdown_timeout: int = _option(
        30, SERVING, 'seconds in which accepted requests are still answered after a signal or bert-serving-terminate',
        parse=whole_number(0), metavar='SECONDS')  # fmt: skip

    http_port: int | None = _option(
        None, HTTP, 'port of the HTTP server; without it there is none; 0 for any free one', parse=_port, metavar='PORT')  # fmt: skip
    http_host: str = _option(
        '0.0.0.0', HTTP, 'address that it listens on; 127.0.0.1 for this machine only', metavar='ADDRESS')  # fmt: skip
    http_max_connect: int = _option(
        10, HTTP, 'HTTP requests that are worked on at a time', parse=whole_number(1), metavar='N'
    )
    http_max_waiting: int = _option(
        128, HTTP, 'HTTP requests that wait for their turn; what comes beyond is refused with 429',
        parse=whole_number(0), metavar='N')  # fmt: skip
    http_timeout: int = _option(
        60, HTTP, 'seconds in which an HTTP request is answered, waiting included; 504 after that',
        parse=whole_number(1, 86400), metavar='SECONDS')  # fmt: skip
    http_max_body: int = _option(
        1 << 24, HTTP, 'most bytes in the body of an HTTP request', parse=whole_number(1024), metavar='BYTES'
    )
    http_api_key: str | None = _option(
        None, HTTP, 'key that HTTP requests must bring as "Authorization: Bearer KEY". Who lists the processes can read '
        'a command line: better in the environment, or in a file', metavar='KEY', secret=True)  # fmt: skip
    http_api_key_file: str | None = _option(
        None, HTTP, 'file with such keys, one on a line; any of them will do', metavar='FILE')  # fmt: skip
    http_model_name: str | None = _option(
        None, HTTP, "names of the model in OpenAI's API, with commas between them; without it, that of the model's "
        'folder', metavar='NAME')  # fmt: skip
    cors: str = _option(
        '*', HTTP, 'origins whose pages may call the HTTP server from a browser, with commas between them',
        metavar='ORIGIN')  # fmt: skip

    cpu: bool = _flag(DEVICES, 'run on the CPU')
    xla: bool = _flag(DEVICES, 'compile the graph with XLA')
    fp16: bool = _flag(DEVICES, 'compute in float16 where the device can, and answer float16')
    bf16: bool = _flag(DEVICES, 'compute in bfloat16, and answer float32')
    gpu_memory_fraction: float = _option(
        0.5, DEVICES, "share of a GPU's memory that each worker may take", parse=fraction, metavar='FRACTION'
    )
    device_map: Sequence[int] = _option(
        (), DEVICES, 'GPU ids, cycled over the workers; -1 is the CPU, so that "0 -1" mixes; ignored with -cpu',
        parse=whole_number(-1), metavar='ID', many=True)  # fmt: skip

    verbose: bool = _flag(OTHER, 'log every request, and what TensorFlow says')

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Settings:
        """The settings in a namespace of `argparse`; what it lacks has its default, what it has besides is ignored.

        Raises:
            UsageError: options that contradict each other.
        """
        known = {f.name: getattr(args, f.name) for f in fields(cls) if hasattr(args, f.name)}
        return cls.from_dict(known)

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
            raise UsageError('-bf16 and -fp16 are two ways to compute: give one of them')
        if 0 != settings.port == settings.port_out:
            raise UsageError('-port and -port_out are both %d: give them different ports' % settings.port)
        return settings

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON can hold them: `pooling_strategy` as its integer, as in the status of 1.10."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values['pooling_strategy'] = self.pooling_strategy.value
        values['pooling_layer'] = list(self.pooling_layer)
        values['device_map'] = list(self.device_map)
        return values

    def to_status(self) -> dict[str, Any]:
        """`to_dict` with secrets as `***`: what clients are shown."""
        options = OPTIONS
        return {
            name: '***' if options[name].secret and value is not None else value
            for name, value in self.to_dict().items()
        }

    def to_table(self) -> str:
        """The two columns ARG and VALUE that a start prints."""
        rows = {**self.to_status(), 'pooling_strategy': str(self.pooling_strategy)}
        lines = ['%30s   %s' % ('ARG', 'VALUE'), '_' * 60]
        lines += ['%30s = %s' % (name, rows[name]) for name in sorted(rows)]
        return '\n'.join(lines)


def _read_options() -> dict[str, Option]:
    return {f.name: Option(**{**f.metadata, 'names': f.metadata['names'] or (f.name,)}) for f in fields(Settings)}


OPTIONS: Mapping[str, Option] = _read_options()
"""The options by field name of `Settings`."""
