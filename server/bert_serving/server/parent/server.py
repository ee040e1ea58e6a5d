"""`BertServer`: a server as a thread, and the life of that server.

The server checks the options against the model, binds its port, lets a process export the graph, starts the sink and
the workers, and serves. At the end it drains, stops the workers, stops the sink, and removes its temporary files. The
ventilator decides about requests, and the supervisor about processes. `children.py` connects the two.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any

import zmq

from .. import telemetry
from ..addresses import is_loopback, reachable, url_of
from ..console import logs, streams
from ..console.formatting import format_bytes, format_duration
from ..console.progress import ProgressDisplay
from ..errors import ServingError, StartError
from ..http.config import HttpConfig
from ..options.engines import describe_engine
from ..options.settings import Settings
from ..process.child import Child
from ..process.restarts import DEFAULT_POLICY
from ..process.states import ServerEvent, ServerState, advance_server
from ..process.supervisor import Supervisor
from ..process.watch import CHECK_INTERVAL_S
from ..security.client_keys import ClientKeys
from ..stats import summarize
from ..transport import CommandQueue, Context, Reactor
from ..ventilator.termination import TerminationSender
from ..ventilator.ventilator import Ventilator
from .child_factory import ChildFactory, ChildModules, ExportedGraph
from .children import SINK_STOP_S, Children
from .control import OBEYED, ControlSocket
from .endpoints import Endpoints, Ports
from .export_folder import export_folder
from .folders import ServerFolders, server_folders
from .free_ports import check_ports
from .memory import share_memory
from .plan import make_access, make_plan, reply_size, served_model, with_proxy_key
from .remote_workers import Connect, connect_to_ray, remote_workers
from .status import describe_plan, describe_release, describe_ring, describe_times, describe_workers
from .terminate import terminate

logger = logging.getLogger(__name__)

RESERVE_S = 3
"""Seconds of the shutdown's time limit to reserve for its last steps."""

WORKER_STOP_S = 2
"""Seconds that the workers can take to exit after every request is answered."""

DEADLINE_TICK_MS = 20
"""Milliseconds between two checks of deadlines, if there are any."""

OPEN_TO_ALL = (
    'ports %d and %d accept unencrypted requests from anyone who can reach them, who can use the model, read the '
    'status, and fill the queue: set -curve_key_file and -curve_clients, or -host 127.0.0.1'
)
"""The warning of a server without keys that other machines can reach."""

DRAIN_TICK_MS = 50
"""Milliseconds between two checks that the server has drained."""


