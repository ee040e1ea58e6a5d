"""What is recommended for which processor, from texts as `/proc/cpuinfo` has them."""

from __future__ import annotations

import pytest

from bert_serving.server.worker.cpu_flags import parse_flags, read_flags, recommendation

CPUINFO = """processor\t: 0
model name\t: some processor
flags\t\t: fpu avx512f %s sse2
bugs\t\t: flags

processor\t: 1
flags\t\t: fpu
"""


def test_flags_are_those_of_the_first_processor():
    assert parse_flags(CPUINFO % 'amx_bf16') == {'fpu', 'avx512f', 'amx_bf16', 'sse2'}


@pytest.mark.parametrize('cpuinfo', ['', 'Features\t: asimd bf16\n', 'no colon'])
def test_other_texts_have_none(cpuinfo):
    assert parse_flags(cpuinfo) == frozenset()


def test_flags_are_read_from_the_file(tmp_path):
    (tmp_path / 'cpuinfo').write_text(CPUINFO % 'avx512_bf16')
    assert 'avx512_bf16' in read_flags(str(tmp_path / 'cpuinfo'))
    assert read_flags(str(tmp_path / 'none')) == frozenset()


OTHER = '-engine onnxruntime -int8 would be faster and take less memory'


@pytest.mark.parametrize(
    ('words', 'options', 'says'),
    [
        ('amx_bf16 avx512_bf16', {}, 'has amx_bf16: -bf16 would be faster'),
        ('avx512_bf16', {'has_onnx': True}, 'has avx512_bf16: -bf16 would be faster'),
        ('avx2', {'bf16': True}, 'has none of amx_bf16, avx512_bf16: it is probably faster without -bf16'),
        ('avx2', {'bf16': True, 'has_onnx': True}, 'has none of amx_bf16, avx512_bf16: ' + OTHER),
        ('amx_bf16', {'bf16': True, 'has_onnx': True}, None),
        ('avx2', {}, None),
        ('avx2', {'has_onnx': True}, OTHER),
        ('avx2', {'has_onnx': True, 'engine': 'onnxruntime'}, '-int8 would be faster'),
        ('avx2', {'has_onnx': True, 'engine': 'onnxruntime', 'int8': True}, None),
    ],
)
def test_recommendation(words, options, says):
    advice = recommendation(parse_flags(CPUINFO % words), **options)
    assert advice is None if says is None else says in advice


def test_nothing_is_recommended_for_a_processor_of_which_nothing_is_known():
    assert recommendation(frozenset(), bf16=True, has_onnx=True) is None
