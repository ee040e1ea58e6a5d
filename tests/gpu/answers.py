#!/usr/bin/env python3
"""Answer the golden and the published cases in this process, on a GPU or a CPU, and compare. `check.py` starts it.

    python tests/gpu/answers.py float32 -model MODEL -folder OUT                   one mode a process: `MODES`
    python tests/gpu/answers.py fp16 -xla -rehearse -most 4 -model MODEL -folder OUT  on a CPU, four cases

The texts go through the tokenizer, the rows, the batcher, the graph and the finish of a worker, without its sockets and
processes, because 72 servers would take an hour. Even on a CPU, the graph is the one for GPUs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / 'tests'), str(ROOT / 'server'), str(ROOT / 'client')]

from bert_serving.server.benchmark.random_model import SHAPES, write_model  # noqa: E402
from bert_serving.server.benchmark.sentences import make_sentences  # noqa: E402
from bert_serving.server.helper import get_args_parser  # noqa: E402
from bert_serving.server.model.config import EncoderConfig  # noqa: E402
from bert_serving.server.options.settings import Settings  # noqa: E402
from bert_serving.server.parent.child_factory import _tokenization  # noqa: E402
from bert_serving.server.parent.plan import make_plan  # noqa: E402
from bert_serving.server.protocol.options import EncodingOptions  # noqa: E402
from bert_serving.server.protocol.ring import JobHeader, Lane, RequestRef  # noqa: E402
from bert_serving.server.worker.batcher import Batcher, ReadyJob  # noqa: E402
from bert_serving.server.worker.device import batch_limits  # noqa: E402
from bert_serving.server.worker.postprocess import Finish  # noqa: E402
from bert_serving.server.worker.rows import RowEncoder, pack  # noqa: E402
from bert_serving.server.worker.worker import load_tokenizer  # noqa: E402
from gpu.batching_exporter import leave_out_padding  # noqa: E402

Array = NDArray[Any]
DATA = ROOT / 'tests' / 'golden' / 'data'

MODES: dict[str, tuple[str, ...]] = {'float32': (), 'tf32': (), 'fp16': ('-fp16',), 'bf16': ('-bf16',)}
"""The options of each mode. `float32` is without TF32, and `tf32` is TensorFlow's default for float32."""

MOST_APART = 1e-3
"""The maximum difference of a value from the CPU's in float32 without TF32."""

LEAST_COSINES = {'float32': 0.99999, 'tf32': 0.9999, 'fp16': 0.999, 'bf16': 0.97}
"""The lowest allowed cosine to the CPU's answer. The models of the cases are tiny, and so less exact in bfloat16."""

MOST_APART_OF_SCORES = {'float32': MOST_APART, 'tf32': 0.01, 'fp16': 0.02, 'bf16': 0.1}
"""The maximum differences of answers with one number per row, which have no cosine."""

TINY = EncoderConfig(
    vocab_size=1000,
    hidden_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=256,
    max_position_embeddings=512,
    type_vocab_size=2,
)
"""The shape of the random model in a rehearsal."""

WORST_FIRST = ('strategy-REDUCE_MEAN', 'tuned-classification', 'layers-4', 'fp16-mean', 'strategy-NONE')
"""The golden cases that come first, in case the time is not enough for all."""


@dataclass(frozen=True)
class Question:
    """Texts of a request, its options, and the CPU's answer to it."""

    texts: Sequence[Any]
    expected: Array
    options: EncodingOptions | None = None


@dataclass(frozen=True)
class Case:
    """The questions for one server, and its options."""

    name: str
    words: list[str]
    questions: list[Question]


def golden_cases() -> Iterator[Case]:
    """Yield the cases that the real 1.10 answered, except for those of the embedded default model, which is missing."""
    paths = sorted((DATA / 'cases').glob('*.json'))
    for path in sorted(paths, key=lambda path: WORST_FIRST.index(path.stem) if path.stem in WORST_FIRST else 99):
        case, expected = json.loads(path.read_text('utf-8')), np.load(path.with_suffix('.npz'))
        words = case['args']
        if words[:2] == ['-model_dir', 'minilm']:
            continue
        words = [
            str(DATA / 'models' / word) if before.endswith('model_dir') else word
            for before, word in zip(['', *words], words)
        ]
        questions = [
            Question(request['texts'], expected['embedding_%d' % number])
            for number, request in enumerate(case['requests'])
        ]
        yield Case('golden/' + path.stem, words, questions)


