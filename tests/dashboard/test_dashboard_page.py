"""The dashboard as an operator sees it: in Chromium, of a live server under load."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psutil
import pytest
from selenium.webdriver import Keys

from bert_serving.server.http.app import create_app
from bert_serving.server.http.config import HttpConfig
from bert_serving.server.http.dispatcher import Dispatcher
from bert_serving.server.http.frontend import Frontend
from bert_serving.server.http.health import StatusSnapshot
from bert_serving.server.http.history_recorder import HistoryRecorder
from bert_serving.server.http.status_history import HttpOutcomes
from bert_serving.server.http.tls import TlsFiles
from dashboard.browsing import FILE, Browser, Load, StartServer
from dashboard.test_dashboard_file import SOURCES
from support.certificates import localhost
from support.fake_backend import STATUS, FakeBackend
from support.serving import ServerProcess

MOVING = ('requests', 'rows', 'tokens', 'latency p50', 'padding', 'clients')


def workers_of(server: ServerProcess) -> list[psutil.Process]:
    return [
        child for child in psutil.Process(server.process.pid).children() if child.cmdline()[-1] == 'support.fake_worker'
    ]


def wait_until_serving(browser: Browser) -> None:
    browser.until(lambda: 'serving' in browser.text('[data-condition]'), 'the page has found the server')


@contextmanager
def frontend_to(
    backend: FakeBackend, tls: TlsFiles | None = None, recorder: HistoryRecorder | None = None
) -> Iterator[str]:
    """The HTTP face of a backend in memory; its address."""
    dispatcher = Dispatcher(1, 1)
    app = create_app(backend, HttpConfig(host='127.0.0.1'), recorder=recorder)
    frontend = Frontend(app, dispatcher, '127.0.0.1', 0, 1 << 20, tls)
    thread = threading.Thread(target=frontend.run, args=(5,))
    thread.start()
    try:
        yield '%s://127.0.0.1:%d' % (frontend.scheme, frontend.port)
    finally:
        frontend.stop()
        thread.join(10)
        frontend.close()
        assert not thread.is_alive()


@contextmanager
def stranger_with(status: int) -> Iterator[str]:
    """Answers everything with this status, to a page of whatever origin; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header('access-control-allow-origin', '*')
            self.send_header('access-control-allow-headers', 'authorization')
            self.send_header('content-length', '0')
            self.end_headers()

        do_OPTIONS = do_GET  # noqa: N815

        def log_message(self, *_words: object) -> None:
            pass

    with ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield 'http://127.0.0.1:%d' % server.server_address[1]
        finally:
            server.shutdown()
            thread.join(10)


# With a server -------------------------------------------------------------------------------------------------------


def test_under_load_the_numbers_move_and_the_console_is_silent(browser: Browser, shared_url: str) -> None:
    browser.open(shared_url + '/dashboard')
    wait_until_serving(browser)
    with Load(shared_url):
        for name in MOVING:
            browser.until(lambda name=name: browser.tile(name) > 0, name)  # type: ignore[misc]
        answered = browser.number('[data-counter="num_published_request"]')
        browser.until(lambda: browser.number('[data-counter="num_published_request"]') > answered > 0, 'answered')
        browser.until(lambda: browser.tile('errors') > 0, 'requests that were not fit')
        assert browser.text('[data-tile="errors"] .detail') == 'invalid requests only'
        assert not browser.all('.alarm'), 'the mistakes of callers are none of the server'
        assert float(browser.legend('errors')['invalid']) > 0
        for chart, line in (
            ('requests', 'received'),
            ('rows', 'answered'),
            ('tokens', 'of texts'),
            ('latency', 'p99'),
            ('stages', 'batch p50'),
            ('padding', 'padding'),
            ('clients', 'active'),
        ):
            assert browser.legend(chart)[line][0] in '<123456789', (chart, line)
            assert browser.all('[data-chart="%s"] canvas' % chart), chart
    assert browser.text('[data-workers-ready]') == '2 of 2 ready'
    assert 'worker 0: ready' in browser.text('[data-worker="0"]')
    assert not browser.all('[data-banner]')
    browser.until(lambda: browser.tile('requests') == 0, 'without load there are no requests')
    assert browser.complaints() == []
    assert not [entry for entry in browser.logged if entry['level'] == 'SEVERE'], 'nor did a request fail'


