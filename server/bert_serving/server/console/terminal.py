"""Colors, bold type and erased lines for terminals, and plain text for everything else."""

from __future__ import annotations

import os
import shutil
from typing import TextIO

from termcolor import colored

ERASE_LINE = '\r\x1b[K'
"""Erases the line of the cursor."""

NARROWEST, WIDEST = 40, 120
"""The limits of the width of a text, in columns; wider texts are hard to read."""


def is_terminal(stream: TextIO | None) -> bool:
    """Whether `stream` is a terminal."""
    try:
        return stream is not None and stream.isatty()
    except (AttributeError, ValueError, OSError):  # some object that only has `write`, or a stream that is closed
        return False


def takes_escapes(stream: TextIO | None) -> bool:
    """Whether `stream` is a terminal that takes escape sequences, and NO_COLOR is not set."""
    return is_terminal(stream) and not os.environ.get('NO_COLOR') and os.environ.get('TERM') != 'dumb'


def color(text: str, name: str, stream: TextIO | None) -> str:
    """`text` in the color `name`, if `stream` takes escape sequences."""
    return colored(text, name, force_color=True) if takes_escapes(stream) else text


def bold(text: str, stream: TextIO) -> str:
    """`text` in bold type, if `stream` takes escape sequences."""
    return colored(text, attrs=['bold'], force_color=True) if takes_escapes(stream) else text


def line_width() -> int:
    """The width of the terminal in columns; the variable COLUMNS overrides it."""
    return shutil.get_terminal_size().columns


def text_width() -> int:
    """The width of a text in columns: that of the terminal, within limits."""
    return max(NARROWEST, min(WIDEST, line_width()))
