"""Fetch a model by name from the Hugging Face hub, into the cache of the package `huggingface_hub`.

The variables of that package (`HF_ENDPOINT`, `HF_HOME`, `HF_TOKEN`, `HF_HUB_OFFLINE`) set endpoint, cache, token and
offline mode. A model in the cache needs no network. Small files are fetched first, so that an unsupported model is
refused before gigabytes are fetched. The reference of the branch is written last, so that it names a complete snapshot.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..console import logs
from ..console.formatting import format_bytes, format_duration
from ..console.progress import Progress, ProgressDisplay
from ..errors import ModelError, ServingError, StartError
from ..model import hints
from ..model.architectures import read_config
from ..model.files import MOST_JSON_BYTES, read_json
from ..model.hub_cache import snapshot_of
from ..model.hub_files import HubName, Repository, shards
from ..model.published import MODULES, read_module_paths, read_published

logger = logging.getLogger(__name__)

LISTING_TIMEOUT_S = 10
CHECK_S = 0.1
"""Seconds between two updates of the progress and checks for a stop."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)
"""The error numbers of an unwritable cache, as opposed to network errors."""

IsStopped = Callable[[], bool]


def never() -> bool:
    """An `IsStopped` that is never true."""
    return False


def local_folder(
    model_dir: str | None,
    *,
    config_name: str | None = None,
    ckpt_name: str | None = None,
    is_stopped: IsStopped = never,
) -> str | None:
    """Return the folder for `model_dir`: itself if it exists, otherwise that of the hub's model with this name.

    `config_name` and `ckpt_name` are the file names of the configuration and the weights that the user gave, or None.

    Raises:
        ModelError: the hub has no such model, refuses it or cannot be reached, or the model is not supported.
        StartError: `is_stopped` returned True meanwhile.
    """
    if model_dir is None or os.path.lexists(model_dir):
        return model_dir
    name = HubName.parse(model_dir)
    if name is None or not _is_installed():
        return model_dir  # it does not exist, so `find_model` reports an error
    fetch = _Fetch(name, config_name, ckpt_name)
    with _one_error(name, model_dir):
        return fetch.run(is_stopped)


def _is_installed() -> bool:
    try:
        import huggingface_hub.errors  # noqa: F401
    except ImportError:
        return False
    return True


class _Unreachable(Exception):
    """The hub did not respond. The text says why."""


