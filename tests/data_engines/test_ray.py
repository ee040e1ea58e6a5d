"""Ray Data: `BertEncoder` in `map_batches`, and a job that goes on by Ray's checkpoints. In the nox session `data`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert_serving.client import BertClient
from bert_serving.client.ray import BertEncoder

ray = pytest.importorskip('ray')
pytest.importorskip('ray.data')

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings('ignore')]

TEXTS = ['sentence number %d' % number for number in range(500)]


@pytest.fixture(scope='module', autouse=True)
def cluster() -> Iterator[None]:
    num_cpus = 4  # an actor that filters by the checkpoints, one that encodes, and tasks
    ray.init(num_cpus=num_cpus, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()


def test_a_dataset_gets_the_vectors_of_the_client(server: dict[str, Any]) -> None:
    dataset = ray.data.from_items([{'id': number, 'text': text} for number, text in enumerate(TEXTS)])
    encoded = dataset.map_batches(
        BertEncoder, fn_constructor_kwargs={**server, 'normalize': True}, batch_size=64, concurrency=2
    )
    rows = sorted(encoded.take_all(), key=lambda row: row['id'])
    with BertClient(**server) as client:
        expected = client.encode(TEXTS, normalize=True)
    assert [row['text'] for row in rows] == TEXTS
    np.testing.assert_allclose(np.stack([row['vector'] for row in rows]), expected, rtol=1e-4, atol=1e-5)


def test_a_job_goes_on_by_the_checkpoints_of_ray(server: dict[str, Any], tmp_path: Path) -> None:
    from ray.data.checkpoint import CheckpointConfig

    ray.data.from_items([{'id': number, 'text': text} for number, text in enumerate(TEXTS)]).write_parquet(
        str(tmp_path / 'in')
    )
    context = ray.data.DataContext.get_current()
    context.checkpoint_config = CheckpointConfig(
        id_column='id', checkpoint_path=str(tmp_path / 'checkpoints'), delete_checkpoint_on_success=False
    )
    try:
        for _ in range(2):  # the second time, all rows are done
            dataset = ray.data.read_parquet(str(tmp_path / 'in'))
            dataset.map_batches(BertEncoder, fn_constructor_kwargs=server, concurrency=1).write_parquet(
                str(tmp_path / 'out')
            )
    finally:
        context.checkpoint_config = None
    ids = sorted(row['id'] for row in ray.data.read_parquet(str(tmp_path / 'out')).take_all())
    assert ids == list(range(500))
