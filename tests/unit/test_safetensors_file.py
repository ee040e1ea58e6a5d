"""Files of weights: what is read from them, and that no damaged or malicious one takes long or much memory."""

from __future__ import annotations

import errno
import json
import os
import time
import tracemalloc

import numpy as np
import pytest
from safetensors.numpy import save_file

from bert_serving.server.errors import ModelError
from bert_serving.server.model.safetensors_file import read_tensors

VALUES = np.arange(12, dtype=np.float32).reshape(4, 3) / 7


def write(path, header, data=b''):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(raw).to_bytes(8, 'little') + raw + data)
    return str(path)


def entry(dtype='F32', shape=(4, 3), begin=0, end=48):
    return {'dtype': dtype, 'shape': list(shape), 'data_offsets': [begin, end]}


def test_float32_is_a_view_of_the_file(tmp_path):
    save_file({'a': VALUES, 'b': VALUES[0].copy()}, tmp_path / 'm.safetensors', metadata={'format': 'pt'})
    tensors = read_tensors(str(tmp_path / 'm.safetensors'))
    assert {name: tensor.shape for name, tensor in tensors.items()} == {'a': (4, 3), 'b': (3,)}
    values = tensors['a'].read()
    np.testing.assert_array_equal(values, VALUES)
    assert not values.flags.owndata
    np.testing.assert_array_equal(tensors['a'].read(1, 3), VALUES[1:3])


@pytest.mark.parametrize('dtype', [np.float16, np.float64])
def test_other_floats_become_float32(tmp_path, dtype):
    save_file({'a': VALUES.astype(dtype)}, tmp_path / 'm.safetensors')
    values = read_tensors(str(tmp_path / 'm.safetensors'))['a'].read()
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, VALUES.astype(dtype).astype(np.float32))


def test_bfloat16_without_a_library_that_has_it(tmp_path):
    bits = (VALUES.view(np.uint32) >> 16).astype(np.uint16)
    path = write(tmp_path / 'm', {'a': entry('BF16', end=24)}, bits.tobytes())
    values = read_tensors(path)['a'].read(1, 4)
    np.testing.assert_array_equal(values, (bits.astype(np.uint32) << 16).view(np.float32)[1:])
    np.testing.assert_allclose(values, VALUES[1:], rtol=1e-2)


def test_tensor_of_no_elements_and_one_that_does_not_start_at_a_word(tmp_path):
    path = write(
        tmp_path / 'm', {'e': entry(shape=(0, 3), end=0), 'a': entry(begin=1, end=49)}, b'x' + VALUES.tobytes()
    )
    tensors = read_tensors(path)
    assert tensors['e'].read().shape == (0, 3)
    np.testing.assert_array_equal(tensors['a'].read(), VALUES)


@pytest.mark.parametrize('dtype', ['I8', 'F8_E4M3', 'BOOL'])
def test_other_types_are_refused_only_when_they_are_needed(tmp_path, dtype):
    path = write(tmp_path / 'm', {'a': entry(dtype, end=12), 'b': entry(begin=12, end=60)}, bytes(60))
    tensors = read_tensors(path)
    assert tensors['b'].read().shape == (4, 3)
    with pytest.raises(ModelError, match=r'a holds (int8|F8_E4M3|bool), not floating-point weights'):
        tensors['a'].read()


