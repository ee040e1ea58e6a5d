"""An encoder and a reranker behind one address: the compose file, run here without containers, and Kubernetes."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bert_serving.server.helper import get_args_parser, get_http_parser
from bert_serving.server.http.upstreams import Upstream
from bert_serving.server.options.settings import OPTIONS
from docker.files import DOCKER, README, environment, load
from support.proxies import HTTP_READY, curl
from support.serving import DATA, ServerProcess, fake_path

COMPOSE = load('compose.rerank.yaml')['services']
RERANKER_DIR = DATA / 'published' / 'models' / 'ce-bert-one'
KUBERNETES = DOCKER / 'kubernetes'


# --- compose ---------------------------------------------------------------------------------------------------------


class Service(ServerProcess):
    """A service of the compose file as a process: the image's entrypoint with its command and its environment."""

    always = ()

    def __init__(self, name: str, entrypoint: Path, **environment_here: str) -> None:
        service = COMPOSE[name]
        words = [with_defaults(word) for word in service['command']]
        variables = {key: with_defaults(text) for key, text in {**environment(), **service['environment']}.items()}
        del variables['PATH'], variables['HOME']
        variables.update(environment_here, PYTHONPATH=fake_path())
        super().__init__(str(entrypoint), *words, environment=variables, module='docker.enter')


def with_defaults(text: str) -> str:
    """The text as compose makes it where no variable is set: `${NAME:-default}`."""
    return re.sub(r'\$\{\w+:-([^}]*)\}', r'\1', text)


MakeEntrypoint = Callable[..., Path]


@pytest.fixture
def entrypoint(tmp_path: Path) -> MakeEntrypoint:
    """Make the image's entrypoint, with our commands on its path, and with what is mounted at /model."""
    commands = {'bert-serving-start': 'bert_serving.server.cli', 'bert-serving-http': 'support.http_cli'}
    for name, module in commands.items():
        (tmp_path / name).write_text('#!/bin/sh\nexec %s -m %s "$@"\n' % (sys.executable, module))
        (tmp_path / name).chmod(0o755)

    def make(name: str, model: Path) -> Path:
        script = tmp_path / (name + '.sh')
        text = (DOCKER / 'entrypoint.sh').read_text('utf-8').replace('/model', str(model))
        script.write_text('PATH=%s:$PATH\n%s' % (tmp_path, text))
        return script

    return make


