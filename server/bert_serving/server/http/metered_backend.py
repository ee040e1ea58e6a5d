"""A `Backend` that asks for the grants and the quota of the principal whose request is being served, and names it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ..protocol.options import EncodingOptions
from ..security.principals import Grant, Principal
from .authentication import check_grant
from .backend import DEFAULT_OPTIONS, STATUS_AGE_S, Backend, Encoding, IsGone
from .client_pool import PRINCIPAL
from .health import StatusSnapshot
from .quotas import Quotas
from .requests import Rows

EITHER = (Grant.ENCODE, Grant.PREDICT)


class MeteredBackend:
    """A `Backend` that checks and counts calls, and passes them to another one."""

    def __init__(self, backend: Backend, quotas: Quotas, current: Callable[[], tuple[Principal, int]]) -> None:
        """`current` returns the principal of the current request, and the size of its body in bytes."""
        self._backend = backend
        self._quotas = quotas
        self._current = current

    def encode(
        self,
        rows: Rows,
        deadline: float,
        is_gone: IsGone,
        show_tokens: bool = False,
        options: EncodingOptions = DEFAULT_OPTIONS,
    ) -> Encoding:
        with self._taking(rows, (Grant.ENCODE,)):
            return self._backend.encode(rows, deadline, is_gone, show_tokens, options)

    def predict(self, rows: Rows, deadline: float, is_gone: IsGone, options: EncodingOptions) -> Encoding:
        with self._taking(rows, (Grant.PREDICT,)):
            return self._backend.predict(rows, deadline, is_gone, options)

    def tokenize(
        self, rows: Rows, deadline: float, is_gone: IsGone, options: EncodingOptions = DEFAULT_OPTIONS
    ) -> Encoding:
        with self._taking(rows, EITHER):
            return self._backend.tokenize(rows, deadline, is_gone, options)

    def decode(self, rows: Rows, deadline: float, is_gone: IsGone, options: EncodingOptions) -> list[str]:
        with self._taking(rows, EITHER):
            return self._backend.decode(rows, deadline, is_gone, options)

    def server_status(self, max_age_s: float = STATUS_AGE_S) -> StatusSnapshot:
        return self._backend.server_status(max_age_s)

    def client_status(self) -> Mapping[str, Any]:
        return self._backend.client_status()

    @contextmanager
    def _taking(self, rows: Rows, grants: Sequence[Grant]) -> Iterator[None]:
        principal, size = self._current()
        check_grant(principal, grants)
        number = len(rows.items)
        self._quotas.take(principal, number, size)
        token = PRINCIPAL.set(principal.name)
        try:
            yield
        finally:
            PRINCIPAL.reset(token)
            self._quotas.give_back(principal, number, size)
