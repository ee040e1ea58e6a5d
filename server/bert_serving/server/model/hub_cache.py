"""Folders in the cache of `huggingface_hub`: find the snapshot of a model, and its name.

models--ORGANIZATION--NAME/refs/main              the commit that the branch was at
models--ORGANIZATION--NAME/snapshots/COMMIT/...   links to the files
"""

from __future__ import annotations

import os

from ..errors import ModelError

_PREFIX = 'models--'
_COMMIT_CHARACTERS = frozenset('0123456789abcdef')
_PLAIN_NAMES = ('model', 'models', 'snapshots')
"""Folder names that do not identify a model."""


def snapshot_of(folder: str) -> str:
    """If `folder` is a model's folder in the cache, return its snapshot, otherwise `folder` itself.

    It is the snapshot of the branch main, or the only one.

    Raises:
        ModelError: there is no snapshot, or there are several but no branch main.
    """
    snapshots = os.path.join(folder, 'snapshots')
    if not os.path.isdir(snapshots):
        return folder
    commit = _commit_of_main(os.path.join(folder, 'refs', 'main'))
    if commit is not None and os.path.isdir(os.path.join(snapshots, commit)):
        return os.path.join(snapshots, commit)
    there = sorted(name for name in os.listdir(snapshots) if os.path.isdir(os.path.join(snapshots, name)))
    if len(there) == 1:
        return os.path.join(snapshots, there[0])
    if not there:
        raise ModelError('%s has no snapshot: download the model again' % snapshots)
    raise ModelError(
        '%s has %d snapshots: give -model_dir one of them, such as %s'
        % (snapshots, len(there), os.path.join(snapshots, there[0]))
    )


def published_name(folder: str) -> str:
    """Return the name of the model in `folder`: the name of the folder, after following links.

    Bytes that are not UTF-8 become U+FFFD, because APIs need valid text. A model in the cache is named
    ORGANIZATION/NAME. For a folder with a plain name, such as `model`, the name comes from its parent.
    """
    path = os.fsencode(os.path.realpath(folder)).decode('utf-8', 'replace')
    parts = [part for part in path.split(os.sep) if part]
    while parts:
        name = parts.pop()
        if name.startswith(_PREFIX):
            return name.removeprefix(_PREFIX).replace('--', '/')
        is_commit = bool(parts) and parts[-1] == 'snapshots'
        if name not in _PLAIN_NAMES and not is_commit:
            return name
    return 'bert'


def _commit_of_main(path: str) -> str | None:
    try:
        with open(path, encoding='ascii', errors='replace') as file:
            commit = file.read(64).strip()
    except OSError:
        return None
    return commit if commit and set(commit) <= _COMMIT_CHARACTERS else None
