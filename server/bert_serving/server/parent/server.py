"""`BertServer`: a server as a thread, which is the ventilator's, and the one place that knows how the parts fit.

Its life: look at the model and the options, bind the port, let a process export the graph, start the sink and the
workers, serve; then drain, stop the workers, stop the sink, leave nothing behind. Decisions about requests are the
ventilator's, about processes the supervisor's; this module wires them together.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any

import zmq

from ..console import logs
from ..console.formatting import format_bytes, format_duration
from ..console.progress import ProgressDisplay
from ..errors import ChildDied, ServingError, StartError
from ..options.settings import Settings
from ..process.child import Child
from ..process.restarts import DEFAULT_POLICY, Restarts
from ..process.states import ServerEvent, ServerState, SlotState, advance_server
from ..process.supervisor import CHECK_INTERVAL_S, ChildFailed, ChildSlot, Supervisor
from ..stats import summarize
from ..transport import CommandQueue, Reactor
from ..ventilator.ventilator import Ventilator
from .children import ChildMaker
from .endpoints import Endpoints
from .folders import server_folders
from .plan import make_plan
from .status import ChildrenTally, describe_plan, describe_release, describe_ring, describe_times, describe_workers
from .terminate import terminate

logger = logging.getLogger(__name__)

LINGER_S = 5
"""How long the sink may take at the end to get the answers it has published through to their readers."""

RESERVE_S = 3
"""Of the time in which a server stops, what is kept for its last steps."""

WORKER_STOP_S = 2
"""How long a worker may take to end by itself when nothing is asked of it any more."""

DEADLINE_TICK_MS = 20
"""How often deadlines are looked at while there are any."""


class BertServer(threading.Thread):
    """A server that runs in a thread, with its workers and its sink in processes of their own.

    As a context manager it is ready on entry and stopped on exit:

        with BertServer(get_args_parser().parse_args(['-cpu'])) as server:
            ...

    Attributes:
        is_ready: a `threading.Event`, set once requests are answered.
        port, port_out, http_port: the ports it listens on, once it is ready; they differ from the options if those are 0.
            `http_port` is None where HTTP is not served.
        error: the `ServingError` that ended it, or None.
    """

    exporter_module = 'bert_serving.server.graph.exporter'
    worker_module = 'bert_serving.server.worker.worker'
    sink_module = 'bert_serving.server.sink.sink'
    http_module = 'bert_serving.server.http.proxy'
    sink_limits: Mapping[str, Any] = {}
    """The fields of `sink.limits.SinkLimits` that differ from the default."""
    restart_policy = DEFAULT_POLICY
    """When children that have died are restarted, and when they are given up."""

    def __init__(self, args: argparse.Namespace | Settings) -> None:
        """`args` are those of `helper.get_args_parser`. Nothing happens before `start`.

        Raises:
            UsageError: options that contradict each other.
        """
        super().__init__(name='ventilator')
        self.settings = args if isinstance(args, Settings) else Settings.from_args(args)
        self.port = self.settings.port
        self.port_out = self.settings.port_out
        self.http_port = self.settings.http_port
        self.is_ready = threading.Event()
        self.error: ServingError | None = None
        self._state = ServerState.STARTING
        self._settled = threading.Event()
        self._commands: CommandQueue | None = None
        self._early_commands: list[ServerEvent] = []
        self._reactor = Reactor()
        self._supervisor = Supervisor(self._reactor, hang_s=self.settings.worker_timeout)
        self._ventilator = Ventilator(self.settings, self._describe, self._count_children, self.request_drain)
        self._sink: ChildSlot | None = None
        self._http: ChildSlot | None = None
        self._workers: dict[int, ChildSlot] = {}
        self._tally = ChildrenTally()
        self._started_at = datetime.now()
        self._began = time.monotonic()
        self._was_ready = False

    # For the caller's thread -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Check the options against the model, then start; returns at once.

        Raises:
            UsageError, ModelError: no process has been started.
        """
        logs.set_up('VENTILATOR', self.settings.verbose)
        self._plan = make_plan(self.settings)
        logger.info('model: %s', self._plan.describe())
        logger.info('files: %s', self._plan.model.describe())
        self._commands = CommandQueue()
        self._reactor.add(self._commands.fileno(), self._run_commands)
        for command in self._early_commands:
            self._commands.put(command)
        super().start()

    def close(self) -> None:
        """Answer what was accepted (at most `shutdown_timeout` seconds), stop, and wait until all is gone."""
        if self.is_alive():
            self.request_drain()
            self.join()

    def request_drain(self) -> None:
        """Begin to do so, without waiting. Safe in a signal handler; a second call changes nothing.

        Before `start` it is remembered: the server then starts and ends.
        """
        self._command(ServerEvent.DRAIN)

    def request_stop(self) -> None:
        """Stop at once: what is not yet answered is lost. Safe in a signal handler."""
        self._command(ServerEvent.STOP)

    def _command(self, event: ServerEvent) -> None:
        if self._commands is None:
            self._early_commands.append(event)
        else:
            self._commands.put(event)

    def wait_until_ready(self) -> None:
        """Wait until requests are answered.

        Raises:
            ServingError: the server could not start, or was closed before it was ready.
            RuntimeError: it has not been started.
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
        """Stop the server that `helper.get_shutdown_parser`'s `args` name.

        Raises:
            StartError: none listens there.
        """
        terminate(args.ip, args.port, args.timeout)

    # The thread ------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Start, serve, stop. An error ends the server and is kept in `error`."""
        try:
            with self._belongings():
                self._start_and_serve()
        except ServingError as error:
            self.error = error
            logger.error('%s', error)
        except Exception as error:
            self.error = ServingError('a fault in the server: %s: %s' % (type(error).__name__, error))
            logger.exception('ended by an exception')
        finally:
            self._advance(ServerEvent.STOP)
            self.is_ready.clear()
            self._settled.set()
            if self._commands is not None:
                self._commands.close()
            self._say_goodbye()

    def _say_goodbye(self) -> None:
        outcomes, seconds = self._ventilator.outcomes, time.monotonic() - self._began
        if self._was_ready or outcomes.published:
            logger.info('terminated! %s', summarize(outcomes, sum(self._count_restarts().values()), seconds))
        else:
            logger.info('terminated! it never became ready (%s)', format_duration(seconds))

    @contextlib.contextmanager
    def _belongings(self) -> Iterator[None]:
        """The folders of this server, made before anything else and removed after everything else."""
        with server_folders(self.settings.graph_tmp_dir) as folders:
            self._graph = folders.graph
            self._endpoints = Endpoints(folders.sockets)
            self._child_maker = ChildMaker(self._plan, self._endpoints, folders.temp_dirs)
            yield

    def _start_and_serve(self) -> None:
        with contextlib.ExitStack() as stack:
            context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
            stack.callback(context.destroy, linger=0)
            stack.callback(self._supervisor.kill_all)
            self.port = self._ventilator.bind(context, self._endpoints.feedback, self._endpoints.sink)
            graph = self._export_graph()
            if graph is not None:
                self._ventilator.listen(self._reactor)
                self._start_children(graph)
                self._serve()
                self._drain()

    def _serve(self) -> None:
        while self._state in (ServerState.STARTING, ServerState.SERVING):
            self._run_a_round(longest_ms=1000 * CHECK_INTERVAL_S)

    def _run_a_round(self, longest_ms: float) -> None:
        """Wait for something to happen, do it, and see what the clock says."""
        if self._ventilator.awaits_deadline:
            longest_ms = min(longest_ms, DEADLINE_TICK_MS)
        next_start = self._supervisor.next_start
        if next_start is not None:
            longest_ms = min(longest_ms, max(0, 1000 * (next_start - time.monotonic())))
        self._reactor.run_once(timeout_ms=math.ceil(longest_ms))
        self._supervisor.tick()
        if self._ventilator.awaits_deadline:
            self._ventilator.tick()

    def _drain(self) -> None:
        """Answer what was accepted, over HTTP first, at most until the time limit; then end the workers, and last the sink.

        Once everything is answered, nothing that a worker still computes is wanted, so it gets a moment and no more. The
        sink gets the time that its last answers may need to reach their readers.
        """
        started, limit = time.monotonic(), self.settings.shutdown_timeout
        deadline = started + limit
        unanswered = self._ventilator.unanswered
        if unanswered:
            logger.info(
                'shutting down: %d accepted requests are answered first; a second signal stops at once', unanswered
            )
        self._drain_http(started + limit / 2)
        self._ventilator.start_drain()
        self._run_while(
            lambda: self._ventilator.unanswered > 0, deadline - min(RESERVE_S, limit / 4) - time.monotonic()
        )
        if self._ventilator.unanswered:
            logger.warning('%d accepted requests were not answered', self._ventilator.unanswered)
        self._ventilator.stop_listening()
        workers = self._supervisor.release(self._workers.values())
        self._ventilator.stop_workers()
        self._run_while(lambda: self._supervisor.are_alive(workers), min(WORKER_STOP_S, deadline - time.monotonic()))
        self._supervisor.kill(workers)
        sink = self._supervisor.release([] if self._sink is None else [self._sink])
        self._ventilator.stop_sink()
        self._run_while(lambda: self._supervisor.are_alive(sink), min(LINGER_S, max(1, deadline - time.monotonic())))

    def _drain_http(self, deadline: float) -> None:
        """Let the proxy answer what it has taken in; it refuses what comes, and the ventilator not yet."""
        children = self._supervisor.release([] if self._http is None else [self._http])
        for child in children:
            child.terminate()
        self._run_while(lambda: self._supervisor.are_alive(children), deadline - time.monotonic())
        self._supervisor.kill(children)

    def _run_while(self, condition: Callable[[], bool], seconds: float) -> None:
        """Run the reactor while `condition` holds and the server drains, for so many seconds at most."""
        deadline = time.monotonic() + seconds
        while condition() and self._state is ServerState.DRAINING and time.monotonic() < deadline:
            self._run_a_round(longest_ms=50)

    def _advance(self, event: ServerEvent) -> None:
        self._state = advance_server(self._state, event)

    def _run_commands(self) -> None:
        if self._commands is not None:
            for command in self._commands.take_all():
                self._advance(command)

    # Children --------------------------------------------------------------------------------------------------------

    def _export_graph(self) -> str | None:
        """Let a process write the frozen graph; its path, or None if the server was closed meanwhile."""
        logger.info('freeze, optimize and export graph, could take a while...')
        started = time.monotonic()
        path = self._graph
        child = self._child_maker.exporter(self.exporter_module, path)
        with logs.beside_progress() as terminal:
            display = ProgressDisplay(partial(logger.info, 'export: %s'), terminal)
            facts = self._supervisor.run_to_end(child, lambda: self._state is not ServerState.STARTING, display)
        if facts is None:
            return None
        logger.info('optimized graph is stored at: %s (%s, %s)', path, format_bytes(facts['bytes']),
                    format_duration(time.monotonic() - started))  # fmt: skip
        return path

    def _start_children(self, graph: str) -> None:
        devices = self._plan.devices.devices
        logger.info('device map: %s', ', '.join(
            'worker %d -> %s' % (worker, 'cpu' if device < 0 else 'gpu %d' % device)
            for worker, device in enumerate(devices)))  # fmt: skip
        self._sink = ChildSlot(
            spawn=self._make_sink, on_ready=self._on_sink_ready, on_heartbeat=self._tally.hear_sink, on_lost=self._on_sink_lost,
            on_given_up=self._end, restarts=Restarts(self.restart_policy),
        )  # fmt: skip
        self._workers = {
            worker: ChildSlot(
                spawn=partial(self._make_worker, worker, graph), on_ready=partial(self._on_worker_ready, worker),
                on_heartbeat=partial(self._tally.hear_worker, worker), on_lost=partial(self._on_worker_lost, worker),
                on_given_up=self._on_worker_given_up, restarts=Restarts(self.restart_policy),
            )
            for worker in range(len(devices))
        }  # fmt: skip
        logger.info('start the sink and %d worker%s, could take a while...', len(devices), 's' * (len(devices) > 1))
        for slot in (self._sink, *self._workers.values()):
            self._supervisor.supervise(slot)

    def _make_sink(self) -> Child:
        return self._child_maker.sink(self.sink_module, self.port_out, LINGER_S * 1000, self.sink_limits)

    def _make_worker(self, worker: int, graph: str) -> Child:
        self._endpoints.move_worker(worker)
        return self._child_maker.worker(self.worker_module, worker, graph)

    def _make_http(self) -> Child:
        return self._child_maker.http(self.http_module, self.port, self.port_out, self.http_port)

    def _on_sink_ready(self, facts: dict[str, Any]) -> None:
        self.port_out = facts['port_out']
        logger.info('requests come in on port %d, answers go out on port %d', self.port, self.port_out)
        self._ventilator.sink_ready()
        if self.http_port is not None and self._http is None:
            self._http = ChildSlot(
                spawn=self._make_http, on_ready=self._on_http_ready, on_lost=lambda _how, failure: self._raise_at_boot(failure), on_given_up=self._on_http_given_up,
                restarts=Restarts(self.restart_policy),
            )  # fmt: skip
            logger.info('start the HTTP server...')
            self._supervisor.supervise(self._http)
        self._check_whether_ready()

    def _on_http_given_up(self, how: str) -> None:
        if self._state is ServerState.STARTING:
            self._end(how)
        logger.error('%s: the server goes on without HTTP', how)

    def _on_http_ready(self, facts: dict[str, Any]) -> None:
        self.http_port = facts['http_port']
        self._check_whether_ready()

    def _on_sink_lost(self, how: str, failure: ChildFailed | None) -> None:
        self._raise_at_boot(failure)
        logger.error('%s; what was not published is computed again', how)
        self._tally.lose_sink()
        self._endpoints.move_sink()
        self._ventilator.replace_sink(self._endpoints.feedback, self._endpoints.sink)

    def _on_worker_ready(self, worker: int, facts: dict[str, Any]) -> None:
        self._ventilator.add_worker(worker, self._endpoints.workers[worker])
        self._check_whether_ready()

    def _on_worker_lost(self, worker: int, how: str, failure: ChildFailed | None) -> None:
        self._raise_at_boot(failure)
        logger.error('%s; its jobs go to other workers', how)
        self._tally.lose_worker(worker)
        self._ventilator.remove_worker(worker)

    def _on_worker_given_up(self, how: str) -> None:
        if self._state is ServerState.STARTING:
            self._end(how)
        if all(slot.state is SlotState.GONE for slot in self._workers.values()):
            self._end('%s, and no worker is left' % how)
        logger.error('%s: the server goes on without it', how)

    def _raise_at_boot(self, failure: ChildFailed | None) -> None:
        """What a child says against its first start is said against every other, and whoever starts the server waits."""
        if failure is not None and self._state is ServerState.STARTING:
            raise failure

    def _end(self, how: str) -> None:
        raise ChildDied(how)

    def _check_whether_ready(self) -> None:
        slots = [self._sink, *self._workers.values()]
        if self.http_port is not None:
            slots.append(self._http)
        if self._state is ServerState.STARTING and all(
            slot is not None and slot.state is SlotState.READY for slot in slots
        ):
            self._advance(ServerEvent.READY)
            http = '' if self.http_port is None else ' http_port=%d' % self.http_port
            self._was_ready = True
            logger.info('all set, ready to serve request! port=%d port_out=%d%s start=%s', self.port, self.port_out, http,
                        format_duration(time.monotonic() - self._began))  # fmt: skip
            self.is_ready.set()
            self._settled.set()

    # Status ----------------------------------------------------------------------------------------------------------

    def _describe(self) -> dict[str, Any]:
        """The keys of 1.10's status, but for `client` and `statistic`; ours beside them."""
        return {
            **describe_plan(self._plan),
            'port': self.port,
            'port_out': self.port_out,
            'http_port': self.http_port,
            **describe_release(),
            **describe_times(self._started_at),
            **describe_ring(self._endpoints),
            'num_process': self._supervisor.num_process,
            'server_state': self._state.value,
            **describe_workers(self._plan, self._workers),
        }

    def _count_children(self) -> dict[str, Any]:
        """What the status counts of the children and what they have done."""
        return {**self._tally.to_dict(), **self._count_restarts()}

    def _count_restarts(self) -> dict[str, int]:
        return {
            'num_worker_restart': sum(slot.restarts.count for slot in self._workers.values()),
            'num_sink_restart': 0 if self._sink is None else self._sink.restarts.count,
            'num_http_restart': 0 if self._http is None else self._http.restarts.count,
        }
