"""Which worker gets which device, with a GPUtil that is not there, that finds nothing, or that finds some."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from bert_serving.server.parent.devices import find_free_gpus, plan_devices


def finding(*gpus: int):
    return lambda most: list(gpus[:most])


def failing(most: int) -> list[int]:
    raise AssertionError('the GPUs were looked for in vain')


def test_with_cpu_no_gpu_is_looked_for_and_the_map_is_ignored() -> None:
    plan = plan_devices(3, True, [0, 1], failing)
    assert plan.devices == (-1, -1, -1)
    assert plan.warnings == ()


def test_each_worker_gets_a_free_gpu() -> None:
    plan = plan_devices(2, False, [], finding(3, 1, 2))
    assert plan.devices == (3, 1)
    assert plan.warnings == ()


def test_workers_share_gpus_with_a_warning_if_there_are_too_few() -> None:
    plan = plan_devices(3, False, [], finding(0, 1))
    assert plan.devices == (0, 1, 0)
    assert 'only 2 GPU(s) are free for 3 workers' in plan.warnings[0]


def test_the_device_map_is_cycled_over_the_workers() -> None:
    assert plan_devices(4, False, [0, 1, 4], finding(0, 1, 2, 4)).devices == (0, 1, 4, 0)


def test_the_device_map_is_cut_to_the_workers() -> None:
    assert plan_devices(2, False, [5, 6, 7], finding(5, 6, 7)).devices == (5, 6)


def test_minus_one_in_the_map_mixes_gpus_and_the_cpu() -> None:
    plan = plan_devices(4, False, [0, -1], finding(0, 1))
    assert plan.devices == (0, -1, 0, -1)
    assert plan.warnings == ()


def test_a_map_of_the_cpu_alone_looks_for_no_gpu() -> None:
    assert plan_devices(2, False, [-1], failing).devices == (-1, -1)


def test_without_a_free_gpu_all_run_on_the_cpu_and_a_warning_says_so() -> None:
    plan = plan_devices(2, False, [0], finding())
    assert plan.devices == (-1, -1)
    assert 'no GPU is free' in plan.warnings[0]


def test_without_gputil_all_run_on_the_cpu_and_a_warning_says_why() -> None:
    def missing(most: int) -> list[int]:
        raise ImportError('No module named distutils')

    plan = plan_devices(1, False, [], missing)
    assert plan.devices == (-1,)
    assert 'distutils' in plan.warnings[0]


def test_gputil_is_asked_for_the_emptiest_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def get_available(**how: object) -> list[int]:
        asked.update(how)
        return [2, 0]

    monkeypatch.setitem(sys.modules, 'GPUtil', SimpleNamespace(getAvailable=get_available))
    assert find_free_gpus(2) == [2, 0]
    assert asked == {'order': 'memory', 'limit': 2, 'maxLoad': 0.9, 'maxMemory': 0.9}
