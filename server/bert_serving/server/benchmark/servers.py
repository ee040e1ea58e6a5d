"""The servers of a benchmark: the model that they serve, whether an engine can serve it, and their errors."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace

from ..console.streams import say
from ..errors import StartError, UsageError
from ..graph.engines import is_installed
from ..options.engines import check_engine
from ..options.settings import Settings
from ..parent.address import Address
from .load import connect
from .plan import Options
from .random_model import SHAPES, write_model

POLL_S = 0.5
"""Seconds between two attempts to reach the other server."""


@contextlib.contextmanager
def served_model(args: argparse.Namespace) -> Iterator[tuple[Settings, list[str]]]:
    """Yield the settings that all servers share, and the temporary folder of the random model if there is one."""
    settings = replace(Settings.from_args(args), port=0, port_out=0)
    if args.random_model is None:
        yield settings, []
        return
    if args.model_dir is not None:
        raise UsageError('-random_model and -model_dir are mutually exclusive')
    with tempfile.TemporaryDirectory(prefix='bert-serving-model-') as folder:
        say('write random weights of the shape %s...' % args.random_model, sys.stderr)
        write_model(folder, SHAPES[args.random_model])
        # only this run can use the graphs of random weights
        yield replace(settings, model_dir=folder, export_cache=settings.export_cache or folder), [folder]


def can_serve(settings: Settings, options: Options) -> bool:
    """Whether the engine that these options choose is installed and supports them."""
    settings = replace(settings, **options)
    try:
        check_engine(settings)
    except UsageError:
        return False
    return is_installed(settings.engine)


def wait_for(other: Address, within_s: float) -> None:
    """Wait until the server of `-against` answers, because it might still be starting."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            connect(other, timeout_ms=int(1000 * POLL_S)).close()
            return
        except TimeoutError:
            if time.monotonic() >= deadline:
                raise StartError('-against: no server answered at %s within %d s' % (other, within_s)) from None


CLIENT_ERRORS = (OSError, RuntimeError, ValueError)
"""The exceptions that the client raises."""


def describe_error(error: Exception) -> str:
    return ' '.join(('%s: %s' % (type(error).__name__, error)).split())
