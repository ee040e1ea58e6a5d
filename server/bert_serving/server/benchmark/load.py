"""The clients of a benchmark: threads of this process, each with its own connection."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Protocol

from bert_serving.client import BertClient

from ..errors import UsageError
from ..parent.address import Address, read_address
from .plan import Load
from .results import Timing

REQUEST_TIMEOUT_MS = 600_000
"""Milliseconds after which an unanswered request fails the measurement."""


def parse_address(text: str) -> Address:
    """Parse `HOST:PORT,PORT_OUT`.

    Raises:
        UsageError: the text has another form.
    """
    try:
        return read_address(text)
    except ValueError as error:
        raise UsageError('-against: %s' % error) from None


def connect(server: Address, timeout_ms: int = REQUEST_TIMEOUT_MS) -> BertClient:
    """Connect a client to `server`, or raise TimeoutError. To save time, the client does not check texts."""
    return BertClient(
        server.host,
        server.port,
        server.port_out,
        check_length=False,
        timeout=timeout_ms,
        server_key=server.keys.server_key,
        key_file=server.keys.key_file,
    )


class Encoder(Protocol):
    """The part of a client that a load uses."""

    def encode(self, texts: list[str], /) -> object: ...


class LoadGenerator:
    """The connected clients of one load. A context manager."""

    def __init__(self, connect: Callable[[], AbstractContextManager[Encoder]], load: Load) -> None:
        """`connect` makes a client, which the generator closes at the end."""
        self._connect = connect
        self._load = load
        self._resources = ExitStack()

    def __enter__(self) -> LoadGenerator:
        with ExitStack() as stack:
            self._threads = stack.enter_context(ThreadPoolExecutor(self._load.num_client))
            self._clients = [stack.enter_context(self._connect()) for _ in range(self._load.num_client)]
            self._resources = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Close the connections, which fails the pending requests, then end the threads."""
        self._resources.close()

    def run(self, sentences: Sequence[str]) -> Timing:
        """Send the load once. All clients send at the same time, and each sends its own share of `sentences`."""
        share = len(sentences) // len(self._clients)
        start = threading.Barrier(len(self._clients) + 1)
        futures = [
            self._threads.submit(self._send, client, sentences[number * share : (number + 1) * share], start)
            for number, client in enumerate(self._clients)
        ]
        start.wait()
        started = time.perf_counter()
        latencies = [latency for future in futures for latency in future.result()]
        return Timing(len(sentences), time.perf_counter() - started, latencies)

    def _send(self, client: Encoder, sentences: Sequence[str], start: threading.Barrier) -> list[float]:
        batch_rows = self._load.batch_rows
        start.wait()
        latencies = []
        for first in range(0, len(sentences), batch_rows):
            sent = time.perf_counter()
            client.encode(list(sentences[first : first + batch_rows]))
            latencies.append(time.perf_counter() - sent)
        return latencies
