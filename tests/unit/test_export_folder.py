"""Where exports are kept: a folder that this user alone can change, or nowhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bert_serving.server.errors import UsageError
from bert_serving.server.parent.export_folder import export_folder


def test_the_folder_of_the_user_for_caches_is_the_default(tmp_path: Path) -> None:
    named = {'XDG_CACHE_HOME': str(tmp_path / 'caches'), 'HOME': str(tmp_path)}
    assert export_folder(None, named) == str(tmp_path / 'caches' / 'bert-as-service' / 'exports')
    assert (tmp_path / 'caches' / 'bert-as-service' / 'exports').stat().st_mode & 0o777 == 0o700
    for relative in ('', 'caches'):
        home = {'XDG_CACHE_HOME': relative, 'HOME': str(tmp_path)}
        assert export_folder(None, home) == str(tmp_path / '.cache' / 'bert-as-service' / 'exports')


@pytest.mark.parametrize('environment', [{}, {'HOME': 'relative'}, {'HOME': '/proc'}, {'XDG_CACHE_HOME': '/dev/null'}])
def test_without_a_place_for_them_exports_are_not_kept(environment: dict[str, str]) -> None:
    assert export_folder(None, environment) is None


def test_none_keeps_none(tmp_path: Path) -> None:
    assert export_folder('NONE', {'HOME': str(tmp_path)}) is None
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_the_option_can_be_one_that_is_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o777)
    assert export_folder(str(tmp_path), {}) == str(tmp_path / 'exports')
    monkeypatch.chdir(tmp_path)
    assert export_folder('here', {}) == str(tmp_path / 'here' / 'exports')


def test_a_folder_of_the_option_that_cannot_be_used_is_an_error() -> None:
    with pytest.raises(UsageError, match=r'-export_cache: cannot keep exports in /dev/null/exports: Not a directory'):
        export_folder('/dev/null', {})


def test_a_folder_that_others_can_change_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(str(export_folder(str(tmp_path), {})))
    folder.chmod(0o720)
    with pytest.raises(UsageError, match='other users can change it'):
        export_folder(str(tmp_path), {})
    folder.chmod(0o700)
    assert export_folder(str(tmp_path), {})
    monkeypatch.setattr(os, 'geteuid', lambda: os.getuid() + 1)
    with pytest.raises(UsageError, match='other users can change it'):
        export_folder(str(tmp_path), {})


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / 'elsewhere').mkdir(mode=0o700)
    (tmp_path / 'exports').symlink_to(tmp_path / 'elsewhere')
    with pytest.raises(UsageError, match='other users can change it'):
        export_folder(str(tmp_path), {})
