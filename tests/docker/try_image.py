"""Build an image and use it as a stranger would, by nothing but its own configuration: `make docker-test`.

buildah stands in for Docker, with chroot isolation, and debootstrap for debian:bookworm-slim, so neither a daemon nor a
registry of images is needed; root, Debian and PyPI are. Containers run in two ways: by `buildah run`, and as Docker
would run them with
--read-only and
--tmpfs /tmp, by namespaces of their own, where the entrypoint is process 1. Both share the network of this machine;
ports are free ones.

All lies in build/docker-test, and is gone at the end, but for the base, which serves the next time.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import pwd
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tests'))

from bert_serving.client import BertClient  # noqa: E402
from support.environments import make_environment  # noqa: E402
from support.serving import SMALL_MODEL, ServerProcess  # noqa: E402

WORKPLACE = ROOT / 'build' / 'docker-test'
BASE = 'docker.io/library/debian:bookworm-slim'
DEBIAN = os.environ.get('DEBIAN_MIRROR', 'http://deb.debian.org/debian')
TOOLS = {
    'buildah': 'buildah',
    'debootstrap': 'debootstrap',
    'docker-compose': 'docker-compose',
    'unshare': 'util-linux',
}
EXERCISE = ROOT / 'tests' / 'interop' / 'exercise.py'

DOCKER_GIVES_S = 10
"""How long `docker stop` waits before it kills."""

TEXTS = ['First do it', 'then do it right', 'then do it better', 'a question ||| and its answer']


# --- the transcript --------------------------------------------------------------------------------------------------


def say(title: str) -> None:
    print('\n== %s' % title, flush=True)


def fact(text: str, *values: object) -> None:
    print('   ' + text % values, flush=True)


def check(is_so: object, text: str, *values: object) -> None:
    """Say that something is as it should be, or end here with what is not."""
    if not is_so:
        raise SystemExit('   FAILED: %s' % (text % values))
    print(('   ok: ' + text % values).rstrip(), flush=True)


def run(*words: str | Path, **how: Any) -> str:
    """Run a command and return what it prints; if it fails, so does this."""
    done = subprocess.run(
        list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **how
    )
    if done.returncode:
        raise SystemExit('FAILED: %s: exit code %d\n%s' % (shlex.join(map(str, words)), done.returncode, done.stdout))
    return done.stdout.strip()


def buildah(*words: str | Path) -> str:
    return run(*BUILDAH, *words)


BUILDAH = ('buildah', '--root', str(WORKPLACE / 'storage'), '--runroot', str(WORKPLACE / 'runroot'))


# --- what is needed --------------------------------------------------------------------------------------------------


def install_tools() -> None:
    if os.geteuid() != 0:
        raise SystemExit('make docker-test mounts file systems, so it has to run as root: sudo make docker-test')
    missing = [package for command, package in TOOLS.items() if shutil.which(command) is None]
    if missing:
        fact('installing %s', ' '.join(missing))
        run('apt-get', 'update', '-q')
        run(
            'apt-get',
            'install',
            '-q',
            '-y',
            '--no-install-recommends',
            *missing,
            env={**os.environ, 'DEBIAN_FRONTEND': 'noninteractive'},
        )


def get_promtool() -> str:
    """Debian's promtool, out of a package whose installation would start a Prometheus."""
    found = shutil.which('promtool')
    if found is None:
        folder = WORKPLACE / 'tools'
        folder.mkdir(exist_ok=True)
        run('apt-get', 'download', '-q', 'prometheus', cwd=folder)
        (package,) = folder.glob('prometheus_*.deb')
        run('dpkg-deb', '--extract', package, folder)
        found = str(folder / 'usr' / 'bin' / 'promtool')
    return found


