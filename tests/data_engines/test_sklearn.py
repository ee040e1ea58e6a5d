"""scikit-learn: `BertVectorizer` cloned, pickled, in a pipeline, and in the processes of a cross-validation.

The tests import scikit-learn themselves, because each process that collects them would spend over a second on it.
"""

from __future__ import annotations

import importlib.util
import json
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from bert_serving.client import BertClient

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec('sklearn') is None, reason='scikit-learn is not installed'),
]

TEXTS = ['first do it', 'then do it right', 'then do it better'] * 10
LABELS = [0, 1, 1] * 10


def clone(vectorizer: Any) -> Any:
    import sklearn.base

    return sklearn.base.clone(vectorizer)


def test_it_has_the_vectors_of_the_client(server: dict[str, Any]) -> None:
    from bert_serving.client.sklearn import BertVectorizer

    vectorizer = BertVectorizer(**server, normalize=True)
    with BertClient(**server) as client:
        expected = client.encode(TEXTS, normalize=True)
    for texts in (TEXTS, tuple(TEXTS), np.array(TEXTS), np.array(TEXTS)[:, None]):
        np.testing.assert_allclose(vectorizer.fit(texts).transform(texts), expected, rtol=1e-5)
    names = vectorizer.get_feature_names_out()
    assert (names[0], len(names)) == ('bert0', expected.shape[1])


@pytest.mark.parametrize('copy', [clone, lambda each: pickle.loads(pickle.dumps(each))])
def test_a_copy_has_its_own_connection_and_the_same_parameters(server: dict[str, Any], copy: Any) -> None:
    from bert_serving.client.sklearn import BertVectorizer

    vectorizer = BertVectorizer(**server, dimensions=2)
    before = vectorizer.transform(TEXTS)
    copied = copy(vectorizer)
    assert copied.get_params() == vectorizer.get_params()
    np.testing.assert_allclose(copied.transform(TEXTS), before)
    copied.set_params(dimensions=1)
    assert copied.transform(TEXTS).shape == (30, 1)


IN_PROCESSES = """
import json, pickle, sys
from sklearn.model_selection import cross_val_score
pipeline = pickle.load(sys.stdin.buffer)
print(json.dumps(cross_val_score(pipeline, *json.loads(sys.argv[1]), cv=3, n_jobs=2).tolist()))
"""


def test_a_pipeline_with_it_is_validated_in_processes(server: dict[str, Any]) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from bert_serving.client.sklearn import BertVectorizer

    pipeline = make_pipeline(BertVectorizer(**server), StandardScaler(), LogisticRegression())
    pipeline.fit(TEXTS, LABELS)
    pickled = pickle.dumps(pipeline)
    assert pickle.loads(pickled).predict(TEXTS).tolist() == LABELS
    # joblib keeps its processes for as long as the process that asks for them lives.
    command = [sys.executable, '-c', IN_PROCESSES, json.dumps([TEXTS, LABELS])]
    scores = subprocess.run(command, input=pickled, stdout=subprocess.PIPE, check=True, timeout=200).stdout
    assert json.loads(scores) == cross_val_score(pipeline, TEXTS, LABELS, cv=3).tolist() == [1.0, 1.0, 1.0]


def test_a_column_of_a_table_is_taken(server: dict[str, Any]) -> None:
    pandas = pytest.importorskip('pandas')
    from sklearn.compose import ColumnTransformer

    from bert_serving.client.sklearn import BertVectorizer

    table = pandas.DataFrame({'text': TEXTS, 'number': range(30)})
    vectorizer = BertVectorizer(**server)
    for column in ('text', ['text']):
        joined = ColumnTransformer([('bert', vectorizer, column)], remainder='passthrough').fit_transform(table)
        np.testing.assert_allclose(joined[:, :-1], vectorizer.transform(TEXTS), rtol=1e-5)
