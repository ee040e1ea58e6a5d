"""The ring for workers on other machines: its ports, and the keys that only they get."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..addresses import ANY_IPV4, ANY_IPV6, own_address, with_brackets
from ..links.keys import KeyPair
from ..links.outlets import REMOTE
from ..links.ports import JobPort
from ..links.worker_links import RemoteAddress


class RemoteRing:
    """The ring over TCP of one server. Used by the server's thread alone."""

    def __init__(self, address: str) -> None:
        """Make the keys, and open the port for jobs; `address` is the one at which other machines reach this one.

        If it is none of this machine, because the network translates it, the ports are open at all addresses.

        Raises:
            StartError: nothing can listen there, or libzmq has no CURVE.
        """
        self._address = address
        try:
            self._listening = own_address(address)
        except ValueError:
            self._listening = ANY_IPV6 if ':' in address else ANY_IPV4
        self._keys, self._workers, self._sink = KeyPair.make(), KeyPair.make(), KeyPair.make()
        self.jobs = JobPort(self._listening, self._keys, self._workers.public)

    def sink_config(self) -> dict[str, Any]:
        """Return the part of the next sink's config for its port; each sink has keys of its own."""
        self._sink = KeyPair.make()
        return {'address': self._listening, 'keys': asdict(self._sink), 'workers': self._workers.public}

    def sink_endpoint(self, port: int) -> str:
        """Return where workers send their parts: the address of the sink and its public key."""
        return '%s %s' % (self._endpoint(port), self._sink.public)

    def worker_config(self, endpoint: str) -> dict[str, str]:
        """Return the part of the config of the worker at `endpoint` with which it reaches this server."""
        return asdict(
            RemoteAddress(
                jobs=self._endpoint(self.jobs.number),
                server_key=self._keys.public,
                name=endpoint.removeprefix(REMOTE),
                public_key=self._workers.public,
                secret_key=self._workers.secret,
            )
        )

    def _endpoint(self, port: int) -> str:
        return 'tcp://%s:%d' % (with_brackets(self._address), port)

    def close(self) -> None:
        """Close the port."""
        self.jobs.close()
