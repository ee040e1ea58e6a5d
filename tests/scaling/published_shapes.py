#!/usr/bin/env python3
"""Start a server with random weights in the shape of a published model, send one text, and print times and memory.

    python tests/scaling/published_shapes.py xlm-roberta-large              # multilingual-e5-large and bge-m3
    python tests/scaling/published_shapes.py gte-base -tokens 8000          # a long text, and a short one with it
    python tests/scaling/published_shapes.py bert-large -workers 4 -options -engine onnxruntime

The folder looks as sentence-transformers publishes it: `config.json`, `model.safetensors` in float32, and a
`tokenizer.json` with a unigram vocabulary of full size. It is removed at the end, unless `-folder` names it. PSS
divides a page that processes share among them; of several workers, the mean is printed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TESTS = str(Path(__file__).resolve().parents[1])
sys.path.insert(0, TESTS)

import numpy as np  # noqa: E402
import psutil  # noqa: E402

from bert_serving.client import BertClient  # noqa: E402
from bert_serving.server.benchmark.random_model import SCALE  # noqa: E402
from bert_serving.server.benchmark.sentences import WORDS  # noqa: E402
from bert_serving.server.graph.checkpoint import variable_shapes  # noqa: E402
from bert_serving.server.model.architectures import places, read_config  # noqa: E402
from support.serving import READY, ServerProcess  # noqa: E402

SHAPES: dict[str, dict[str, Any]] = {
    'xlm-roberta-large': {
        'model_type': 'xlm-roberta',
        'vocab_size': 250_002,
        'hidden_size': 1024,
        'num_hidden_layers': 24,
        'num_attention_heads': 16,
        'intermediate_size': 4096,
        'max_position_embeddings': 514,
        'type_vocab_size': 1,
        'hidden_act': 'gelu',
        'layer_norm_eps': 1e-5,
        'pad_token_id': 1,
    },
    'bert-base': {
        'model_type': 'bert',
        'vocab_size': 30_522,
        'hidden_size': 768,
        'num_hidden_layers': 12,
        'num_attention_heads': 12,
        'intermediate_size': 3072,
        'max_position_embeddings': 512,
        'type_vocab_size': 2,
        'hidden_act': 'gelu',
        'layer_norm_eps': 1e-12,
        'pad_token_id': 1,
    },
    'bert-large': {
        'model_type': 'bert',
        'vocab_size': 30_522,
        'hidden_size': 1024,
        'num_hidden_layers': 24,
        'num_attention_heads': 16,
        'intermediate_size': 4096,
        'max_position_embeddings': 512,
        'type_vocab_size': 2,
        'hidden_act': 'gelu',
        'layer_norm_eps': 1e-12,
        'pad_token_id': 1,
    },
    'gte-base': {
        'model_type': 'new',
        'vocab_size': 30_528,
        'hidden_size': 768,
        'num_hidden_layers': 12,
        'num_attention_heads': 12,
        'intermediate_size': 3072,
        'max_position_embeddings': 8192,
        'type_vocab_size': 0,
        'hidden_act': 'gelu',
        'layer_norm_eps': 1e-12,
        'pad_token_id': 1,
        'rope_theta': 500_000,
    },
}
SPECIAL = ['<s>', '<pad>', '</s>', '<unk>', '<mask>']
MEASURES = {'PSS': 'Pss', 'private': 'Private_Dirty', 'mapped': 'Shared_Clean'}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('shape', choices=sorted(SHAPES))
    parser.add_argument('-tokens', type=int, default=12, help='tokens of the text')
    parser.add_argument('-workers', type=int, default=1)
    parser.add_argument('-folder', help='where the model is written, and left; one that is there is served as it is')
    parser.add_argument('-options', nargs=argparse.REMAINDER, default=[], help='for bert-serving-start; last')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix='bert-serving-shape-') as temporary:
        folder = Path(args.folder or temporary)
        if not (folder / 'model.safetensors').exists():
            write_folder(folder, SHAPES[args.shape])
        measure(folder, args.tokens, args.workers, args.options)


def measure(folder: Path, tokens: int, workers: int, options: list[str]) -> None:
    """Start a server, send a text of so many tokens and then a short one next to it, and print what that takes."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix='bert-serving-graph-') as graphs:
        words = (
            '-model_dir',
            str(folder),
            '-num_worker',
            str(workers),
            '-graph_tmp_dir',
            graphs,
            '-export_cache',
            'NONE',
            *options,
        )
        with ServerProcess(*words) as server, Watch(server.process.pid) as watch:
            match = server.wait_for_log(READY, within_s=900)
            print('all set: %.1f s' % (time.monotonic() - started))
            for path in sorted(Path(graphs).glob('*/graph*')):
                print('graph: %s %.0f MB' % (path.suffix, path.stat().st_size / 1e6))
            watch.show('ready')
            with BertClient(port=int(match[1]), port_out=int(match[2]), timeout=900_000, check_length=False) as client:
                for _ in range(3 * (workers - 1)):  # so that each worker gets some
                    client.encode([text_of(tokens)] * 17)
                for name, text in (('first', text_of(tokens)), ('again', text_of(tokens)), ('short', 'the of and')):
                    before, cpu = time.monotonic(), watch.cpu_seconds()
                    vectors = client.encode([text])
                    took = (time.monotonic() - before, watch.cpu_seconds() - cpu)
                    print('%s: %.2f s, %.2f s of processors, vector of %d' % (name, *took, vectors.shape[1]))
                with BertClient(
                    port=int(match[1]), port_out=int(match[2]), timeout=900_000, check_length=False
                ) as other:
                    long = threading.Thread(target=client.encode, args=([text_of(tokens)],))
                    long.start()
                    before = time.monotonic()
                    other.encode(['the of and'])
                    print('short, right after the long one: %.2f s' % (time.monotonic() - before))
                    long.join()
                    print('the long one: %.2f s' % (time.monotonic() - before))
            watch.show('answered')
            if server.stop() != 0:
                raise SystemExit(server.log)


