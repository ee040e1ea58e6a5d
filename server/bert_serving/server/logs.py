"""The log of every process: one logger, `bert_serving.server`, one coloured context a process, lines as 1.10 wrote them.

Modules log through `logging.getLogger(__name__)`; only the entry point of a process calls `set_up`.
"""

from __future__ import annotations

import logging
import os
import sys

from termcolor import colored

ROOT = 'bert_serving.server'

_COLOURS = {'VENTILATOR': 'magenta', 'SINK': 'green', 'WORKER': 'yellow', 'GRAPHOPT': 'cyan', 'PROXY': 'red'}


def set_up(context: str, verbose: bool = False) -> None:
    """Log to standard error as `I:CONTEXT:[fil:fun: 12]:message`, from DEBUG up with `verbose`, else from INFO.

    A program that has given the logger a handler of its own keeps it.
    """
    logger = logging.getLogger(ROOT)
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    ours = [handler for handler in logger.handlers if isinstance(handler, _Handler)]
    if logger.handlers and not ours:
        return
    for handler in ours:
        logger.removeHandler(handler)
    handler = _Handler()
    name = colour(context, _COLOURS.get(context.split('-')[0], 'white'))
    line = '%(levelname)-.1s:' + name + ':[%(filename).3s:%(funcName).3s:%(lineno)3d]:%(message)s'
    handler.setFormatter(logging.Formatter(line))
    logger.addHandler(handler)
    logger.propagate = False


def colour(text: str, name: str) -> str:
    """`text` in that colour if standard error is a terminal and NO_COLOR is not set."""
    wanted = sys.stderr.isatty() and 'NO_COLOR' not in os.environ
    return colored(text, name, force_color=True) if wanted else text


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """Ours, so that it can be told from a user's."""
