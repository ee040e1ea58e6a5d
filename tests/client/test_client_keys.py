# -*- coding: utf-8 -*-
"""Keys: the client and pyzmq's own authenticator at the other end."""

import os
import re

import pytest
import zmq
import zmq.auth

from bert_serving.client import AuthenticationError, BertClient, ConcurrentBertClient, TimeoutError, keys


class Folder(object):
    """Certificates that pyzmq made."""

    def __init__(self, path):
        self.path = path
        self.clients = os.path.join(path, 'clients')
        os.mkdir(self.clients)
        self.server = self.make('server')
        self.alice = self.make('alice', is_known=True)

    def make(self, name, is_known=False):
        """Return the secret certificate of `name`, which the server knows or does not."""
        public, secret = zmq.auth.create_certificates(self.path, name, metadata={'name': name})
        if is_known:
            os.rename(public, os.path.join(self.clients, os.path.basename(public)))
        return secret

    def public_key(self, secret_file):
        return zmq.auth.load_certificate(secret_file)[0].decode('ascii')


@pytest.fixture
def folder(tmpdir):
    return Folder(str(tmpdir))


@pytest.fixture
def guarded(folder, make_server):
    return make_server(curve=(folder.server, folder.clients))


def of(folder, key_file=None):
    return {'server_key': folder.public_key(folder.server), 'key_file': key_file or folder.alice}


@pytest.mark.parametrize('kind', [BertClient, ConcurrentBertClient])
def test_a_client_with_keys_is_served_under_the_name_of_its_principal(folder, guarded, connect, kind):
    client = connect(guarded, kind=kind, **of(folder))
    assert client.encode(['a']).shape == (1, 5)
    assert re.match(b'alice\\.[0-9a-f-]{36}$', guarded.requests[0].identity)


def test_an_identity_gets_the_name_before_it_once(folder, guarded, connect):
    assert connect(guarded, identity='mine', **of(folder)).identity == b'alice.mine'
    assert connect(guarded, identity=b'alice.mine', **of(folder)).identity == b'alice.mine'


def test_the_keys_come_from_the_environment_unless_they_are_empty(folder, guarded, connect, monkeypatch):
    for name, value in of(folder).items():
        monkeypatch.setenv('BERT_SERVING_' + name.upper(), str(value))
    assert connect(guarded).encode(['a']).shape == (1, 5)
    with pytest.raises(AuthenticationError, match='accepts only clients with a key'):
        connect(guarded, server_key='', key_file='')


def test_the_key_of_the_server_can_be_the_file_of_its_certificate(folder, guarded, connect):
    assert connect(guarded, server_key=folder.server, key_file=folder.alice).encode(['a']).shape == (1, 5)


def test_a_client_that_the_server_does_not_know_is_told_so(folder, guarded, connect):
    with pytest.raises(AuthenticationError, match='does not know the key of this client'):
        connect(guarded, **of(folder, folder.make('eve')))


def test_a_client_with_keys_is_told_that_a_server_has_none(folder, server, connect):
    with pytest.raises(AuthenticationError, match='the server has no keys'):
        connect(server, **of(folder))


def test_a_wrong_key_of_the_server_does_not_hang(folder, guarded, connect, monkeypatch):
    monkeypatch.setattr('bert_serving.client._WRONG_KEY_S', 0.5)
    with pytest.raises(AuthenticationError, match='"server_key" is probably not its key'):
        connect(guarded, server_key=folder.public_key(folder.alice), key_file=folder.alice)


def test_a_server_that_is_away_is_waited_for_with_keys_too(folder, guarded, connect):
    client = connect(guarded, **of(folder))
    guarded.stop()
    client.timeout = 200
    with pytest.raises(TimeoutError):
        client.encode(['a'])
    guarded.start()
    client.timeout = 20000
    assert client.encode(['a']).shape == (1, 5)


def test_a_refused_client_tries_again_at_the_next_call(folder, make_server, connect):
    guarded = make_server(curve=(folder.server, folder.clients))
    client = connect(guarded, ignore_all_checks=True, **of(folder, folder.make('late')))
    for _ in range(2):
        with pytest.raises(AuthenticationError):
            client.encode(['a'])
    os.rename(os.path.join(folder.path, 'late.key'), os.path.join(folder.clients, 'late.key'))
    guarded.restart()  # pyzmq reads the folder at its start
    assert client.encode(['a']).shape == (1, 5)


def test_the_refusal_of_an_identity_ends_the_call(folder, guarded, connect):
    client = connect(guarded, ignore_all_checks=True, **of(folder))
    topic = client.identity + b'\0' + 16 * b'x'
    refusal = [topic, b'{"error": {"type": "Forbidden", "message": "not yours"}}', b'', b'0']
    guarded.script = lambda request: [refusal]
    with pytest.raises(AuthenticationError, match='not yours'):
        client.encode(['b'])


def test_the_keys_come_in_pairs(folder):
    for arguments in ({'server_key': 'x'}, {'key_file': folder.alice}):
        with pytest.raises(ValueError, match='"server_key" and "key_file" go together'):
            BertClient(**arguments)
    with pytest.raises(TypeError, match='"key_file" must be text'):
        BertClient(server_key='x', key_file=1)


def test_a_file_without_keys_is_named(folder):
    server_key = folder.public_key(folder.server)
    empty, secret = os.path.join(folder.path, 'empty'), folder.make('bob')
    open(empty, 'w').close()
    with pytest.raises(
        ValueError, match='"key_file": .*empty is not a certificate: its public-key is not 40 characters'
    ):
        BertClient(server_key=server_key, key_file=empty)
    with pytest.raises(ValueError, match='"key_file": .*bob.key has no secret-key'):
        BertClient(server_key=server_key, key_file=secret.replace('.key_secret', '.key'))
    with pytest.raises(ValueError, match='"key_file": cannot read'):
        BertClient(server_key=server_key, key_file=os.path.join(folder.path, 'no'))
    with pytest.raises(ValueError, match='"server_key": cannot read .*expected a key of 40 characters, or a file'):
        BertClient(server_key='short', key_file=secret)


def test_a_certificate_without_a_name_has_that_of_its_file(folder):
    public, secret = zmq.auth.create_certificates(folder.path, 'carol')
    assert keys.read_keys(folder.public_key(folder.server), secret).name == 'carol'
    strange = os.path.join(folder.path, 'a b')
    os.rename(secret, strange)
    with pytest.raises(ValueError, match="has no principal's name"):
        keys.read_keys(folder.public_key(folder.server), strange)


def test_the_secret_is_not_printed(folder):
    read = keys.read_keys(folder.public_key(folder.server), folder.alice)
    assert read.secret.decode('ascii') not in repr(read)


def test_a_libzmq_without_curve_says_what_to_install(folder, monkeypatch):
    monkeypatch.setattr(zmq, 'has', lambda capability: False)
    with pytest.raises(RuntimeError, match='has no CURVE, which keys need: install pyzmq from PyPI'):
        BertClient(**of(folder))
