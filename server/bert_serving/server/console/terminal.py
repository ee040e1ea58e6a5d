"""What a terminal can show and a file should not hold: colours, bold type and lines that are written over."""

from __future__ import annotations

import os
import shutil
from typing import TextIO

from termcolor import colored

ERASE_LINE = '\r\x1b[K'
"""Empties the line that the cursor is in."""

NARROWEST, WIDEST = 40, 120
"""Columns of a text: more than so many are hard to read."""


def takes_escapes(stream: TextIO) -> bool:
    """Whether `stream` is a terminal that takes escape sequences, and NO_COLOR does not forbid them."""
    return stream.isatty() and not os.environ.get('NO_COLOR') and os.environ.get('TERM') != 'dumb'


def colour(text: str, name: str, stream: TextIO) -> str:
    """`text` in that colour, if `stream` takes it."""
    return colored(text, name, force_color=True) if takes_escapes(stream) else text


def bold(text: str, stream: TextIO) -> str:
    """`text` in bold type, if `stream` takes it."""
    return colored(text, attrs=['bold'], force_color=True) if takes_escapes(stream) else text


def line_width() -> int:
    """The columns of the terminal, or of COLUMNS."""
    return shutil.get_terminal_size().columns


def text_width() -> int:
    """The columns that a text may take: those that there are, within reason."""
    return max(NARROWEST, min(WIDEST, line_width()))