def text_of(tokens: int) -> str:
    """A text of so many tokens, two of which are special."""
    return ' '.join(WORDS[index * index % len(WORDS)] for index in range(tokens - 2))


class Watch:
    """Looks at the memory of the exporter and the workers of a server five times a second."""

    def __init__(self, server: int) -> None:
        self._server = psutil.Process(server)
        self._most: dict[str, dict[str, int]] = {}
        self._now: dict[str, dict[str, int]] = {}
        self._processes: dict[str, list[psutil.Process]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def cpu_seconds(self) -> float:
        """What the workers have used of the processors."""
        return float(sum(sum(process.cpu_times()[:2]) for process in self._processes['worker']))

    def show(self, when: str) -> None:
        self._look_once()
        for name, values in self._most.items():
            is_running = all(process.is_running() for process in self._processes[name])
            now = self._now[name] if is_running else dict.fromkeys(values, 0)
            both = ['%s %d (now %d)' % (key, most >> 20, now[key] >> 20) for key, most in values.items()]
            print('%s: memory of the %s in MiB, at most: %s' % (when, name, ', '.join(both)))

    def _look(self) -> None:
        while not self._ended.wait(0.2):
            self._look_once()

    def _look_once(self) -> None:
        found: dict[str, list[tuple[psutil.Process, dict[str, int]]]] = {}
        for process in self._server.children():
            try:
                module = process.cmdline()[-1].rpartition('.')[2]
                if module in ('exporter', 'worker'):
                    memory = memory_of(process.pid)
                    found.setdefault(module, []).append((process, memory))
            except (psutil.Error, OSError, IndexError):
                continue  # it has just begun or ended
        for module, processes in found.items():
            self._processes[module] = [process for process, _ in processes]
            values = {key: sum(each[key] for _, each in processes) // len(processes) for key in processes[0][1]}
            self._now[module] = values
            most = self._most.setdefault(module, values)
            self._most[module] = {key: max(value, most[key]) for key, value in values.items()}

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._ended.set()
        self._thread.join()


def memory_of(pid: int) -> dict[str, int]:
    """The memory of a process in bytes; RSS is the most so far, as the kernel has it."""
    rollup = Path('/proc/%d/smaps_rollup' % pid).read_text()
    status = Path('/proc/%d/status' % pid).read_text()
    values = {'RSS': _kilobytes(r'VmHWM', status)}
    return {**values, **{name: _kilobytes(key, rollup) for name, key in MEASURES.items()}}


def _kilobytes(key: str, text: str) -> int:
    match = re.search(r'^%s:\s+(\d+) kB' % key, text, re.MULTILINE)
    return 1024 * int(match[1]) if match else 0


def write_folder(folder: Path, config: dict[str, Any]) -> None:
    """Write a model with random weights and mean pooling, as sentence-transformers does."""
    folder.mkdir(parents=True, exist_ok=True)
    pooling = {'word_embedding_dimension': config['hidden_size'], 'pooling_mode_mean_tokens': True}
    modules = [
        {'idx': index, 'name': str(index), 'path': path, 'type': 'sentence_transformers.models.' + kind}
        for index, (path, kind) in enumerate(
            [('', 'Transformer'), ('1_Pooling', 'Pooling'), ('2_Normalize', 'Normalize')]
        )
    ]
    for name in ('1_Pooling', '2_Normalize'):
        (folder / name).mkdir(exist_ok=True)
    longest = config['max_position_embeddings'] - (2 if config['model_type'] == 'xlm-roberta' else 0)
    for name, values in (
        ('config.json', config),
        ('modules.json', modules),
        ('1_Pooling/config.json', pooling),
        ('sentence_bert_config.json', {'max_seq_length': longest, 'do_lower_case': False}),
        ('tokenizer_config.json', {'tokenizer_class': 'XLMRobertaTokenizer'}),
        ('tokenizer.json', make_tokenizer(config['vocab_size'])),
    ):
        (folder / name).write_text(json.dumps(values), 'utf-8')
    write_weights(folder)


def make_tokenizer(size: int) -> dict[str, Any]:
    """A unigram tokenizer in the form of XLM-RoBERTa's, with our words and as many unused pieces as it takes."""
    pieces = [*SPECIAL[:-1], '\u2581', *('\u2581' + word for word in WORDS)]
    pieces += ['\u2581unused%d' % number for number in range(size - len(pieces) - 1)] + SPECIAL[-1:]
    added = [
        {
            'id': pieces.index(token),
            'content': token,
            'single_word': False,
            'lstrip': token == '<mask>',
            'rstrip': False,
            'normalized': False,
            'special': True,
        }
        for token in SPECIAL
    ]
    special = {token: {'id': token, 'ids': [pieces.index(token)], 'tokens': [token]} for token in ('<s>', '</s>')}
    start, end = ({'SpecialToken': {'id': token, 'type_id': 0}} for token in ('<s>', '</s>'))
    first, second = ({'Sequence': {'id': name, 'type_id': 0}} for name in 'AB')
    metaspace = {'type': 'Metaspace', 'replacement': '\u2581', 'prepend_scheme': 'always', 'split': True}
    return {
        'version': '1.0',
        'truncation': None,
        'padding': None,
        'added_tokens': added,
        'normalizer': {'type': 'NFKC'},
        'pre_tokenizer': metaspace,
        'post_processor': {
            'type': 'TemplateProcessing',
            'single': [start, first, end],
            'pair': [start, first, end, end, second, end],
            'special_tokens': special,
        },
        'decoder': metaspace,
        'model': {
            'type': 'Unigram',
            'unk_id': 3,
            'vocab': [[piece, 0.0 if piece in SPECIAL else -math.log(rank + 2)] for rank, piece in enumerate(pieces)],
            'byte_fallback': False,
        },
    }


def write_weights(folder: Path) -> None:
    """Write `model.safetensors`, one tensor after another, for what the config asks for."""
    config = read_config(str(folder / 'config.json'))
    tensors: dict[str, tuple[int, ...]] = {}
    for name, shape in variable_shapes(config, depth=config.num_hidden_layers).items():
        place = places(config.model_type, name)[-1]  # without a prefix
        stored = shape[::-1] if place.transposed else shape
        tensors[place.name] = (stored[0] * place.count, *stored[1:])
    header, offset = {}, 0
    for name, shape in tensors.items():
        end = offset + 4 * math.prod(shape)
        header[name] = {'dtype': 'F32', 'shape': list(shape), 'data_offsets': [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    with open(folder / 'model.safetensors', 'wb') as file:
        file.write(len(text).to_bytes(8, 'little') + text)
        for values in _random(tensors):
            file.write(values.tobytes())
    print('weights: %.0f MB, %.0f million parameters' % (os.path.getsize(file.name) / 1e6, offset / 4e6))


def _random(tensors: dict[str, tuple[int, ...]]) -> Iterator[Any]:
    dice = np.random.default_rng(0)
    for name, shape in tensors.items():
        values = dice.standard_normal(shape, np.float32) * np.float32(SCALE)
        yield values + 1 if re.search(r'(norm|ln)\.weight$', name, re.IGNORECASE) else values


if __name__ == '__main__':
    main()
