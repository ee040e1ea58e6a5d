"""The compose files: what they name exists, is pinned, and gives the server what it needs."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from bert_serving.server.options.settings import OPTIONS
from docker.files import DOCKER, README, environment, load


def test_compose_gives_a_server_time_to_stop_and_a_place_to_write() -> None:
    ours = [load('compose.yaml')['services']['server'], *load('compose.rerank.yaml')['services'].values()]
    for service in ours:
        assert int(service['stop_grace_period'][:-1]) > int(environment()['BERT_SERVING_SHUTDOWN_TIMEOUT'])
        assert service['read_only'] is True
        assert service['tmpfs'][0].startswith('/tmp:')


def test_compose_opens_no_port_to_other_machines_unless_it_is_told_to() -> None:
    """There is no key for HTTP, and none for ZeroMQ."""
    services = [*load('compose.yaml')['services'].values(), *load('compose.rerank.yaml')['services'].values()]
    ports = [port for service in services for port in service.get('ports', [])]
    assert len(ports) == 6
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


def test_compose_with_tls_sets_the_options_of_the_files_that_it_mounts() -> None:
    server = load('compose.tls.yaml')['services']['server']
    folder = server['volumes'][0].split(':')[-2]
    for name in ('http_tls_cert', 'http_tls_key'):
        path = server['environment'][OPTIONS[name].variable]
        assert path.startswith(folder + '/')
        assert '`%s`' % path.removeprefix(folder + '/') in README


SERVICES = [
    pytest.param(service, id='%s-%s' % (file, name))
    for file in ('compose.yaml', 'compose.rerank.yaml')
    for name, service in load(file)['services'].items()
]


@pytest.mark.parametrize('service', SERVICES)
def test_a_container_may_do_nothing_that_it_need_not_and_has_limits(service: dict[str, Any]) -> None:
    """Neither does any switch off Docker's seccomp profile, or become privileged."""
    assert service['read_only'] is True
    assert service['cap_drop'] == ['ALL']
    assert service['security_opt'] == ['no-new-privileges:true']
    assert re.fullmatch(r'(\$\{\w+:-)?\d+g\}?', service['mem_limit'])
    assert 256 <= service['pids_limit'] <= 4096
    (tmp,) = service['tmpfs']
    assert re.fullmatch(r'/tmp:size=\d+[gm]', tmp)
    assert not {'privileged', 'cap_add', 'network_mode', 'pid', 'user', 'devices'} & set(service)


@pytest.mark.parametrize('file', ['compose.yaml', 'compose.gpu.yaml', 'compose.rerank.yaml'])
def test_compose_names_files_that_exist_and_releases(file: str) -> None:
    for name, service in load(file)['services'].items():
        if service['image'].startswith('bert-as-service'):
            assert service.get('build') or file == 'compose.rerank.yaml', 'one service builds the image for all'
        if 'build' in service:
            assert (DOCKER / service['build']['context'] / service['build']['dockerfile']).is_file()
        elif service['image'] != 'bert-as-service':
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
