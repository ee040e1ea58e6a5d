"""The keys of the ring over TCP. A server generates them when it starts, and only its own processes get them."""

from __future__ import annotations

from dataclasses import dataclass, field

import zmq

from ..errors import StartError


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A public key and its secret, both in Z85."""

    public: str
    secret: str = field(repr=False)

    @classmethod
    def make(cls) -> KeyPair:
        """Make a pair of keys.

        Raises:
            StartError: libzmq has no CURVE.
        """
        if not zmq.has('curve'):
            raise StartError(
                '-ray: libzmq %s on this machine has no CURVE: install pyzmq from PyPI, whose wheels have it'
                % zmq.zmq_version()
            )
        public, secret = zmq.curve_keypair()
        return cls(public.decode(), secret.decode())
