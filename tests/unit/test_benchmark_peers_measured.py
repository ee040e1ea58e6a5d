"""Measuring peers: in turn, in processes that can fail, from a folder with all settings."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from bert_serving.server.benchmark.peers import processes, runner
from bert_serving.server.benchmark.peers.folder import prepare_folder, read_pooling
from bert_serving.server.benchmark.peers.measure import Participant, compare_vectors, measure
from bert_serving.server.benchmark.peers.processes import LibraryProcess, PeerError, find_versions, isa_of
from bert_serving.server.benchmark.peers.tables import Line, plan_tasks
from bert_serving.server.benchmark.plan import Load
from bert_serving.server.benchmark.random_model import SHAPES, write_model
from bert_serving.server.benchmark.results import Timing
from bert_serving.server.benchmark.sentences import WORDS
from bert_serving.server.errors import UsageError
from bert_serving.server.model.folder import find_model
from support.serving import DATA, SMALL_MODEL

PUBLISHED = DATA / 'published' / 'models' / 'bert-mean-norm'

FAKE_RUNNER = """
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    if request['do'] == 'die':
        sys.exit(7)
    if request['do'] == 'hang':
        continue
    reply = {'seconds': 2, 'latencies': [0.5] * request['clients']} if request['do'] == 'run' else {'error': 'no such model'}
    print(json.dumps(reply), flush=True)