@pytest.mark.parametrize(
    ('header', 'data', 'fault'),
    [
        (b'{"a"', 0, 'its header is not JSON'),
        (b'[' * 10**6, 0, 'its header is not JSON'),
        (b'[]', 0, 'its header is no JSON object'),
        ({'a': 1}, 48, 'its header has nonsense for a'),
        ({'a': entry(shape=[-4, -3])}, 48, 'nonsense for a'),
        ({'a': entry(shape=[True, 12])}, 48, 'nonsense for a'),
        ({'a': entry(shape='43')}, 48, 'nonsense for a'),
        ({'a': entry(begin=48, end=0)}, 48, 'nonsense for a'),
        ({'a': {'dtype': 'F32', 'shape': [4, 3], 'data_offsets': [0]}}, 48, 'nonsense for a'),
        ({'a': entry(shape=[4, 4])}, 48, 'a of shape [4, 4] has 48 bytes'),
        ({'a': entry(shape=[2**62, 2**62])}, 48, 'has 48 bytes'),
        ({'a': entry()}, 47, 'bytes, and its tensors need'),
        ({'a': entry(shape=[2**50], end=2**52)}, 48, 'bytes, and its tensors need'),
    ],
    ids=range(13),
)
def test_damaged_header(tmp_path, header, data, fault):
    path = write(tmp_path / 'm.safetensors', header, bytes(data))
    with pytest.raises(ModelError) as error:
        read_tensors(path)
    assert error.value.message.startswith(path + ' cannot be read: ')
    assert fault in error.value.message
    assert error.value.message.endswith('; download it again')


@pytest.mark.parametrize('length', [2**40, 2**63, 17 << 20, 11])
def test_header_of_absurd_length_is_not_read(tmp_path, length):
    with open(tmp_path / 'm', 'wb') as file:
        file.write(length.to_bytes(8, 'little') + b'{}')
        file.truncate(20 << 20 if length > 11 else 18)
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(ModelError, match='its header would have %d bytes' % length):
        read_tensors(str(tmp_path / 'm'))
    assert time.process_time() - started < 1
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    ('content', 'fault'), [(b'', 'is empty'), (None, 'is missing'), (b'1234567', 'cannot be read')]
)
def test_file_that_is_none(tmp_path, content, fault):
    if content is not None:
        (tmp_path / 'm').write_bytes(content)
    with pytest.raises(ModelError, match=fault):
        read_tensors(str(tmp_path / 'm'))


def sharded(folder, **where):
    save_file({'a': VALUES}, folder / 'one.safetensors')
    save_file({'b': VALUES + 1}, folder / 'two.safetensors')
    index = {'weight_map': {'a': 'one.safetensors', 'b': 'two.safetensors', **where}}
    (folder / 'model.safetensors.index.json').write_text(json.dumps(index))
    return str(folder / 'model.safetensors.index.json')


def test_shards(tmp_path):
    tensors = read_tensors(sharded(tmp_path))
    np.testing.assert_array_equal(tensors['b'].read(), VALUES + 1)
    assert list(tensors) == ['a', 'b']


@pytest.mark.parametrize(
    ('where', 'fault'),
    [
        ({'c': 'three.safetensors'}, 'there is no file .*three.safetensors'),
        ({'a': 'two.safetensors'}, r'index\.json says that a is in two\.safetensors, and it is not: download'),
        ({'c': '../one.safetensors'}, "'../one.safetensors', which is no safetensors file of this folder"),
        ({'c': '/etc/passwd'}, 'no safetensors file of this folder'),
        ({'c': 'one.bin'}, 'no safetensors file of this folder'),
        ({'c': 3}, "'weight_map' must be an object with the file of each tensor"),
    ],
)
def test_index_that_is_wrong(tmp_path, where, fault):
    with pytest.raises(ModelError, match=fault):
        read_tensors(sharded(tmp_path, **where))


def test_index_without_a_map(tmp_path):
    (tmp_path / 'model.safetensors.index.json').write_text('{"metadata": {}}')
    with pytest.raises(ModelError, match="'weight_map' must be an object"):
        read_tensors(str(tmp_path / 'model.safetensors.index.json'))


def test_file_that_went_after_it_was_opened(tmp_path):
    save_file({'a': VALUES}, tmp_path / 'm.safetensors')
    tensors = read_tensors(str(tmp_path / 'm.safetensors'))
    (tmp_path / 'm.safetensors').unlink()
    with pytest.raises(ModelError, match='cannot be read'):
        tensors['a'].read()


def test_header_that_may_not_be_read(tmp_path, monkeypatch):
    save_file({'a': VALUES}, tmp_path / 'm.safetensors')

    def refuse(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os.path, 'getsize', refuse)
    with pytest.raises(ModelError, match='cannot be read: Permission denied'):
        read_tensors(str(tmp_path / 'm.safetensors'))
