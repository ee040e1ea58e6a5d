"""What a worker takes of its node, as people read it."""

from __future__ import annotations

from bert_serving.server.cluster.interface import Resources


def test_resources_are_written_with_the_names_that_ray_has_for_them() -> None:
    assert str(Resources(cpus=1, gpus=0.5)) == 'num_cpus=1 num_gpus=0.5'