def test_the_servers_of_a_proxy_are_listed_with_their_state_and_requests(browser: Browser) -> None:
    def servers(is_away: bool, requests: int) -> list[dict[str, Any]]:
        counts = {'unanswered_requests': 2, 'requests': requests, 'errors': int(is_away)}
        return [
            {'name': 'encoder', 'address': '10.0.0.7:5555,5556', 'is_away': False, **counts},
            {'name': 'encoder', 'address': '10.0.0.8:5555,5556', 'is_away': is_away, **counts},
            {'name': 'ranker', 'address': '10.0.0.9:5555,5556', 'is_away': is_away, **counts},
        ]

    backend = FakeBackend()
    with frontend_to(backend) as url:
        browser.open(url + '/dashboard')
        wait_until_serving(browser)
        assert not browser.all('.upstreams'), 'a proxy with one server has no list'
        backend.status = {**STATUS, 'upstreams': servers(False, 41)}
        browser.until(lambda: browser.text('[data-upstreams-ready]') == '3 of 3 ready', 'all are there')
        assert browser.text('[data-upstream="encoder"] [data-replicas]') == '2 of 2 ready'
        row = '[data-address="10.0.0.8:5555,5556"] '
        assert [browser.text(row + '[data-%s]' % name) for name in ('unanswered', 'requests', 'errors')] == [
            '2',
            '41',
            '0',
        ]
        backend.status = {**STATUS, 'upstreams': servers(True, 42)}
        browser.until(lambda: browser.text('[data-upstreams-ready]') == '1 of 3 ready', 'two are away')
        assert browser.text('[data-upstream="encoder"] [data-replicas]') == '1 of 2 ready'
        assert browser.text('[data-upstream="ranker"] [data-replicas]') == '0 of 1 ready'
        assert [browser.text(row + '[data-%s]' % name) for name in ('requests', 'errors')] == ['42', '1']
        assert len(browser.all('[data-address][data-state="away"]')) == 2
        assert 'the server of ranker at 10.0.0.9:5555,5556 is away' in browser.text('body')


def test_a_server_that_has_had_nothing_to_do_is_not_taken_for_one_that_does_not_tell(
    browser: Browser, start_server: StartServer
) -> None:
    _, url = start_server()
    browser.open(url + '/dashboard')
    browser.until(lambda: browser.legend('requests')['received'] == '0', 'none came')
    assert browser.legend('latency')['p50'] == '–'
    assert len(browser.all('.chart canvas')) == len(browser.all('.chart')) > 0
    assert 'does not tell' not in browser.text('body')


def test_a_worker_that_is_killed_shows(browser: Browser, start_server: StartServer) -> None:
    server, url = start_server(FAKE_WORKER_LOADS_SECONDS='4')
    browser.open(url + '/dashboard/')
    wait_until_serving(browser)
    browser.until(lambda: browser.text('[data-workers-ready]') == '2 of 2 ready', 'both workers are ready')
    victim = workers_of(server)[0]
    number = next(n for n in '01' if 'pid %d' % victim.pid in browser.text('[data-worker="%s"]' % n))
    os.kill(victim.pid, signal.SIGKILL)
    browser.until(lambda: browser.all('[data-worker="%s"]:not([data-state="ready"])' % number), 'its state')
    assert 'A worker is missing' in browser.text('[data-banner]')
    browser.until(lambda: '1 restart' in browser.text('[data-worker="%s"] [data-restarts]' % number), 'its restarts')
    browser.until(lambda: browser.text('[data-workers-ready]') == '2 of 2 ready', 'another has its place')
    assert not browser.all('[data-banner]')
    assert 'worker %s is ready' % number in browser.text('[data-events]')
    assert '0 restarts' in browser.text('[data-worker="%d"] [data-restarts]' % (1 - int(number)))


