"""Colors, bold type and erased lines for terminals, and plain text for everything else."""

from __future__ import annotations

import os
import shutil
from typing import TextIO

from termcolor import colored

ERASE_LINE = '\r\x1b[K'
"""The escape sequence that erases the current line."""

NARROWEST, WIDEST = 40, 120
"""The minimum and maximum width of help texts, in columns. Wider texts are hard to read."""


def is_terminal(stream: TextIO | None) -> bool:
    """Whether `stream` is a terminal."""
    try:
        return stream is not None and stream.isatty()
    except (AttributeError, ValueError, OSError):  # an object that has only `write`, or a closed stream
        return False


def takes_escapes(stream: TextIO | None) -> bool:
    """Whether `stream` is a terminal that supports escape sequences, and NO_COLOR is not set."""
    return is_terminal(stream) and not os.environ.get('NO_COLOR') and os.environ.get('TERM') != 'dumb'


def color(text: str, name: str, stream: TextIO | None) -> str:
    """Return `text` in the color `name`, if `stream` supports escape sequences."""
    return colored(text, name, force_color=True) if takes_escapes(stream) else text


def bold(text: str, stream: TextIO) -> str:
    """Return `text` in bold type, if `stream` supports escape sequences."""
    return colored(text, attrs=['bold'], force_color=True) if takes_escapes(stream) else text


def line_width() -> int:
    """The width of the terminal in columns. The environment variable COLUMNS overrides it."""
    return shutil.get_terminal_size().columns


def text_width() -> int:
    """The width of help texts in columns: the width of the terminal, within limits."""
    return max(NARROWEST, min(WIDEST, line_width()))