"""


class FakePeer:
    """Every run takes a second. It fails in the rounds of `fails_in`, and appends its turns to `story`."""

    def __init__(self, name: str, story: list[str], fails_in: Sequence[int] = (), angle: float = 0.0) -> None:
        self.line = Line(name)
        self._story = story
        self._fails_in = fails_in
        self._angle = angle
        self._runs = 0

    def encode(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        if self._angle < 0:
            raise OSError('no vectors')
        return np.full((len(sentences), 2), [np.cos(self._angle), np.sin(self._angle)], np.float32)

    @contextlib.contextmanager
    def load(self, load: Load) -> Iterator[FakePeer]:
        if self._angle < 0:
            raise PeerError('no connection')
        self._runs = 0
        yield self

    def run(self, sentences: Sequence[str]) -> Timing:
        self._story.append(self.line.title)
        self._runs += 1
        if self._runs in self._fails_in:
            raise PeerError('no more')
        return Timing(len(sentences), 1.0, [1.0])


def test_everyone_has_a_turn_in_each_round_and_a_failure_costs_one_cell() -> None:
    story: list[str] = []
    peers = [FakePeer('a', story), FakePeer('b', story, fails_in=[2]), FakePeer('c', story, angle=-1)]
    task = plan_tasks(8)[0]
    shown: list[str] = []
    measure([Participant(peer.line, peer) for peer in peers], [task], WORDS, 2, shown.append)
    assert ''.join(story) == 'ab' + 'ba' + 'a'
    assert [peer.line.values for peer in peers] == [{task.title: [8, 8]}, {}, {}]
    assert [peer.line.failures for peer in peers] == [{}, {task.title: 'no more'}, {task.title: 'no connection'}]
    assert shown[-1] == 'bulk, rows/s: round 3 of 3'


def test_vectors_are_compared_with_those_of_the_first_that_answers() -> None:
    peers = [FakePeer('a', [], angle=-1), FakePeer('b', []), FakePeer('c', [], angle=np.pi / 3)]
    compare_vectors([Participant(peer.line, peer) for peer in peers], ['one', 'two'])
    assert peers[0].line.failure == 'no vectors to compare: OSError: no vectors'
    assert peers[1].line.cosine == pytest.approx(1)
    assert peers[2].line.cosine == pytest.approx(0.5)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LibraryProcess]:
    """A process that speaks the protocol of `runner.py`."""
    script = tmp_path / 'fake_runner.py'
    script.write_text(FAKE_RUNNER, 'utf-8')
    monkeypatch.setattr(processes, 'RUNNER', str(script))
    with open(tmp_path / 'log', 'wb') as log, LibraryProcess(sys.executable, log) as process:
        yield process


def test_a_library_measures_the_load_in_its_own_process(library: LibraryProcess) -> None:
    with library.load(Load(2, 1, 1)) as load:
        assert load.run(['a', 'b', 'c', 'd']) == Timing(4, 2, [0.5, 0.5])


def test_the_error_of_a_library_is_the_reason_of_its_failure(library: LibraryProcess) -> None:
    with pytest.raises(PeerError, match='no such model'):
        library.encode(['a'])


def test_a_library_that_ends_says_how_and_one_that_hangs_is_killed(library: LibraryProcess) -> None:
    with pytest.raises(PeerError, match='ended with exit code 7'):
        library.ask({'do': 'die'})
    with pytest.raises(PeerError, match='ended with exit code 7'):
        library.ask({'do': 'run'})


def test_a_library_that_does_not_answer_in_time_is_killed(library: LibraryProcess) -> None:
    with pytest.raises(PeerError, match=r'no answer within 0\.1 s'):
        library.ask({'do': 'hang'}, within_s=0.1)


def test_what_an_interpreter_has_is_found_without_importing_it() -> None:
    (versions,) = find_versions([sys.executable]).values()
    assert 'sentence_transformers' not in versions or versions['sentence_transformers']
    with pytest.raises(UsageError, match='-peers_python: cannot run /nowhere/python'):
        find_versions(['/nowhere/python'])
    assert isa_of('/nowhere/python', 'torch') is None
    assert runner.find(['numpy', 'json', 'no.such', 'no_such']) == {'numpy': np.__version__, 'json': ''}


def test_clients_of_a_library_take_turns() -> None:
    running: list[int] = []

    def encode(texts: Sequence[str]) -> None:
        assert not running
        running.append(len(texts))
        running.clear()

    done = runner.run(encode, {'texts': ['a'] * 12, 'clients': 3, 'batch_rows': 2})
    assert len(done['latencies']) == 6
    assert done['seconds'] > 0


def test_everyone_reads_a_folder_that_limits_the_length(tmp_path: Path) -> None:
    target = tmp_path / 'copy'
    target.mkdir()
    prepare_folder(find_model(str(PUBLISHED)), target, 12)
    assert (target / 'config.json').read_bytes() == (PUBLISHED / 'config.json').read_bytes()
    copy = find_model(str(target))
    assert copy.pipeline is not None
    assert copy.pipeline.max_seq_len == 12
    assert json.loads((target / 'tokenizer_config.json').read_text('utf-8'))['model_max_length'] == 12
    assert read_pooling(target) == {'pooling': 'mean', 'normalizes': True}


def test_a_folder_without_files_of_sentence_transformers_gets_the_mean_of_the_top_layer(tmp_path: Path) -> None:
    source, target = tmp_path / 'model', tmp_path / 'copy'
    source.mkdir()
    target.mkdir()
    write_model(str(source), SHAPES['mini'])
    prepare_folder(find_model(str(source)), target, None)
    assert (target / 'tokenizer.json').exists()
    assert find_model(str(target)).pipeline is not None
    assert read_pooling(target) == {'pooling': 'mean', 'normalizes': False}


@pytest.mark.parametrize(
    ('name', 'pooling', 'normalizes'),
    [('gte-cls', 'cls', True), ('bert-max', 'max', False), ('bert-cased-dense', 'cls+Dense', True)],
)
def test_a_library_that_has_to_be_told_learns_all_that_the_folder_does(
    tmp_path: Path, name: str, pooling: str, normalizes: bool
) -> None:
    prepare_folder(find_model(str(PUBLISHED.parent / name)), tmp_path, 12)
    assert read_pooling(tmp_path) == {'pooling': pooling, 'normalizes': normalizes}


def test_a_library_that_cannot_pool_as_the_folder_does_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it would be measured with other vectors."""
    description = SimpleNamespace(PoolingType=SimpleNamespace(CLS='CLS', MEAN='MEAN'))
    monkeypatch.setitem(sys.modules, 'fastembed', ModuleType('fastembed'))
    monkeypatch.setitem(sys.modules, 'fastembed.common.model_description', description)
    with pytest.raises(RuntimeError, match=r'pools by cls or mean, and this model by cls\+Dense'):
        runner.load_fastembed({'pooling': 'cls+Dense'})


def test_without_an_option_texts_are_as_long_as_the_tokenizer_of_the_model_says(tmp_path: Path) -> None:
    source, target = tmp_path / 'model', tmp_path / 'copy'
    shutil.copytree(PUBLISHED, source)
    target.mkdir()
    (source / 'sentence_bert_config.json').write_text('{}')
    (source / 'tokenizer_config.json').write_text('{"model_max_length": 16}')
    prepare_folder(find_model(str(source)), target, None)
    copy = find_model(str(target))
    assert copy.pipeline is not None
    assert copy.pipeline.max_seq_len == 16


def test_a_checkpoint_of_google_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='layout of Hugging Face'):
        prepare_folder(find_model(SMALL_MODEL), tmp_path, 12)