def test_a_server_that_is_stopped_is_said_to_be_away_and_found_again(
    browser: Browser, start_server: StartServer
) -> None:
    first, url = start_server()
    browser.open(url + '/dashboard')
    with Load(url):
        browser.until(lambda: browser.tile('rows') > 0, 'rows')
    first.stop()
    browser.until(lambda: 'has been unreachable for' in browser.text('[data-banner="unreachable"]'), 'away')
    assert 'The figures below are from' in browser.text('[data-banner="unreachable"]')
    assert browser.all('.stale [data-tile="rows"]'), 'what is shown is of the past, and looks like it'
    assert 'unreachable' in browser.driver.title
    start_server('-http_port', url.rpartition(':')[2])
    wait_until_serving(browser)
    assert not browser.all('[data-banner], .stale')
    browser.until(lambda: 'the server was restarted' in browser.text('[data-events]'), 'it is another one')
    with Load(url):
        browser.until(lambda: browser.tile('rows') > 0, 'rows of the new one')


def test_a_key_is_asked_for_and_kept_for_this_tab_only(browser: Browser, start_server: StartServer) -> None:
    _, url = start_server(BERT_SERVING_HTTP_API_KEY='sk-of-a-test')
    browser.open(url + '/dashboard')
    browser.until(lambda: browser.all('dialog[open]'), 'the place to give it is open')
    assert 'A key is required' in browser.text('[data-banner="locked"]')
    assert 'For %s. A key from' % url in browser.text('[data-receiver]')
    browser.write('#server-key', 'wrong')
    browser.click('[data-connect]')
    browser.until(lambda: 'The key is wrong' in browser.text('[data-banner="locked"]'), 'it is wrong')
    browser.click('[data-banner] button')
    browser.write('#server-key', 'sk-of-a-test')
    browser.the('#server-key').send_keys(Keys.ENTER)
    wait_until_serving(browser)
    browser.driver.refresh()
    wait_until_serving(browser)
    assert 'sk-of-a-test' not in browser.driver.current_url
    assert 'sk-of-a-test' not in browser.driver.execute_script('return JSON.stringify(localStorage)')
    assert 'sk-of-a-test' not in browser.text('body'), 'the configuration has it as ***'
    browser.the('.configuration summary').send_keys(Keys.ENTER)
    assert '***' in browser.text('.configuration')


def test_the_page_shows_the_hour_before_it_was_opened(browser: Browser) -> None:
    recorder = HistoryRecorder(lambda: (StatusSnapshot(None, False), 0.0))
    backend = FakeBackend()
    now = time.time()
    for age in range(3000, 0, -10):
        statistic = {**STATUS['statistic'], 'num_data_request': 100 * (3000 - age), 'num_sink_restart': int(age < 1500)}
        backend.status = {**STATUS, 'statistic': statistic}
        recorder.history.add(now - age, backend.status, HttpOutcomes())
    with frontend_to(backend, recorder=recorder) as url:
        browser.open(url + '/dashboard')
        wait_until_serving(browser)
        browser.until(lambda: 'the sink died and was restarted' in browser.text('[data-events]'), 'what happened then')
        browser.the('[data-chart="requests"] .plot').send_keys(Keys.HOME)
        browser.until(lambda: browser.legend('requests')['received'] == '100', 'the rate of then')


def test_who_can_use_the_server_is_said_in_plain_words(browser: Browser) -> None:
    backend = FakeBackend()
    ports = {'host': '*', 'port': 5555, 'port_out': 5556, 'http_port': 8125, 'http_host': '0.0.0.0', 'cors': '*'}
    backend.status = {**STATUS, **ports, 'curve_key_file': None}
    with frontend_to(backend) as url:
        browser.open(url + '/dashboard')
        browser.until(lambda: 'no key and no encryption' in browser.text('.security'), 'the ports are open')
        assert 'HTTP: no key. Anyone who can reach the port' in browser.text('.security')
        counts = {'num_security_connected': 3, 'num_security_wrong_key': 2}
        keys = {'curve_key_file': 'server.key_secret', 'statistic': {**STATUS['statistic'], **counts}}
        backend.status = {**backend.status, **keys}
        browser.until(lambda: 'only clients with a key can connect' in browser.text('.security'), 'they have keys')
        assert browser.number('[data-tally="num_security_connected"]') == 3
        assert browser.number('[data-tally="num_security_wrong_key"]') == 2


# By itself -----------------------------------------------------------------------------------------------------------