def published_cases() -> Iterator[Case]:
    """Yield the folders with recorded answers of their authors' library: plain texts, and pairs with a score."""
    for path in sorted((DATA / 'published' / 'cases').glob('*.json')):
        case, expected = json.loads(path.read_text('utf-8')), np.load(path.with_suffix('.npz'))
        questions = []
        for number, request in enumerate(case['requests']):
            if request.get('kwargs'):
                continue
            if request['kind'] == 'encode':
                rows = [row for row, text in enumerate(request['texts']) if text.strip()]
                texts = [request['texts'][row] for row in rows]
                questions.append(Question(texts, expected['e%d' % number][rows], EncodingOptions(pairs=False)))
            elif request['kind'] == 'predict':
                scores = expected['s%d' % number]
                questions.append(
                    Question(request['pairs'], scores.reshape(len(scores), -1), EncodingOptions(pairs=True))
                )
        yield Case(
            'published/' + path.stem, ['-model_dir', str(DATA / 'published' / 'models' / case['model'])], questions
        )


def all_cases() -> list[Case]:
    """Return golden and published cases in turn."""
    golden, published = list(golden_cases()), list(published_cases())
    both = [case for pair in zip(golden, published) for case in pair]
    return [*both, *golden[len(published) :], *published[len(golden) :]]


class InProcessWorker:
    """The work of one worker, without its threads and sockets. A context manager."""

    def __init__(self, words: Sequence[str], folder: Path, *, on_gpu: bool) -> None:
        """`words` are options of bert-serving-start. The graph for GPUs is written into `folder`."""
        from bert_serving.server.console.progress import ignore_progress
        from bert_serving.server.graph.exporter import make_export, spec_of
        from bert_serving.server.graph.runtime import GraphEncoder

        args = get_args_parser().parse_args([*words, '-cpu', '-port', '0', '-port_out', '0'])
        plan = make_plan(Settings.from_args(args))
        config = _tokenization(plan)
        settings = plan.settings
        self._settings = settings
        self._rows = RowEncoder(
            load_tokenizer(config),
            settings.max_seq_len,
            plan.model.config.max_position_embeddings,
            settings.mask_cls_sep,
            settings.no_special_token,
            config['prompt'],
            config['pools_prompt'],
        )
        self._finish = Finish(config['normalizes'], config['activation'])
        graph = make_export(spec_of(settings, plan.model, on_gpu=True), str(folder / 'graph.pb'), ignore_progress)
        self._encoder = GraphEncoder(
            graph['path'], threads=2, on_gpu=on_gpu, gpu_memory_fraction=0.1, xla=settings.xla, sha256=graph['sha256']
        )

    def __enter__(self) -> InProcessWorker:
        self._encoder.load()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._encoder.close()

    def answer(self, texts: Sequence[Any], options: EncodingOptions | None = None) -> Array:
        """Return the answer to a request, [N, D] or [N, T, D], which is split into jobs as in the ventilator."""
        size = self._settings.max_batch_size
        parts = [self._job(texts[first : first + size], first, options) for first in range(0, len(texts), size)]
        if parts[0].ndim == 3:
            longest = max(part.shape[1] for part in parts)
            parts = [np.pad(part, ((0, 0), (0, longest - part.shape[1]), (0, 0))) for part in parts]
        return np.concatenate(parts)

    def _job(self, texts: Sequence[Any], first: int, options: EncodingOptions | None) -> Array:
        encode = self._rows.encode_pairs if options is not None and options.pairs else self._rows.encode
        rows = encode(texts, first) if options is None else encode(texts, first, options)
        header = JobHeader(RequestRef(1, b'', b'1', 1, len(texts)), 0, 0, first, len(texts), Lane.BULK)
        batcher = Batcher(batch_limits(self._settings, device=0))
        batcher.add(ReadyJob(header, rows.rows, rows.max_len, options))
        while (batch := batcher.next_batch()) is not None:
            prompts = any(row.prompt_length for row in batch.rows)
            output = self._encoder.encode(*pack(batch.rows, batch.width, pooling_mask=prompts))
            for _job, array in batcher.finish(batch, output):
                return self._finish.apply(array, options)
        raise RuntimeError('the batcher has not completed the job')


def compare(mode: str, answer: Array, expected: Array) -> dict[str, float]:
    """Compare an answer with the CPU's. Return the greatest difference and, for vectors, the lowest cosine.

    Raises:
        ValueError: the answer is too far away, has another shape, or is not finite.
    """
    if answer.ndim == 3 and answer.shape[1] < expected.shape[1]:  # the sink pads to the L of the request
        answer = np.pad(answer, ((0, 0), (0, expected.shape[1] - answer.shape[1]), (0, 0)))
    if answer.shape != expected.shape:
        raise ValueError('the shape is %s, expected %s' % (answer.shape, expected.shape))
    one, other = (array.astype(np.float64).reshape(-1, array.shape[-1]) for array in (answer, expected))
    if not np.isfinite(one).all():
        raise ValueError('some values are not finite')
    near = {'apart': float(np.abs(one - other).max())}
    if expected.dtype == np.float32 and mode == 'float32' and near['apart'] > MOST_APART:
        raise ValueError('values are up to %g apart, at most %g is expected' % (near['apart'], MOST_APART))
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    if one.shape[1] < 8:  # scores
        if near['apart'] > MOST_APART_OF_SCORES[mode] * max(1.0, float(np.abs(other).max())):
            raise ValueError('scores are up to %g apart' % near['apart'])
        return near
    some = lengths > 0
    near['cosine'] = float(((one * other).sum(1)[some] / lengths[some]).min(initial=1.0))
    least = min(LEAST_COSINES[mode], 0.999 if expected.dtype == np.float16 else 1)
    if near['cosine'] < least:
        raise ValueError('the lowest cosine is %.6f, at least %g is expected' % (near['cosine'], least))
    return near


