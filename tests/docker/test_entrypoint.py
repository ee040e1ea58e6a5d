"""What the entrypoint makes of arguments, the environment and /model; run here, with doubles of the commands."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from docker.files import DOCKER

pytestmark = pytest.mark.slow

ENTRYPOINT = (DOCKER / 'entrypoint.sh').read_text('utf-8')
Enter = Callable[..., 'subprocess.CompletedProcess[str]']


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Where the entrypoint looks for /model; it is not there unless a test makes it."""
    return tmp_path / 'model'


@pytest.fixture
def enter(tmp_path: Path, model: Path) -> Enter:
    """Run the entrypoint with commands that print what they are given."""
    folder = tmp_path / 'bin'
    folder.mkdir()
    for name in ('bert-serving-start', 'bert-serving-http', 'bert-serving-benchmark'):
        command = folder / name
        command.write_text(
            '#!/bin/sh\nprintf "%s\\n" "${0##*/}" "$@" "parent=$PPID" "model=${BERT_SERVING_MODEL_DIR-}"\n'
        )
        command.chmod(0o755)
    script = tmp_path / 'entrypoint.sh'
    script.write_text(ENTRYPOINT.replace('/model', str(model)))

    def enter(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        inherited = {key: text for key, text in os.environ.items() if not key.startswith('BERT_SERVING_')}
        env = {**inherited, 'PATH': '%s:%s' % (folder, os.environ['PATH']), **environment}
        return subprocess.run(['sh', str(script), *words], capture_output=True, text=True, env=env, timeout=30)

    return enter


def given(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The name and the arguments of the command that was run."""
    return done.stdout.split('\nparent=')[0].split('\n')


@pytest.mark.parametrize(
    ('words', 'expected'),
    [
        ([], ['bert-serving-start']),
        (['1'], ['bert-serving-start', '-num_worker', '1']),
        (['12', '-max_seq_len', 'NONE'], ['bert-serving-start', '-num_worker', '12', '-max_seq_len', 'NONE']),
        (['-help'], ['bert-serving-start', '-help']),
        (
            ['-num_worker', '2', '-pooling_layer', '-1', '-2'],
            ['bert-serving-start', '-num_worker', '2', '-pooling_layer', '-1', '-2'],
        ),
        (['bert-serving-start', '-cpu', 'a  b'], ['bert-serving-start', '-cpu', 'a  b']),
        (['bert-serving-http', '-ip', 'gpu'], ['bert-serving-http', '-ip', 'gpu']),
        (['bert-serving-benchmark'], ['bert-serving-benchmark']),
    ],
)
def test_a_number_is_that_of_the_workers_and_a_name_a_command(
    enter: Enter, words: list[str], expected: list[str]
) -> None:
    done = enter(*words)
    assert (done.returncode, done.stderr) == (0, '')
    assert given(done) == expected
    assert done.stdout.endswith('model=\n')


def test_arguments_are_passed_on_as_they_are(enter: Enter) -> None:
    """None is split, expanded or run by the shell."""
    odd = ['-http_api_key', 'a b', '$HOME', '`id`', '*', '', "it's", '; exit 3']
    assert given(enter('1', *odd)) == ['bert-serving-start', '-num_worker', '1', *odd]
    assert given(enter(*odd)) == ['bert-serving-start', *odd]


@pytest.mark.parametrize('word', ['two', '1.5', '1a', '', '$(touch x)', '/model'])
def test_what_is_none_of_these_is_refused_by_name(enter: Enter, word: str) -> None:
    done = enter(word, '-cpu')
    assert (done.returncode, done.stdout) == (2, '')
    (line,) = done.stderr.splitlines()
    assert line.startswith('docker-entrypoint: error: expected a number of workers')
    assert line.endswith("got '%s'" % word)


def test_any_other_command_runs_too(enter: Enter) -> None:
    done = enter('sh', '-c', 'echo "$1"; exit 7', 'sh', 'a  b')
    assert (done.returncode, done.stdout) == (7, 'a  b\n')


@pytest.mark.parametrize('words', [(), ('1',), ('-cpu',), ('bert-serving-start', '-cpu')])
def test_a_model_that_is_mounted_is_served(enter: Enter, model: Path, words: tuple[str, ...]) -> None:
    model.mkdir()
    (model / 'vocab.txt').touch()
    assert enter(*words).stdout.splitlines()[-1] == 'model=%s' % model
    assert enter(*words, BERT_SERVING_MODEL_DIR='').stdout.splitlines()[-1] == 'model=%s' % model


@pytest.mark.parametrize('command', ['bert-serving-benchmark', 'bert-serving-http'])
def test_other_commands_are_not_told_of_a_model_that_is_mounted(enter: Enter, model: Path, command: str) -> None:
    """The benchmark takes either a random model or one from a folder, and is not given one that nobody asked for."""
    model.mkdir()
    assert enter(command, '-random_model', 'mini').stdout.splitlines()[-1] == 'model='
    assert enter(command, BERT_SERVING_MODEL_DIR='/other').stdout.splitlines()[-1] == 'model=/other'


def test_another_model_goes_before_the_mounted_one(enter: Enter, model: Path) -> None:
    """In the environment; an argument goes before the environment in the server itself."""
    model.mkdir()
    assert enter('1', BERT_SERVING_MODEL_DIR='/other').stdout.splitlines()[-1] == 'model=/other'


def test_an_empty_mount_is_not_taken_for_none(enter: Enter, model: Path) -> None:
    """Docker makes an empty folder of a path that is mistyped; the default model must not be served in its place."""
    model.mkdir()
    assert enter('1').stdout.splitlines()[-1] == 'model=%s' % model


@pytest.mark.parametrize('words', [(), ('1',), ('-cpu',), ('bert-serving-start',), ('bert-serving-http',)])
def test_the_server_takes_the_place_of_the_shell(enter: Enter, words: tuple[str, ...]) -> None:
    """So that signals reach it and its exit code is the container's."""
    assert 'parent=%d' % os.getpid() in enter(*words).stdout.splitlines()


def test_the_scripts_can_be_executed() -> None:
    for name in ('entrypoint.sh', 'healthcheck.py', 'requirements/lock.sh'):
        assert os.access(DOCKER / name, os.X_OK), name
