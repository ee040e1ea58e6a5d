"""`bert-serving-keys`: what it writes, what it prints, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from bert_serving.server.errors import ServingError, UsageError
from bert_serving.server.keys import get_keys_parser, run_keys
from bert_serving.server.security.certificates import read_certificate, read_clients
from bert_serving.server.security.principals import read_principals


def run(*words: str | Path) -> list[str]:
    return run_keys(get_keys_parser().parse_args(list(map(str, words))))


def test_the_keys_of_a_server_are_two_files_and_only_one_is_secret(tmp_path: Path) -> None:
    secret = tmp_path / 'server.key_secret'
    lines = run('server', secret)
    certificate = read_certificate(secret.read_text(), 'F')
    assert certificate.secret is not None
    assert secret.stat().st_mode & 0o777 == 0o600
    assert 'public key: %s' % certificate.public in lines
    public = (tmp_path / 'server.key').read_text()
    assert read_certificate(public, 'F').public == certificate.public
    assert 'secret-key' not in public


def test_the_keys_of_a_client_go_to_the_folder_of_the_server(tmp_path: Path) -> None:
    folder, secret = tmp_path / 'clients', tmp_path / 'alice.key_secret'
    folder.mkdir()
    run('client', secret, '-curve_clients', folder)
    names, problems = read_clients(str(folder))
    assert list(names.values()) == ['alice']
    assert problems == []
    assert read_certificate(secret.read_text(), 'F').name == 'alice'
    assert run('show', folder)[0].startswith('alice: ')
    assert run('show', secret)[-1] == 'name: alice'
    assert run('show', folder / 'alice.key')[0] == 'public certificate'


def test_without_a_folder_the_public_key_stays_beside_the_secret_one(tmp_path: Path) -> None:
    lines = run('client', tmp_path / 'key', '-name', 'bob')
    assert (tmp_path / 'bob.key').exists()
    assert 'Copy the public certificate' in lines[-1]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    run('client', tmp_path / 'alice.key_secret')
    before = (tmp_path / 'alice.key_secret').read_text()
    with pytest.raises(UsageError, match='already exists: revoke alice first'):
        run('client', tmp_path / 'alice.key_secret')
    (tmp_path / 'alice.key').unlink()
    with pytest.raises(UsageError, match='already exists: choose another file'):
        run('client', tmp_path / 'alice.key_secret')
    assert (tmp_path / 'alice.key_secret').read_text() == before


def test_all_keys_of_a_principal_are_revoked_and_no_others(tmp_path: Path) -> None:
    for name in ('alice', 'alices'):
        run('client', tmp_path / (name + '.key_secret'))
    (tmp_path / 'alice.key').rename(tmp_path / 'alice.old.key')
    run('client', tmp_path / 'alice2', '-name', 'alice')
    assert run('revoke', 'alice', '-curve_clients', tmp_path)[0] == 'removed alice.key, alice.old.key'
    assert sorted(path.name for path in tmp_path.glob('*.key')) == ['alices.key']
    with pytest.raises(UsageError, match='no key of alice'):
        run('revoke', 'alice', '-curve_clients', tmp_path)
    with pytest.raises(UsageError, match='add -curve_clients DIR'):
        run('revoke', 'alice')


def test_a_key_for_http_is_shown_once_with_the_lines_for_the_file() -> None:
    lines = run('http', 'alice')
    key = lines[0].rpartition(' ')[2]
    principal = read_principals('\n'.join(lines[-2:])).of_http_key(key)
    assert principal is not None
    assert principal.name == 'alice'
    assert run('http', 'alice')[0] != lines[0]


@pytest.mark.parametrize('words', [('http', 'a.b'), ('client', '.key'), ('revoke', '../x', '-curve_clients', 'd')])
def test_a_name_that_no_principal_can_have_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match='is not a valid principal name'):
        run(*words)


def test_files_that_cannot_be_read_or_written_are_named(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match='no: No such file'):
        run('show', tmp_path / 'no')
    with pytest.raises(ServingError, match='no/F: No such file'):
        run('server', tmp_path / 'no' / 'F')
    (tmp_path / 'G').write_bytes(b'\xff')
    with pytest.raises(UsageError, match='it is not text'):
        run('show', tmp_path / 'G')
