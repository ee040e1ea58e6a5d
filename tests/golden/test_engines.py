"""The golden and published cases, answered by the second engine in float32; `nox -s engines` asks all of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from bert_serving.client import BertClient
from golden.test_golden import CASES, server_words
from golden.test_published_answers import CASES as PUBLISHED_CASES
from golden.test_published_answers import JUDGES, PUBLISHED
from support.engines import needs_onnx
from support.replay import replay
from support.serving import connect, serve

pytestmark = needs_onnx

ENGINE = ('-engine', 'onnxruntime')
ASKS_ALL = bool(os.environ.get('BERT_SERVING_ALL_ENGINES'))

GOLDEN = [case for case in CASES if not {'-bf16', '-xla'} & set(server_words(case))]
ASKED = GOLDEN if ASKS_ALL else [next(case for case in GOLDEN if case.stem.startswith('minilm'))]


@pytest.mark.parametrize('case', ASKED, ids=lambda case: case.stem)
def test_the_answers_are_those_of_1_10(case: Path) -> None:
    with (
        serve(*server_words(case), *ENGINE) as server,
        connect(server, check_length=False, timeout=60_000) as client,
    ):
        assert client.server_config['engine'] == 'onnxruntime'
        replay(str(case), client)


@pytest.mark.parametrize('path', PUBLISHED_CASES if ASKS_ALL else [], ids=lambda path: path.stem)
def test_a_published_folder_answers_as_its_authors_library(path: Path) -> None:
    case, expected = json.loads(path.read_text('utf-8')), np.load(path.with_suffix('.npz'))
    with (
        serve('-model_dir', str(PUBLISHED / 'models' / case['model']), *ENGINE) as server,
        BertClient(port=server.port, port_out=server.port_out, timeout=60_000, check_length=False) as client,
    ):
        for number, request in enumerate(case['requests']):
            JUDGES[request['kind']](client, case, request, expected, number)
