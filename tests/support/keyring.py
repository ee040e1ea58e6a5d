"""Keys for tests: a folder with those of a server and of some clients."""

from __future__ import annotations

from pathlib import Path

import zmq

from bert_serving.server.security.certificates import Certificate, format_certificate


class Keyring:
    """The files of a server with keys: `server.key_secret`, and `clients/` with the public key of each client."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.folder = folder
        self.clients = folder / 'clients'
        self.clients.mkdir()
        self.principals = folder / 'principals.toml'
        self.principals.write_text('')
        self.server = self.make('server', is_known=False)
        for name in names:
            self.make(name)

    def make(self, name: str, is_known: bool = True, principal: str | None = None) -> Certificate:
        """Write the keys of `name`, and let the server know them; the certificate says `principal`."""
        public, secret = (key.decode() for key in zmq.curve_keypair())
        certificate = Certificate(public, secret, principal or name)
        path = Path(self.file(name))
        path.write_text(format_certificate(certificate))
        path.chmod(0o600)
        if is_known:
            self.let_in(name, certificate)
        return certificate

    def let_in(self, name: str, certificate: Certificate) -> None:
        (self.clients / (name + '.key')).write_text(format_certificate(Certificate(certificate.public, name=name)))

    def revoke(self, name: str) -> None:
        (self.clients / (name + '.key')).unlink()

    def file(self, name: str) -> str:
        """The secret certificate of a client."""
        return str(self.folder / (name + '.key_secret'))

    @property
    def words(self) -> tuple[str, ...]:
        """The options of a server with these keys."""
        files = ('-curve_key_file', self.file('server'), '-curve_clients', str(self.clients))
        return (*files, '-principals', str(self.principals))

    def of(self, name: str) -> dict[str, str]:
        """The arguments of a client that holds the keys of `name`."""
        return {'server_key': self.server.public, 'key_file': self.file(name)}


def secured(socket: zmq.Socket[bytes], server: Certificate, own: Certificate) -> zmq.Socket[bytes]:
    """Let a plain socket of pyzmq connect with keys."""
    socket.setsockopt(zmq.CURVE_SERVERKEY, server.public.encode())
    socket.setsockopt(zmq.CURVE_PUBLICKEY, own.public.encode())
    socket.setsockopt(zmq.CURVE_SECRETKEY, (own.secret or '').encode())
    return socket
