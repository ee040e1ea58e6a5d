"""Which workers run on a cluster, and with what."""

from __future__ import annotations

from typing import Any

import pytest

from bert_serving.server.errors import UsageError
from bert_serving.server.options.cluster import ray_address, share
from bert_serving.server.options.settings import Settings
from bert_serving.server.parent.placement import ClusterPlan, num_local_workers, plan_cluster


def test_without_a_cluster_all_workers_run_here() -> None:
    settings = Settings(num_worker=3)
    assert plan_cluster(settings) is None
    assert num_local_workers(settings) == 3


def test_with_a_cluster_all_workers_run_there() -> None:
    settings = Settings(ray='auto', num_worker=16)
    assert num_local_workers(settings) == 0
    assert plan_cluster(settings) == ClusterPlan(range(16), cpus=1, gpus=1)


def test_workers_of_the_cluster_can_come_in_addition_to_those_of_this_machine() -> None:
    settings = Settings(ray='auto', num_worker=4, ray_num_worker=12, ray_gpus=0.5, ray_cpus=2)
    assert num_local_workers(settings) == 4
    assert plan_cluster(settings) == ClusterPlan(range(4, 16), cpus=2, gpus=0.5)


@pytest.mark.parametrize('options', [{'cpu': True}, {'engine': 'onnxruntime'}, {'ray_gpus': 0.0}])
def test_a_worker_that_computes_on_a_cpu_takes_no_gpu(options: dict[str, Any]) -> None:
    plan = plan_cluster(Settings(ray='auto', **options))
    assert plan is not None
    assert (plan.gpus, plan.devices) == (0, (-1,))


def test_a_worker_has_a_gpu_of_its_node_or_computes_with_as_many_threads_as_it_has_cpus() -> None:
    assert ClusterPlan(range(2), cpus=1, gpus=0.25).devices == (0, 0)
    assert [ClusterPlan(range(1), cpus=cpus, gpus=0).threads for cpus in (0, 0.5, 4)] == [1, 1, 4]


@pytest.mark.parametrize(
    ('options', 'may_mix'),
    [
        ({}, False),
        ({'device_map': (-1,)}, False),
        ({'device_map': (0, -1), 'num_worker': 2}, True),
        ({'device_map': (0,), 'cpu': True}, False),
        ({'ray': 'auto'}, False),
        ({'ray': 'auto', 'ray_gpus': 0.0, 'device_map': (0,)}, False),
        ({'ray': 'auto', 'ray_num_worker': 2}, True),
        ({'ray': 'auto', 'ray_num_worker': 2, 'device_map': (-1,)}, True),
        ({'ray': 'auto', 'ray_num_worker': 2, 'ray_gpus': 0.0}, True),
        ({'ray': 'auto', 'ray_num_worker': 2, 'ray_gpus': 0.0, 'device_map': (-1,)}, False),
        ({'ray': 'auto', 'ray_num_worker': 2, 'cpu': True}, False),
        ({'ray': 'auto', 'ray_num_worker': 2, 'engine': 'onnxruntime'}, False),
    ],
)
def test_a_graph_that_gpus_and_cpus_might_share_is_made_for_both(options: dict[str, Any], may_mix: bool) -> None:
    """Workers on a machine without a GPU and on a cluster with GPUs shared one with ops that only CPUs have."""
    assert Settings(**options).may_mix_devices == may_mix


@pytest.mark.parametrize('text', ['auto', 'ray://head:10001', '10.0.0.1:6379', 'ray://[::1]:10001'])
def test_addresses_of_clusters(text: str) -> None:
    assert ray_address(text) == text


@pytest.mark.parametrize('text', ['', 'head', 'ray://head', 'head:port', ':6379', 'ray://:1'])
def test_what_is_no_address_of_a_cluster(text: str) -> None:
    with pytest.raises(ValueError, match='expected auto, ray://HOST:PORT or HOST:PORT'):
        ray_address(text)


def test_amounts_of_a_resource_are_whole_or_parts_of_one() -> None:
    assert [share(0)(text) for text in ('0', '0.5', '1', '4')] == [0, 0.5, 1, 4]
    for text in ('1.5', '-1', 'inf', 'nan', 'many'):
        with pytest.raises(ValueError, match='expected a whole number, or a fraction below 1'):
            share(0)(text)


@pytest.mark.parametrize('options', [{'ray_num_worker': 2}, {'ray_gpus': 1.0}, {'ray_address_of_server': 'here'}])
def test_options_for_workers_on_a_cluster_need_one(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match='-%s is for workers on a cluster' % next(iter(options))):
        Settings.from_dict(options)