@dataclass
class _Fetch:
    """The state of one fetch, written by the fetching thread and read by the displaying one."""

    name: HubName
    config_name: str | None
    ckpt_name: str | None
    stage: str = 'list the files'
    total: int = 0
    already: int = 0

    def run(self, is_stopped: IsStopped) -> str:
        """Fetch in another thread, because a download cannot be interrupted, and show the progress in this one."""
        outcome: list[str | BaseException] = []

        def work() -> None:
            try:
                outcome.append(self._folder())
            except BaseException as error:
                outcome.append(error)

        thread = threading.Thread(target=work, name='hub', daemon=True)
        thread.start()
        with logs.terminal_for_progress() as terminal:
            display = ProgressDisplay(lambda line: logger.info('fetch %s: %s', self.name, line), terminal)
            try:
                while thread.is_alive():
                    display.show(Progress(self.stage, self._fetched(), self.total))
                    thread.join(CHECK_S)
                    if is_stopped():
                        raise StartError('stopped while fetching %s: start the server again to continue' % self.name)
            finally:
                display.end()
        result = outcome[0]
        if isinstance(result, BaseException):
            raise result
        return result

    def _folder(self) -> str:
        from huggingface_hub import constants

        if constants.HF_HUB_OFFLINE:
            return self._cached('HF_HUB_OFFLINE is set')
        try:
            commit, repository, sizes = self._listing()
        except _Unreachable as error:
            return self._cached('%s could not be reached (%s)' % (constants.ENDPOINT, error))
        return self._fetch(commit, repository, sizes)

    def _listing(self) -> tuple[str, Repository, Mapping[str, int]]:
        """The commit of the revision, and its files with their sizes in bytes, if the hub provides them."""
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError

        try:
            info = HfApi().model_info(
                self.name.repository, revision=self.name.revision, files_metadata=True, timeout=LISTING_TIMEOUT_S
            )
        except HfHubHTTPError as error:
            if _status(error) >= 500 or _status(error) == 429:
                raise _Unreachable('HTTP status %d' % _status(error)) from error
            raise
        except ValueError as error:  # it is not JSON, or the name is not valid
            raise _Unreachable(_first_line(error)) from error
        except Exception as error:
            if _errno(error) in (*_FULL, *_NOT_WRITABLE):
                raise  # it is the cache
            # Each release of the package has its own HTTP client, with its own exceptions for a connection that fails.
            raise _Unreachable('%s: %s' % (type(error).__name__, _first_line(error))) from error
        files = info.siblings or []
        if not info.sha or not info.sha.isalnum():
            raise _Unreachable('it does not tell the commit of %s' % self.name)
        sizes = {file.rfilename: file.size for file in files if isinstance(file.size, int)}
        return info.sha, Repository.of(self.name, (file.rfilename for file in files)), sizes

    def _cached(self, why: str) -> str:
        """The snapshot in the cache, which might not be the latest."""
        cache = self._cache()
        commit = _read_reference(os.path.join(cache, 'refs', self.name.revision))
        snapshot = os.path.join(cache, 'snapshots', commit or self.name.revision)
        if commit is None and self.name.revision == 'main':
            snapshot = snapshot_of(cache)
            snapshot = '' if snapshot == cache else snapshot
        if not os.path.isdir(snapshot):
            raise ModelError(
                '%s, and %s is not in the cache %s: start once with network access to fetch it'
                % (why, self.name, _cache_folder())
            )
        logger.info('took %s from the cache, as %s: %s', self.name, why, snapshot)
        return snapshot

    def _fetch(self, commit: str, repository: Repository, sizes: Mapping[str, int]) -> str:
        from huggingface_hub import hf_hub_download

        began, fetched = time.monotonic(), 0
        known = os.path.join(self._cache(), 'snapshots', commit)

        def get(*files: str) -> None:
            nonlocal fetched
            missing = [file for file in files if not os.path.isfile(os.path.join(known, file))]
            self.already = self._blobs()
            self.total = sum(sizes.get(file, 0) for file in missing)
            for file in missing:
                self.stage = file
                with _quietly():
                    hf_hub_download(self.name.repository, file, revision=commit)
                if not os.path.isfile(os.path.join(known, file)):
                    raise ModelError(
                        '%s: the hub sent %s of another commit than %s: start again' % (self.name, file, commit)
                    )
                fetched += os.path.getsize(os.path.join(known, file))

        encoder, modules = '', []
        if MODULES in repository.files:
            get(MODULES)
            encoder, *modules = read_module_paths(os.path.join(known, MODULES))
        # First check the file names, to refuse a repository without safetensors immediately.
        weights = repository.weights(encoder, self.ckpt_name)
        get(*repository.settings(encoder, self.config_name), *repository.module_files(modules))
        self._check_settings(known, encoder)
        get(weights)
        if weights.endswith('.json'):
            index = os.path.join(known, weights)
            folder = os.path.dirname(weights)
            get(*(os.path.join(folder, file) for file in shards(index, read_json(index, MOST_JSON_BYTES))))
        _write_reference(os.path.join(self._cache(), 'refs', self.name.revision), commit)
        if fetched:
            time_taken = format_duration(time.monotonic() - began)
            logger.info('fetched %s: commit=%s bytes=%s time=%s', self.name, commit, format_bytes(fetched), time_taken)
        return known

    def _check_settings(self, folder: str, encoder: str) -> None:
        """Refuse an unsupported model when only its small files are fetched."""
        config = os.path.join(folder, encoder, self.config_name or 'config.json')
        if os.path.isfile(config):
            read_config(config)
        if os.path.isfile(os.path.join(folder, MODULES)):
            read_published(folder)

    def _cache(self) -> str:
        return os.path.join(_cache_folder(), 'models--' + self.name.repository.replace('/', '--'))

    def _blobs(self) -> int:
        """The bytes of this model in the cache, including unfinished files."""
        total = 0
        with contextlib.suppress(OSError), os.scandir(os.path.join(self._cache(), 'blobs')) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    total += entry.stat().st_size
        return total

    def _fetched(self) -> int:
        return min(max(0, self._blobs() - self.already), self.total) if self.total else 0


