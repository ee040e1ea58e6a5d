"""Fixtures of the HTTP face: an app with a backend in memory, and one behind its real front door."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from flask.testing import FlaskClient

from bert_serving.server.http.admission import make_key_check
from bert_serving.server.http.app import create_app
from bert_serving.server.http.config import HttpConfig
from bert_serving.server.http.dispatcher import Lanes
from bert_serving.server.http.frontend import FrontDoor
from support.fake_backend import FakeBackend

OpenDoor = Callable[..., FrontDoor]


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def http(backend: FakeBackend) -> FlaskClient:
    """Flask's test client of an app with the defaults."""
    return create_app(backend).test_client()


@pytest.fixture
def open_door(backend: FakeBackend) -> Iterator[OpenDoor]:
    """Open a front door on a free port of this machine, with the options of `HttpConfig`; closed at the end."""
    doors: list[tuple[FrontDoor, threading.Thread]] = []

    def make(**options: object) -> FrontDoor:
        config = HttpConfig(host='127.0.0.1', **options)  # type: ignore[arg-type]
        lanes = Lanes(config.max_connect, config.max_waiting, make_key_check(config.api_keys))
        app = create_app(
            backend, config, lambda: doors[-1][0].is_draining, lambda: lanes.working, lambda: lanes.waiting
        )  # fmt: skip
        door = FrontDoor(app, lanes, config.host, 0, config.max_body)
        thread = threading.Thread(target=door.run, args=(5,))
        doors.append((door, thread))
        thread.start()
        return door

    yield make
    backend.gate.set()
    for door, thread in doors:
        door.stop()
        thread.join(10)
        door.close()
        assert not thread.is_alive()
