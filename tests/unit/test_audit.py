"""The audit: one line for each action, not too many, and a count of all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bert_serving.server.errors import UsageError
from bert_serving.server.security.actions import NO_ACTIONS, AuditAction, add_up
from bert_serving.server.security.audit import Audit


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_says_who_did_what_and_leaves_out_what_is_not_known(tmp_path: Path) -> None:
    path = tmp_path / 'audit'
    audit = Audit(str(path), clock=lambda: 0.5)
    audit.record(AuditAction.GRANTED, 'alice', '10.0.0.1', request_id='7', rows=2, bytes=None)
    assert lines_of(path) == [
        {
            'time': '1970-01-01T00:00:00.500+00:00',
            'principal': 'alice',
            'address': '10.0.0.1',
            'action': 'granted',
            'request_id': '7',
            'rows': 2,
        }
    ]
    assert path.stat().st_mode & 0o777 == 0o600


def test_lines_beyond_the_rate_are_counted_and_the_next_line_says_how_many(tmp_path: Path) -> None:
    now, path = [10.0], tmp_path / 'audit'
    audit = Audit(str(path), clock=lambda: now[0], lines_a_second=2)
    for _ in range(5):
        audit.record(AuditAction.WRONG_KEY)
    audit.record(AuditAction.QUOTA)
    now[0] = 11.0
    audit.record(AuditAction.WRONG_KEY)
    lines = lines_of(path)
    assert [line['action'] for line in lines] == ['wrong_key', 'wrong_key', 'quota', 'wrong_key']
    assert [line.get('left_out') for line in lines] == [None, None, None, 3]
    assert audit.counts['num_security_wrong_key'] == 6


def test_without_a_file_actions_are_counted() -> None:
    audit = Audit()
    audit.record(AuditAction.REFUSED)
    assert audit.counts['num_security_refused'] == 1
    assert add_up(audit.counts, audit.counts)['num_security_refused'] == 2
    assert audit.counts.keys() == NO_ACTIONS.keys()


def test_a_file_that_was_moved_away_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / 'audit'
    audit = Audit(str(path))
    audit.record(AuditAction.CONNECTED)
    path.rename(tmp_path / 'audit.1')
    audit.record(AuditAction.CONNECTED)
    assert len(lines_of(path)) == len(lines_of(tmp_path / 'audit.1')) == 1
    audit.close()
    audit.close()
    audit.record(AuditAction.CONNECTED)
    assert len(lines_of(path)) == 1


def test_a_folder_that_vanishes_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / 'folder'
    folder.mkdir()
    audit = Audit(str(folder / 'audit'))
    (folder / 'audit').unlink()
    folder.rmdir()
    audit.record(AuditAction.CONNECTED)
    assert 'cannot write the audit' in caplog.text


def test_a_file_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r'-audit_file: cannot write .*: No such file'):
        Audit(str(tmp_path / 'no' / 'audit'))
