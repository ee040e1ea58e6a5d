"""`bert-serving-benchmark -peers` from end to end, with fake packages in place of the peers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

from bert_serving.server.benchmark.random_model import SHAPES, write_model
from support.serving import fake_path

SHAPE = replace(SHAPES['mini'], vocab_size=600, hidden_size=6, num_hidden_layers=2, num_attention_heads=3)

SENTENCE_TRANSFORMERS = """
import numpy

class SentenceTransformer:
    def __init__(self, folder, device, backend='torch'):
        print('a line on standard output does no harm')
        assert device == 'cpu'
        if backend != 'torch':
            raise RuntimeError('this one cannot be exported')

    def encode(self, texts, show_progress_bar):
        return numpy.ones((len(texts), 3), numpy.float32)
"""

INFINITY = """
import base64, json, struct, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    wbufsize = -1

    def do_GET(self):
        self.reply({'unix': 1})

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        assert request['encoding_format'] == 'base64'
        vector = base64.b64encode(struct.pack('<3f', 1, 2, 3)).decode()
        self.reply({'data': [{'embedding': vector} for _ in request['input']]})

    def reply(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass

class Server(ThreadingHTTPServer):
    request_queue_size = 64

def cli():
    port = int(sys.argv[sys.argv.index('--port') + 1])
    Server(('127.0.0.1', port), Handler).serve_forever()
"""


def write_packages(folder: Path) -> None:
    """Fake packages with the names of peers, and the empty packages that these need."""
    for name, source in {
        'sentence_transformers/__init__.py': SENTENCE_TRANSFORMERS,
        'infinity_emb/__init__.py': '',
        'infinity_emb/cli.py': INFINITY,
        'optimum/__init__.py': '',
        'optimum/onnxruntime.py': '',
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source), 'utf-8')


def test_peers_are_measured_in_turn_with_ours_and_what_fails_costs_only_its_own_cells(tmp_path: Path) -> None:
    write_packages(tmp_path / 'packages')
    model = tmp_path / 'model'
    model.mkdir()
    write_model(str(model), SHAPE)
    words = '-peers -test_peers torch onnx fastembed infinity -test_rows 64 -num_repeat 2 -wait_till_ready 60'
    command = (sys.executable, '-m', 'support.benchmark_cli')
    done = subprocess.run(
        [*command, '-model_dir', str(model), '-output_dir', str(tmp_path), *words.split()],
        env={**os.environ, 'PYTHONPATH': os.pathsep.join([str(tmp_path / 'packages'), fake_path()])},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 1, done.stderr
    report = (tmp_path / 'report.md').read_text('utf-8')
    assert report in done.stdout
    assert 'sentence-transformers, onnx: RuntimeError: this one cannot be exported' in report
    assert '- fastembed: not installed: pip install' in report
    results = json.loads((tmp_path / 'results.json').read_text('utf-8'))
    engines = {engine['name']: engine for engine in results['engines']}
    assert engines['ours, TensorFlow, float32']['least_cosine'] > 0.9999
    assert engines['sentence-transformers, torch']['least_cosine'] is not None
    for task in results['tasks']:
        cells = {cell['name']: cell for cell in task['cells']}
        assert cells['sentence-transformers, onnx']['failure']
        for name in ('ours, TensorFlow, float32', 'sentence-transformers, torch', 'infinity, torch, by HTTP'):
            assert len(cells[name]['values']) == 2, name
            assert cells[name]['ratios']['ours, TensorFlow, float32'] > 0, name
    assert 'REDUCE_MEAN of layer -1' in (tmp_path / 'server.log').read_text('utf-8')  # as the peers pool
    assert 'a line on standard output' in (tmp_path / 'peers.log').read_text('utf-8')
