"""Fixtures of the HTTP API: an app with a backend in memory, and one behind a real listening socket."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from flask.testing import FlaskClient

from bert_serving.server.http.app import create_app
from bert_serving.server.http.config import HttpConfig
from bert_serving.server.http.dispatcher import Dispatcher
from bert_serving.server.http.frontend import Frontend
from support.certificates import localhost
from support.fake_backend import FakeBackend

StartFrontend = Callable[..., Frontend]


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def http(backend: FakeBackend) -> FlaskClient:
    """Flask's test client of an app with the defaults."""
    return create_app(backend).test_client()


@pytest.fixture
def start_frontend(backend: FakeBackend) -> Iterator[StartFrontend]:
    """Serve the app on a free port of this machine, with the options of `HttpConfig`; closed at the end.

    Small requests have no further threads, unless `max_small` says so.
    """
    started: list[tuple[Frontend, threading.Thread]] = []

    def make(**options: object) -> Frontend:
        config = HttpConfig(host='127.0.0.1', **{'max_small': 0, **options})  # type: ignore[arg-type]
        authenticator = config.make_authenticator()
        dispatcher = Dispatcher(config.max_connect, config.max_waiting, authenticator, config.max_small)
        app = create_app(
            backend,
            config,
            is_draining=lambda: started[-1][0].is_draining,
            working=lambda: dispatcher.working,
            waiting=lambda: dispatcher.waiting,
            authenticator=authenticator,
        )
        frontend = Frontend(app, dispatcher, config.host, 0, config.max_body, config.tls, authenticator.refresh)
        thread = threading.Thread(target=frontend.run, args=(5,))
        started.append((frontend, thread))
        thread.start()
        return frontend

    yield make
    backend.gate.set()
    for frontend, thread in started:
        frontend.stop()
        thread.join(10)
        frontend.close()
        assert not thread.is_alive()


@pytest.fixture(params=['http', 'https'])
def start_either(start_frontend: StartFrontend, request: pytest.FixtureRequest) -> StartFrontend:
    """As `start_frontend`, once without TLS and once with it."""
    return start_frontend if request.param == 'http' else partial(start_frontend, tls=localhost())