def test_opened_from_a_folder_it_asks_the_server_that_it_is_told(
    browser: Browser, shared_url: str, start_server: StartServer
) -> None:
    browser.open(FILE + '?server=' + shared_url)
    wait_until_serving(browser)
    _, other = start_server()
    browser.click('[data-open-connection]')
    browser.write('#server-address', 'ftp://nowhere')
    browser.click('[data-connect]')
    assert 'is not an HTTP address' in browser.text('[data-fault]')
    browser.write('#server-address', other.removeprefix('http://'))
    browser.click('[data-connect]')
    browser.until(lambda: other in browser.text('.about') and browser.all('[data-state="ready"]'), 'the other one')
    browser.driver.refresh()
    browser.until(lambda: other in browser.text('.about'), 'still the other one')


def test_the_source_opened_by_itself_says_where_the_page_is(browser: Browser) -> None:
    browser.open((SOURCES / 'index.html').as_uri())
    assert 'This file is a source of the dashboard' in browser.text('body')
    browser.click('a')
    browser.until(lambda: browser.driver.current_url == FILE, 'the built page')
    assert any('main.ts' in line for line in browser.complaints()), 'Chromium loads no module from a folder'


def test_what_was_seen_is_still_there_after_a_reload(browser: Browser, start_server: StartServer) -> None:
    server, url = start_server()
    browser.open(FILE + '?server=' + url)
    with Load(url):
        browser.until(lambda: browser.tile('rows') > 0, 'rows')
        browser.until(lambda: browser.legend('latency')['p50'] != '–', 'latencies')
    server.stop()
    browser.until(lambda: browser.all('[data-banner="unreachable"]'), 'away')
    browser.driver.refresh()
    browser.until(lambda: browser.all('[data-banner="unreachable"]'), 'still away')
    for chart in ('rows', 'latency', 'errors'):
        assert browser.all('[data-chart="%s"] canvas' % chart), chart
    assert 'the server is unreachable' in browser.text('[data-events]')


def test_a_server_that_hides_its_answers_from_the_page_is_told_from_one_that_is_not_there(
    browser: Browser, start_server: StartServer
) -> None:
    server, url = start_server('-cors', 'https://only.example')
    browser.open(FILE + '?server=' + url)
    browser.until(lambda: '-cors does not allow' in browser.text('[data-banner="hidden"]'), 'hidden')
    assert '“null”' in browser.text('[data-banner="hidden"]'), 'that is what has to be allowed'
    server.stop()
    browser.click('[data-banner] button:last-child')
    browser.until(lambda: browser.all('[data-banner="unreachable"]'), 'not there')
    complaints = browser.complaints()
    assert complaints
    assert all('blocked by CORS policy' in line for line in complaints), 'Chromium says so by itself'


def test_a_fault_in_its_own_address_is_said(browser: Browser) -> None:
    browser.open(FILE + '?server=ftp://nowhere')
    browser.until(lambda: '?server=: "ftp://nowhere" is not an HTTP address' in browser.text('body'), 'the fault')


# Of other servers ----------------------------------------------------------------------------------------------------


def test_over_https_it_shows_the_server(browser: Browser) -> None:
    browser.command('Security.setIgnoreCertificateErrors', ignore=True)  # it does not know the authority of the test
    with frontend_to(FakeBackend(), localhost()) as url:
        browser.open(url + '/dashboard')
        wait_until_serving(browser)
        browser.open('about:blank')


def test_what_a_server_of_1_10_does_not_tell_is_not_shown_as_zero(browser: Browser) -> None:
    backend = FakeBackend()
    backend.status = status_of_1_10(requests=5, rows=50)
    with frontend_to(backend) as url:
        browser.open(url + '/dashboard')
        browser.until(lambda: 'does not report its workers' in browser.text('.workers'), 'no workers')
        backend.status = status_of_1_10(requests=9, rows=90)
        browser.until(lambda: browser.tile('rows') > 0, 'rows that came in')
        assert 'received' in browser.text('[data-tile="rows"] .detail')
        for name in ('tokens', 'errors', 'queue', 'latency p50', 'padding'):
            assert browser.text('[data-tile="%s"] .value' % name) == '–', name
        assert 'Not reported' in browser.text('[data-chart="latency"]')


