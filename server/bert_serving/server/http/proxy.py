"""The HTTP proxy: a process that serves `app` with `frontend`, and asks a server over its two ports.

`main` is what a child of the server runs, started and ended by it (see `child.py`); `run_alone` is `bert-serving-http`,
which may be on another machine. SIGTERM drains it: no more connections, what has come is answered, then it ends.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from types import FrameType

from prometheus_client import disable_created_metrics

from ..console.logs import ROOT
from ..errors import UsageError
from ..options.settings import Settings
from ..process.reports import ChildConfig, ReportReady
from .admission import make_key_check
from .app import create_app
from .backend import ServerBackend
from .config import DEFAULT_PORT, HttpConfig
from .dispatcher import Dispatcher
from .frontend import Frontend

logger = logging.getLogger(__name__)


def main(config: ChildConfig, report_ready: ReportReady) -> None:
    """Be the proxy of the server that started this.

    `config` has its `settings`, `ip`, `port`, `port_out`, and `http_port`, which is the one of the settings, or, if
    that is 0 and this is not the first proxy, the one that the first has found.
    """
    settings = Settings.from_dict(config['settings'])
    serve(
        settings, config['ip'], config['port'], config['port_out'], config['http_port'],
        lambda frontend: report_ready({'http_port': frontend.port}, lambda: {'busy_s': frontend.round_age_s()}),
    )  # fmt: skip


def run_alone(settings: Settings, ip: str) -> None:
    """Be a proxy on its own, for the server at `ip`."""
    port = DEFAULT_PORT if settings.http_port is None else settings.http_port
    if 0 in (settings.port, settings.port_out):
        raise UsageError('-port, -port_out: expected the ports of a running server, got 0')
    serve(settings, ip, settings.port, settings.port_out, port, lambda _door: None)


def serve(
    settings: Settings, ip: str, port: int, port_out: int, http_port: int, on_ready: Callable[[Frontend], None]
) -> None:
    """Serve until a signal; `on_ready` is told when requests are welcome.

    Raises:
        UsageError: options, or a server's address, that cannot work.
        StartError: the port cannot be listened on.
    """
    config = HttpConfig.from_settings(settings)
    disable_created_metrics()  # type: ignore[no-untyped-call]  # when each series began doubles the page, and nobody asks for it
    _log_like_us('bert_serving.client')
    dispatcher = Dispatcher(config.max_connect, config.max_waiting, make_key_check(config.api_keys))
    try:
        backend = ServerBackend(ip, port, port_out)
    except ValueError as error:
        raise UsageError('-ip: %s' % error) from None
    try:
        frontend: Frontend | None = None
        app = create_app(
            backend, config, is_draining=lambda: frontend is not None and frontend.is_draining,
            working=lambda: dispatcher.working, waiting=lambda: dispatcher.waiting,
        )  # fmt: skip
        frontend = Frontend(app, dispatcher, config.host, http_port, config.max_body)
        _obey_signals(frontend)
        if config.is_open_to_all:
            logger.warning(
                'port %d accepts requests from anyone who can reach it: set -http_api_key_file, or -http_host 127.0.0.1',
                frontend.port,
            )
        host = '[%s]' % config.host if ':' in config.host else config.host
        logger.info(
            'HTTP is served at http://%s:%d, for the server at %s:%d and %d', host, frontend.port, ip, port, port_out
        )
        on_ready(frontend)
        try:
            frontend.run(drain_s=settings.shutdown_timeout)
        finally:
            frontend.close()
    finally:
        backend.close()


def _obey_signals(frontend: Frontend) -> None:
    """The first SIGTERM or SIGINT drains, the second ends at once; a child's SIGINT stays its parent's business."""

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if frontend.is_draining:
            frontend.stop()
        else:
            frontend.drain()

    signal.signal(signal.SIGTERM, on_signal)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, on_signal)


def _log_like_us(name: str) -> None:
    """Let what the library `name` has to say come in the form of our lines."""
    ours, theirs = logging.getLogger(ROOT), logging.getLogger(name)
    theirs.handlers = ours.handlers
    theirs.setLevel(ours.level)
    theirs.propagate = False
