"""Every golden case: what the real 1.10 answered, asked again of this server."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from support.exporting import serve_exported
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


@pytest.mark.parametrize('case', CASES, ids=lambda case: case.stem)
def test_the_answers_are_those_of_1_10(case: Path, real_client: str) -> None:
    with serve_exported(*server_words(case)) as server:
        with connect(server, check_length=False, timeout=60_000) as client:
            replay(str(case), client)
        if case.stem.startswith('minilm'):
            judge_with_the_real_client(real_client, case, server.port, server.port_out)


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
