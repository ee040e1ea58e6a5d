"""Addresses on TCP: which one a server listens on, where programs reach it, and how it is written."""

from __future__ import annotations

import ipaddress
import socket

ANY = '*'
"""As `-host`: all IPv4 addresses of this machine, as in 1.10."""

ANY_IPV4, ANY_IPV6 = '0.0.0.0', '::'

_REMEDY = 'give an address or a name of this machine, * for all of IPv4, or :: for all of IPv4 and IPv6'


def own_address(host: str) -> str:
    """Return the address on which a server listens that is to listen on `host`, as numbers.

    A name can have several addresses. It is the first one of this machine, and IPv4 before IPv6, because a client of
    1.10 knows IPv4 alone.

    Raises:
        ValueError: the name has no address, or the address is none of this machine.
    """
    name = without_brackets(host)
    if name == ANY:
        return ANY_IPV4
    try:
        found = socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ValueError('found no such address (%s): %s' % (_reason(error), _REMEDY)) from None
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
    """Return an IPv6 address without the brackets that it has in a URL; anything else as it is."""
    return host[1:-1] if host[:1] == '[' and host[-1:] == ']' else host


def with_brackets(host: str) -> str:
    """Return an IPv6 address in brackets, as a port follows it; anything else as it is."""
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
    """Return whether a peer of a server that listens on the address `listening` is on the same machine for sure.

    It comes from the loopback interface, or from the server's own address: nobody else can have a connection from
    there.
    """
    return is_loopback(peer) or (peer == listening and peer not in ('', ANY_IPV4, ANY_IPV6))


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
