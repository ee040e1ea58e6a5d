"""TCP addresses: resolve the one to listen on, find the one to connect to, and format them."""

from __future__ import annotations

import ipaddress
import re
import socket

ANY = '*'
"""The value of `-host` for all IPv4 addresses of this machine, as in 1.10."""

ANY_IPV4, ANY_IPV6 = '0.0.0.0', '::'

_HOST = re.compile(r"[\w.~!$&'()*+;=%:\[\]-]*", re.ASCII)

_REMEDY = 'use an address or name of this machine, * for all IPv4 addresses, or :: for all IPv4 and IPv6 addresses'


def is_host(text: str) -> bool:
    """Whether a Host header has only characters of a name or an address, with or without a port (RFC 3986, 3.2.2).

    Other programs could read other characters as a user or a path.
    """
    return _HOST.fullmatch(text) is not None


def own_address(host: str) -> str:
    """Return the numeric address to listen on for the value `host` of `-host`.

    If `host` is a name with several addresses, the result is the first one of this machine. IPv4 comes before IPv6,
    because 1.10 clients support only IPv4.

    Raises:
        ValueError: the name has no address, or the address does not belong to this machine.
    """
    name = without_brackets(host)
    if name == ANY:
        return ANY_IPV4
    try:
        found = socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ValueError('cannot resolve it (%s): %s' % (_reason(error), _REMEDY)) from None
    reason = ''
    for family, kind, protocol, _, address in sorted(found, key=lambda each: each[0] != socket.AF_INET):
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.bind(address)
        except OSError as error:
            reason = _reason(error)
        else:
            return socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
    raise ValueError('cannot listen on it (%s): %s' % (reason, _REMEDY))


def reachable(host: str) -> str:
    """Return the address at which programs on the same machine reach a server that listens on `host`."""
    name = without_brackets(host)
    return {ANY: '127.0.0.1', '': '127.0.0.1', ANY_IPV4: '127.0.0.1', ANY_IPV6: '::1'}.get(name, name)


def url_of(host: str, port: int) -> str:
    """Return the URL at which a browser on the same machine reaches an HTTP server that listens on `host`."""
    address = reachable(host)
    return 'http://%s:%d/' % ('localhost' if is_loopback(address) else with_brackets(address), port)


def without_brackets(host: str) -> str:
    """Return an IPv6 address without the brackets of a URL, and anything else unchanged."""
    return host[1:-1] if host[:1] == '[' and host[-1:] == ']' else host


def with_brackets(host: str) -> str:
    """Return an IPv6 address in brackets, so that a port can follow it, and anything else unchanged."""
    return '[%s]' % host if ':' in host and host[:1] != '[' else host


def is_loopback(address: str) -> bool:
    """Return whether a peer's address, in ZeroMQ's form, is on the loopback interface of this machine."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, 'ipv4_mapped', None)
    return bool((mapped or parsed).is_loopback)


def is_local(peer: str, listening: str) -> bool:
    """Return whether a peer is certainly on the same machine as the server, which listens on `listening`.

    Its address is a loopback address, or the server's own: no other machine can connect from these.
    """
    return is_loopback(peer) or (peer == listening and peer not in ('', ANY_IPV4, ANY_IPV6))


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
