"""Peers of the benchmark: which interpreter runs each, units of processors, ratios and tables."""

from __future__ import annotations

import json

import pytest

from bert_serving.server.benchmark.peers.catalog import MODULES, NAMES, PEERS, choose, turns
from bert_serving.server.benchmark.peers.tables import Line, make_json, make_report, plan_tasks
from bert_serving.server.benchmark.peers.units import (
    complete_unit,
    describe_units,
    onnx_quantization,
    parse_isa,
    unit_by_flags,
    units_of,
)
from bert_serving.server.benchmark.plan import Metric
from bert_serving.server.benchmark.results import Spread

AVX2 = frozenset({'fpu', 'avx2'})
VNNI = AVX2 | {'avx512f', 'avx512_vnni'}
AMX = VNNI | {'avx512_bf16', 'amx_tile', 'amx_int8', 'amx_bf16'}

TASKS = plan_tasks(64)
BULK, ONE, *_ = TASKS


def test_each_peer_has_a_name_and_modules_to_look_for() -> None:
    assert len(set(NAMES)) == len(PEERS)
    assert {module for peer in PEERS for module in peer.modules} <= set(MODULES)


def test_a_peer_runs_in_the_first_interpreter_that_has_it() -> None:
    one = {'sentence_transformers': '5.7.0', 'torch': '2.13.0', 'onnxruntime': '1.32.0'}
    other = {'sentence_transformers': '6.2.0', 'onnxruntime': '1.32.0', 'optimum.onnxruntime': '', 'infinity_emb': '1'}
    choices, missing = choose(['infinity', 'onnx', 'torch', 'fastembed'], {'one': one, 'other': other})
    assert [(choice.peer.name, choice.python) for choice in choices] == [
        ('torch', 'one'),
        ('onnx', 'other'),
        ('infinity', 'other'),
    ]
    assert choices[0].describe_versions() == 'sentence-transformers 5.7.0, torch 2.13.0'
    assert choices[1].describe_versions() == 'sentence-transformers 6.2.0, onnxruntime 1.32.0'
    assert missing == ["fastembed: not installed: pip install 'fastembed'"]
    command = "pip install 'infinity-emb[server,torch]' 'optimum<2' 'transformers<4.49' 'click<8.2'"
    assert choose(['infinity'], {'one': one})[1] == ['infinity, torch, by HTTP: not installed: ' + command]


def test_each_round_begins_with_another_one() -> None:
    assert [turns([0, 1, 2], number) for number in range(4)] == [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]
    assert turns([], 3) == []


def test_the_units_of_a_processor() -> None:
    assert units_of(VNNI) == ['AVX2', 'AVX512F', 'AVX512-VNNI']
    assert units_of({'amx_int8'}) == []  # the system does not let programs use it
    assert describe_units(AMX) == 'AVX2, AVX512F, AVX512-VNNI, AVX512-BF16, AMX-INT8, AMX-BF16; without AVX-VNNI'
    assert describe_units(frozenset()).startswith('without AVX2, ')
    assert describe_units(AMX | {'avx_vnni'}).endswith('AMX-BF16')


@pytest.mark.parametrize(
    ('kind', 'flags', 'unit'),
    [
        ('float32', AVX2, 'AVX2'),
        ('float32', AMX, 'AVX512F'),
        ('int8', AVX2, 'AVX2'),
        ('int8', VNNI, 'AVX512-VNNI'),
        ('int8', AMX, 'AMX-INT8'),
        ('bfloat16', AMX, 'AMX-BF16'),
    ],
)
def test_an_engine_that_does_not_tell_uses_the_best_unit_for_its_type(
    kind: str, flags: frozenset[str], unit: str
) -> None:
    assert unit_by_flags(kind, flags) == "%s, by the processor's flags" % unit


def test_a_kernel_without_the_name_of_a_unit_comes_with_the_probable_unit() -> None:
    assert complete_unit('brgemm_avx2_f32, says OpenVINO', 'float32', AMX) == 'brgemm_avx2_f32, says OpenVINO'
    assert complete_unit('', 'float32', AVX2) == "AVX2, by the processor's flags"
    told = complete_unit('gemm_mlas_f32, says OpenVINO', 'float32', AVX2)
    assert told == "gemm_mlas_f32, says OpenVINO; AVX2, by the processor's flags"


def test_without_flags_the_unit_is_unknown() -> None:
    assert unit_by_flags('float32', frozenset()) == 'unknown'