def status_of_1_10(requests: int, rows: int) -> Mapping[str, Any]:
    """What the real one tells."""
    statistic = {
        'num_data_request': requests,
        'num_total_seq': rows,
        'num_sys_request': 1,
        'num_total_client': 2,
        'num_active_client': 1,
        'num_total_request': requests + 1,
    }
    return {
        'server_version': '1.10.0',
        'model_dir': '/models/tiny',
        'max_seq_len': 25,
        'statistic': statistic,
        'server_start_time': '2026-01-01 00:00:00',
        'server_current_time': '2026-01-01 00:00:05',
    }


@pytest.mark.parametrize(('state', 'says'), [('draining', 'The server is draining'), ('starting', 'is starting')])
def test_the_state_of_the_server_shows(browser: Browser, state: str, says: str) -> None:
    backend = FakeBackend()
    backend.status = {**STATUS, 'server_state': state}
    with frontend_to(backend) as url:
        browser.open(url + '/dashboard')
        browser.until(lambda: says in browser.text('[data-banner]'), state)
        assert browser.text('[data-condition]').endswith(state)


def test_where_the_workers_of_a_cluster_are_shows_and_what_they_wait_for(browser: Browser) -> None:
    backend = FakeBackend()
    here = {'worker': 0, 'device': 0, 'state': 'ready', 'restarts': 0, 'pid': 7, 'node': 'fe1c', 'address': '10.0.0.7'}
    waits = {'worker': 1, 'device': 0, 'state': 'waiting', 'restarts': 0, 'pid': None, 'waits_for': 'num_gpus=1'}
    backend.status = {**STATUS, 'workers': [here, waits]}
    with frontend_to(backend) as url:
        browser.open(url + '/dashboard')
        browser.until(lambda: 'on 10.0.0.7' in browser.text('[data-worker="0"]'), 'its node')
        assert 'waiting' in browser.text('[data-worker="1"]')
        assert 'waits for num_gpus=1' in browser.text('[data-worker="1"]')


def test_no_worker_and_no_server_behind_the_proxy_show(browser: Browser) -> None:
    backend = FakeBackend()
    backend.status = {**STATUS, 'workers': [{'worker': 0, 'state': 'gone', 'restarts': 5}]}
    with frontend_to(backend) as url:
        browser.open(url + '/dashboard')
        browser.until(lambda: 'No worker is ready' in browser.text('[data-banner]'), 'no worker')
        backend.is_fresh = False
        browser.until(lambda: 'The server has been down' in browser.text('[data-banner="away"]'), 'away')
        backend.is_fresh = True
        browser.until(lambda: browser.all('[data-banner="reading"]'), 'there again')


@pytest.mark.parametrize('status', [429, 502])
def test_an_error_that_may_pass_is_not_taken_for_a_stranger(browser: Browser, status: int) -> None:
    with stranger_with(status) as url:
        browser.open(FILE + '?server=' + url)
        browser.until(
            lambda: 'has not reported its status for' in browser.text('[data-banner="unreachable"]'), 'no status'
        )
        assert 'At %s, it responds to /status/server with %d.' % (url, status) in browser.text('[data-banner]')


def test_a_link_that_names_a_server_elsewhere_does_not_have_the_page_ask_for_a_key_by_itself(browser: Browser) -> None:
    with frontend_to(FakeBackend()) as url, stranger_with(401) as other:
        browser.open('%s/dashboard?server=%s' % (url, other))
        browser.until(lambda: browser.all('[data-banner="locked"]'), 'it asks for a key')
        assert '%s, which is not the server of this page, requires' % other in browser.text('[data-banner]')
        assert not browser.all('dialog[open]')
        browser.click('[data-banner] button')
        assert 'For %s, which is not the server of this page.' % other in browser.text('[data-receiver]')
        browser.write('#server-address', url)
        assert 'For %s. A key from' % url in browser.text('[data-receiver]')


# Its looks -----------------------------------------------------------------------------------------------------------