def make_base() -> None:
    """An image as debian:bookworm-slim is: no manuals, no translations, and the sources of updates."""
    archive = WORKPLACE / 'base.tar'
    if not archive.exists():
        started, tree = time.monotonic(), WORKPLACE / 'base'
        shutil.rmtree(tree, ignore_errors=True)
        run('debootstrap', '--variant=minbase', 'bookworm', tree, DEBIAN)
        left_out = ('doc', 'man', 'locale', 'info')
        rules = ['path-exclude /usr/share/%s/*' % folder for folder in left_out] + [
            'path-include /usr/share/doc/*/copyright'
        ]
        (tree / 'etc/dpkg/dpkg.cfg.d/docker').write_text('\n'.join(rules) + '\n')
        security = DEBIAN.replace('/debian', '/debian-security')
        (tree / 'etc/apt/sources.list').write_text(
            'deb %s bookworm main\ndeb %s bookworm-updates main\ndeb %s bookworm-security main\n'
            % (DEBIAN, DEBIAN, security)
        )
        for folder in left_out:
            run('find', tree / 'usr/share' / folder, '-type', 'f', '!', '-name', 'copyright', '-delete')
        for folder in ('var/lib/apt/lists', 'var/cache/apt', 'var/log'):
            run('find', tree / folder, '-type', 'f', '-delete')
        run('tar', '--create', '--numeric-owner', '--file', archive, '--directory', tree, '.')
        shutil.rmtree(tree)
        fact('debootstrap took %.0f s', time.monotonic() - started)
    container = buildah('from', 'scratch')
    buildah('add', '--quiet', container, archive, '/')
    buildah('config', '--cmd', 'bash', container)
    buildah('commit', '--quiet', '--rm', container, BASE)
    fact('%s: %s', BASE, size_of(BASE))


def size_of(image: str) -> str:
    return str(json.loads(buildah('images', '--json', image))[0]['size'])


def way_to_pypi() -> list[str]:
    """What makes pip in the build go to PyPI as it does on this machine: through a proxy, to a mirror, by another CA.

    It is mounted for the build, on a folder that every Debian has, and leaves nothing in the image.
    """
    folder = WORKPLACE / 'pip'
    folder.mkdir(exist_ok=True)
    lines = ['[global]']
    for key in ('index-url', 'trusted-host', 'proxy', 'timeout', 'cert'):
        done = subprocess.run(
            [sys.executable, '-m', 'pip', 'config', 'get', 'global.' + key], capture_output=True, text=True, check=False
        )
        value = os.environ.get('PIP_' + key.replace('-', '_').upper()) or (
            done.stdout.strip() if done.returncode == 0 else ''
        )
        if key == 'cert' and value:
            shutil.copyfile(value, folder / 'ca.crt')
            value = '/mnt/ca.crt'
        if value:
            lines.append('%s = %s' % (key, value))
    (folder / 'pip.conf').write_text('\n'.join(lines) + '\n')
    return ['--volume', '%s:/mnt:ro' % folder, '--build-arg', 'PIP_CONFIG_FILE=/mnt/pip.conf']


def build(dockerfile: str, image: str) -> None:
    started = time.monotonic()
    fact('$ buildah build --isolation chroot --format docker -f docker/%s -t %s .', dockerfile, image)
    words: list[str | Path] = [
        'build',
        '--isolation',
        'chroot',
        '--format',
        'docker',
        '--pull-never',
        '--file',
        ROOT / 'docker' / dockerfile,
        '--tag',
        image,
        *way_to_pypi(),
        ROOT,
    ]
    output = buildah(*words)
    check('WARN' not in output, 'built in %.0f s, without a warning', time.monotonic() - started)


# --- containers ------------------------------------------------------------------------------------------------------


