"""TLS on the HTTP port: the versions and certificates it accepts, and peers that speak something else or nothing."""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import openai
import pytest

from bert_serving.server.errors import UsageError
from bert_serving.server.http import connections as connections_module
from bert_serving.server.http import frontend as frontend_module
from bert_serving.server.http import waitress_adapter
from bert_serving.server.http.config import HttpConfig
from bert_serving.server.http.frontend import Frontend
from bert_serving.server.http.tls import NothingToRead, Tls, TlsFiles, TlsSocket
from bert_serving.server.options.settings import Settings
from support.certificates import Authority, authority, localhost, openssl
from support.http_peers import BODY, PATIENCE_S, dial, get
from support.proxies import curl
from support.waiting import wait_until

StartFrontend = Callable[..., Frontend]

HEALTH = b'GET /health HTTP/1.1\r\nhost: a\r\n\r\n'


@pytest.fixture
def frontend(start_frontend: StartFrontend) -> Frontend:
    return start_frontend(tls=localhost())


def connect_raw(frontend: Frontend) -> socket.socket:
    """A connection without TLS."""
    return socket.create_connection(('127.0.0.1', frontend.port), timeout=PATIENCE_S)


def read_to_end(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(1 << 16):
        parts.append(part)
    return b''.join(parts)


@pytest.mark.parametrize(
    ('version', 'is_accepted'), [('-tls1', False), ('-tls1_1', False), ('-tls1_2', True), ('-tls1_3', True)]
)
def test_no_version_before_1_2_is_accepted(frontend: Frontend, version: str, is_accepted: bool) -> None:
    words = ('-cipher', 'DEFAULT:@SECLEVEL=0', '-CAfile', authority().ca, '-verify_return_error')
    done = openssl('s_client', '-connect', '127.0.0.1:%d' % frontend.port, version, *words)
    assert (done.returncode == 0) is is_accepted, done.stderr
    assert ('alert protocol version' in done.stderr) is not is_accepted, done.stderr


def test_a_client_cannot_renegotiate(frontend: Frontend) -> None:
    done = openssl('s_client', '-connect', '127.0.0.1:%d' % frontend.port, '-tls1_2', stdin='R\n')
    assert 'no renegotiation' in done.stderr


def test_clients_in_use_get_through(frontend: Frontend) -> None:
    url = 'https://127.0.0.1:%d' % frontend.port
    ca = str(authority().ca)
    status, answer = curl(url + '/encode', '--cacert', ca, '--data', BODY)
    assert (status, answer['id']) == (200, 1)
    with openai.DefaultHttpxClient(verify=authority().client_context()) as transport:
        client = openai.OpenAI(base_url=url + '/v1', api_key='none', http_client=transport)
        assert len(client.embeddings.create(model='tiny', input=['a', 'b']).data) == 2


def test_a_page_of_documentation_is_redirected_to_https(frontend: Frontend) -> None:
    answer = openssl_get(frontend, '/docs')
    assert b'308 ' in answer
    assert b'http://' not in answer.split(b'\r\n\r\n')[0]


def openssl_get(frontend: Frontend, path: str) -> bytes:
    with dial(frontend) as connection:
        connection.sendall(b'GET %s HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n' % path.encode())
        return read_to_end(connection)


def test_the_end_of_a_connection_is_told_in_tls(frontend: Frontend) -> None:
    """`dial` raises an error for an end without a close_notify."""
    assert b'200 OK' in openssl_get(frontend, '/openapi.json')


def test_requests_that_come_together_are_answered_in_order(frontend: Frontend) -> None:
    bodies = [json.dumps({'id': number, 'texts': ['a' * number]}) for number in (1, 5000, 3)]
    request = 'POST /encode HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n%s'
    with dial(frontend) as connection:
        connection.sendall(''.join(request % (len(body), body) for body in bodies).encode())
        for body in bodies:
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert json.loads(answer.read())['id'] == json.loads(body)['id']


def test_a_large_body_comes_and_a_large_answer_goes_to_one_that_reads_slowly(start_frontend: StartFrontend) -> None:
    frontend = start_frontend(tls=localhost(), max_body=1 << 25)
    body = json.dumps({'id': 'x' * (1 << 24), 'texts': ['a'] * 4096}).encode()
    with dial(frontend) as connection:
        connection.sendall(b'POST /encode HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n' % len(body) + body)
        wait_until(lambda: frontend._server.is_writing)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert len(json.loads(answer.read())['id']) == 1 << 24


def test_a_hundred_connections_at_once_are_served(frontend: Frontend) -> None:
    connections = [connect_raw(frontend) for _ in range(100)]
    context = authority().client_context()
    secured = [context.wrap_socket(connection, server_hostname='127.0.0.1') for connection in connections]
    for connection in secured:
        connection.sendall(HEALTH)
    for connection in secured:
        assert connection.recv(15) == b'HTTP/1.1 200 OK'
        connection.close()


def test_with_tls_connections_have_a_bound_of_their_own(
    start_frontend: StartFrontend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frontend_module, 'MAX_TLS_CONNECTIONS', 8)
    frontend = start_frontend(tls=localhost())
    connections = [connect_raw(frontend) for _ in range(20)]
    assert get(frontend, '/health')[0] == 200
    assert len(frontend._server.connections) <= 4, 'half of all, as they come from one address'
    for connection in connections:
        connection.close()


@pytest.mark.slow
@pytest.mark.parametrize('sent', [0, 1, 200])
def test_a_handshake_that_stops_is_cut_off(
    start_frontend: StartFrontend, monkeypatch: pytest.MonkeyPatch, sent: int
) -> None:
    monkeypatch.setattr(connections_module, 'HEADERS_S', 0.1)
    frontend = start_frontend(tls=localhost())
    with connect_raw(frontend) as connection, contextlib.suppress(ConnectionError):  # closed before it was read
        connection.sendall(hello()[:sent])
        assert connection.recv(1) == b''
    wait_until(lambda: not frontend._server.connections)


def hello() -> bytes:
    """The first message of a client."""
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(received, sent, server_hostname='a').do_handshake()
    return sent.read()


@pytest.mark.parametrize('method', [b'GET', b'DELETE', b'get'])
def test_http_without_tls_is_told_to_use_https(frontend: Frontend, method: bytes) -> None:
    with connect_raw(frontend) as connection:
        connection.sendall(method + b' /health HTTP/1.1\r\nhost: a\r\n\r\n')
        answer = read_to_end(connection)
    assert answer.startswith(b'HTTP/1.1 400 ')
    assert b'use https' in answer


def test_connections_without_tls_are_counted_in_the_log(
    frontend: Frontend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    body = b'x' * 3_000_000  # more than fits between the two sockets
    with connect_raw(frontend) as connection:
        connection.sendall(b'POST /encode HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n' % len(body) + body)
        assert b'use https' in connection.recv(1000), 'though all was sent before it was read'
    with connect_raw(frontend) as connection:
        connection.sendall(b'\x16\x03\x01' + b'\x00' * 100)
        with contextlib.suppress(ConnectionResetError):
            read_to_end(connection)
    with caplog.at_level(logging.WARNING):
        monkeypatch.setattr(waitress_adapter, 'LOG_S', 0.0)
        wait_until(lambda: 'plain_http=1' in caplog.text)
    assert caplog.text.count('did not get through the TLS handshake') == 1
    assert 'handshake: plain_http=1 ' in caplog.text, 'and one other'


def test_a_new_certificate_is_used_for_new_connections(
    start_frontend: StartFrontend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As a renewal does it: the files are links, which change one after the other."""
    monkeypatch.setattr(waitress_adapter, 'SWEEP_S', 0.0)
    old, new = authority().issue('old'), authority().issue('new')
    live = TlsFiles(str(tmp_path / 'cert.pem'), str(tmp_path / 'key.pem'))
    os.symlink(old.cert, live.cert)
    os.symlink(old.key, live.key)
    frontend = start_frontend(tls=live)
    with dial(frontend) as before, caplog.at_level(logging.INFO):
        assert name_of(before) == 'old'
        replace_link(live.cert, new.cert)
        wait_until(lambda: rounds(frontend) and 'kept the previous certificate' in caplog.text)
        with dial(frontend) as meanwhile:
            assert name_of(meanwhile) == 'old'
        replace_link(live.key, new.key)
        wait_until(lambda: rounds(frontend) and 'loaded the changed certificate' in caplog.text)
        with dial(frontend) as after:
            assert name_of(after) == 'new'
        before.sendall(HEALTH)
        assert before.recv(15) == b'HTTP/1.1 200 OK'
    assert caplog.text.count('kept the previous certificate') == 1


def rounds(frontend: Frontend) -> bool:
    frontend._server.wake()
    return True


def replace_link(path: str, target: str) -> None:
    os.symlink(target, path + '.new')
    os.replace(path + '.new', path)


def name_of(connection: socket.socket) -> str:
    """The common name in the certificate of the server."""
    assert isinstance(connection, ssl.SSLSocket)
    certificate = connection.getpeercert()
    assert certificate is not None
    return str(certificate['subject']).split("'")[3]


def test_with_a_client_ca_clients_need_its_certificate(start_frontend: StartFrontend, tmp_path: Path) -> None:
    frontend = start_frontend(tls=TlsFiles(localhost().cert, localhost().key, str(authority().ca)))
    stranger = Authority(tmp_path).issue('stranger')
    for own, is_accepted in ((None, False), (stranger, False), (authority().issue('client'), True)):
        context = authority().client_context(own)
        with context.wrap_socket(connect_raw(frontend), server_hostname='127.0.0.1') as connection:
            try:
                connection.sendall(HEALTH)
                answer = connection.recv(15)
            except OSError as error:
                answer = str(error).encode()
        assert (answer == b'HTTP/1.1 200 OK') is is_accepted, answer


def config(cert: object, key: object, client_ca: object = None) -> HttpConfig:
    values = {'http_tls_cert': cert, 'http_tls_key': key, 'http_tls_client_ca': client_ca}
    return HttpConfig.from_settings(Settings.from_dict({name: value and str(value) for name, value in values.items()}))


def test_files_that_cannot_be_used_are_named_at_the_start(tmp_path: Path) -> None:
    good = localhost()
    nonsense, encrypted, small = tmp_path / 'nonsense', tmp_path / 'encrypted', tmp_path / 'small.pem'
    broken = tmp_path / 'broken'
    nonsense.write_bytes(b'\xff no PEM')
    broken.write_text('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')
    openssl('pkey', '-in', good.key, '-aes256', '-passout', 'pass:secret', '-out', encrypted)
    openssl('req', '-x509', '-newkey', 'rsa:1024', '-nodes', '-keyout', tmp_path / 'k', '-out', small, '-subj', '/CN=a')
    for cert, key, client_ca, expected in (
        (good.cert, None, None, '-http_tls_cert and -http_tls_key: .* give both'),
        (None, None, authority().ca, '-http_tls_cert and -http_tls_key: .* give both'),
        (tmp_path / 'none', good.key, None, '-http_tls_cert: cannot read .*: No such file'),
        (good.cert, tmp_path, None, '-http_tls_key: cannot read .*: Is a directory'),
        (nonsense, good.key, None, '-http_tls_cert: no certificate in .*nonsense'),
        (good.cert, good.cert, None, '-http_tls_key: no private key in .*localhost.pem'),
        (good.cert, encrypted, None, '-http_tls_key: .*encrypted is encrypted: decrypt it'),
        (good.cert, authority().issue('other').key, None, '-http_tls_key: .*does not belong to the certificate'),
        (broken, good.key, None, '-http_tls_cert: cannot use .*broken'),
        (small, tmp_path / 'k', None, '-http_tls_cert: cannot use .* key too small'),
        (good.cert, good.key, nonsense, '-http_tls_client_ca: no certificate in .*nonsense'),
        (good.cert, good.key, broken, '-http_tls_client_ca: cannot use .*broken'),
    ):
        with pytest.raises(UsageError, match=expected) as caught:
            config(cert, key, client_ca)
        assert '\n' not in str(caught.value)
    assert config(good.cert, good.key).tls == good
    assert config(None, None).tls is None


class Ends:
    """A `TlsSocket`, and the end of its client, which is not yet secured."""

    def __init__(self) -> None:
        ours, self.client = socket.socketpair()
        ours.setblocking(False)
        self.refused: list[str] = []
        self.server: TlsSocket = Tls(localhost()).wrap(ours, self.refused.append)

    def shake_hands(self) -> ssl.SSLSocket:
        context = authority().client_context()
        client = context.wrap_socket(self.client, server_hostname='127.0.0.1', do_handshake_on_connect=False)
        thread = threading.Thread(target=client.do_handshake)
        thread.start()
        is_over = False
        while not is_over:
            is_over = not thread.is_alive()  # looked at first: the last message of the client is read after it
            with pytest.raises(NothingToRead):
                self.server.recv(100)
        self.client = client
        return client

    def close(self) -> None:
        self.client.close()
        self.server.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    ends.close()


def test_no_decrypted_byte_stays_behind_where_poll_does_not_see_it(ends: Ends) -> None:
    client = ends.shake_hands()
    client.sendall(b'x' * 16_000)
    assert len(ends.server.recv(10)) == 16_000
    with pytest.raises(NothingToRead):
        ends.server.recv(10)


def test_a_record_that_could_not_be_written_is_written_again_though_more_has_come(ends: Ends) -> None:
    client = ends.shake_hands()
    data = os.urandom(3_000_000)
    sent = 0
    while written := ends.server.send(data[sent : sent + 9_000]):
        sent += written
    received: list[bytes] = []
    while sum(map(len, received)) < len(data):
        received.append(client.recv(1 << 16))
        sent += ends.server.send(data[sent : sent + 40_000])
    assert b''.join(received) == data


def test_nothing_is_sent_before_the_handshake(ends: Ends) -> None:
    with pytest.raises(ConnectionAbortedError):
        ends.server.send(b'secret')
    ends.server.close()
    assert ends.client.recv(10) == b''


def test_a_client_that_leaves_before_or_in_the_handshake_is_no_failure(ends: Ends) -> None:
    ends.client.close()
    assert ends.server.recv(10) == b''
    second = Ends()
    second.client.sendall(hello()[:100])
    with pytest.raises(NothingToRead):
        second.server.recv(10)
    second.client.close()
    with pytest.raises(ConnectionAbortedError):
        second.server.recv(10)
    second.close()
    assert ends.refused == second.refused == []


def test_after_the_end_input_is_dropped_and_never_taken_for_data(ends: Ends) -> None:
    client = ends.shake_hands()
    client.sendall(b'late')
    ends.server.shutdown(socket.SHUT_WR)
    assert client.recv(10) == b'', 'a close_notify'
    with pytest.raises(NothingToRead):
        ends.server.recv(100)
    client.close()
    assert ends.server.recv(100) == b''
    with pytest.raises(ConnectionAbortedError):
        ends.server.send(b'x')