def test_the_isa_is_what_onednn_or_torch_prints() -> None:
    verbose = (
        'onednn_verbose,v1,info,oneDNN v3.7.3 (commit N/A)\n'
        'onednn_verbose,v1,info,cpu,runtime:threadpool,nthr:2\n'
        'onednn_verbose,v1,info,cpu,isa:Intel AVX2\n'
    )
    assert parse_isa(verbose) == 'Intel AVX2, says oneDNN'
    assert parse_isa('dnnl_verbose,info,cpu,isa:Intel AMX\n') == 'Intel AMX, says oneDNN'
    assert parse_isa('torch,capability:AVX512\n' + verbose) == 'AVX512, says torch'
    assert parse_isa('nothing') is None


@pytest.mark.parametrize(
    ('flags', 'name'), [(AVX2, 'avx2'), (AVX2 | {'avx512f'}, 'avx512'), (VNNI, 'avx512_vnni'), (AMX, 'avx512_vnni')]
)
def test_the_int8_model_is_that_for_this_processor(flags: frozenset[str], name: str) -> None:
    assert onnx_quantization(flags) == name


def test_everyone_gets_the_loads_of_the_targets() -> None:
    assert [(task.title, task.load.num_client, task.load.batch_rows, task.metric) for task in TASKS] == [
        ('bulk, rows/s', 1, 64, Metric.RATE),
        ('one sentence, p50, ms', 1, 1, Metric.LATENCY),
        ('32 clients x 1, rows/s', 32, 1, Metric.RATE),
        ('8 clients x 64, rows/s', 8, 64, Metric.RATE),
    ]


def lines() -> list[Line]:
    """Ours, a peer that is half as fast, and one that did not start."""
    ours = Line('ours', True, 'ours 2', 'AVX2', 1.0, values={BULK.title: [100, 300], ONE.title: [4, 4]})
    peer = Line('peer', values={BULK.title: [50, 100]}, failures={ONE.title: 'no answer'}, cosine=0.99991)
    return [ours, peer, Line('broken', failure='no memory')]


def test_a_ratio_is_taken_round_by_round() -> None:
    ours, peer, broken = lines()
    assert peer.ratio(ours, BULK) == Spread(2.5, 2, 3)
    assert peer.ratio(ours, ONE) is None
    assert broken.ratio(ours, BULK) is None


def test_each_cell_without_values_is_a_failure() -> None:
    assert [line.number_of_failures([BULK, ONE]) for line in lines()] == [0, 1, 2]


def test_the_report_has_a_ratio_on_every_line_and_says_what_is_missing() -> None:
    report = make_report(
        {'processor': 'a chip'}, [BULK, ONE], lines(), ['it: not installed: pip install it'], ['Note.']
    )
    assert report == (
        '# Benchmark\n\n- processor: a chip\n\n## peers\n\nNote.\n\n'
        '|  | versions | unit of the processor | least cosine |\n| --- | --- | --- | --- |\n'
        '| ours | ours 2 | AVX2 | 1.0000 |\n| peer |  |  | 0.9999 |\n| broken |  |  |  |\n\n'
        '### bulk, rows/s\n\n|  | rows/s | ours, ratio |\n| --- | --- | --- |\n'
        '| ours | 200 (100..300) | **1.00** (1.00..1.00) |\n'
        '| peer | 75.0 (50.0..100) | **2.50** (2.00..3.00) |\n'
        '| broken | failed |  |\n\n'
        '### one sentence, p50, ms\n\n|  | ms | ours, ratio |\n| --- | --- | --- |\n'
        '| ours | 4.00 (4.00..4.00) | **1.00** (1.00..1.00) |\n| peer | failed |  |\n| broken | failed |  |\n\n'
        '- it: not installed: pip install it\n'
        '- failed: broken: no memory\n'
        '- failed: one sentence, p50, ms, peer: no answer\n'
    )
    other = Line('other', values={BULK.title: [2]})
    first = Line('ours', True)
    assert '| other | 2.00 (2.00..2.00) |  |' in make_report({}, [BULK], [first, other], [], [])
    assert make_report({}, [BULK], [lines()[0]], [], []).endswith('(1.00..1.00) |\n')


def test_the_json_has_every_value() -> None:
    value = json.loads(json.dumps(make_json({'processor': 'a chip'}, [BULK], lines(), ['it: not installed'])))
    assert value['not_installed'] == ['it: not installed']
    assert [(engine['name'], engine['failure']) for engine in value['engines']] == [
        ('ours', None),
        ('peer', None),
        ('broken', 'no memory'),
    ]
    (task,) = value['tasks']
    assert task['cells'] == [
        {'name': 'ours', 'values': [100, 300], 'ratios': {'ours': 1.0}, 'failure': None},
        {'name': 'peer', 'values': [50, 100], 'ratios': {'ours': 2.5}, 'failure': None},
        {'name': 'broken', 'values': [], 'ratios': {}, 'failure': 'no memory'},
    ]