class Image:
    """An image, and what its configuration says."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.config: dict[str, Any] = json.loads(buildah('inspect', '--type', 'image', name))['Docker']['config']
        self.entrypoint: list[str] = self.config['Entrypoint']
        self.environment = dict(line.split('=', 1) for line in self.config['Env'])
        kind, *self.health_command = self.config['Healthcheck']['Test']
        assert kind == 'CMD'


class Container:
    """A container from when it is started; `stop` is what `docker stop` does."""

    def __init__(
        self,
        image: Image,
        *words: str,
        environment: Mapping[str, str] | None = None,
        mounts: Mapping[str | Path, str] | None = None,
    ) -> None:
        self.image = image
        self.words = [*image.entrypoint, *words]
        self.environment = dict(environment or {})
        self.mounts = dict(mounts or {})
        self.name = buildah('from', '--pull-never', image.name)
        self.tree = Path(buildah('mount', self.name))
        self.log_file = tempfile.TemporaryFile('w+')  # noqa: SIM115 (it is closed at exit)
        self.process = subprocess.Popen(
            self.command(),
            stdin=subprocess.DEVNULL,
            stdout=self.log_file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def command(self) -> list[str]:
        raise NotImplementedError

    def enter(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as `docker exec` does."""
        raise NotImplementedError

    @property
    def init(self) -> psutil.Process:
        """The first process of the entrypoint."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in psutil.Process(self.process.pid).children(recursive=True):
                    if child.name() == self.image.entrypoint[0]:
                        return child
            time.sleep(0.02)
        raise SystemExit('   FAILED: the entrypoint does not run:\n' + self.log)

    @property
    def log(self) -> str:
        self.log_file.flush()
        with open('/proc/self/fd/%d' % self.log_file.fileno(), errors='replace') as file:
            return file.read()

    def is_healthy(self) -> tuple[bool, str]:
        done = self.enter(*self.image.health_command)
        return done.returncode == 0, (done.stdout.strip().splitlines() or [done.stderr.strip()])[0]

    def wait_until_healthy(self, within_s: float = 120) -> None:
        """Ask as Docker does, more often."""
        started, said = time.monotonic(), []
        while True:
            is_healthy, why = self.is_healthy()
            if why not in said:
                said.append(why)
                fact('%s: %s', ' '.join(self.image.health_command), why)
            if is_healthy:
                break
            if self.process.poll() is not None or time.monotonic() - started > within_s:
                raise SystemExit('   FAILED: it does not become healthy:\n' + self.log)
            time.sleep(2)
        check(len(said) > 1, 'healthy %.1f s after the start, and not before', time.monotonic() - started)

    def wait(self, within_s: float) -> int:
        """Its exit code; it has so long to end."""
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise SystemExit('   FAILED: it runs still after %g s:\n%s' % (within_s, self.log)) from None

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self.process.poll() is None:
            children = psutil.Process(self.process.pid).children(recursive=True)
            for process in [*children[::-1], psutil.Process(self.process.pid)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            self.process.wait()
        self.log_file.close()
        buildah('umount', self.name)
        buildah('rm', self.name)


class BuildahContainer(Container):
    """`buildah run` with chroot isolation, by the image's own user."""

    def command(self) -> list[str]:
        return [*self._run(), self.name, '--', *self.words]

    def _run(self) -> list[str]:
        variables = ['--env=%s=%s' % pair for pair in self.environment.items()]
        mounts = ['--volume=%s:%s:ro' % pair for pair in self.mounts.items()]
        return [*BUILDAH, 'run', '--isolation', 'chroot', *variables, *mounts]

    def enter(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._run(), self.name, '--', *words], capture_output=True, text=True, check=False, timeout=60
        )


class LockedContainer(Container):
    """As of `docker run --read-only --tmpfs /tmp --user ...`: nothing can be written, the entrypoint is process 1."""

    user = '10001:0'

    def command(self) -> list[str]:
        tree, lines = shlex.quote(str(self.tree)), ['mount --make-rprivate /', 'mount --bind {0} {0}']
        (self.tree / 'etc/hosts').write_text('127.0.0.1 localhost\n')  # as Docker does
        for source, target in self.mounts.items():
            (self.tree / target.lstrip('/')).mkdir(exist_ok=True)
            lines.append(
                'mount --bind %s {0}%s && mount -o remount,bind,ro {0}%s' % (shlex.quote(str(source)), target, target)
            )
        lines += [
            'mount -o remount,bind,ro {0}',
            'mount -t proc proc {0}/proc',
            'mount --rbind /dev {0}/dev',
            'mount -t tmpfs -o mode=1777,size=512m,nosuid,nodev,noexec tmpfs {0}/tmp',
            'exec chroot --userspec=%s {0} env -i -C /tmp "$@"' % self.user,
        ]
        script = ' && '.join(line.format(tree) for line in lines)
        return [
            'unshare',
            '--mount',
            '--pid',
            '--fork',
            '--kill-child',
            'sh',
            '-c',
            script,
            'sh',
            *self._variables(),
            *self.words,
        ]

    def _variables(self) -> list[str]:
        return ['%s=%s' % pair for pair in {**self.image.environment, **self.environment}.items()]

    def enter(self, *words: str) -> subprocess.CompletedProcess[str]:
        uid, gid = self.user.split(':')
        there = [
            'nsenter',
            '--target',
            str(self.init.pid),
            '--mount',
            '--pid',
            '--root',
            '--wd=/tmp',
            '-S',
            uid,
            '-G',
            gid,
        ]
        return subprocess.run(
            [*there, 'env', '-i', *self._variables(), *words], capture_output=True, text=True, check=False, timeout=60
        )


