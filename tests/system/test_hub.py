"""Models by their names on the Hugging Face hub: fetched once, served without a network, and refused in one line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.hub_server import HubServer
from support.waiting import wait_until

pytest.importorskip('huggingface_hub')

PUBLISHED = Path(__file__).parents[1] / 'golden' / 'data' / 'published' / 'models'
NAME = 'tiny-org/bert-mean'

PLAN = """
import sys
from bert_serving.server.errors import ServingError
from bert_serving.server.helper import get_args_parser
from bert_serving.server.console import logs, streams
from bert_serving.server.options.settings import Settings
from bert_serving.server.parent.plan import make_plan

logs.set_up('VENTILATOR', False)
try:
    plan = make_plan(Settings.from_args(get_args_parser().parse_args(sys.argv[1:])))
    print('%s\\n%s' % (plan.model.folder, plan.model.name))
except ServingError as error:
    print('error: %s' % error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A published folder, with files that are not served."""
    folder = Path(shutil.copytree(PUBLISHED / 'bert-mean-norm', tmp_path / 'model'))
    for name in ('pytorch_model.bin', 'onnx/model.onnx', 'tf_model.h5', 'README.md', 'openvino/openvino_model.xml'):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b'not wanted')
    return folder


@pytest.fixture
def hub(model: Path) -> Iterator[HubServer]:
    with HubServer({NAME: model}) as server:
        yield server


@pytest.fixture
def environment(hub: HubServer, tmp_path: Path) -> dict[str, str]:
    (tmp_path / 'elsewhere').mkdir()
    mine = {key: value for key, value in os.environ.items() if not key.startswith(('HF_', 'BERT_SERVING_'))}
    return {**mine, 'HF_ENDPOINT': hub.url, 'HF_HOME': str(tmp_path / 'home'), 'HF_HUB_DISABLE_TELEMETRY': '1'}


class Planner:
    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment, self.folder, self.log = environment, folder, ''

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, '-c', PLAN, *words],
            env={**self.environment, **environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    def plan(self, *words: str, **environment: str) -> tuple[Path, str]:
        """The folder and the name of the model."""
        done = self.run(*words, **environment)
        assert done.returncode == 0, done.stderr
        self.log = done.stderr
        folder, name = done.stdout.splitlines()[-2:]
        return Path(folder), name

    def refusal(self, *words: str, **environment: str) -> str:
        """The one line of the error."""
        done = self.run(*words, **environment)
        assert done.returncode == 2, done.stderr
        lines = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
        assert done.stderr.splitlines()[-1:] == lines, done.stderr
        return lines[0]


@pytest.fixture
def planner(environment: dict[str, str], tmp_path: Path) -> Planner:
    return Planner(environment, tmp_path / 'elsewhere')


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob('*') if path.is_file()}


def test_a_name_is_fetched_once_and_works_without_a_network(hub: HubServer, planner: Planner, model: Path) -> None:
    folder, name = planner.plan('-model_dir', NAME)
    assert name == NAME
    assert 'fetched %s: commit=%s' % (NAME, hub.commit_of(NAME)) in planner.log
    for file in files_of(folder):
        assert (folder / file).read_bytes() == (model / file).read_bytes()
    wanted = {'config.json', 'modules.json', 'model.safetensors', '1_Pooling/config.json', 'tokenizer.json'}
    assert wanted <= hub.fetched() == files_of(folder)
    assert not any(file.endswith(('.bin', '.onnx', '.h5', '.xml', '.md')) for file in hub.fetched())

    hub.requests.clear()
    assert planner.plan('-model_dir', NAME)[0] == folder
    assert not hub.fetched(), 'the listing is asked for again, the files are not'
    hub.requests.clear()
    assert planner.plan('-model_dir', NAME, HF_HUB_OFFLINE='1')[0] == folder
    assert not hub.requests
    assert planner.plan('-model_dir', NAME, HF_ENDPOINT='http://127.0.0.1:9')[0] == folder, 'the network is gone'
    hub.status = 503
    assert planner.plan('-model_dir', NAME)[0] == folder, 'the hub is broken'
    assert '503' in planner.log


def test_a_new_commit_is_fetched(hub: HubServer, planner: Planner, model: Path) -> None:
    old, _ = planner.plan('-model_dir', NAME)
    first = hub.commit_of(NAME)
    config = json.loads((model / 'config.json').read_text('utf-8'))
    (model / 'config.json').write_text(json.dumps({**config, 'note': 'newer'}), 'utf-8')
    new, _ = planner.plan('-model_dir', NAME)
    assert new != old
    assert new.name == hub.commit_of(NAME)
    assert planner.plan('-model_dir', '%s@%s' % (NAME, first), HF_HUB_OFFLINE='1')[0] == old, 'a commit by its number'


def test_a_revision(hub: HubServer, planner: Planner) -> None:
    folder, name = planner.plan('-model_dir', NAME + '@v1.0')
    assert name == NAME
    assert planner.plan('-model_dir', NAME + '@v1.0', HF_HUB_OFFLINE='1')[0] == folder
    assert 'no branch, tag or commit v9' in planner.refusal('-model_dir', NAME + '@v9')


def test_a_folder_of_that_name_wins(hub: HubServer, planner: Planner, model: Path) -> None:
    shutil.copytree(model, planner.folder / NAME)
    assert planner.plan('-model_dir', NAME)[0] == (planner.folder / NAME).resolve()
    assert not hub.requests


def test_shards_and_modules_with_weights(hub: HubServer, planner: Planner) -> None:
    for name in ('sharded', 'bert-cased-dense', 'ce-bert-one'):
        hub.requests.clear()
        hub.models['tiny-org/' + name] = PUBLISHED / name
        folder, _ = planner.plan('-model_dir', 'tiny-org/' + name)
        weights = {file for file in files_of(PUBLISHED / name) if '.safetensors' in file}
        assert weights
        assert weights <= files_of(folder)


def test_no_such_model(planner: Planner) -> None:
    refusal = planner.refusal('-model_dir', 'nobody/nothing')
    assert 'there is no folder nobody/nothing, and no accessible model with this name on the hub' in refusal


def test_a_model_that_needs_a_token(hub: HubServer, planner: Planner) -> None:
    hub.refused[NAME] = 'GatedRepo'
    assert '%s is gated: accept its terms on %s/%s, and set HF_TOKEN' % (NAME, hub.url, NAME) in planner.refusal(
        '-model_dir', NAME
    )
    hub.status = 401
    assert 'HF_TOKEN' in planner.refusal('-model_dir', NAME)


def test_not_in_the_cache(planner: Planner) -> None:
    refusal = planner.refusal('-model_dir', NAME, HF_HUB_OFFLINE='1')
    assert 'HF_HUB_OFFLINE is set, and %s is not in the cache' % NAME in refusal
    refusal = planner.refusal('-model_dir', NAME, HF_ENDPOINT='http://127.0.0.1:9')
    assert 'http://127.0.0.1:9 could not be reached' in refusal
    assert 'start once with network access to fetch it' in refusal


def test_no_safetensors(hub: HubServer, planner: Planner, model: Path) -> None:
    (model / 'model.safetensors').unlink()
    refusal = planner.refusal('-model_dir', NAME)
    assert 'pytorch_model.bin' in refusal
    assert "M('%s').save('bert-mean')" % NAME in refusal
    (model / 'modules.json').unlink()
    assert 'AutoModel' in planner.refusal('-model_dir', NAME)
    for path in model.glob('*_model.*'):
        path.unlink()
    assert 'has no model.safetensors on the hub' in planner.refusal('-model_dir', NAME)
    assert hub.fetched() <= {'modules.json'}, 'nothing is fetched in vain'


def test_a_model_that_is_not_served_is_refused_before_its_weights_are_fetched(
    hub: HubServer, planner: Planner, model: Path
) -> None:
    (model / 'config.json').write_text('{"model_type": "llama"}')
    assert 'llama' in planner.refusal('-model_dir', NAME)
    assert 'model.safetensors' not in hub.fetched()


def test_names_that_leave_the_folder(hub: HubServer, planner: Planner) -> None:
    hub.extra_names.append('../../escaped')
    assert 'leads out of the folder' in planner.refusal('-model_dir', NAME)
    assert not hub.fetched()


def test_an_index_that_names_files_elsewhere(hub: HubServer, planner: Planner, model: Path) -> None:
    (model / 'model.safetensors').unlink()
    (model / 'model.safetensors.index.json').write_text('{"weight_map": {"a": "../model.safetensors"}}')
    assert 'which is no safetensors file of this folder' in planner.refusal('-model_dir', NAME)


def test_a_cache_that_cannot_be_written(planner: Planner, tmp_path: Path) -> None:
    (tmp_path / 'home').write_text('a file where the cache should be')
    refusal = planner.refusal('-model_dir', NAME)
    assert 'error: -model_dir: cannot write to the cache %s/hub' % (tmp_path / 'home') in refusal


def test_a_full_disk(planner: Planner, hub: HubServer, tmp_path: Path, model: Path) -> None:
    """A limit on the size of files stands for the disk: /dev/full takes no folders."""
    script = 'import errno, huggingface_hub as hub\ndef full(*_, **__): raise OSError(errno.ENOSPC, "full")\n'
    done = subprocess.run(
        [sys.executable, '-c', script + 'hub.hf_hub_download = full\n' + PLAN, '-model_dir', NAME],
        env=planner.environment,
        cwd=planner.folder,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 2
    assert 'the disk is full: make room in %s' % (tmp_path / 'home') in done.stderr.splitlines()[-1]


def test_without_the_extra(planner: Planner) -> None:
    done = subprocess.run(
        [sys.executable, '-c', 'import sys; sys.modules["huggingface_hub"] = None\n' + PLAN, '-model_dir', NAME],
        env=planner.environment,
        cwd=planner.folder,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 2
    assert "pip install 'bert-serving-server[hub]'" in done.stderr


def test_the_first_signal_ends_a_fetch(hub: HubServer, planner: Planner) -> None:
    hub.pause.clear()
    command = 'from bert_serving.server.cli import main; main()'
    server = subprocess.Popen(
        [sys.executable, '-c', command, '-cpu', '-port', '0', '-port_out', '0', '-model_dir', NAME],
        env=planner.environment,
        cwd=planner.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: 'model.safetensors' in hub.fetched(), within_s=60)
        server.send_signal(signal.SIGTERM)
        _, log = server.communicate(timeout=20)
    finally:
        server.kill()
    assert server.returncode == 1
    assert 'stopped while fetching %s' % NAME in log.splitlines()[-1]