def _cache_folder() -> str:
    from huggingface_hub import constants

    return str(constants.HF_HUB_CACHE)


def _read_reference(path: str) -> str | None:
    """The commit of a branch when it was last fetched, or None if it never was."""
    try:
        with open(path, encoding='ascii', errors='replace') as file:
            return file.read(64).strip() or None
    except OSError:
        return None


def _write_reference(path: str, commit: str) -> None:
    """Write the commit of a branch atomically, unless the revision is a commit itself."""
    if os.path.basename(path) == commit:
        return
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(os.path.dirname(path)))
    with os.fdopen(descriptor, 'w') as file:
        file.write(commit)
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Disable the package's progress bars, because the log has its own line."""
    from huggingface_hub import utils

    shown = not utils.are_progress_bars_disabled()  # type: ignore[attr-defined]
    utils.disable_progress_bars()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        if shown:
            utils.enable_progress_bars()  # type: ignore[attr-defined]


@contextlib.contextmanager
def _one_error(name: HubName, given: str) -> Iterator[None]:
    """Convert the package's exceptions to a ModelError that says what to do."""
    try:
        yield
    except ServingError:
        raise
    except Exception as error:
        raise ModelError('-model_dir: %s' % _explain(name, given, error)) from error


def _explain(name: HubName, given: str, error: Exception) -> str:
    from huggingface_hub import constants, errors

    status = _status(error)
    if isinstance(error, errors.GatedRepoError):
        return '%s is gated: accept its terms on %s/%s, and set HF_TOKEN' % (name, constants.ENDPOINT, name.repository)
    if isinstance(error, errors.RevisionNotFoundError):
        return '%s has no branch, tag or commit %s on the hub' % (name.repository, name.revision)
    if isinstance(error, errors.RepositoryNotFoundError) or status == 404:
        hint = hints.of_no_folder(given)
        return 'there is no folder %s, and no accessible model with this name on the hub: %s' % (
            given,
            hint.removeprefix(': ') if 'did you mean' in hint else 'check the name, or set HF_TOKEN if it is private',
        )
    if status in (401, 403):
        return 'the hub refuses access to %s (HTTP status %d): set HF_TOKEN to a token that can read it' % (
            name,
            status,
        )
    number = _errno(error)
    if number in _FULL:
        return 'the disk is full: make room in %s, or set HF_HOME to a folder on another disk' % _cache_folder()
    if number in _NOT_WRITABLE:
        return 'cannot write to the cache %s (%s): set HF_HOME to a writable folder' % (
            _cache_folder(),
            os.strerror(number),
        )
    reason = _first_line(error)
    return 'could not fetch %s from %s (%s: %s): start again to continue' % (
        name,
        constants.ENDPOINT,
        type(error).__name__,
        reason,
    )


def _status(error: BaseException) -> int:
    """The HTTP status of an error, or 0."""
    response: Any = getattr(error, 'response', None)
    status = getattr(response, 'status_code', None)
    return status if isinstance(status, int) else 0


def _errno(error: BaseException | None) -> int:
    """The number of the system error that caused this one, or 0."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno
        error = error.__cause__ or error.__context__
    return 0


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).split('\n')[0][:200]