class AnyUserContainer(LockedContainer):
    """By a user of whom the image knows nothing, as OpenShift does it."""

    user = '1000650000:0'


# --- what is asked ---------------------------------------------------------------------------------------------------


def free_ports() -> dict[str, str]:
    """Ports that nobody listens on, as the variables of the server."""
    with contextlib.ExitStack() as stack:
        names = ('BERT_SERVING_PORT', 'BERT_SERVING_PORT_OUT', 'BERT_SERVING_HTTP_PORT')
        sockets = [stack.enter_context(socket.socket()) for _ in names]
        for one in sockets:
            one.bind(('127.0.0.1', 0))
        return {name: str(one.getsockname()[1]) for name, one in zip(names, sockets)}


def client_of(ports: Mapping[str, str], **how: Any) -> BertClient:
    return BertClient(
        '127.0.0.1', int(ports['BERT_SERVING_PORT']), int(ports['BERT_SERVING_PORT_OUT']), timeout=60_000, **how
    )


def post(ports: Mapping[str, str], path: str, body: object) -> Any:
    url = 'http://127.0.0.1:%s%s' % (ports['BERT_SERVING_HTTP_PORT'], path)
    request = urllib.request.Request(url, json.dumps(body).encode(), {'content-type': 'application/json'})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as answer:
        return json.load(answer)


@functools.cache
def vectors_of_a_server_run_directly() -> Any:
    with ServerProcess() as server, BertClient(port=server.wait_until_ready().port, port_out=server.port_out) as client:
        vectors = client.encode(TEXTS)
        server.stop()
    return vectors


def eventually(find: Callable[[], Any], within_s: float = 60) -> Any:
    """What `find` gives, as soon as that is true; what it gave last, if it is not in time."""
    deadline = time.monotonic() + within_s
    while not (found := find()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def unfinished_rows(client: BertClient) -> int:
    """The texts that the server has accepted and not answered."""
    return int(client.server_status['statistic']['unfinished_rows'])


def answers_while_it_stops(ask: Callable[[], Any], container: Container, client: BertClient) -> tuple[Any, int, float]:
    """What `ask` gets if the container is told to stop while it works on that; the exit code, and the seconds to it."""
    got: list[Any] = []

    def call() -> None:
        try:
            got.append(ask())
        except Exception as error:
            got.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    unfinished = eventually(lambda: 0 if got else unfinished_rows(client))
    is_at_work = unfinished and not got
    started = time.monotonic()
    container.init.send_signal(signal.SIGTERM)
    code = container.wait(DOCKER_GIVES_S)
    took = time.monotonic() - started
    caller.join(60)
    check(is_at_work, 'it was at work when it was told to stop: %d texts', unfinished)
    return got[0], code, took


# --- the trials ------------------------------------------------------------------------------------------------------


def try_configuration(files: Path) -> None:
    prometheus = files / 'prometheus'
    promtool = get_promtool()
    fact('%s', run(promtool, '--version').splitlines()[0])
    for words in (['check', 'config', 'prometheus.yml'], ['test', 'rules', 'alerts_test.yml']):
        output = run(promtool, *words, cwd=prometheus)
        check('SUCCESS' in output and 'FAILED' not in output, 'promtool %s', ' '.join(words))
    monitored, ranked = {'server', 'prometheus', 'grafana'}, {'encoder', 'reranker', 'proxy'}
    composed = (
        (['compose.yaml'], monitored),
        (['compose.yaml', 'compose.gpu.yaml'], monitored),
        (['compose.rerank.yaml'], ranked),
    )
    for names, expected in composed:
        words = [word for name in names for word in ('-f', str(files / name))]
        services = run(
            'docker-compose', *words, 'config', '--services', env={**os.environ, 'RERANKER_DIR': '/model'}
        ).split()
        check(
            set(services) == expected,
            'docker-compose %s config',
            ' '.join(words[1::2]).replace(str(ROOT) + '/', ''),
        )
    python = make_environment(WORKPLACE / 'kubernetes', '3.11', 'kubernetes-validate')
    objects = [path for path in sorted((files / 'kubernetes').glob('*.yaml')) if path.name != 'kustomization.yaml']
    output = run(Path(python).with_name('kubernetes-validate'), '--strict', *objects)
    check(output.count(' passed ') == 12, 'kubernetes-validate --strict docker/kubernetes/*.yaml')


def try_files(image: Image) -> None:
    fact('size: %s', size_of(image.name))
    labels = {key: value for key, value in image.config['Labels'].items() if key.startswith('org.')}
    for key, value in labels.items():
        fact('%s: %s', key, value)
    check(image.config['User'] == '10001:0', 'the user is %s', image.config['User'])
    check(sorted(image.config['ExposedPorts']) == ['5555/tcp', '5556/tcp', '8125/tcp'], 'ports 5555, 5556 and 8125')
    container = buildah('from', '--pull-never', image.name)
    tree = Path(buildah('mount', container))
    try:
        ours = tree / 'opt' / 'bert-serving'
        writable = [
            path
            for path in ours.rglob('*')
            if not path.is_symlink() and (path.stat().st_uid or path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH))
        ]
        check(not writable, 'all of it belongs to root, and nobody else may write it')
        modules = list(ours.rglob('site-packages/bert_serving/**/*.py'))
        compiled = [path for path in modules if list((path.parent / '__pycache__').glob(path.stem + '.*.pyc'))]
        check(modules and modules == compiled, 'its %d modules are compiled', len(modules))
        left = [path for name in ('pip', 'hatchling') for path in ours.glob('lib/*/site-packages/' + name)]
        left += [path for path in (tree / 'etc/pip.conf', tree / 'root/.cache', tree / 'build') if path.exists()]
        left += [
            path
            for folder in ('mnt', 'tmp', 'var/lib/apt/lists', 'var/cache/apt')
            for path in (tree / folder).glob('*')
        ]
        check(not left, 'no pip, no cache and nothing of this machine is in it %s', left or '')
    finally:
        buildah('umount', container)
        buildah('rm', container)