def judge_cases(
    cases: Sequence[Case], mode: str, words: Sequence[str], *, on_gpu: bool, deadline: float
) -> dict[str, Any]:
    """Run every case until `deadline`, and return the counts, the worst values and the failures."""
    failures: dict[str, str] = {}
    seconds, worst, judged = [], {'apart': 0.0, 'cosine': 1.0}, 0
    for case in cases:
        started = time.monotonic()
        if started > deadline:
            break
        with tempfile.TemporaryDirectory(prefix='bert-serving-answers-') as folder:
            try:
                with InProcessWorker([*case.words, *words], Path(folder), on_gpu=on_gpu) as worker:
                    for question in case.questions:
                        near = compare(mode, worker.answer(question.texts, question.options), question.expected)
                        worst['apart'] = max(worst['apart'], near['apart'])
                        worst['cosine'] = min(worst['cosine'], near.get('cosine', 1.0))
            except Exception as error:
                failures[case.name] = '%s: %.300s' % (type(error).__name__, error)
        judged += 1
        seconds.append(round(time.monotonic() - started, 2))
    return {'cases': len(cases), 'judged': judged, 'failures': failures, **worst, 'slowest_s': max(seconds, default=0)}


def large_texts(rehearse: bool) -> list[str]:
    """Return texts of all lengths for the random model, for more than one batch unless this is a rehearsal."""
    return make_sentences(12 if rehearse else 300) + make_sentences(4, words=120)


def ask_random_model(model: str, words: Sequence[str], *, on_gpu: bool, rehearse: bool) -> Array:
    """Return the answers of the random model in `model`, which has the shape of BERT-Base unless in a rehearsal."""
    with tempfile.TemporaryDirectory(prefix='bert-serving-answers-') as folder:
        options = ('-model_dir', model, '-max_seq_len', '128', *words)
        with InProcessWorker(options, Path(folder), on_gpu=on_gpu) as worker:
            return worker.answer(large_texts(rehearse)).astype(np.float32)


def write_random_model(folder: Path, rehearse: bool) -> str:
    """Write the random model into `folder`, unless it exists, and return its path."""
    path = folder / ('tiny' if rehearse else 'base')
    if not (path / 'config.json').exists():
        path.mkdir(parents=True, exist_ok=True)
        write_model(str(path), TINY if rehearse else SHAPES['base'])
    return str(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('modes', nargs='+', choices=[*MODES, 'cpu'], help='cpu answers the random model only')
    parser.add_argument('-xla', action='store_true', help='compile with XLA')
    parser.add_argument('-packs', action='store_true', help='leave out padding, as graphs for CPUs do')
    parser.add_argument('-rehearse', '--rehearse', action='store_true', help='on a CPU, with small sizes')
    parser.add_argument('-most', type=int, default=1000, help='maximum number of cases')
    parser.add_argument('-seconds', type=float, default=120, help='start no case after this time')
    parser.add_argument('-model', required=True, help='the folder of the random model')
    parser.add_argument('-folder', type=Path, required=True, help='folder for <mode>.npy and <mode>.json')
    args = parser.parse_args()
    on_gpu = not args.rehearse and args.modes != ['cpu']
    if not on_gpu:
        os.environ['CUDA_VISIBLE_DEVICES'] = '-1'
    elif 'float32' in args.modes:
        os.environ['NVIDIA_TF32_OVERRIDE'] = '0'
    deadline = time.monotonic() + args.seconds
    if on_gpu:
        from bert_serving.server.graph.tf import tf

        if not tf.config.list_physical_devices('GPU'):
            raise SystemExit('TensorFlow sees no GPU')
        tf.config.experimental.enable_tensor_float_32_execution('float32' not in args.modes)
    if args.packs:
        leave_out_padding()
    cases = all_cases()[: args.most]
    for mode in args.modes:
        words = [*MODES.get(mode, ()), *(['-xla'] if args.xla else [])]
        name = mode + ('-xla' if args.xla else '') + ('-packs' if args.packs else '')
        random = ask_random_model(args.model, words, on_gpu=on_gpu, rehearse=args.rehearse)
        np.save(args.folder / (name + '.npy'), random)
        asked = [case for case in cases if not (mode == 'bf16' and '-fp16' in case.words)]  # which exclude each other
        judged = {} if mode == 'cpu' else judge_cases(asked, mode, words, on_gpu=on_gpu, deadline=deadline)
        (args.folder / (name + '.json')).write_text(json.dumps(judged), 'utf-8')


if __name__ == '__main__':
    main()
