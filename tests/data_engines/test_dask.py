"""Dask: `map_partitions` with a plain client, as docs/client.md has it. In the nox session `data`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bert_serving.client import BertClient

dataframe = pytest.importorskip('dask.dataframe')
pandas = pytest.importorskip('pandas')

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings('ignore')]

TEXTS = ['sentence number %d' % number for number in range(200)]


def encode(partition: Any, arguments: dict[str, Any]) -> Any:
    with BertClient(**arguments) as client:
        return partition.assign(vector=list(client.encode(partition['text'])))


def test_partitions_get_the_vectors_of_the_client(server: dict[str, Any]) -> None:
    table = dataframe.from_pandas(pandas.DataFrame({'text': TEXTS}), npartitions=4)
    meta = {'text': table['text'].dtype, 'vector': object}
    encoded = table.map_partitions(encode, server, meta=meta).compute(scheduler='threads')
    with BertClient(**server) as client:
        expected = client.encode(TEXTS)
    np.testing.assert_allclose(np.stack(encoded['vector']), expected, rtol=1e-4, atol=1e-4)