def try_plain_run(image: Image) -> None:
    """`docker run IMAGE 1`."""
    ports = free_ports()
    with BuildahContainer(image, '1', '-show_tokens_to_client', environment=ports) as container:
        container.wait_until_healthy()
        check('\x1b' not in container.log, 'the log has no colors, as it is no terminal')
        for line in container.log.splitlines():
            if any(level in line for level in (' I:', ' W:', ' E:')):
                fact('| %s', line)
        users = {process.uids().effective for process in [container.init, *container.init.children(recursive=True)]}
        check(users == {10001}, 'all of its processes are of user 10001')
        expected = vectors_of_a_server_run_directly()
        with client_of(ports) as client:
            vectors = client.encode(TEXTS)
            check(client.server_status['num_worker'] == 1, 'it has 1 worker')
        check(
            np.allclose(vectors, expected, atol=1e-5),
            'our client: vectors %s of a server without a container, to %.0e',
            vectors.shape,
            np.abs(vectors - expected).max(),
        )
        answer = post(ports, '/encode', {'id': 1, 'texts': TEXTS})
        check(np.allclose(answer['result'], expected, atol=1e-5), 'POST /encode: the same')
        answer = post(ports, '/v1/embeddings', {'input': TEXTS})
        check(
            np.allclose([one['embedding'] for one in answer['data']], expected, atol=1e-5),
            'POST /v1/embeddings: the same',
        )
        folder = Path(os.environ.get('BERT_SERVING_INTEROP_ENVIRONMENTS') or ROOT / '.nox')
        folder.mkdir(parents=True, exist_ok=True)
        python = make_environment(folder / '1.10-3.11', '3.11', 'numpy', 'pyzmq', 'bert-serving-client==1.10.0')
        words = ['--port', ports['BERT_SERVING_PORT'], '--port-out', ports['BERT_SERVING_PORT_OUT'], '--client', '1.10']
        run(
            python,
            EXERCISE,
            *words,
            env={key: text for key, text in os.environ.items() if key != 'PYTHONPATH'},
            timeout=200,
        )
        check(True, 'bert-serving-client 1.10.0: tests/interop/exercise.py')

        used = sum(path.stat().st_size for path in (container.tree / 'tmp').rglob('*') if path.is_file())
        fact('in /tmp: %.0f MB', used / 1e6)
        texts = [' '.join(['text %d' % number] * 6) for number in range(1000)]
        with client_of(ports) as client:
            answer, code, took = answers_while_it_stops(
                lambda: post(ports, '/encode', {'id': 1, 'texts': texts}), container, client
            )
        check(
            isinstance(answer, dict) and len(answer['result']) == 1000,
            'SIGTERM while 1000 texts are computed for HTTP: they are answered',
        )
        check(code == 0, 'exit code %d after %.1f s', code, took)
        left = list((container.tree / 'tmp').glob('*bert-serving*'))
        check(not left, 'nothing is left in /tmp')


