"""The compose files: what they name exists, is pinned, and gives the server what it needs."""

from __future__ import annotations

import re

import pytest
import yaml

from bert_serving.server.options.settings import OPTIONS
from docker.files import DOCKER, README, environment, load


def test_compose_gives_a_server_time_to_stop_and_a_place_to_write() -> None:
    server = load('compose.yaml')['services']['server']
    assert int(server['stop_grace_period'][:-1]) > int(environment()['BERT_SERVING_SHUTDOWN_TIMEOUT'])
    assert server['read_only'] is True
    assert server['tmpfs'][0].startswith('/tmp:')


def test_compose_opens_no_port_to_other_machines_unless_it_is_told_to() -> None:
    """There is no key, and for ZeroMQ there can be none."""
    services = load('compose.yaml')['services']
    ports = [port for service in services.values() for port in service['ports']]
    assert len(ports) == 5
    for port in ports:
        assert re.match(r'(\$\{BIND:-127\.0\.0\.1\}|127\.0\.0\.1):\d+:\d+$', port), port
    assert '`BIND`' in README


def test_nobody_can_log_in_to_grafana_with_the_password_that_all_have() -> None:
    variables = load('compose.yaml')['services']['grafana']['environment']
    assert variables['GF_AUTH_ANONYMOUS_ENABLED'] == variables['GF_AUTH_DISABLE_LOGIN_FORM'] == 'true'
    assert variables['GF_AUTH_BASIC_ENABLED'] == 'false'
    assert 'GF_AUTH_ANONYMOUS_ORG_ROLE' not in variables  # a viewer


def test_compose_hands_the_key_on() -> None:
    """Under the name of the server's option; an empty one counts as none."""
    (variable,) = load('compose.yaml')['services']['server']['environment'].items()
    name = OPTIONS['http_api_key'].variable
    assert variable == (name, '${%s:-}' % name)
    assert 'export %s=' % name in README


@pytest.mark.parametrize('file', ['compose.yaml', 'compose.gpu.yaml'])
def test_compose_names_files_that_exist_and_releases(file: str) -> None:
    for name, service in load(file)['services'].items():
        if 'build' in service:
            assert (DOCKER / service['build']['context'] / service['build']['dockerfile']).is_file()
        else:
            assert re.search(r':v?\d+\.\d+\.\d+$', service['image']), name
        for volume in service.get('volumes', []):
            source = volume.split(':')[0]
            assert not source.startswith('.') or (DOCKER / source).is_dir(), volume


def test_the_pod_of_the_readme_has_time_to_stop_and_a_place_to_write() -> None:
    (block,) = re.findall(r'^```yaml\n(.*?)^```', README, re.MULTILINE | re.DOTALL)
    pod = yaml.safe_load(block)['spec']
    (server,) = pod['containers']
    variables = {variable['name']: variable['value'] for variable in server['env']}
    assert pod['terminationGracePeriodSeconds'] > int(variables['BERT_SERVING_SHUTDOWN_TIMEOUT'])
    assert {mount['name']: mount['mountPath'] for mount in server['volumeMounts']} == {'tmp': '/tmp', 'model': '/model'}
    assert {volume['name'] for volume in pod['volumes']} == {'tmp', 'model'}
