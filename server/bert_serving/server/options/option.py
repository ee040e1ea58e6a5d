"""Options as descriptions, and how a field of `Settings` gets one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

ENVIRONMENT_PREFIX = 'BERT_SERVING_'

MODEL = 'Model'
BERT = 'BERT parameters'
SERVING = 'Serving'
SECURITY = 'Security'
HTTP = 'HTTP'
SECURITY = 'Security'
DEVICES = 'Devices'
CLUSTER = 'Cluster'
OTHER = 'Other'

GROUPS = {
    MODEL: 'the model to serve; without these options, the embedded default model',
    BERT: 'how the model turns a text into a vector',
    SERVING: 'ports, batches and the request queue',
    SECURITY: 'encryption and client keys of the two ZeroMQ ports, and the rights of each client',
    HTTP: 'the HTTP API, for clients in any language; needs the extra [http]',
    DEVICES: 'where the model runs',
    CLUSTER: 'workers on the nodes of a Ray cluster; needs the extra [ray]',
    OTHER: '',
}

_TRUE = ('1', 'true', 'yes', 'on')
_FALSE = ('', '0', 'false', 'no', 'off')


@dataclass(frozen=True)
class Option:
    """One option, for the command line, the environment and the documentation.

    `default` is its value if the user does not give it. `parse` turns one word of the command line into a value; for an
    invalid word it raises a ValueError that says what it expected. A `flag` takes no word: giving it stores the value
    of `flag`. With `many`, several words can follow. If it `adds_up`, the words of all its occurrences count, otherwise
    only those of the last.
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
        """Parse the text of the environment variable.

        A flag is on for 1, true, yes or on. Spaces separate several values.

        Raises:
            ValueError: the text is not valid; the message says what was expected.
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


def option(
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


def flag(*, group: str, help: str, names: tuple[str, ...] = (), stores: bool = True) -> Any:
    """A field of `Settings` whose option takes no value: giving it makes the field `stores`."""
    option = Option(names, group, help, default=not stores, flag=stores)
    return field(default=not stores, metadata={'option': option})
