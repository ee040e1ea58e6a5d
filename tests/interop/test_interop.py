"""Old and new clients against old and new servers: `exercise.py`, in an environment for each client.

The folder BERT_SERVING_INTEROP_ENVIRONMENTS has the environments; without it, they are in a temporary one. In nox's
folder, its sessions have already made those of our client. A real server 1.10.0 takes part if BERT_SERVING_START_1_10
names its `bert-serving-start`; README.md says how to install it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.environments import PythonMissingError, make_environment, must_run
from support.serving import SMALL_MODEL, ServerProcess
from support.waiting import wait_until

HERE = Path(__file__).parent
OURS = str(HERE.parents[1] / 'client')
OLD_SERVER = os.environ.get('BERT_SERVING_START_1_10')

Exercise = Callable[[str, str, int, int], None]


@pytest.fixture(scope='session')
def exercise(tmp_path_factory: pytest.TempPathFactory) -> Exercise:
    """Run the script with one client, on one Python, against the server on these ports."""
    given = os.environ.get('BERT_SERVING_INTEROP_ENVIRONMENTS')
    folder = Path(given).expanduser().resolve() if given else tmp_path_factory.mktemp('environments')

    def run(client: str, version: str, port: int, port_out: int) -> None:
        try:
            if client == 'ours':  # which can change without a new version
                python = make_environment(folder / f'client-{version}', version, 'numpy', 'pyzmq')
                make_environment(folder / f'client-{version}', version, '--force-reinstall', '--no-deps', OURS)
            else:
                python = make_environment(folder / f'1.10-{version}', version, 'bert-serving-client==1.10.0')
        except PythonMissingError as reason:
            (pytest.fail if must_run() else pytest.skip)(str(reason))
        script = [str(HERE / 'exercise.py'), '--port', str(port), '--port-out', str(port_out), '--client', client]
        # The project is not on the path of that Python: it shall use what is installed in its environment.
        clean = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
        done = subprocess.run(
            [python, *script],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=clean,
            timeout=200,
            check=False,
        )
        print(done.stdout)
        assert done.returncode == 0, done.stdout

    return run


@pytest.fixture(scope='module')
def our_server() -> Iterator[ServerProcess]:
    with ServerProcess('-model_dir', SMALL_MODEL, '-show_tokens_to_client') as server:
        yield server.wait_until_ready()
        server.stop()


@pytest.mark.parametrize('version', ['2.7', '3.11'])
@pytest.mark.parametrize('client', ['ours', '1.10'])
def test_our_server(exercise: Exercise, our_server: ServerProcess, client: str, version: str) -> None:
    exercise(client, version, our_server.port, our_server.port_out)


@pytest.mark.skipif(not OLD_SERVER, reason='BERT_SERVING_START_1_10 is not set, see tests/interop/README.md')
@pytest.mark.parametrize('version', ['2.7', '3.11'])
def test_our_client_and_the_server_1_10(exercise: Exercise, tmp_path: Path, version: str) -> None:
    with old_server(tmp_path) as (port, port_out):
        exercise('ours', version, port, port_out)


@contextlib.contextmanager
def old_server(folder: Path) -> Iterator[tuple[int, int]]:
    """A server 1.10.0; it cannot be asked to choose its ports."""
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(('127.0.0.1', 0))
        ports = one.getsockname()[1], other.getsockname()[1]
    command = [str(OLD_SERVER), '-model_dir', SMALL_MODEL, '-cpu', '-show_tokens_to_client']
    log = folder / 'log'
    with log.open('w') as output:
        process = subprocess.Popen(
            [*command, '-port', str(ports[0]), '-port_out', str(ports[1])],
            stdout=output,
            stderr=output,
            cwd=folder,
            env={**os.environ, 'ZEROMQ_SOCK_TMP_DIR': str(folder), 'TMPDIR': str(folder)},
            start_new_session=True,  # its children must go with it
        )
    try:
        wait_until(lambda: 'all set, ready to serve request!' in log.read_text() or process.poll(), within_s=120)
        assert process.poll() is None, log.read_text()
        yield ports
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
