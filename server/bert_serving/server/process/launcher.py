"""Launchers, which decide where a child runs.

The supervisor, the scheduler and the sink do not depend on them. A launcher makes a `Child`, and everything else about
the child comes through that interface: its reports, its heartbeats, its last error and its exit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from .child import Child
from .child_process import ChildProcess
from .reports import ChildConfig


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """The description of a child to start.

    Attributes:
        module: the module whose `main(config, reporter)` it runs.
        name: its name in the log.
        config: the keys of its `main`, and in addition `context`, `verbose` and `log_format`, for the log, and
            `temp_dirs`, the folders that it removes if its parent dies.
        environment: overrides the environment of the process that starts it; the value None removes a variable.
        files: the files on this machine that `config` names. The launcher copies them to the machine of the child.
    """

    module: str
    name: str
    config: ChildConfig
    environment: Mapping[str, str | None] = field(default_factory=dict)
    files: tuple[str, ...] = ()


class Launcher(Protocol):
    """Decides where children run."""

    def make(self, spec: ChildSpec) -> Child:
        """Make a child without starting it."""
        ...


class ProcessLauncher:
    """Makes processes on this machine."""

    def make(self, spec: ChildSpec) -> ChildProcess:
        """Make a process without starting it."""
        return ChildProcess(spec.module, spec.name, spec.config, spec.environment)
