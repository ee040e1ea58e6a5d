"""Certificates of keys: ours and those of pyzmq are read alike, and what is wrong with one is said."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import zmq
import zmq.auth
from zmq.utils import z85

from bert_serving.server.errors import UsageError
from bert_serving.server.security.certificates import (
    MAX_CERTIFICATE_BYTES,
    Certificate,
    decode_z85,
    format_certificate,
    read_certificate,
    read_clients,
    read_secret_certificate,
    stamp_clients,
    written_at,
)
from bert_serving.server.security.client_keys import NO_KEYS, ClientKeys

PUBLIC = 'rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7'  # fixed, or the names of tests would differ
SECRET = 'JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6'


def write(path: Path, certificate: Certificate, mode: int = 0o600) -> str:
    path.write_text(format_certificate(certificate))
    path.chmod(mode)
    return str(path)


def test_pyzmq_reads_what_we_write(tmp_path: Path) -> None:
    path = write(tmp_path / 'alice.key_secret', Certificate(PUBLIC, SECRET, 'alice'))
    assert zmq.auth.load_certificate(path) == (PUBLIC.encode(), SECRET.encode())
    path = write(tmp_path / 'alice.key', Certificate(PUBLIC))
    assert zmq.auth.load_certificate(path) == (PUBLIC.encode(), None)


def test_we_read_what_pyzmq_writes(tmp_path: Path) -> None:
    public_file, secret_file = zmq.auth.create_certificates(tmp_path, 'bob', {'name': 'bob'})
    public, secret = zmq.auth.load_certificate(secret_file)
    assert read_certificate(Path(public_file).read_text(), 'F') == Certificate(public.decode())
    Path(secret_file).chmod(0o600)
    assert secret is not None
    assert read_secret_certificate(str(secret_file), 'o') == Certificate(public.decode(), secret.decode(), 'bob')


def test_the_secret_is_not_printed() -> None:
    assert SECRET not in repr(Certificate(PUBLIC, SECRET))


def test_keys_are_decoded_as_libzmq_does() -> None:
    assert decode_z85(PUBLIC) == z85.decode(PUBLIC)
    assert Certificate(PUBLIC).raw_public == z85.decode(PUBLIC)


@pytest.mark.parametrize('key', ['', 39 * 'a', 41 * 'a', 39 * 'a' + '~', 40 * '#'])
def test_what_is_no_key_is_not_decoded(key: str) -> None:
    with pytest.raises(ValueError, match=r'not a key'):
        decode_z85(key)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (
            'nothing',
            'F: not a CURVE certificate, because it has no line public-key = "...": bert-serving-keys makes one',
        ),
        ('public-key = "x"', 'F: its public-key is no key: expected 40 characters of Z85'),
        (
            'public-key = "' + PUBLIC + '"\nsecret-key = "x"',
            'F: its secret-key is no key: expected 40 characters of Z85',
        ),
    ],
)
def test_what_is_wrong_with_a_certificate_is_said(text: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_certificate(text, 'F')
    assert raised.value.message == message


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / 'F', Certificate(PUBLIC, SECRET), mode=0o640)
    with pytest.raises(UsageError, match=r'-o .*F: others can read or write it \(mode 0640\): chmod 600 '):
        read_secret_certificate(path, 'o')


def test_a_public_certificate_is_no_secret_one(tmp_path: Path) -> None:
    path = write(tmp_path / 'F', Certificate(PUBLIC))
    with pytest.raises(UsageError, match=r'it has no secret-key: give the file that ends with .key_secret'):
        read_secret_certificate(path, 'o')


def test_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r'-o .*F: cannot read it: No such file'):
        read_secret_certificate(str(tmp_path / 'F'), 'o')
    (tmp_path / 'G').write_bytes(b'\xff')
    with pytest.raises(UsageError, match=r'cannot read it: it is not a text'):
        read_secret_certificate(str(tmp_path / 'G'), 'o')


def test_the_name_of_a_file_is_that_of_its_principal(tmp_path: Path) -> None:
    other = zmq.curve_keypair()[0].decode()
    write(tmp_path / 'alice.key', Certificate(PUBLIC))
    write(tmp_path / 'alice.laptop.key', Certificate(other))
    (tmp_path / 'readme').write_text('no key')
    assert read_clients(str(tmp_path)) == ({decode_z85(PUBLIC): 'alice', decode_z85(other): 'alice'}, [])


def test_a_wrong_file_lets_nobody_in_and_the_others_hold(tmp_path: Path) -> None:
    write(tmp_path / 'alice.key', Certificate(PUBLIC))
    write(tmp_path / 'bob.key', Certificate(PUBLIC))
    write(tmp_path / '_http.key', Certificate(PUBLIC))
    write(tmp_path / 'eve.key', Certificate(PUBLIC, SECRET))
    (tmp_path / 'no.key').write_bytes(b'\xff')
    names, problems = read_clients(str(tmp_path))
    assert names == {decode_z85(PUBLIC): 'alice'}
    assert [problem.rpartition('/')[2] for problem in problems] == [
        '_http.key: not a valid principal name: expected NAME.key, where NAME is a letter or a digit, then letters, '
        'digits, - and _',
        'bob.key: it has the same key as alice: make another',
        'eve.key: it has the secret key, which only the client must have: make another',
        'no.key: cannot read it: it is not a text',
    ]


@pytest.mark.parametrize(
    ('make', 'why'),
    [
        (os.mkfifo, 'it is not a regular file'),
        (os.mkdir, 'it is not a regular file'),
        (lambda path: os.symlink('/dev/zero', path), 'it is not a regular file'),
        (lambda path: os.symlink('nowhere', path), 'No such file or directory'),
        (lambda path: Path(path).write_bytes(b'#' * (MAX_CERTIFICATE_BYTES + 1)), 'it has more than 65536 bytes'),
    ],
    ids=['pipe', 'folder', 'device', 'broken link', 'huge'],
)
def test_no_file_of_the_folder_blocks_the_reader_or_hides_the_keys_of_others(
    tmp_path: Path, make: Callable[[str], object], why: str
) -> None:
    write(tmp_path / 'alice.key', Certificate(PUBLIC))
    make(str(tmp_path / 'mallory.key'))
    assert read_clients(str(tmp_path)) == (
        {decode_z85(PUBLIC): 'alice'},
        ['%s/mallory.key: cannot read it: %s' % (tmp_path, why)],
    )
    before = stamp_clients(str(tmp_path))
    (tmp_path / 'alice.key').unlink()
    assert stamp_clients(str(tmp_path)) != before, 'or a key that is removed would stay valid'


def test_a_key_can_be_a_link_and_a_change_of_its_file_is_seen(tmp_path: Path) -> None:
    (tmp_path / 'clients').mkdir()
    write(tmp_path / 'alice', Certificate(PUBLIC))
    (tmp_path / 'clients' / 'alice.key').symlink_to(tmp_path / 'alice')
    folder = str(tmp_path / 'clients')
    assert read_clients(folder) == ({decode_z85(PUBLIC): 'alice'}, [])
    before = stamp_clients(folder)
    (tmp_path / 'alice').unlink()
    assert stamp_clients(folder) != before


@pytest.mark.parametrize('name', ['älice', '.', '..', 'a\nb', 'a b', '-a', 'a' * 65])
def test_a_file_with_another_name_than_a_principal_can_have_lets_nobody_in(tmp_path: Path, name: str) -> None:
    write(tmp_path / (name + '.key'), Certificate(PUBLIC))
    names, problems = read_clients(str(tmp_path))
    assert names == {}
    assert 'not a valid principal name' in problems[0]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r'-curve_clients: cannot read the folder .*: No such file'):
        read_clients(str(tmp_path / 'no'))
    assert stamp_clients(str(tmp_path / 'no')) is None
    assert written_at(str(tmp_path / 'no')) is None
    assert written_at(str(tmp_path)) is not None


def test_the_stamp_of_a_folder_changes_with_its_keys(tmp_path: Path) -> None:
    write(tmp_path / 'alice.key', Certificate(PUBLIC))
    before = stamp_clients(str(tmp_path))
    (tmp_path / 'other').write_text('')
    assert stamp_clients(str(tmp_path)) == before
    (tmp_path / 'alice.key').unlink()
    assert stamp_clients(str(tmp_path)) != before


def test_the_keys_of_a_command_come_in_pairs(tmp_path: Path) -> None:
    class Args:
        server_key: str | None = PUBLIC
        key_file: str | None = None

    with pytest.raises(UsageError, match=r'-server_key and -key_file go together'):
        ClientKeys.from_args(Args())  # type: ignore[arg-type]
    Args.server_key = None
    assert ClientKeys.from_args(Args()) == NO_KEYS  # type: ignore[arg-type]
    assert not NO_KEYS


def test_the_key_of_a_server_is_a_key_or_a_file(tmp_path: Path) -> None:
    own = write(tmp_path / 'own', Certificate(PUBLIC, SECRET))
    server = write(tmp_path / 'server.key', Certificate(PUBLIC))
    for key in (PUBLIC, server):
        assert ClientKeys(key, own).read() == (PUBLIC, Certificate(PUBLIC, SECRET))
    with pytest.raises(UsageError, match=r'-server_key .*: expected a key of 40 characters, or a file: No such file'):
        ClientKeys(str(tmp_path / 'no'), own).read()
    (tmp_path / 'G').write_bytes(b'\xff')
    with pytest.raises(UsageError, match=r'-server_key .*: it is not a text'):
        ClientKeys(str(tmp_path / 'G'), own).read()