@pytest.fixture
def address(entrypoint: MakeEntrypoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The one address of the compose file, whose services run on free ports."""
    (mount,) = COMPOSE['reranker']['volumes']
    assert re.fullmatch(r'\$\{RERANKER_DIR:\?[^}]*\}:/model:ro', mount)
    ports = {'BERT_SERVING_PORT': '0', 'BERT_SERVING_PORT_OUT': '0'}
    with (
        Service('encoder', entrypoint('encoder', tmp_path / 'nothing'), **ports) as encoder,
        Service('reranker', entrypoint('reranker', RERANKER_DIR), **ports) as reranker,
    ):
        command = COMPOSE['proxy']['command']
        for name, server in (('encoder', encoder), ('reranker', reranker)):
            server.wait_until_ready()
            assert server.http_port == 0, 'the proxy serves HTTP'
            found = '127.0.0.1:%d,%d' % (server.port, server.port_out)
            command = [word.replace('=%s:5555,5556' % name, '=' + found) for word in command]
        monkeypatch.setitem(COMPOSE['proxy'], 'command', command)
        here = {'BERT_SERVING_HTTP_PORT': '0', 'BERT_SERVING_HTTP_HOST': '127.0.0.1'}
        with Service('proxy', entrypoint('proxy', tmp_path / 'nothing'), **here) as proxy:
            yield 'http://127.0.0.1:%s' % proxy.wait_for_log(HTTP_READY)[1]
            assert [process.stop() for process in (proxy, encoder, reranker)] == [0, 0, 0]


@pytest.mark.slow
def test_compose_serves_an_encoder_and_a_reranker_at_one_address(address: str) -> None:
    """The requests are those of docker/README.md, one after the other."""
    requests = re.findall(r"^curl http://localhost:8125(/\S+) \\\n  -d '(.*)'$", README, re.MULTILINE)
    assert [path for path, _ in requests] == ['/v1/embeddings', '/v2/rerank']
    (_, vectors), (_, ranking) = ((path, curl(address + path, '-d', body)) for path, body in requests)
    assert vectors[0] == ranking[0] == 200
    assert len(vectors[1]['data'][0]['embedding']) == 384
    scores = [result['relevance_score'] for result in ranking[1]['results']]
    assert len(scores) == 2
    assert scores == sorted(scores, reverse=True)
    assert (vectors[1]['model'], ranking[1]['model']) == ('encoder', 'reranker')
    status, health = curl(address + '/health/ready')
    assert (status, [server['name'] for server in health['upstreams']]) == (200, ['encoder', 'reranker'])
    body = json.dumps({'query': 'where is my parcel?', 'texts': ['We open at nine.']})
    assert curl(address + '/rerank', '-d', body)[0] == 200, 'without a model, the first that ranks'


def test_only_the_proxy_of_compose_can_be_reached_from_outside() -> None:
    assert [name for name, service in COMPOSE.items() if 'ports' in service] == ['proxy']
    networks = load('compose.rerank.yaml')['networks']
    assert networks['servers'] == {'internal': True}
    assert {name: service['networks'] for name, service in COMPOSE.items()} == {
        'encoder': ['servers'],
        'reranker': ['servers'],
        'proxy': ['servers', 'front'],
    }


def test_the_proxy_of_compose_knows_the_services_by_their_names() -> None:
    upstreams = options_of(COMPOSE['proxy']['command'], COMPOSE['proxy']['environment']).upstream
    assert upstreams == [Upstream(name, name, 5555, 5556) for name in ('encoder', 'reranker')]
    assert COMPOSE['proxy']['depends_on'] == ['encoder', 'reranker']


# --- Kubernetes ------------------------------------------------------------------------------------------------------

OBJECTS: list[dict[str, Any]] = [
    thing
    for file in yaml.safe_load((KUBERNETES / 'kustomization.yaml').read_text('utf-8'))['resources']
    for thing in yaml.safe_load_all((KUBERNETES / file).read_text('utf-8'))
]
WORKLOADS = {thing['metadata']['name']: thing['spec'] for thing in OBJECTS if thing['kind'].endswith('Set')} | {
    thing['metadata']['name']: thing['spec'] for thing in OBJECTS if thing['kind'] == 'Deployment'
}
SERVICES = {thing['metadata']['name']: thing['spec'] for thing in OBJECTS if thing['kind'] == 'Service'}
POLICIES = {thing['metadata']['name']: thing['spec'] for thing in OBJECTS if thing['kind'] == 'NetworkPolicy'}

each_workload = pytest.mark.parametrize('name', WORKLOADS)


def pod_of(name: str) -> Any:
    return WORKLOADS[name]['template']['spec']


def container_of(name: str) -> Any:
    (container,) = pod_of(name)['containers']
    return container


def options_of(words: list[str], variables: dict[str, str]) -> argparse.Namespace:
    """The options of a command, as the entrypoint and the parser understand them; SystemExit if it has others."""
    names = {option.variable for option in OPTIONS.values()}
    assert not [name for name in variables if name not in names], 'every variable is that of an option'
    is_proxy = words[0] == 'bert-serving-http'
    parser = get_http_parser() if is_proxy else get_args_parser()
    parser.environ = {key: with_defaults(text) for key, text in variables.items()}
    return parser.parse_args(words[1:] if is_proxy else ['-num_worker', *words])


def variables_of(name: str) -> dict[str, str]:
    return {variable['name']: variable['value'] for variable in container_of(name)['env']}


def test_kustomize_applies_every_file() -> None:
    files = {path.name for path in KUBERNETES.glob('*.yaml')} - {'kustomization.yaml'}
    kustomization = yaml.safe_load((KUBERNETES / 'kustomization.yaml').read_text('utf-8'))
    assert set(kustomization['resources']) == files
    assert set(WORKLOADS) == {'encoder', 'reranker', 'proxy'}
    assert {image['name'] for image in kustomization['images']} == {container_of(name)['image'] for name in WORKLOADS}


@each_workload
def test_a_pod_has_options_that_exist_and_time_to_stop(name: str) -> None:
    pod, args = pod_of(name), options_of(container_of(name)['args'], variables_of(name))
    assert pod['terminationGracePeriodSeconds'] > args.shutdown_timeout
    assert pod['enableServiceLinks'] is False


@each_workload
def test_a_pod_may_do_nothing_that_it_need_not(name: str) -> None:
    """As the profile `restricted` of the namespace demands, and a file system that is read-only."""
    pod, container = pod_of(name), container_of(name)
    assert pod['securityContext'] == {
        'runAsNonRoot': True,
        'runAsUser': 10001,
        'runAsGroup': 0,
        'seccompProfile': {'type': 'RuntimeDefault'},
    }
    assert container['securityContext'] == {
        'readOnlyRootFilesystem': True,
        'allowPrivilegeEscalation': False,
        'capabilities': {'drop': ['ALL']},
    }
    assert pod['automountServiceAccountToken'] is False
    assert container['resources']['limits']['memory']
    assert {'name': 'tmp', 'mountPath': '/tmp'} in container['volumeMounts']
    assert {mount['name'] for mount in container['volumeMounts']} == {volume['name'] for volume in pod['volumes']}


@each_workload
def test_a_pod_is_ready_when_it_takes_requests(name: str) -> None:
    container = container_of(name)
    assert container['readinessProbe']['httpGet']['path'] == '/health/ready'
    ports = {port['name']: port['containerPort'] for port in container['ports']}
    for probe in ('startupProbe', 'readinessProbe', 'livenessProbe'):
        if probe in container:
            assert ports[container[probe]['httpGet']['port']] == 8125
    alive = container['livenessProbe']['httpGet']['path']
    assert alive == ('/openapi.json' if name == 'proxy' else '/health/live'), 'docs/http.md says why'


def test_the_proxy_names_every_pod_of_the_servers() -> None:
    upstreams = options_of(container_of('proxy')['args'], variables_of('proxy')).upstream
    assert upstreams == [
        Upstream(name, '%s-%d.%s' % (name, number, name), 5555, 5556)
        for name in ('encoder', 'reranker')
        for number in range(WORKLOADS[name]['replicas'])
    ]
    for name in ('encoder', 'reranker'):
        assert WORKLOADS[name]['serviceName'] == name
        assert SERVICES[name]['clusterIP'] == 'None'


def test_selectors_find_the_pods_that_they_mean() -> None:
    labels = {name: workload['template']['metadata']['labels'] for name, workload in WORKLOADS.items()}

    def found(selector: dict[str, str]) -> set[str]:
        return {name for name, own in labels.items() if selector.items() <= own.items()}

    for name, workload in WORKLOADS.items():
        assert found(workload['selector']['matchLabels']) == {name}
    assert {name: found(spec['selector']) for name, spec in SERVICES.items()} == {
        'encoder': {'encoder'},
        'reranker': {'reranker'},
        'bert-serving': {'proxy'},
    }
    assert {name: found(spec['podSelector'].get('matchLabels', {})) for name, spec in POLICIES.items()} == {
        'nothing': {'encoder', 'reranker', 'proxy'},
        'servers': {'encoder', 'reranker'},
        'proxy': {'proxy'},
    }


def test_only_the_proxy_reaches_the_servers_and_only_http_reaches_the_proxy() -> None:
    assert POLICIES['nothing'] == {'podSelector': {}, 'policyTypes': ['Ingress', 'Egress']}
    (to_servers,) = POLICIES['servers']['ingress']
    assert to_servers['from'] == [{'podSelector': {'matchLabels': {'app.kubernetes.io/name': 'proxy'}}}]
    assert [port['port'] for port in to_servers['ports']] == [5555, 5556]
    (to_proxy,) = POLICIES['proxy']['ingress']
    assert [port['port'] for port in to_proxy['ports']] == [8125]
    from_proxy, names = POLICIES['proxy']['egress']
    assert from_proxy['to'] == [{'podSelector': {'matchLabels': {'bert-serving/role': 'server'}}}]
    assert from_proxy['ports'] == to_servers['ports']
    assert {port['port'] for port in names['ports']} == {53}
