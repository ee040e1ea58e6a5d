"""The manifest for KubeRay starts a server with options that exist, and lets the nodes reach it."""

from __future__ import annotations

from typing import Any

import yaml

from bert_serving.server.helper import get_args_parser
from bert_serving.server.options.settings import Settings
from docker.files import DOCKER

MANIFEST = DOCKER / 'kubernetes' / 'ray' / 'cluster.yaml'


def objects() -> dict[str, Any]:
    return {each['kind']: each for each in yaml.safe_load_all(MANIFEST.read_text('utf-8'))}


def test_the_server_of_the_manifest_is_started_with_options_that_exist() -> None:
    deployment = objects()['Deployment']
    (server,) = deployment['spec']['template']['spec']['containers']
    assert server['command'] == ['bert-serving-start']
    settings = Settings.from_args(get_args_parser().parse_args(server['args']))
    cluster = objects()['RayCluster']
    assert settings.ray == 'ray://%s-head-svc:10001' % cluster['metadata']['name'], 'as KubeRay calls it'
    assert {port['containerPort'] for port in server['ports']} == {settings.port, settings.port_out, settings.http_port}


def test_the_nodes_reach_every_port_of_the_server_and_all_others_those_for_clients() -> None:
    manifest = objects()
    from_nodes, from_all = manifest['NetworkPolicy']['spec']['ingress']
    label = {'ray.io/cluster': manifest['RayCluster']['metadata']['name']}
    assert from_nodes == {'from': [{'podSelector': {'matchLabels': label}}]}
    assert {port['port'] for port in from_all['ports']} == {
        port['port'] for port in manifest['Service']['spec']['ports']
    }
