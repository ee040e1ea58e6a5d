"""The HTTP proxy: a process that serves `app` and is a client of the two ports of a server.

`main` runs it as a child of the server, and `run_alone` as `bert-serving-http`, possibly on another machine. On SIGTERM
it stops accepting connections, answers the requests that it has read, and exits.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import FrameType

from prometheus_client import disable_created_metrics

from ..addresses import with_brackets
from ..console.logs import ROOT
from ..errors import UsageError
from ..options.settings import Settings
from ..process.allocator import return_large_blocks
from ..process.reports import ChildConfig, ReportReady
from ..security.audit import Audit
from ..security.client_keys import NO_KEYS, ClientKeys
from ..telemetry import open_tracer
from .app import create_app
from .config import DEFAULT_PORT, HttpConfig
from .dispatcher import Dispatcher
from .frontend import Frontend
from .history_recorder import HistoryRecorder
from .replicas import ReplicatedBackend
from .server_backend import ServerBackend
from .upstreams import Upstream, by_name

logger = logging.getLogger(__name__)


def main(config: ChildConfig, report_ready: ReportReady) -> None:
    """Run the proxy of the server that started this process.

    `config` has the `settings`, `ip`, `port` and `port_out` of the server, and the `http_port` to listen on. If the
    settings say 0, a restarted proxy gets the port of the first one.
    """
    settings = Settings.from_dict(config['settings'])

    def on_ready(frontend: Frontend) -> None:
        report_ready({'http_port': frontend.port}, lambda: {'busy_s': frontend.round_age_s()})

    keys = ClientKeys(config.get('server_key', ''), config.get('key_file', ''))
    server = Upstream('', config['ip'], config['port'], config['port_out'], keys, names_principals=bool(keys))
    serve(settings, [server], config['http_port'], on_ready, config.get('unwritten_bytes'))


def run_alone(settings: Settings, ip: str, upstreams: Sequence[Upstream] = (), keys: ClientKeys = NO_KEYS) -> None:
    """Run a standalone proxy, for the `upstreams` or, without any, for the server at `ip`. `keys` are for all of them.

    Raises:
        UsageError: a port of the server is 0, or an option conflicts with the upstreams.
    """
    port = DEFAULT_PORT if settings.http_port is None else settings.http_port
    if upstreams and settings.http_model_name is not None:
        raise UsageError('-http_model_name cannot be combined with -upstream, which names the models: remove it')
    if not upstreams and 0 in (settings.port, settings.port_out):
        raise UsageError('-port, -port_out: expected the ports of a running server, got 0')
    servers = upstreams or [Upstream('', ip, settings.port, settings.port_out)]
    serve(settings, [replace(server, keys=keys) for server in servers], port, lambda _frontend: None)


def serve(
    settings: Settings,
    servers: Sequence[Upstream],
    http_port: int,
    on_ready: Callable[[Frontend], None],
    unwritten_bytes: int | None = None,
) -> None:
    """Serve until a signal arrives. Call `on_ready` as soon as the port is open.

    `servers` is one server without a name, or several with names. `unwritten_bytes` overrides the limit on unwritten
    responses.

    Raises:
        UsageError: an option, or the address of a server, is invalid.
        StartError: the port is in use or not allowed.
    """
    return_large_blocks()
    config = HttpConfig.from_settings(settings)
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the time at which each series began doubles the page
    _share_log_handlers('bert_serving.client')
    _share_log_handlers('waitress')  # to rate-limit its warnings, too
    authenticator = config.make_authenticator()
    dispatcher = Dispatcher(config.max_connect, config.max_waiting, authenticator, config.max_small)
    tracer = open_tracer(os.environ)
    backend = _connect(servers)
    recorder = HistoryRecorder((backend[0] if isinstance(backend, list) else backend).last_status)

    def refresh() -> None:
        authenticator.refresh()
        recorder.refresh()

    try:
        frontend: Frontend | None = None
        app = create_app(
            backend,
            config,
            is_draining=lambda: frontend is not None and frontend.is_draining,
            working=lambda: dispatcher.working,
            waiting=lambda: dispatcher.waiting,
            tracer=tracer,
            authenticator=authenticator,
            audit=None if settings.audit_file is None else Audit(settings.audit_file),
            recorder=recorder,
        )
        frontend = Frontend(app, dispatcher, config.host, http_port, config.max_body, config.tls, refresh)
        if dispatcher.write_budget is not None and unwritten_bytes is not None:
            dispatcher.write_budget.most = unwritten_bytes
        handle_signals(frontend)
        _warn_if_open(config, frontend.port)
        logger.info(
            'serving HTTP at %s://%s:%d, for %s',
            frontend.scheme,
            with_brackets(config.host),
            frontend.port,
            _describe(servers),
        )
        on_ready(frontend)
        try:
            frontend.run(drain_s=settings.shutdown_timeout)
        finally:
            frontend.close()
    finally:
        for each in backend if isinstance(backend, list) else [backend]:
            each.close()
        if tracer is not None:
            tracer.close()


def _warn_if_open(config: HttpConfig, port: int) -> None:
    """Warn if the port needs no key and other machines can reach it."""
    if not config.is_open_to_all:
        return
    logger.warning(
        'port %d accepts requests from anyone who can reach it: '
        'set -http_api_key_file or -principals, or -http_host 127.0.0.1',
        port,
    )
    if '*' in config.origins:
        logger.warning(
            'any web page can use port %d through the browser of anyone who can reach it, and read the vectors '
            'and the status: name the origins with -cors, or set a key',
            port,
        )


def _connect(servers: Sequence[Upstream]) -> ServerBackend | list[ReplicatedBackend]:
    groups = by_name(servers)
    try:
        if '' in groups:
            server = servers[0]
            ports = server.port, server.port_out
            return ServerBackend(server.host, *ports, keys=server.keys, names_principals=server.names_principals)
        return [ReplicatedBackend(replicas) for replicas in groups.values()]
    except ValueError as error:
        raise UsageError('%s: %s' % ('-ip' if '' in groups else '-upstream', error)) from None


def _describe(servers: Sequence[Upstream]) -> str:
    if not servers[0].name:
        one = servers[0]
        return 'the server at %s:%d and %d' % (with_brackets(one.host), one.port, one.port_out)
    return ', '.join('%s at %s' % (one.name, one.address) for one in servers)


def handle_signals(frontend: Frontend) -> None:
    """Drain on the first SIGTERM or SIGINT, stop on the second. A child ignores SIGINT, which its parent handles."""

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if frontend.is_draining:
            frontend.stop()
        else:
            frontend.drain()

    signal.signal(signal.SIGTERM, on_signal)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, on_signal)


def _share_log_handlers(name: str) -> None:
    """Write the log of the library `name` in our format."""
    ours, theirs = logging.getLogger(ROOT), logging.getLogger(name)
    theirs.handlers = ours.handlers
    theirs.setLevel(ours.level)
    theirs.propagate = False
