"""What the images are made of, read from the files: pinned, small, the same for both devices."""

from __future__ import annotations

import difflib
import fnmatch
import json
import re
import subprocess
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bert_serving.server.model.folder import EMBEDDED_REQUIREMENT
from bert_serving.server.options.settings import OPTIONS, Settings
from bert_serving.server.release import RELEASE
from docker.files import README, REQUIREMENTS, ROOT, dockerfile, environment, instructions, pinned

DEVICES = {'cpu': 'Dockerfile', 'gpu': 'Dockerfile.gpu'}
PROJECT = tomllib.loads((ROOT / 'server' / 'pyproject.toml').read_text())['project']


def bounds(device: str) -> list[Requirement]:
    extras = PROJECT['optional-dependencies']
    found = map(Requirement, [*PROJECT['dependencies'], *extras[device], *extras['http']])
    return [bound for bound in found if bound.marker is None or bound.marker.evaluate({'python_version': '3.11'})]


@pytest.mark.parametrize('device', DEVICES)
def test_the_pinned_packages_are_those_that_the_server_asks_for(device: str) -> None:
    """After a change of a bound: make docker-lock."""
    packages = pinned(device + '.txt')
    for bound in bounds(device):
        if bound.name != 'bert-serving-client':
            assert packages[canonicalize_name(bound.name)] in bound.specifier, bound
    of_the_client = re.search(r'install_requires =\n((?: +.*\n)+)', (ROOT / 'client' / 'setup.cfg').read_text())
    assert of_the_client is not None
    for bound in map(Requirement, of_the_client[1].split()):
        assert packages[bound.name] in bound.specifier, bound


def test_every_file_that_is_installed_is_pinned_by_its_hash() -> None:
    for path in REQUIREMENTS.glob('*.txt'):
        text = path.read_text('utf-8')
        entries = re.findall(r'^\S.*(?:\n +--hash=sha256:[0-9a-f]{64}(?: \\)?)+$', text, re.MULTILINE)
        assert len(entries) == len(pinned(path.name)) == len(re.findall(r'^[^\s#]', text, re.MULTILINE)), path
    for name in DEVICES.values():
        for command in re.findall(r'pip (?:install|wheel) [^&;|]*', dockerfile(name)):
            if '--requirement' in command:
                assert '--require-hashes' in command
            else:
                assert './client ./server' in command
                assert '--no-build-isolation' in command


def test_the_devices_share_their_packages() -> None:
    cpu, gpu = pinned('cpu.txt'), pinned('gpu.txt')
    assert {name: gpu.get(name) for name in cpu if name != 'tensorflow-cpu'} == {
        name: release for name, release in cpu.items() if name != 'tensorflow-cpu'
    }
    assert gpu['tensorflow'] == cpu['tensorflow-cpu']
    assert {name.split('-')[0] for name in set(gpu) - set(cpu)} == {'tensorflow', 'nvidia'}


def test_the_embedded_model_is_the_one_of_the_server() -> None:
    assert ['%s==%s' % pair for pair in pinned('model.txt').items()] == [EMBEDDED_REQUIREMENT]


def test_the_two_files_differ_only_in_the_device() -> None:
    cpu, gpu = (dockerfile(name).splitlines() for name in DEVICES.values())
    changes = [line for line in difflib.ndiff(cpu, gpu) if line[0] in '-+']
    assert [re.sub(r'bert-as-service.*', '', line) for line in changes] == [
        '- ARG DEVICE=cpu',
        '+ ARG DEVICE=gpu',
        '- ENV BERT_SERVING_CPU=1',
        '+ ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility',
        '- LABEL org.opencontainers.image.title="',
        '+ LABEL org.opencontainers.image.title="',
    ]
    labels = [instructions('LABEL', name)[0] for name in DEVICES.values()]
    assert labels[0].replace('on a CPU', 'on GPUs') == labels[1]


@pytest.mark.parametrize('name', DEVICES.values())
def test_an_image_is_what_the_documentation_says(name: str) -> None:
    assert 'org.opencontainers.image.version="%s"' % RELEASE in instructions('LABEL', name)[0]
    assert instructions('USER', name) == ['10001:0']
    assert '`10001`' in README
    ports = [str(Settings().port), str(Settings().port_out), environment(name)['BERT_SERVING_HTTP_PORT']]
    assert instructions('EXPOSE', name) == [' '.join(ports)]
    assert all('-p %s:%s' % (port, port) in README for port in ports)
    (check,) = instructions('HEALTHCHECK', name)
    for option in re.findall(r'--([a-z-]+=\w+)', check):
        assert '`%s`' % option in README, option
    assert environment(name)['BERT_SERVING_SHUTDOWN_TIMEOUT'] == '8'
    assert '`BERT_SERVING_SHUTDOWN_TIMEOUT=8`' in README


@pytest.mark.parametrize('name', DEVICES.values())
def test_the_variables_of_an_image_are_options_of_the_server(name: str) -> None:
    variables = {option.variable: option for option in OPTIONS.values()}
    for key, text in environment(name).items():
        if key.startswith('BERT_SERVING_'):
            variables[key].parse_variable(text)  # ValueError if it is none
    assert int(environment(name)['BERT_SERVING_SHUTDOWN_TIMEOUT']) < 10  # which is what Docker gives


@pytest.mark.parametrize('name', DEVICES.values())
def test_commands_are_lists_so_that_no_shell_stands_between(name: str) -> None:
    assert json.loads(instructions('ENTRYPOINT', name)[0]) == ['tini', '-s', '--', 'docker-entrypoint']
    assert json.loads(instructions('HEALTHCHECK', name)[0].split(' CMD ')[1]) == ['docker-healthcheck']


@pytest.mark.parametrize('name', DEVICES.values())
def test_only_what_an_image_needs_travels(name: str) -> None:
    """What is copied is in the context; tests, environments and the history are not."""
    tracked = subprocess.run(
        ['git', 'ls-files', '--cached', '--others', '--exclude-standard'], cwd=ROOT, capture_output=True, text=True
    ).stdout.split()
    if not tracked:
        pytest.skip('this is no checkout of git')
    rules = [line for line in (ROOT / '.dockerignore').read_text().splitlines() if line and line[0] != '#']
    assert rules[0] == '*'
    admitted = [rule[1:] for rule in rules if rule[0] == '!']
    context = [
        path for path in tracked if any(fnmatch.fnmatch(path, rule) or path.startswith(rule + '/') for rule in admitted)
    ]
    assert {path.split('/')[0] for path in context} == {'client', 'server', 'docker'}
    sources = [word for line in instructions('COPY', name) if '--from' not in line for word in line.split()[:-1]]
    for source in (word.replace('${DEVICE}', 'cpu') for word in sources):
        assert any(path == source or path.startswith(source + '/') for path in context), source


def test_the_seed_command_stands_in_the_readme() -> None:
    for page in (README, (ROOT / 'README.md').read_text('utf-8')):
        assert 'docker build -t bert-as-service -f ./docker/Dockerfile .' in page
        assert '-v $PATH_MODEL:/model -t bert-as-service $NUM_WORKER' in page
