"""The status for untrusted clients: every key of 1.10, but no paths, process ids or addresses. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PATH_BEGINNINGS = ('/', './', '../', '~')
ENDPOINT = 'ipc://'

PRIVATE_KEYS = frozenset({'pid', 'address'})
"""Keys of nested objects that untrusted clients do not get. 1.10 had none of them."""

PUBLIC_KEYS = frozenset({'model'})
"""Keys whose values are not paths, even if they look like paths: a prompt can begin with a slash."""


def view_of_stranger(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return a status with only the last component of each path."""
    return {key: value if key in PUBLIC_KEYS else _without_paths(value) for key, value in status.items()}


def _without_paths(value: Any) -> Any:
    if isinstance(value, str):
        if value.startswith(ENDPOINT):
            return ENDPOINT + _last_name(value)
        return _last_name(value) if value.startswith(PATH_BEGINNINGS) else value
    if isinstance(value, Mapping):
        return {key: _without_paths(item) for key, item in value.items() if key not in PRIVATE_KEYS}
    if isinstance(value, list | tuple):
        return [_without_paths(item) for item in value]
    return value


def _last_name(path: str) -> str:
    return path.rstrip('/').rpartition('/')[2]
