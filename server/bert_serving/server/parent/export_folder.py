"""The cache folder for the exports of this user's servers."""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from collections.abc import Mapping

from ..errors import UsageError
from ..options.values import NO_FOLDER

logger = logging.getLogger(__name__)

PROGRAM = 'bert-as-service'
EXPORTS = 'exports'
"""The name of our subfolder, which is private even if the folder around it is not."""


def export_folder(option: str | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """Make and return the folder for kept exports, or return None if exports are not kept.

    `option` is the value of `-export_cache`. Without it, the folder is in `XDG_CACHE_HOME` or `~/.cache`. If it cannot
    be made there, as in many containers, exports are not kept.

    Raises:
        UsageError: the folder of the option cannot be used.
    """
    if option == NO_FOLDER:
        return None
    if option is not None:
        folder = os.path.join(os.path.abspath(option), EXPORTS)
        try:
            _prepare(folder)
        except OSError as error:
            reason = error.strerror or str(error)
            raise UsageError('-export_cache: cannot keep exports in %s: %s' % (folder, reason)) from None
        return folder
    home = _cache_of_user(environment)
    if home is None:
        logger.debug('exports are not kept: this user has no home folder')
        return None
    folder = os.path.join(home, PROGRAM, EXPORTS)
    try:
        _prepare(folder)
    except OSError as error:
        logger.debug('exports are not kept in %s: %s', folder, error.strerror or error)
        return None
    return folder


def _cache_of_user(environment: Mapping[str, str]) -> str | None:
    """The user's cache folder, by the XDG base directory specification, which ignores relative paths."""
    named = environment.get('XDG_CACHE_HOME', '')
    if os.path.isabs(named):
        return named
    home = environment.get('HOME', '')
    return os.path.join(home, '.cache') if os.path.isabs(home) else None


def _prepare(folder: str) -> None:
    """Make the folder if necessary, and check that only this user can change its content.

    Raises:
        OSError: the folder cannot be made, or others can change it.
    """
    os.makedirs(folder, mode=0o700, exist_ok=True)
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise PermissionError('other users can change it')
    tempfile.TemporaryFile(dir=folder).close()