def try_locked_run(image: Image) -> None:
    """`docker run --read-only --tmpfs /tmp --user 1000650000 -e BERT_SERVING_HTTP_PORT= -v MODEL:/model:ro IMAGE 2`."""
    ports = free_ports()
    environment = {**ports, 'BERT_SERVING_HTTP_PORT': ''}
    with AnyUserContainer(image, '2', environment=environment, mounts={SMALL_MODEL: '/model'}) as container:
        container.wait_until_healthy()
        check('tmpfs /tmp tmpfs' in container.enter('cat', '/proc/mounts').stdout, '/tmp is a tmpfs')
        check(container.enter('touch', '/opt/x').returncode, 'nothing can be written elsewhere')
        status = container.enter('cat', '/proc/1/cmdline', '/proc/1/status').stdout
        check(status.startswith('tini\0') and '\t1000650000\t' in status, 'tini is process 1, of a user without a name')
        with client_of(ports) as client:
            vectors = client.encode(TEXTS)
            found = client.server_status
        check((found['num_worker'], found['model_dir']) == (2, '/model'), '2 workers serve the model that is mounted')
        check(vectors.shape == (4, 32) and np.isfinite(vectors).all(), 'vectors %s', vectors.shape)
        started = time.monotonic()
        container.init.send_signal(signal.SIGTERM)
        check(container.wait(DOCKER_GIVES_S) == 0, 'SIGTERM: exit code 0 after %.1f s', time.monotonic() - started)


def try_more_than_can_be_answered(image: Image) -> None:
    """`docker stop`, while there is work for minutes."""
    ports = free_ports()
    http_port = ports.pop('BERT_SERVING_HTTP_PORT')
    with LockedContainer(image, '-http_port', http_port, '-http_api_key', 'secret', environment=ports) as container:
        container.wait_until_healthy()
        texts = ['%d %s' % (number, 'much to do ' * 10) for number in range(100_000)]
        with client_of(ports, check_length=False) as client:
            client.encode(texts, blocking=False)
            unanswered = eventually(lambda: unfinished_rows(client))
            check(unanswered == len(texts), '%d texts are to be answered', unanswered)
            started = time.monotonic()
            container.init.send_signal(signal.SIGTERM)
            code = container.wait(DOCKER_GIVES_S)
            took = time.monotonic() - started
        check('accepted requests were not answered' in container.log, 'it said that not all is answered')
        check(code == 0, 'exit code %d after %.1f s, of the %d that Docker gives', code, took, DOCKER_GIVES_S)


def try_signal_at_once(image: Image) -> None:
    """`docker stop` right after `docker run`: process 1 has no handlers yet."""
    with LockedContainer(image, environment=free_ports()) as container:
        _ = container.init
        time.sleep(0.1)
        started = time.monotonic()
        container.init.send_signal(signal.SIGTERM)
        code = container.wait(DOCKER_GIVES_S)
        check(code in (0, 128 + signal.SIGTERM), 'exit code %d after %.1f s', code, time.monotonic() - started)


def try_other_commands(image: Image) -> None:
    def ended(*words: str, within_s: float = 60, mounts: Mapping[str | Path, str] | None = None) -> tuple[int, str]:
        with LockedContainer(image, *words, environment=free_ports(), mounts=mounts) as container:
            return container.wait(within_s), container.log

    code, log = ended('two')
    check(code == 2 and "got 'two'" in log, 'two: exit code 2, %s', log.strip())
    with tempfile.TemporaryDirectory() as folder:
        code, log = ended('1', mounts={folder: '/model'})
        check(
            code == 2 and '/model holds no model' in log,
            'an empty /model: exit code 2, %s',
            log.strip().splitlines()[-1],
        )
    code, log = ended('0')
    check(code == 2 and 'whole number' in log, '0: exit code 2, %s', log.strip())
    code, log = ended('-help')
    check(code == 0 and log.startswith('usage: bert-serving-start'), '-help')
    code, log = ended(
        'bert-serving-benchmark',
        '-random_model',
        'mini',
        '-experiments',
        'client_batch_size',
        '-test_client_batch_size',
        '8',
        '-test_num_worker',
        '1',
        '-test_precision',
        'fp32',
        '-num_repeat',
        '1',
        '-test_rows',
        '32',
        within_s=300,
        mounts={SMALL_MODEL: '/model'},
    )
    check(code == 0, 'bert-serving-benchmark, with a random model while another is mounted: exit code %d', code)


