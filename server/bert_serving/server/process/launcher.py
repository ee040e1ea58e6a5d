"""Launchers: who starts a child, and where.

The supervisor, the scheduler and the sink know none of them. A launcher makes a `Child`, and everything else about the
child comes through that interface: its reports, its heartbeats, its last words and its exit.
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
    """A child that is to be started.

    Attributes:
        module: the module whose `main(config, reporter)` it runs.
        name: its name in the log.
        config: the keys of its `main`, and in addition `context`, `verbose` and `log_format`, for the log, and
            `temp_dirs`, the folders that it removes if its parent dies.
        environment: laid over that of the process that starts it; a variable that is None there is left out.
        files: the files of this machine that are named in `config`; where it runs elsewhere, they are brought there.
    """

    module: str
    name: str
    config: ChildConfig
    environment: Mapping[str, str | None] = field(default_factory=dict)
    files: tuple[str, ...] = ()


class Launcher(Protocol):
    """Decides where children run."""

    def make(self, spec: ChildSpec) -> Child:
        """Make a child that is not yet started."""
        ...


class ProcessLauncher:
    """Makes processes of this machine."""

    def make(self, spec: ChildSpec) -> ChildProcess:
        """Make a process that is not yet started."""
        return ChildProcess(spec.module, spec.name, spec.config, spec.environment)
