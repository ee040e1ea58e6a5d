"""The file of principals: who may do what, and what an operator who mistypes is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from bert_serving.server.errors import UsageError
from bert_serving.server.security.principals import (
    DEFAULT_GRANTS,
    NOBODY,
    Grant,
    Principal,
    Principals,
    Quota,
    hash_of_http_key,
    is_name,
    read_principals,
)
from bert_serving.server.security.watched_file import MAX_BYTES, WatchedFile

HASH = 'sha256:' + 64 * 'a'

WHOLE = """
[alice]
grants = ["encode", "terminate"]
weight = 2
http_keys = ["sha256:%s"]
ends = 2027-01-31
[alice.quota]
rows_queued = 1
bytes_queued = 2
bytes_unread = 3
connections = 4
rows_per_second = 5

[bob]
""" % hash_of_http_key('a key').upper()


def test_a_file_says_everything_about_a_principal_or_nothing() -> None:
    principals = read_principals(WHOLE)
    assert principals.get('alice') == Principal(
        'alice',
        frozenset({Grant.ENCODE, Grant.TERMINATE}),
        2.0,
        frozenset({hash_of_http_key('a key')}),
        datetime(2027, 2, 1, tzinfo=UTC),
        Quota(1, 2, 3, 4, 5),
    )
    assert principals.get('bob') == Principal('bob')
    assert principals.names == {'alice', 'bob'}
    assert principals.get('alice').prefix == b'alice.'


def test_a_principal_that_the_file_does_not_name_may_all_but_stop_the_server() -> None:
    carol = NOBODY.get('carol')
    assert carol.grants == DEFAULT_GRANTS
    assert carol.may(Grant.ENCODE)
    assert not carol.may(Grant.TERMINATE)
    assert carol.quota == Quota()
    assert not NOBODY


def test_a_key_for_http_leads_to_its_principal_and_is_not_printed() -> None:
    principals = read_principals(WHOLE)
    alice = principals.of_http_key('a key')
    assert alice is principals.get('alice')
    assert principals.of_http_key('another key') is None
    assert principals.have_http_keys
    assert not NOBODY.have_http_keys
    assert hash_of_http_key('a key') not in repr(alice)


def test_two_readings_of_one_file_are_equal() -> None:
    assert read_principals(WHOLE) == read_principals(WHOLE)
    assert hash(read_principals(WHOLE)) == hash(read_principals(WHOLE))
    assert read_principals(WHOLE) != Principals()
    assert read_principals(WHOLE) != WHOLE


@pytest.mark.parametrize(
    ('ends', 'at'),
    [
        ('2027-01-31', datetime(2027, 2, 1, tzinfo=UTC)),
        ('2027-01-31T12:00:00', datetime(2027, 1, 31, 12, tzinfo=UTC)),
        ('2027-01-31T12:00:00+02:00', datetime(2027, 1, 31, 12, tzinfo=timezone(timedelta(hours=2)))),
    ],
)
def test_a_date_is_the_last_day_of_a_key(ends: str, at: datetime) -> None:
    alice = read_principals('[alice]\nends = ' + ends).get('alice')
    assert not alice.has_ended(at - timedelta(seconds=1))
    assert alice.has_ended(at)
    assert not Principal('bob').has_ended(at)


@pytest.mark.parametrize('name', ['alice', 'team-7', 'A_b', 64 * 'x'])
def test_names_of_principals(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize('name', ['', 'a.b', '_http', '-a', 'a b', 'ä', 65 * 'x', 'a\n'])
def test_a_name_cannot_be_the_beginning_of_another_with_its_dot(name: str) -> None:
    assert not is_name(name)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('[alice', 'F: not TOML: '),
        ('["a.b"]', 'F: [a.b]: not a valid principal name: expected a letter or a digit, then'),
        ('alice = 3', 'F: [alice]: expected a table'),
        ('[alice]\ngrant = []', "F: [alice]: unknown key 'grant': did you mean grants?"),
        ('[alice]\nxyz = 1', "F: [alice]: unknown key 'xyz': expected one of grants, weight, http_keys, ends"),
        ('[alice]\ngrants = "encode"', 'F: [alice]: grants: expected a list of encode, predict, status, terminate'),
        ('[alice]\ngrants = ["encod"]', "F: [alice]: grants: unknown grant 'encod': did you mean encode?"),
        ('[alice]\ngrants = ["xyz"]', "F: [alice]: grants: unknown grant 'xyz': expected one of encode, predict"),
        ('[alice]\ngrants = [1]', 'F: [alice]: grants: expected a list of encode'),
        ('[alice]\nweight = 0', 'F: [alice]: weight: expected a number from 0.01 to 100, got 0'),
        ('[alice]\nweight = true', 'F: [alice]: weight: expected a number from 0.01 to 100, got True'),
        ('[alice]\nweight = nan', 'F: [alice]: weight: expected a number'),
        ('[alice]\nweight = "2"', 'F: [alice]: weight: expected a number'),
        ('[alice]\nhttp_keys = "k"', 'F: [alice]: http_keys: expected a list of "sha256:" and 64 hexadecimal digits'),
        ('[alice]\nhttp_keys = ["secret"]', 'F: [alice]: http_keys: element 1 is not a SHA-256: expected a list'),
        ('[alice]\nhttp_keys = [1]', 'F: [alice]: http_keys: element 1 is not a SHA-256'),
        ('[alice]\nends = "2027-01-31"', 'F: [alice]: ends: expected a date or a time, without quotes, as in 2027'),
        ('[alice]\nends = 9999-12-31', 'F: [alice]: ends: expected a date'),
        ('[alice]\nquota = 3', 'F: [alice]: quota: expected a table, got 3'),
        ('[alice.quota]\nrow_queued = 3', "F: [alice]: quota: unknown key 'row_queued': did you mean rows_queued?"),
        ('[alice.quota]\nconnections = 0', 'F: [alice]: quota: connections: expected a whole number of at least 1'),
        ('[alice.quota]\nconnections = 1.5', 'F: [alice]: quota: connections: expected a whole number'),
        ('[alice.quota]\nconnections = true', 'F: [alice]: quota: connections: expected a whole number'),
        (
            '[alice]\nhttp_keys = ["%s"]\n[bob]\nhttp_keys = ["%s"]' % (HASH, HASH),
            'F: [bob]: http_keys: the key sha256:aaaaaaaa... also belongs to [alice]: give each principal its own key',
        ),
    ],
)
def test_an_error_names_the_file_the_principal_the_key_and_what_is_right(text: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_principals(text, 'F')
    assert raised.value.message.startswith(message)
    assert 'secret' not in raised.value.message


def read(text: str, where: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError('%s: not a number' % where) from None


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / 'number'
    path.write_text('1')
    file = WatchedFile(str(path), read, 'number')
    assert file.value == 1
    assert not file.refresh()
    path.write_text('22')
    assert file.refresh()
    assert file.value == 22
    assert not file.refresh()


def test_a_file_of_the_same_size_and_time_that_replaces_another_is_read(tmp_path: Path) -> None:
    path, other = tmp_path / 'number', tmp_path / 'other'
    for each, text in ((path, '1'), (other, '2')):
        each.write_text(text)
        os.utime(each, (1, 1))
    file = WatchedFile(str(path), read, 'number')
    other.replace(path)
    assert file.refresh()
    assert file.value == 2


def test_what_a_wrong_file_said_before_stays_and_that_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / 'number'
    path.write_text('1')
    file = WatchedFile(str(path), read, 'number')
    path.write_text('one')
    for _ in range(3):
        assert not file.refresh()
    assert file.value == 1
    assert [record.levelname for record in caplog.records] == ['ERROR']
    assert '-number %s: not a number' % path in caplog.text
    path.unlink()
    assert not file.refresh()
    assert file.value == 1
    path.write_text('3')
    assert file.refresh()


@pytest.mark.parametrize('make', [os.mkfifo, lambda path: os.symlink('/dev/zero', path)], ids=['pipe', 'device'])
def test_a_file_that_would_block_the_reader_is_not_read(tmp_path: Path, make: Callable[[str], None]) -> None:
    path = tmp_path / 'number'
    path.write_text('1')
    file = WatchedFile(str(path), read, 'number')
    path.unlink()
    make(str(path))
    assert not file.refresh()
    assert file.value == 1


def test_a_file_of_more_than_16_mib_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / 'number'
    with path.open('wb') as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(UsageError, match=r'-number: cannot read .*: it has more than 16777216 bytes'):
        WatchedFile(str(path), read, 'number')


@pytest.mark.parametrize(('content', 'why'), [(None, 'No such file'), (b'\xff', 'it is not UTF-8 text')])
def test_a_file_that_cannot_be_read_stops_the_start(tmp_path: Path, content: bytes | None, why: str) -> None:
    path = tmp_path / 'number'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match='-number: cannot read .*: %s' % why):
        WatchedFile(str(path), read, 'number')