def try_proxy_alone(image: Image) -> None:
    """`docker run IMAGE bert-serving-http -ip ...`."""
    with ServerProcess() as server:
        server.wait_until_ready()
        ports = {**free_ports(), 'BERT_SERVING_PORT': str(server.port), 'BERT_SERVING_PORT_OUT': str(server.port_out)}
        with LockedContainer(image, 'bert-serving-http', '-ip', '127.0.0.1', environment=ports) as container:
            container.wait_until_healthy()
            answer = post(ports, '/encode', {'id': 1, 'texts': TEXTS})
            check(
                np.allclose(answer['result'], vectors_of_a_server_run_directly(), atol=1e-5),
                'POST /encode: the vectors of that server',
            )
            server.stop()
            gone = eventually(lambda: [why for is_healthy, why in [container.is_healthy()] if not is_healthy], 20)
            check(gone, 'when that server is gone: %s', *(gone or ['still healthy']))
            container.init.send_signal(signal.SIGTERM)
            check(container.wait(DOCKER_GIVES_S) == 0, 'SIGTERM: exit code 0')


def try_without_gpu(image: Image) -> None:
    """What the image for GPUs does where there is none."""
    ports = free_ports()
    with LockedContainer(image, environment=ports) as container:
        container.wait_until_healthy()
        for line in container.log.splitlines():
            if 'GPU' in line:
                fact('| %s', line)
        answer = post(ports, '/encode', {'id': 1, 'texts': TEXTS})
        check(
            np.allclose(answer['result'], vectors_of_a_server_run_directly(), atol=1e-5),
            'POST /encode: the vectors of a CPU',
        )
        container.init.send_signal(signal.SIGTERM)
        check(container.wait(DOCKER_GIVES_S) == 0, 'SIGTERM: exit code 0')


TRIALS = {
    'cpu': [
        try_plain_run,
        try_locked_run,
        try_more_than_can_be_answered,
        try_signal_at_once,
        try_other_commands,
        try_proxy_alone,
    ],
    'gpu': [try_without_gpu, try_signal_at_once],
}


@contextlib.contextmanager
def workplace(is_kept: bool) -> Iterator[None]:
    """The folder of all that this makes; containers and images are gone at the end."""
    WORKPLACE.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        if not is_kept and shutil.which('buildah'):
            buildah('rm', '--all')
            buildah('rmi', '--all', '--force')
            for name in ('storage', 'runroot', 'pip', 'tools'):
                run('rm', '-rf', WORKPLACE / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--device', choices=list(TRIALS), default='cpu', help='which image (default: cpu)')
    parser.add_argument('--keep', action='store_true', help='keep the image, and use one that is kept')
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # not at once: what was made is to be removed
    started = time.monotonic()
    name = 'bert-as-service' if args.device == 'cpu' else 'bert-as-service:gpu'
    with workplace(args.keep):
        say('tools')
        install_tools()
        fact('%s, %s', run('buildah', '--version'), pwd.getpwuid(os.geteuid()).pw_name)
        say('configuration of Prometheus and of compose')
        try_configuration(ROOT / 'docker')
        if not (
            args.keep
            and 'localhost/%s' % name in buildah('images', '--format', '{{.Name}}:{{.Tag}}').replace(':latest', '')
        ):
            say('base')
            make_base()
            say('build')
            build('Dockerfile' if args.device == 'cpu' else 'Dockerfile.gpu', name)
        image = Image('localhost/' + name)
        say('what is in the image')
        try_files(image)
        for trial in TRIALS[args.device]:
            say(trial.__doc__ or trial.__name__.replace('_', ' ')[4:])
            trial(image)
    print('\nall is well, after %.0f s' % (time.monotonic() - started))


if __name__ == '__main__':
    main()
