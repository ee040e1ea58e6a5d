"""A child that a cluster places on one of its nodes. The supervisor treats it like any other child.

A thread for each child waits for its actor, and writes the actor's reports to a pipe, like a process on this machine.
When the actor, its process or its node is gone, the thread closes the pipe.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import threading
from collections.abc import Mapping
from io import RawIOBase

from .. import descriptors
from ..process.child import EXIT_DISCONNECTED, Child, describe_exit
from ..process.launcher import ChildSpec
from ..process.reports import Failed, Placed, Waiting, encode_report
from ..process.states import ChildState
from ..release import RELEASE
from .interface import Actor, ActorLost, Cluster, Resources
from .luggage import Luggage

logger = logging.getLogger(__name__)

WRONG_RELEASE = 1
"""The exit code of a child on a node with another release."""


class RemoteChild(Child):
    """The parent's side of a child on another machine. Not thread-safe, except for its own thread."""

    def __init__(self, spec: ChildSpec, cluster: Cluster, resources: Resources, luggage: Luggage) -> None:
        """Describe a child that takes `resources` from its node. `luggage` has the server's files."""
        super().__init__(spec.name)
        self.spec = spec
        self._cluster = cluster
        self._resources = resources
        self._luggage = luggage
        self._lock = threading.Lock()
        self._actor: Actor | None = None
        self._is_killed = False
        self._pid: int | None = None
        self._code = -signal.SIGKILL
        self._how = '%s was abandoned' % spec.name
        self._is_machine_lost = False
        self._thread: threading.Thread | None = None
        self._killer: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        return self._pid

    def start(self) -> None:
        """Ask the cluster for resources, and return immediately.

        Raises:
            OSError: the operating system has no pipe or no thread left.
        """
        with descriptors.reserve():
            self._reports, writer = os.pipe()
        thread = threading.Thread(target=self._follow, args=(writer,), name=self.name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            os.close(self._reports)
            os.close(writer)
            raise OSError(errno.EAGAIN, str(error)) from None
        self._thread = thread

    def _end(self) -> tuple[int, str]:
        return self._code, self._how

    @property
    def is_machine_lost(self) -> bool:
        return self._is_machine_lost or self._code == EXIT_DISCONNECTED

    # ---- the end

    @property
    def _is_running(self) -> bool:
        return self._thread is not None and self.state is not ChildState.GONE

    def terminate(self) -> None:
        self.kill(expected=True)  # no child that handles SIGTERM runs on another machine

    def _kill(self) -> None:
        with self._lock:
            self._is_killed, actor = True, self._actor
        if actor is not None and not (self._killer is not None and self._killer.is_alive()):
            self._killer = threading.Thread(target=actor.kill, name=self.name, daemon=True)  # it can take a moment
            self._killer.start()

    def kill_and_reap(self, timeout_s: float) -> None:
        self.kill(expected=True)
        if self._is_running and self._thread is not None:
            if self._actor is not None:  # otherwise it waits for a connection, which can take minutes
                self._thread.join(timeout_s)
            self._reap()  # if the thread is still running, the closed pipe ends it

    # ---- the thread

    def _follow(self, writer: int) -> None:
        """Follow the actor until it ends, record how it ended, and then close the pipe."""
        with open(writer, 'wb', buffering=0) as pipe:
            try:
                self._code, self._how = self._attend(pipe)
            except ActorLost as error:
                self._is_machine_lost = True
                self._how = '%s was lost with its actor: %s' % (self.name, error)
            except BrokenPipeError:
                pass  # the supervisor has abandoned it
            except Exception as error:
                logger.exception('failed to follow %s', self.name)
                self._how = '%s was lost: %s: %s' % (self.name, type(error).__name__, error)
        actor = self._actor
        if actor is not None:
            actor.kill()

    def _attend(self, pipe: RawIOBase) -> tuple[int, str]:
        """Place the actor, start the child, pass on its reports, and return how it ended.

        Raises:
            ActorLost: the actor is gone.
            BrokenPipeError: nobody reads the reports any more.
        """
        spec = self.spec
        pipe.write(encode_report(Waiting(str(self._resources))))
        files = self._luggage.pack(spec.files)
        actor = self._cluster.place(self._resources)
        with self._lock:
            self._actor, is_killed = actor, self._is_killed
        if is_killed:
            return self._code, self._how
        place = actor.call('describe')
        pipe.write(encode_report(Placed({'node': place['node'], 'address': place['address']})))
        if place['release'] != RELEASE:
            pipe.write(encode_report(Failed(_explain_release(place), WRONG_RELEASE)))
            return WRONG_RELEASE, describe_exit(self.name, WRONG_RELEASE)
        actor.call('start', spec.module, spec.name, spec.config, dict(spec.environment), files)
        while True:
            for line in actor.call('next_reports'):
                message = json.loads(line)
                if 'exited' in message:
                    return message['exited'], describe_exit(self.name, message['exited'])
                if 'pid' in message:
                    self._pid = message['pid']
                else:
                    pipe.write(line)


def _explain_release(place: Mapping[str, str]) -> str:
    return (
        'the node %s has release %s of bert-serving-server, and this server is %s: install the same release there'
        % (
            place['address'],
            place['release'],
            RELEASE,
        )
    )
