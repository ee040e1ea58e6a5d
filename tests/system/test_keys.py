"""A server with keys and real peers: who is let in, who is told what, and what happens when that changes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from bert_serving.client import AuthenticationError, BertClient, ServerError
from bert_serving.server.errors import StartError
from bert_serving.server.helper import get_args_parser, get_shutdown_parser
from bert_serving.server.parent import terminate
from bert_serving.server.parent.server import BertServer
from bert_serving.server.protocol.wire import encode_client_message
from bert_serving.server.security.certificates import Certificate
from support.keyring import Keyring, secured
from support.serving import SMALL_MODEL, FakeServer, connect, fake_path
from support.waiting import wait_until

pytestmark = pytest.mark.slow


class Guarded:
    """A server with keys, and the keys of alice and bob."""

    def __init__(self, folder: Path) -> None:
        self.keys = Keyring(folder, 'alice', 'bob')
        self.audit_file = folder / 'audit.jsonl'
        words = ['-cpu', '-model_dir', SMALL_MODEL, '-port', '0', '-port_out', '0', '-audit_file', str(self.audit_file)]
        self.server = FakeServer(get_args_parser().parse_args([*words, *self.keys.words]))

    def connect(self, name: str, **options: Any) -> BertClient:
        return connect(self.server, **self.keys.of(name), **{'timeout': 20_000, **options})

    def audit(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.audit_file.read_text().splitlines()]


@pytest.fixture(scope='module')
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    before = os.environ.get('PYTHONPATH')
    os.environ['PYTHONPATH'] = fake_path()
    guarded = Guarded(tmp_path_factory.mktemp('keys'))
    try:
        with guarded.server:
            yield guarded
    finally:
        os.environ.pop('PYTHONPATH')
        if before is not None:
            os.environ['PYTHONPATH'] = before


MakeSocket = Callable[[int, Keyring, Certificate], Any]


@pytest.fixture
def make_socket() -> Iterator[MakeSocket]:
    """Makes sockets of pyzmq that connect with keys, and closes them at the end."""
    context: zmq.Context[Any] = zmq.Context()
    made: list[Any] = []

    def make(kind: int, keys: Keyring, own: Certificate) -> Any:
        made.append(secured(context.socket(kind), keys.server, own))
        return made[-1]

    yield make
    for socket in made:
        socket.close(0)
    context.term()


def encode_until_it_fails(client: BertClient) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        client.encode(['a'])


def test_a_client_with_a_key_is_served_and_its_identity_begins_with_its_name(guarded: Guarded) -> None:
    with guarded.connect('alice') as alice, guarded.connect('bob', identity='mine') as bob:
        assert alice.encode(['a']).shape == bob.encode(['a']).shape
        assert alice.identity.startswith(b'alice.')
        assert bob.identity == b'bob.mine'


def test_a_client_without_a_key_is_told_so_at_once(guarded: Guarded) -> None:
    with pytest.raises(AuthenticationError, match='accepts only clients with a key: pass "server_key"'):
        connect(guarded.server, server_key='')


def test_a_client_with_a_key_that_the_server_does_not_know_is_told_so_at_once(guarded: Guarded) -> None:
    guarded.keys.make('eve', is_known=False)
    with pytest.raises(AuthenticationError, match='does not know the key of this client'):
        guarded.connect('eve')


def test_a_client_with_a_wrong_key_of_the_server_does_not_hang(guarded: Guarded) -> None:
    keys = {**guarded.keys.of('alice'), 'server_key': guarded.keys.make('other', is_known=False).public}
    with pytest.raises(AuthenticationError, match='"server_key" is probably not its key'):
        connect(guarded.server, **keys)


def test_a_client_whose_certificate_has_the_name_of_another_is_told_so(guarded: Guarded) -> None:
    certificate = guarded.keys.make('misnamed', is_known=False, principal='bob')
    guarded.keys.let_in('carol', certificate)
    with pytest.raises(AuthenticationError, match=r"principal 'carol', the owner of this key: begin it with 'carol\.'"):
        guarded.connect('misnamed')
    guarded.keys.revoke('carol')


def test_pyzmq_without_our_client_is_served_with_a_key(guarded: Guarded, make_socket: MakeSocket) -> None:
    keys = guarded.keys
    own = keys.make('dave')
    reader, sender = (make_socket(kind, keys, own) for kind in (zmq.SUB, zmq.PUSH))
    reader.setsockopt(zmq.SUBSCRIBE, b'dave.1')
    reader.connect('tcp://127.0.0.1:%d' % guarded.server.port_out)
    sender.connect('tcp://127.0.0.1:%d' % guarded.server.port)
    sender.send_multipart(encode_client_message(b'dave.1', b'["a"]', 7, 1))
    assert reader.poll(20_000)
    identity, header, _body, request_id = reader.recv_multipart()
    assert (identity[:6], request_id) == (b'dave.1', b'7')
    assert json.loads(header)['shape'][0] == 1


def test_a_principal_reads_nothing_of_another(guarded: Guarded, make_socket: MakeSocket) -> None:
    keys = guarded.keys
    spy = make_socket(zmq.SUB, keys, keys.make('mallory'))
    for topic in (b'', b'a', b'alice.', b'mallory.1'):
        spy.setsockopt(zmq.SUBSCRIBE, topic)
    spy.connect('tcp://127.0.0.1:%d' % guarded.server.port_out)
    told = [spy.recv_multipart() for _ in range(3) if spy.poll(20_000)]
    assert all(b'Forbidden' in frames[1] for frames in told)
    with guarded.connect('alice') as alice:
        alice.encode(['a'])
    assert not spy.poll(200)


def test_a_principal_that_subscribes_to_ever_more_of_others_loses_its_connection(
    guarded: Guarded, make_socket: MakeSocket
) -> None:
    spy = make_socket(zmq.SUB, guarded.keys, guarded.keys.make('trudy'))
    monitor = spy.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    for number in range(40):
        spy.setsockopt(zmq.SUBSCRIBE, b'alice.%d' % number)
    spy.connect('tcp://127.0.0.1:%d' % guarded.server.port_out)
    assert monitor.poll(20_000)
    spy.disable_monitor()
    monitor.close(0)


def test_a_principal_sends_and_cancels_nothing_of_another(guarded: Guarded, make_socket: MakeSocket) -> None:
    keys = guarded.keys
    forger = make_socket(zmq.PUSH, keys, keys.make('oscar'))
    forger.connect('tcp://127.0.0.1:%d' % guarded.server.port)
    forger.send_multipart(encode_client_message(b'alice.1', b'["a"]', 7, 1))

    def is_noted() -> bool:
        return any(
            line['principal'] == 'oscar' and line.get('outcome') == 'the identity of another'
            for line in guarded.audit()
        )

    wait_until(is_noted, 20)


def test_a_revoked_key_is_cut_off_while_it_is_connected_and_works_again_when_it_is_back(guarded: Guarded) -> None:
    certificate = guarded.keys.make('gone')
    with guarded.connect('gone') as client:
        client.encode(['a'])
        guarded.keys.revoke('gone')
        with pytest.raises(AuthenticationError, match='does not know the key of this client'):
            encode_until_it_fails(client)
        guarded.keys.let_in('gone', certificate)

        def works() -> bool:
            try:
                return len(client.encode(['a'])) == 1
            except AuthenticationError:
                return False

        wait_until(works, 20)


def test_a_grant_that_is_taken_away_is_missed_at_the_next_request(guarded: Guarded) -> None:
    with guarded.connect('bob') as bob:
        bob.encode(['a'])
        guarded.keys.principals.write_text('[bob]\ngrants = ["status"]\n')
        with pytest.raises(ServerError, match="Forbidden: principal 'bob' lacks the grant 'encode'"):
            encode_until_it_fails(bob)
        assert bob.server_status['statistic']
        guarded.keys.principals.write_text('[bob]\ngrants = ["encode"]\n')

        def works() -> bool:
            try:
                return len(bob.encode(['a'])) == 1
            except ServerError:
                return False

        wait_until(works, 20)
        with pytest.raises(ServerError, match="lacks the grant 'status'"):
            bob.server_status  # noqa: B018
        guarded.keys.principals.write_text('')


def test_a_quota_is_answered_with_whose_it_is_and_when_to_come_again(guarded: Guarded) -> None:
    guarded.keys.principals.write_text('[alice.quota]\nrows_queued = 2\n')
    with guarded.connect('alice') as alice:

        def refusal() -> str | None:
            try:
                alice.encode(['a'] * 3)
            except ServerError as error:
                return '%s: %s' % (error.type, error.message)
            return None

        assert wait_until(refusal, 20) == (
            "QuotaExceeded: quota rows_queued=2 of principal 'alice' is reached: this request alone has 3: split it"
        )
        assert alice.encode(['a'] * 2).shape[0] == 2
    guarded.keys.principals.write_text('')
    assert any(line['action'] == 'quota' and line['principal'] == 'alice' for line in guarded.audit())


def test_more_connections_than_its_quota_are_closed(guarded: Guarded) -> None:
    guarded.keys.principals.write_text('[alice.quota]\nconnections = 1\n')
    with guarded.connect('alice') as first:
        first.encode(['a'])

        def is_refused() -> bool:
            with guarded.connect('alice', ignore_all_checks=True, timeout=300) as second:
                try:
                    second.encode(['a'])
                except OSError:
                    return True
                return False

        wait_until(is_refused, 20)
        first.encode(['a'])
    guarded.keys.principals.write_text('')
    assert any(line['action'] == 'quota' for line in guarded.audit())


def test_what_the_audit_counts_is_in_the_status_of_both_ports_together(guarded: Guarded) -> None:
    with guarded.connect('alice') as alice:

        def counted() -> bool:
            statistic = alice.server_status['statistic']
            return statistic['num_security_connected'] > 2 and statistic['num_security_wrong_key'] > 1

        wait_until(counted, 20)


def test_the_server_is_stopped_by_the_grant_alone(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminate, 'ask_to_stop', lambda port: None)  # as from another machine

    def shut_down(*words: str) -> None:
        BertServer.shutdown(get_shutdown_parser().parse_args(['-port', str(guarded.server.port), *words]))

    keys = guarded.keys.of('alice')
    words = ('-server_key', keys['server_key'], '-key_file', keys['key_file'])
    with pytest.raises(StartError, match='accepts only clients with a key'):
        shut_down()
    shut_down(*words)
    with guarded.connect('bob') as bob:
        bob.encode(['a'])
    guarded.keys.principals.write_text('[alice]\ngrants = ["terminate"]\n')

    def has_stopped() -> bool:
        shut_down(*words)
        guarded.server.join(0.5)
        return not guarded.server.is_alive()

    wait_until(has_stopped, 30)
    assert any(line['action'] == 'terminated' and line['principal'] == 'alice' for line in guarded.audit())
    assert not any('["a"]' in json.dumps(line) for line in guarded.audit())
