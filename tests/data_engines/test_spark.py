"""Spark in local mode: the function of columns, and the transformer in a saved pipeline. In the nox session `data`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert_serving.client import BertClient

pyspark = pytest.importorskip('pyspark')

from bert_serving.client.spark import BertTransformer, encode_udf  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings('ignore')]

TEXTS = ['sentence number %d' % number for number in range(300)]


@pytest.fixture(scope='module')
def session() -> Iterator[Any]:
    os.environ['PYSPARK_PYTHON'] = sys.executable  # and not the first `python3` of the path
    builder = pyspark.sql.SparkSession.builder.master('local[2]').config('spark.ui.enabled', 'false')
    session = builder.config('spark.sql.shuffle.partitions', '2').getOrCreate()
    yield session
    session.stop()


@pytest.fixture(scope='module')
def table(session: Any) -> Any:
    return session.createDataFrame(list(enumerate(TEXTS)), ['id', 'text']).repartition(2)


def expected(server: dict[str, Any], **options: Any) -> Any:
    with BertClient(**server) as client:
        return client.encode(TEXTS, **options)


def test_the_function_has_the_vectors_of_the_client(server: dict[str, Any], table: Any) -> None:
    encode = encode_udf(batch_size=64, **server, normalize=True)
    rows = table.withColumn('vector', encode('text')).orderBy('id').collect()
    vectors = np.array([row['vector'] for row in rows])
    np.testing.assert_allclose(vectors, expected(server, normalize=True), rtol=1e-4, atol=1e-5)


def test_a_pipeline_is_saved_with_its_transformer(server: dict[str, Any], table: Any, tmp_path: Path) -> None:
    from pyspark.ml import PipelineModel

    pipeline = PipelineModel([BertTransformer(inputCol='text', outputCol='features', **server)])
    pipeline.save(str(tmp_path / 'pipeline'))
    rows = PipelineModel.load(str(tmp_path / 'pipeline')).transform(table).orderBy('id').collect()
    vectors = np.array([row['features'].toArray() for row in rows])
    np.testing.assert_allclose(vectors, expected(server), rtol=1e-4, atol=1e-4)
