"""Every golden case: requests that the real 1.10 has answered, sent to this server. Some also go over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert_serving.server import BertServer
from golden import over_http
from support.exporting import ServeExported
from support.replay import replay
from support.serving import DATA, MODELS, connect

CASES = sorted((DATA / 'cases').glob('*.json'))
SCRIPT = DATA.parents[1] / 'support' / 'replay.py'

assert len(CASES) == 39


DEFAULTS_OF_1_10 = ('-max_seq_len', '25', '-pooling_layer', '-2', '-pooling_strategy', 'REDUCE_MEAN')


def server_words(case: Path) -> list[str]:
    """The command line of the case, with real folders.

    `minilm` is the embedded default, a published folder, which is asked for 1.10's defaults where the case has them.
    """
    words: list[str] = json.loads(case.read_text('utf-8'))['args']
    if words[:2] == ['-model_dir', 'minilm']:
        return [*DEFAULTS_OF_1_10, *words[2:]]
    return [str(MODELS / word) if before.endswith('model_dir') else word for before, word in zip(['', *words], words)]


Ask = Callable[[BertServer, Path, str], None]
"""Send a case to a server. The last argument is the interpreter of the real client of 1.10."""


def ask_by_clients(server: BertServer, case: Path, real_client: str) -> None:
    with connect(server, check_length=False, timeout=60_000) as client:
        replay(str(case), client)
    if case.stem.startswith('minilm'):
        judge_with_the_real_client(real_client, case, server.port, server.port_out)


def ask_over(route: Callable[[BertServer, dict[str, Any], Any], None]) -> Ask:
    return lambda server, case, _: route(server, json.loads(case.read_text('utf-8')), np.load(case.with_suffix('.npz')))


OVER_HTTP = {
    'minilm-mean': {'encode': over_http.ask_encode, 'openai': over_http.ask_openai},
    'minilm-last': {'openai': over_http.ask_openai},
}
"""The cases that also go over HTTP, and the routes for each."""


def questions() -> Iterator[Any]:
    """Every case, ordered by server."""
    for case in CASES:
        yield pytest.param(case, ask_by_clients, id=case.stem)
        for name, route in OVER_HTTP.get(case.stem, {}).items():
            yield pytest.param(case, ask_over(route), id='%s-over_http-%s' % (case.stem, name))


@pytest.mark.parametrize(('case', 'ask'), list(questions()))
def test_the_answers_are_those_of_1_10(case: Path, ask: Ask, serve_as: ServeExported, real_client: str) -> None:
    http = over_http.WORDS if case.stem in OVER_HTTP else ()
    ask(serve_as(*server_words(case), *http), case, real_client)


def judge_with_the_real_client(python: str, case: Path, port: int, port_out: int) -> None:
    """The same through `bert-serving-client==1.10.0` with default arguments, in an environment of its own."""
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    done = subprocess.run(
        [python, str(SCRIPT), str(case), str(port), str(port_out)],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'equal:' in done.stdout