def test_it_is_light_or_dark_as_the_system_is_or_as_it_is_told(browser: Browser) -> None:
    def brightness() -> int:
        color = browser.driver.execute_script('return getComputedStyle(document.body).backgroundColor')
        return sum(int(part) for part in color.strip('rgb()').split(',')) // 3

    browser.prefer('light')
    with frontend_to(FakeBackend()) as url:
        browser.open(url + '/dashboard')
        browser.until(lambda: brightness() > 200, 'light, as the system')
        browser.prefer('dark')
        browser.until(lambda: brightness() < 60, 'dark, as the system')
        browser.click('[data-theme-choice="light"]')
        browser.until(lambda: brightness() > 200, 'light, as told')
        browser.driver.refresh()
        browser.until(lambda: browser.all('[data-theme-choice="light"][aria-pressed="true"]'), 'still as told')
        assert brightness() > 200


@pytest.mark.parametrize('width', [360, 768, 1400, 3840])
def test_it_fits_from_a_telephone_to_a_wall(browser: Browser, shared_url: str, width: int) -> None:
    browser.resize(width, 900)
    browser.open(shared_url + '/dashboard')
    with Load(shared_url, threads=1):
        browser.until(lambda: browser.all('[data-chart="requests"] canvas'), 'charts')
    assert browser.driver.execute_script('return document.documentElement.scrollWidth') <= width
    for chart in browser.all('.chart'):
        assert chart.size['width'] >= 300


def test_no_card_is_alone_in_its_row(browser: Browser) -> None:
    with frontend_to(FakeBackend()) as url:
        browser.open(url + '/dashboard')
        wait_until_serving(browser)
        for width, in_a_row in ((400, 2), (800, 4), (1200, 4), (1500, 8)):
            browser.resize(width, 900)
            tops = [tile.location['y'] for tile in browser.all('[data-tile]')]
            assert {tops.count(top) for top in tops} == {in_a_row}, width


def test_the_keyboard_reads_the_charts_and_the_range_can_be_set(browser: Browser, shared_url: str) -> None:
    browser.open(shared_url + '/dashboard')
    with Load(shared_url):
        browser.until(lambda: browser.tile('rows') > 0, 'rows')
        plot = browser.the('[data-chart="rows"] .plot')
        plot.send_keys(Keys.ARROW_LEFT)
        browser.until(lambda: ':' in browser.text('[data-chart="rows"] .time'), 'the time at the cursor')
        assert ':' in browser.text('[data-chart="latency"] .time'), 'the cursors of all charts go together'
        plot.send_keys(Keys.ESCAPE)
        browser.until(lambda: browser.text('[data-chart="rows"] .time') == '', 'no cursor')
        browser.click('[data-range="halfDay"]')
        assert browser.the('[data-range="halfDay"]').get_attribute('aria-pressed') == 'true'
        plot.send_keys(Keys.ARROW_LEFT)
        browser.until(lambda: browser.text('[data-chart="rows"] .time'), 'the cursor is at a minute')
        browser.until(lambda: browser.legend('rows')['answered'] != '–', 'the minutes have values, too')
        browser.click('[data-chart="requests"] .legend button')
        assert browser.all('[data-chart="requests"] .legend button[aria-pressed="false"]')


def test_the_configuration_can_be_searched(browser: Browser, shared_url: str) -> None:
    browser.open(shared_url + '/dashboard')
    wait_until_serving(browser)
    assert not browser.the('[data-search]').is_displayed(), 'it is folded'
    browser.the('.configuration summary').send_keys(Keys.ENTER)
    assert 'pooling_strategy REDUCE_MEAN' in browser.text('.configuration dl')
    browser.write('[data-search]', 'FETCH size')
    browser.until(lambda: len(browser.all('.configuration dl > div')) == 1, 'one is left')
    assert browser.text('.configuration dl') == 'prefetch_size 7 batches'
    browser.write('[data-search]', 'no such thing')
    browser.until(lambda: 'No key or value' in browser.text('.configuration'), 'none is left')


def test_the_first_page_encodes_what_is_typed(browser: Browser) -> None:
    with frontend_to(FakeBackend()) as address:
        browser.open(address + '/')
        browser.the('#texts').clear()
        browser.the('#texts').send_keys('hello world' + Keys.ENTER + 'good day!')
        browser.the('button').click()
        browser.until(lambda: 'Cosine similarities' in browser.text('#answer'), 'the vectors are there')
        assert 'good day!' in browser.text('#answer')
        assert 'curl %s/ ' % address in browser.text('#curl')
