"""The lines of the log: 1.10's form, one context a process, colors for a terminal only."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from bert_serving.server.console import logs


@pytest.fixture(autouse=True)
def _quiet_afterwards() -> Iterator[None]:
    logger = logging.getLogger(logs.ROOT)
    before = logger.handlers[:], logger.level, logger.propagate
    logger.handlers[:], logger.propagate = [], True
    yield
    logger.handlers[:], logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def write(
    monkeypatch: pytest.MonkeyPatch,
    stream: io.StringIO,
    context: str,
    verbose: bool = False,
    log_format: str = 'plain',
) -> str:
    monkeypatch.setattr('sys.stderr', stream)
    logs.set_up(context, verbose, log_format)
    logger = logging.getLogger('bert_serving.server.sink.sink')
    logger.info('ready and %s', 'listening!')
    logger.debug('a detail')
    return stream.getvalue()


def test_a_line_has_the_form_of_1_10(monkeypatch: pytest.MonkeyPatch) -> None:
    line = write(monkeypatch, io.StringIO(), 'WORKER-3')
    assert line.startswith('I:WORKER-3:[tes:wri: ')
    assert line.endswith(']:ready and listening!\n')


@pytest.mark.parametrize('log_format', ['auto', 'time'])
def test_lines_that_go_to_a_file_begin_with_the_time(monkeypatch: pytest.MonkeyPatch, log_format: str) -> None:
    line = write(monkeypatch, io.StringIO(), 'SINK', log_format=log_format)
    time, _, rest = line.partition(' ')
    assert datetime.fromisoformat(time).tzinfo == UTC
    assert abs(datetime.fromisoformat(time) - datetime.now(UTC)) < timedelta(seconds=10)
    assert rest.startswith('I:SINK:[tes:wri: ')


def test_lines_on_a_terminal_are_those_of_1_10(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('NO_COLOR', '1')
    monkeypatch.setenv('TERM', 'xterm')
    assert write(monkeypatch, Terminal(), 'SINK', log_format='auto').startswith('I:SINK:[tes:wri: ')


def test_json_lines_have_the_fields_that_log_collectors_read(monkeypatch: pytest.MonkeyPatch) -> None:
    line = json.loads(write(monkeypatch, io.StringIO(), 'WORKER-1', log_format='json'))
    assert datetime.fromisoformat(line.pop('time')).tzinfo == UTC
    assert line.pop('source').startswith('test_logs.py:')
    assert line == {'level': 'info', 'process': 'WORKER-1', 'message': 'ready and listening!'}


def test_a_traceback_is_a_part_of_its_json_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr('sys.stderr', stream)
    logs.set_up('SINK', log_format='json')
    try:
        raise ValueError('one\ntwo')
    except ValueError:
        logging.getLogger('bert_serving.server.sink.sink').exception('failed')
    (line,) = stream.getvalue().splitlines()
    assert 'ValueError: one\ntwo' in json.loads(line)['traceback']


def test_verbose_logs_details(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 'a detail' not in write(monkeypatch, io.StringIO(), 'SINK')
    assert 'D:SINK:' in write(monkeypatch, io.StringIO(), 'SINK', verbose=True)


def test_the_context_is_colored_on_a_terminal_unless_no_color_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('NO_COLOR', raising=False)
    assert '\x1b[32mSINK\x1b[0m' in write(monkeypatch, Terminal(), 'SINK')
    monkeypatch.setenv('NO_COLOR', '1')
    assert '\x1b' not in write(monkeypatch, Terminal(), 'SINK')


def test_setting_up_twice_logs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    logs.set_up('SINK')
    assert write(monkeypatch, io.StringIO(), 'SINK').count('listening!') == 1


def test_a_handler_of_the_program_that_embeds_the_server_is_left_in_charge(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = io.StringIO()
    logging.getLogger(logs.ROOT).addHandler(logging.StreamHandler(theirs))
    assert write(monkeypatch, io.StringIO(), 'SINK') == ''
    assert theirs.getvalue() == 'ready and listening!\n'


def test_what_one_place_says_too_often_is_counted_instead() -> None:
    now = 0.0
    limit = logs.RateLimit(lambda: now)

    def warn(line: int, level: int = logging.WARNING) -> str | None:
        record = logging.LogRecord('x', level, 'place.py', line, 'bad %s', ('thing',), None)
        passed = limit.passed(record)
        assert record.getMessage() == 'bad thing', 'other handlers get the same record'
        return None if passed is None else passed.getMessage()

    assert [warn(1) for _ in range(25)] == 10 * ['bad thing'] + 15 * [None]
    assert warn(2) == 'bad thing', 'another place'
    assert warn(1, logging.INFO) == 'bad thing', 'what is no trouble'
    now = 1.5
    assert warn(1) == 'bad thing (dropped 15 similar lines before)'
    assert warn(1) == 'bad thing'
