"""The layers of the server, from the bottom up; `docs/architecture.md` says what each is for.

Run, it prints the files of the pure layers, in the form of `coverage report --include`.
"""

from __future__ import annotations

LAYERS = [
    ('L0 words', ['errors', 'release', 'units', 'spelling', 'terminal', 'pooling', 'states', 'wire', 'ring', 'settings', 'parser']),
    (
        'L1 decisions',
        [
            'tokenization', 'features', 'bert_config', 'model_dir', 'stats', 'restarts', 'devices', 'batching',
            'scheduling', 'scheduling.events', 'scheduling.limits', 'scheduling.cutting', 'scheduling.records',
            'scheduling.scheduler', 'assembly', 'assembly.events', 'assembly.bounds', 'assembly.joining', 'assembly.assembler',
            'benchmark', 'benchmark.plan', 'benchmark.results',
            'http', 'http.faults', 'http.routes', 'http.parsing', 'http.answers', 'http.health', 'http.openapi',
        ],
    ),
    (
        'L2 means',
        [
            'logs', 'progress', 'transport', 'child', 'child_main', 'terminate', 'graph', 'graph.tf', 'graph.checkpoint',
            'graph.layer_norm', 'graph.processor',
            'graph.modeling', 'graph.pooling_ops', 'graph.export', 'graph.runtime', 'benchmark.sentences',
            'benchmark.random_model',
        ],
    ),
    (
        'L3 HTTP',
        [
            'http.config', 'http.backend', 'http.turn', 'http.metrics', 'http.guard', 'http.legacy', 'http.openai',
            'http.operation', 'http.dashboard', 'http.app', 'http.lanes', 'http.door',
        ],
    ),
    ('L3 loops', ['ventilator', 'worker', 'sink', 'exporter', 'http.proxy']),
    ('L4 server', ['supervisor', 'plan', 'children', 'status', 'server', 'helper', '']),
    ('L5 commands', ['benchmark.load', 'benchmark.host', 'benchmark.plots', 'benchmark.run', 'cli']),
]  # fmt: skip
"""From the bottom up; within a layer from left to right, but for the loops, which never import each other."""

ORDER = [module for _, modules in LAYERS for module in modules]
LOOPS = dict(LAYERS)['L3 loops']
PURE = dict(LAYERS)['L0 words'] + dict(LAYERS)['L1 decisions']

if __name__ == '__main__':
    print(','.join('server/bert_serving/server/%s.py' % module.replace('.', '/') for module in PURE))