class BertServer(threading.Thread):
    """A server in a thread, with its workers and its sink in separate processes.

    As a context manager, it is ready on entry and stopped on exit:

        with BertServer(get_args_parser().parse_args(['-cpu'])) as server:
            ...

    Attributes:
        is_ready: a `threading.Event` that is set while the server answers requests.
        error: the `ServingError` that ended the server, or None.
    """

    modules = ChildModules()
    """The modules that the children run."""
    sink_limits: Mapping[str, Any] = {}
    """The fields of `sink.limits.SinkLimits` that differ from the defaults."""
    connect_to_cluster: Connect = staticmethod(connect_to_ray)
    """Connects to the cluster of `-ray`."""
    restart_policy = DEFAULT_POLICY
    """When to restart dead children, and when to give up."""

    def __init__(self, args: argparse.Namespace | Settings) -> None:
        """Take the options: `args` is the result of the parser of `helper.get_args_parser`. `start` starts the server.

        Raises:
            UsageError: options conflict with each other.
        """
        super().__init__(name='ventilator')
        self.settings = args if isinstance(args, Settings) else Settings.from_args(args)
        self.is_ready = threading.Event()
        self.error: ServingError | None = None
        self._ports = Ports(self.settings.port, self.settings.port_out, self.settings.http_port)
        self._state = ServerState.STARTING
        self._settled = threading.Event()
        self._commands: CommandQueue | None = None
        self._early_commands: list[ServerEvent] = []
        self._reactor = Reactor()
        self._supervisor = Supervisor(self._reactor, hang_s=self.settings.worker_timeout)
        self._ventilator = Ventilator(
            self.settings,
            self._describe,
            lambda: self._children.to_dict(),
            on_termination=self.request_drain,
            resolve=lambda options: served_model(self._plan).resolve(options),
            traces=telemetry.is_on(os.environ),
        )
        self._graph_digest: str | None = None
        self._created_at = datetime.now()
        self._created = time.monotonic()

    # ---- for the caller's thread

    @property
    def port(self) -> int:
        """The port for requests. During startup it is the value of the option, where 0 means any free port."""
        return self._ports.port

    @property
    def port_out(self) -> int:
        """The port for results. During startup it is the value of the option, where 0 means any free port."""
        return self._ports.port_out

    @property
    def http_port(self) -> int | None:
        """The port for HTTP, or None without HTTP. During startup it is the value of the option."""
        return self._ports.http_port

    def start(self) -> None:
        """Check the options against the model, start the server, and return immediately.

        Raises:
            UsageError, ModelError: the options or the model are not usable; no process was started.
            StartError: the server was told to stop while it fetched the model from the hub.
        """
        streams.reserve_descriptors()
        logs.set_up('VENTILATOR', self.settings.verbose, self.settings.log_format)
        self._plan = make_plan(self.settings, lambda: bool(self._early_commands))
        self._exports = export_folder(self.settings.export_cache)
        logger.info('model: %s', self._plan.describe())
        logger.info('engine: %s', describe_engine(self._plan.settings))
        logger.info('files: %s', self._plan.model.describe())
        self._commands = CommandQueue()
        self._reactor.add(self._commands.fileno(), self._run_commands)
        for command in self._early_commands:
            self._commands.put(command)
        super().start()

    def close(self) -> None:
        """Shut down gracefully, in at most `shutdown_timeout` seconds, and wait until the server has stopped."""
        if self.is_alive():
            self.request_drain()
            self.join()

    def request_drain(self) -> None:
        """Start a graceful shutdown and return immediately.

        It is safe in a signal handler, and a second call has no effect. After a call before `start`, the server stops
        as soon as it has started.
        """
        self._request(ServerEvent.DRAIN)

    def request_stop(self) -> None:
        """Start an immediate shutdown, which loses unanswered requests, and return. Safe in a signal handler."""
        self._request(ServerEvent.STOP)

    def _request(self, command: ServerEvent) -> None:
        if self._commands is None:
            self._early_commands.append(command)
        else:
            self._commands.put(command)

    def wait_until_ready(self) -> None:
        """Wait until the server answers requests.

        Raises:
            ServingError: the server could not start, or was closed before it was ready.
            RuntimeError: the server has not been started.
        """
        if self._commands is None:
            raise RuntimeError('the server has not been started')
        self._settled.wait()
        if not self.is_ready.is_set():
            raise self.error or StartError('the server was closed before it was ready')

    def __enter__(self) -> BertServer:
        self.start()
        try:
            self.wait_until_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    @staticmethod
    def shutdown(args: argparse.Namespace) -> None:
        """Stop a running server: `args` is the result of the parser of `helper.get_shutdown_parser`.

        Raises:
            StartError: no server listens there.
        """
        terminate(args.ip, args.port, args.timeout, ClientKeys.from_args(args))

    # ---- the life of the server, in its thread

    def run(self) -> None:
        """Start, serve and drain. An error ends the server and is stored in `error`."""
        try:
            with server_folders(self.settings.graph_tmp_dir, self._exports) as folders, contextlib.ExitStack() as stack:
                self._start_and_serve(folders, stack)
        except ServingError as error:
            self.error = error
            logger.error('%s', error)
        except Exception as error:
            self.error = ServingError('a bug in the server: %s: %s' % (type(error).__name__, error))
            logger.exception('ended by an exception')
        finally:
            self._advance(ServerEvent.STOP)
            was_ready = self.is_ready.is_set()
            self.is_ready.clear()
            self._settled.set()
            if self._commands is not None:
                self._commands.close()
            self._log_end(was_ready)

    def _start_and_serve(self, folders: ServerFolders, stack: contextlib.ExitStack) -> None:
        remote = stack.enter_context(remote_workers(self._plan, self.connect_to_cluster, self._is_interrupted))
        if self._state is not ServerState.STARTING:
            return
        endpoints = Endpoints(folders.sockets, () if remote is None else remote.plan.workers)
        memory = share_memory(self.settings)
        self._ventilator.bound_memory(memory.queue, reply_size(self._plan, memory.reply))
        self._plan, proxy_key_file = with_proxy_key(self._plan, folders.sockets)
        access = make_access(self._plan)
        factory = ChildFactory(
            self._plan,
            endpoints,
            self._ports,
            folders.temp_dirs,
            modules=self.modules,
            sink_limits={**memory.for_sink(), **self.sink_limits},
            unwritten_bytes=memory.http,
            proxy_key_file=proxy_key_file,
            remote=remote,
        )
        self._endpoints = endpoints
        self._children = Children(
            factory,
            endpoints,
            self._ports,
            self._supervisor,
            self._ventilator,
            restart_policy=self.restart_policy,
            is_starting=lambda: self._state is ServerState.STARTING,
            on_ready=self._on_child_ready,
            remote=remote,
        )
        context: Context = zmq.Context()
        stack.callback(context.destroy, linger=0)
        stack.callback(self._supervisor.kill_all)
        self._ports.port = self._ventilator.bind(
            context, endpoints.feedback, endpoints.sink, self._plan.address, access
        )
        check_ports(self._plan, self._ports.port_out)
        if reachable(self._plan.address) == '127.0.0.1':  # another server can have the same port at another address
            control = ControlSocket(folders.sockets, self._ports.port, self._stop_at_wish_of_owner)
            stack.callback(control.close)
            self._reactor.add(control.fileno(), control.on_request)
        graph = self._export_graph(factory.exporter(folders.graph, folders.cache))
        if graph is not None:
            self._ventilator.listen(self._reactor, None if remote is None else remote.ring.jobs)
            self._children.start(graph, self._plan.devices.devices)
            self._serve()
            self._drain()

    def _stop_at_wish_of_owner(self) -> str:
        return self._ventilator.terminate('the socket of its user', TerminationSender(is_private=True)) or OBEYED

    def _export_graph(self, exporter: Child) -> ExportedGraph | None:
        """Let `exporter` write the frozen graph or find it. Return None if the server was told to stop meanwhile."""
        logger.info('freeze, optimize and export graph, could take a while...')
        started = time.monotonic()
        with logs.terminal_for_progress() as terminal:
            display = ProgressDisplay(partial(logger.info, 'export: %s'), terminal)
            result = self._supervisor.run_to_end(exporter, lambda: self._state is not ServerState.STARTING, display)
        if result is None:
            return None
        path, size, duration = (
            result['path'],
            format_bytes(result['bytes']),
            format_duration(time.monotonic() - started),
        )
        logger.info('optimized graph is stored at: %s (%s, %s)', path, size, duration)
        self._graph_digest = result['sha256'] or None
        return ExportedGraph(path, result['sha256'], result.get('entry'), result.get('tried', False))

    def _on_child_ready(self) -> None:
        if self._state is ServerState.STARTING and self._children.all_ready:
            self._advance(ServerEvent.READY)
            ports = 'port=%d port_out=%d' % (self.port, self.port_out)
            if self.http_port is not None:
                ports += ' http_port=%d' % self.http_port
            if self._plan.security is None and not is_loopback(self._plan.address):
                logger.warning(OPEN_TO_ALL, self.port, self.port_out)
            duration = format_duration(time.monotonic() - self._created)
            if self.http_port is not None:
                where = url_of(HttpConfig.from_settings(self.settings).host, self.http_port)
                logger.info('HTTP API, its documentation and the dashboard: %s', where)
            logger.info('all set, ready to serve request! %s start=%s', ports, duration)
            self.is_ready.set()
            self._settled.set()

    def _serve(self) -> None:
        while self._state in (ServerState.STARTING, ServerState.SERVING):
            self._run_round(max_ms=1000 * CHECK_INTERVAL_S)

    def _drain(self) -> None:
        """Answer the accepted requests, HTTP first, until the time limit. Then stop the workers and the sink.

        After all requests are answered, nobody needs the workers' remaining work, so they get little time to exit. The
        sink gets time for its last replies to reach their readers.
        """
        limit_s = self.settings.shutdown_timeout
        deadline = time.monotonic() + limit_s
        unanswered = self._ventilator.unanswered
        if unanswered:
            logger.info(
                'shutting down after answering %d accepted requests; a second signal stops immediately', unanswered
            )
        self._wait_for_exit(self._children.drain_http(), limit_s / 2)
        self._ventilator.start_drain()
        answering_s = deadline - min(RESERVE_S, limit_s / 4) - time.monotonic()
        self._run_while(lambda: self._ventilator.unanswered > 0, answering_s)
        if self._ventilator.unanswered:
            logger.warning('%d accepted requests were not answered', self._ventilator.unanswered)
        self._ventilator.stop_listening()
        self._wait_for_exit(self._children.stop_workers(), min(WORKER_STOP_S, deadline - time.monotonic()))
        self._wait_for_exit(self._children.stop_sink(), min(SINK_STOP_S, max(1, deadline - time.monotonic())))

    def _wait_for_exit(self, children: Iterable[Child], seconds: float) -> None:
        """Run until `children` have exited, for at most `seconds`, and kill the remaining ones."""
        self._run_while(lambda: self._supervisor.are_alive(children), seconds)
        self._supervisor.kill(children)

    def _run_while(self, condition: Callable[[], bool], seconds: float) -> None:
        """Run while `condition` is true and the server drains, for at most `seconds`."""
        deadline = time.monotonic() + seconds
        while condition() and self._state is ServerState.DRAINING and time.monotonic() < deadline:
            self._run_round(max_ms=DRAIN_TICK_MS)

    def _run_round(self, max_ms: float) -> None:
        """Wait for an event, at most `max_ms` milliseconds, and handle it. Then do the timed work."""
        if self._ventilator.is_splitting:
            max_ms = 0
        elif self._ventilator.awaits_tick:
            max_ms = min(max_ms, DEADLINE_TICK_MS)
        next_start = self._supervisor.next_start
        if next_start is not None:
            max_ms = min(max_ms, max(0, 1000 * (next_start - time.monotonic())))
        self._reactor.run_once(timeout_ms=math.ceil(max_ms))
        self._supervisor.tick()
        self._ventilator.look_at_keys()
        if self._ventilator.awaits_tick or self._ventilator.is_splitting:
            self._ventilator.tick()

    def _is_interrupted(self) -> bool:
        """Wait for a command, a tenth of a second at most; return whether the server was told to stop."""
        self._reactor.run_once(timeout_ms=100)
        return self._state is not ServerState.STARTING

    def _run_commands(self) -> None:
        if self._commands is not None:
            for command in self._commands.take_all():
                self._advance(command)

    def _advance(self, event: ServerEvent) -> None:
        self._state = advance_server(self._state, event)

    def _log_end(self, was_ready: bool) -> None:
        outcomes, seconds = self._ventilator.outcomes, time.monotonic() - self._created
        if was_ready or outcomes.published:
            num_restart = sum(self._children.count_restarts().values())
            logger.info('terminated! %s', summarize(outcomes, num_restart, seconds, self._children.truncated_rows))
        else:
            logger.info('terminated! it never became ready (%s)', format_duration(seconds))

    def _describe(self) -> dict[str, Any]:
        """Return the status without `client` and `statistic`: the keys of 1.10, and those of this release."""
        return {
            **describe_plan(self._plan, self._graph_digest),
            'port': self.port,
            'port_out': self.port_out,
            'http_port': self.http_port,
            **describe_release(),
            **describe_times(self._created_at),
            **describe_ring(self._endpoints),
            'num_process': self._supervisor.num_process,
            'server_state': self._state.value,
            **describe_workers(self._plan, self._children.workers),
        }
