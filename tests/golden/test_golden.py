"""Every golden case: what the real 1.10 answered, asked again of this server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.environments import make_environment
from support.replay import replay
from support.serving import DATA, MODELS, connect, serve

CASES = sorted((DATA / 'cases').glob('*.json'))
SCRIPT = DATA.parents[1] / 'support' / 'replay.py'

assert len(CASES) == 39


def server_words(case: Path) -> list[str]:
    """The command line of the case, with real folders; `minilm` is the embedded default."""
    words: list[str] = json.loads(case.read_text('utf-8'))['args']
    if words[:2] == ['-model_dir', 'minilm']:
        return words[2:]
    return [str(MODELS / word) if before.endswith('model_dir') else word for before, word in zip(['', *words], words)]


@pytest.fixture(scope='session')
def environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for virtual environments; one that lasts if the variable names it."""
    given = os.environ.get('BERT_SERVING_INTEROP_ENVIRONMENTS')
    return Path(given) if given else tmp_path_factory.mktemp('environments')


@pytest.mark.parametrize('case', CASES, ids=lambda case: case.stem)
def test_the_answers_are_those_of_1_10(case: Path, environments: Path) -> None:
    with serve(*server_words(case)) as server:
        with connect(server, check_length=False, timeout=60_000) as client:
            replay(str(case), client)
        if case.stem.startswith('minilm'):
            judge_with_the_real_client(environments, case, server.port, server.port_out)


def judge_with_the_real_client(environments: Path, case: Path, port: int, port_out: int) -> None:
    """The same through `bert-serving-client==1.10.0` with default arguments, in an environment of its own."""
    python = make_environment(environments / '1.10', '%d.%d' % sys.version_info[:2], 'bert-serving-client==1.10.0')
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    done = subprocess.run(
        [python, str(SCRIPT), str(case), str(port), str(port_out)],
        capture_output=True, text=True, timeout=120, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'equal:' in done.stdout
