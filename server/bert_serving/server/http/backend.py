"""The interface of the server to the routes: `Backend`, and the `Encoding` that it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bert_serving.client import Encoded

from ..protocol.options import EncodingOptions
from .health import StatusSnapshot
from .requests import Rows

STATUS_AGE_S = 1.0
"""The age in seconds of a status at which a caller gets a newer one, unless it asks for another age."""

DEFAULT_OPTIONS = EncodingOptions()

IsGone = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Encoding:
    """The result of a call. `array` is [B, D] or [B, T, D]; for `predict` scores [B, L], for `tokenize` ids [B, T].

    `tokens` is '' if the server does not show them. `counts` is None if the server does not count tokens (release
    1.10). `truncated` has the truncated rows, counted from 0; it is empty with release 1.10.
    """

    array: NDArray[np.generic]
    tokens: Sequence[Sequence[str]] | str
    counts: Sequence[int] | None
    truncated: Sequence[int] = ()

    @classmethod
    def of(cls, encoded: Encoded) -> Encoding:
        """Convert the result of a client's call."""
        return cls(encoded.array, encoded.tokens, encoded.token_counts, encoded.truncated_rows)


class Backend(Protocol):
    """The interface of the server to the routes.

    `deadline` is a time of `time.monotonic`. `is_gone` returns whether the HTTP client has disconnected. Methods raise
    only `HTTPError`.
    """

    def encode(
        self,
        rows: Rows,
        deadline: float,
        is_gone: IsGone,
        show_tokens: bool = False,
        options: EncodingOptions = DEFAULT_OPTIONS,
    ) -> Encoding: ...

    def predict(self, rows: Rows, deadline: float, is_gone: IsGone, options: EncodingOptions) -> Encoding: ...

    def tokenize(
        self, rows: Rows, deadline: float, is_gone: IsGone, options: EncodingOptions = DEFAULT_OPTIONS
    ) -> Encoding: ...

    def decode(self, rows: Rows, deadline: float, is_gone: IsGone, options: EncodingOptions) -> list[str]: ...

    def server_status(self, max_age_s: float = STATUS_AGE_S) -> StatusSnapshot: ...

    def client_status(self) -> Mapping[str, Any]: ...
