"""The dashboard and the alerts ask for series that /metrics has, with labels that it has."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bert_serving.server.http.app import create_app
from bert_serving.server.http.routes import ROUTES
from docker.files import DOCKER, load
from support.fake_backend import FakeBackend

DASHBOARD = load('grafana/dashboards/bert-as-service.json')
RULES = [rule for group in load('prometheus/alerts.yml')['groups'] for rule in group['rules']]
PANELS = [panel for panel in DASHBOARD['panels'] if panel['type'] != 'row']
EXPRESSIONS = [
    *((panel['title'], target['expr']) for panel in PANELS for target in panel['targets']),
    *((rule['alert'], rule['expr']) for rule in RULES),
]
SERIES = re.compile(r'\b((?:bert_|process_)\w+)(\{[^}]*\})?')
OF_PROMETHEUS = {'instance', 'job', 'le'}


@pytest.fixture(scope='module')
def series() -> dict[str, list[dict[str, str]]]:
    """The labels of each series of the page, by name."""
    page = create_app(FakeBackend()).test_client().get('/metrics').text
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def used() -> Iterator[tuple[str, str, str]]:
    for where, expression in EXPRESSIONS:
        for match in SERIES.finditer(expression):
            yield where, match[1], match[2] or ''


def test_every_series_that_is_asked_for_is_on_the_page(series: dict[str, list[dict[str, str]]]) -> None:
    names = {name for _, name, _ in used()}
    assert len(names) >= 30
    assert names <= set(series), names - set(series)


def test_every_label_and_its_values_are_on_the_page(series: dict[str, list[dict[str, str]]]) -> None:
    for where, name, selector in used():
        for label, operator, wanted in re.findall(r'(\w+)(=~|!~|=|!=)"([^"]*)"', selector):
            if label in OF_PROMETHEUS:
                continue
            values = {labels[label] for labels in series[name]}
            if '~' in operator:
                assert any(re.fullmatch(wanted, value) for value in values), (where, name, label)
            else:
                assert wanted in values, (where, name, label)
    for where, expression in EXPRESSIONS:
        for labels in re.findall(r'\bby \(([^)]*)\)', expression):
            for label in labels.split(', '):
                assert label in OF_PROMETHEUS or any(
                    label in sample for name in SERIES.findall(expression) for sample in series[name[0]]
                ), where


def test_failures_are_counted_of_the_routes_that_encode() -> None:
    """The 503 of a health check is an answer, and polls would hide the requests that fail."""
    encoding = 'route=~"%s"' % '|'.join(route.path for route in ROUTES if route.encodes)
    by_status = [
        (where, name, selector)
        for where, expression in EXPRESSIONS
        if 'by (status)' in expression or 'status=~' in expression
        for name, selector in SERIES.findall(expression)
    ]
    assert [where for where, _, _ in by_status] == ['Requests by status', *['BertServingHttpErrors'] * 2]
    for where, _, selector in by_status:
        assert encoding in selector, where


def test_counters_are_looked_at_as_rates_and_gauges_as_they_are() -> None:
    for where, expression in EXPRESSIONS:
        for match in SERIES.finditer(expression):
            counts = re.search(r'_(total|bucket|sum|count)$', match[1]) is not None
            rated = re.search(r'\b(rate|increase)\($', expression[: match.start()]) is not None
            assert counts == rated, (where, match[1])


@pytest.mark.parametrize('panel', PANELS, ids=lambda panel: panel['title'])
def test_a_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    assert panel['title']
    assert panel['description']
    assert panel['fieldConfig']['defaults']['unit']
    assert panel['targets']
    for owner in (panel, *panel['targets']):
        assert owner['datasource'] == {'type': 'prometheus', 'uid': '${datasource}'}


def test_the_datasource_and_the_servers_can_be_chosen() -> None:
    assert [(one['name'], one['type']) for one in DASHBOARD['templating']['list']] == [
        ('datasource', 'datasource'),
        ('instance', 'query'),
    ]
    for panel in PANELS:
        for target in panel['targets']:
            for name, selector in SERIES.findall(target['expr']):
                assert 'instance=~"$instance"' in selector, (panel['title'], name)


def test_panels_stand_side_by_side() -> None:
    """None covers another, and each has a number of its own."""
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD['panels']:
        place = panel['gridPos']
        cells = {
            (x, y)
            for x in range(place['x'], place['x'] + place['w'])
            for y in range(place['y'], place['y'] + place['h'])
        }
        assert not cells & taken, panel['title']
        assert max(x for x, _ in cells) < 24
        taken |= cells
    numbers = [panel['id'] for panel in DASHBOARD['panels']]
    assert len(set(numbers)) == len(numbers)


def test_grafana_and_prometheus_are_told_of_each_other() -> None:
    services = load('compose.yaml')['services']
    (datasource,) = load('grafana/provisioning/datasources/prometheus.yml')['datasources']
    assert (datasource['type'], datasource['url']) == ('prometheus', 'http://prometheus:9090')
    assert 'prometheus' in services
    (job,) = load('prometheus/prometheus.yml')['scrape_configs']
    assert 'up{job="%s"}' % job['job_name'] in {rule['alert']: rule['expr'] for rule in RULES}['BertServingDown']
    assert job['static_configs'] == [{'targets': ['server:8125']}]
    assert any(port.endswith(':8125:8125') for port in services['server']['ports'])
    (provider,) = load('grafana/provisioning/dashboards/dashboards.yml')['providers']
    mounts = dict(volume.split(':')[:2][::-1] for volume in services['grafana']['volumes'])
    assert (DOCKER / mounts[provider['options']['path']] / 'bert-as-service.json').is_file()


def test_every_alert_is_tried_both_ways() -> None:
    """By `promtool test rules`: it fires in one case, and stays silent in another."""
    tests = load('prometheus/alerts_test.yml')['tests']
    tried = {(case['alertname'], bool(case.get('exp_alerts'))) for test in tests for case in test['alert_rule_test']}
    assert tried == {(rule['alert'], fires) for rule in RULES for fires in (True, False)}


def test_promtool_finds_the_rules_right() -> None:
    promtool = shutil.which('promtool')
    if promtool is None:
        pytest.skip('promtool is not on PATH; make docker-test gets it')
    for words in (['check', 'config', 'prometheus.yml'], ['test', 'rules', 'alerts_test.yml']):
        done = subprocess.run([promtool, *words], cwd=DOCKER / 'prometheus', capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
