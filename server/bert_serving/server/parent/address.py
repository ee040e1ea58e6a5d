"""The address of a running server, and the keys to connect with."""

from __future__ import annotations

from typing import NamedTuple

from ..addresses import with_brackets, without_brackets
from ..security.client_keys import NO_KEYS, ClientKeys


class Address(NamedTuple):
    """The host and the ports of a server, and the keys to connect with."""

    host: str
    port: int
    port_out: int
    keys: ClientKeys = NO_KEYS

    def __str__(self) -> str:
        return '%s:%d,%d' % (with_brackets(self.host), self.port, self.port_out)


def read_address(text: str) -> Address:
    """Parse `HOST:PORT,PORT_OUT`. Without a host it is localhost.

    Raises:
        ValueError: the text has another form; the message says what was expected.
    """
    host, _, ports = text.rpartition(':')
    numbers = ports.split(',')
    if len(numbers) != 2 or not all(number.isascii() and number.isdecimal() for number in numbers):
        raise ValueError('expected HOST:PORT,PORT_OUT, got %r' % text)
    return Address(without_brackets(host) or 'localhost', int(numbers[0]), int(numbers[1]))
