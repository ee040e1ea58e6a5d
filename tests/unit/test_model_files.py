"""The small files of a model folder: read within bounds, and said to be wrong by name."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import IO

import pytest

from bert_serving.server.errors import ModelError
from bert_serving.server.model.files import MOST_JSON_BYTES, check_file, read_json_list, read_json_object


def fault(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        read_json_object(str(path))
    message = str(caught.value)
    assert '\n' not in message
    assert str(path) in message
    return message.replace(str(path), 'FILE')


def test_an_object_is_read_and_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / 'config.json'
    path.write_text(json.dumps({'a': 'ü'}), 'utf-8-sig')
    assert read_json_object(str(path)) == {'a': 'ü'}


def test_a_list_is_read(tmp_path: Path) -> None:
    path = tmp_path / 'modules.json'
    path.write_text('[1]')
    assert read_json_list(str(path)) == [1]


@pytest.mark.parametrize(
    ('data', 'expected'),
    [
        (b'', 'FILE is empty: download it again'),
        (b'[1]', 'FILE must hold a JSON object, not list'),
        (b'{"a": \xff}', 'FILE is not UTF-8: byte 6 cannot be decoded'),
        (b'{', 'FILE is not JSON: '),
        (b'[' * 200_000, 'FILE is not a configuration: its JSON is nested too deeply'),
        (b' ' * (MOST_JSON_BYTES + 1), 'FILE has 4194305 bytes: at most 4194304 are read'),
    ],
)
def test_a_file_that_is_wrong_is_named_with_the_fault(tmp_path: Path, data: bytes, expected: str) -> None:
    path = tmp_path / 'config.json'
    path.write_bytes(data)
    assert fault(path).startswith(expected)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert fault(tmp_path / 'config.json') == 'the file is missing: there is no file FILE'


def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / 'config.json').mkdir()
    assert fault(tmp_path / 'config.json') == 'FILE is not a file'


def test_a_link_that_leads_nowhere_or_round_in_a_circle(tmp_path: Path) -> None:
    path = tmp_path / 'config.json'
    path.symlink_to('blob')
    assert fault(path) == 'FILE is a broken link, to blob: download the model again'
    path.unlink()
    path.symlink_to('config.json')
    assert 'is a broken link' in fault(path)


def test_a_pointer_of_git_lfs(tmp_path: Path) -> None:
    path = tmp_path / 'model.safetensors'
    path.write_text('version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 90868376\n')
    with pytest.raises(
        ModelError, match='is a pointer of Git LFS, not the file itself: run `git lfs pull` in'
    ) as caught:
        check_file(str(path), 'the weights')
    assert str(caught.value).endswith(str(tmp_path))


@pytest.mark.parametrize('attempt', [1, 2])
def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attempt: int) -> None:
    """At once, or after it was measured; by a stand-in for `open`, since root may read everything."""
    path = tmp_path / 'config.json'
    path.write_text('{}')
    attempts = iter([open] * (attempt - 1))

    def open_sometimes(path: str, mode: str) -> IO[bytes]:
        for real_open in attempts:
            return real_open(path, mode)
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr('builtins.open', open_sometimes)
    assert fault(path) == 'FILE cannot be read: Permission denied'
