"""Format the help of a command for a terminal.

`argparse` would format it differently in each Python version.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Iterator, Sequence

from ..console.terminal import text_width
from .option import Option

HELP_COLUMN = 28
"""The maximum column at which the text of an option begins."""

Emphasize = Callable[[str], str]
"""A function that emphasizes a title, for example in bold type, without changing its visible width."""


def layout_usage(parser: argparse.ArgumentParser) -> str:
    """The usage on one line: required options and positional arguments, and `[options]` for all others."""
    words = [parser.prog]
    for action in parser._actions:
        if action.required and action.option_strings:
            words += [action.option_strings[0], *_value_of(action)]
    words.append('[options]')
    for action in parser._actions:
        if not action.option_strings:
            words += _value_of(action)
    return 'usage: ' + ' '.join(words)


def layout_help(
    parser: argparse.ArgumentParser,
    *,
    groups: Sequence[argparse._ArgumentGroup],
    option: Option | None,
    examples: Sequence[str],
    guide: str,
    emphasize: Emphasize,
) -> str:
    """The help of `parser`, wrapped to the width of the terminal.

    `option` is the example in the note on environment variables; None omits the note. `guide` is a page of docs/.
    """
    width = text_width()
    paragraphs = [layout_usage(parser)]
    if parser.description:
        paragraphs.append(textwrap.fill(parser.description, width))
    for group in groups:
        lines = [line for action in group._group_actions for line in _layout_option(action, parser.prog, width)]
        if lines:
            paragraphs.append('\n'.join([_layout_title(group, width, emphasize), *lines]))
    if option is not None:
        text = 'every option has an environment variable, such as %s for -%s; the command line takes precedence'
        paragraphs.append(_layout_note('Environment', text % (option.variable, option.name), width, emphasize))
    if examples:
        paragraphs.append('\n'.join([emphasize('Examples') + ':', *('  ' + line for line in examples)]))
    if parser.epilog:
        paragraphs.append(textwrap.fill(parser.epilog, width))
    paragraphs.append(_layout_note('Documentation', 'README.md and %s in the repository' % guide, width, emphasize))
    return '\n\n'.join(paragraphs) + '\n'


def _layout_option(action: argparse.Action, prog: str, width: int) -> Iterator[str]:
    if action.help is argparse.SUPPRESS:
        return
    column = min(HELP_COLUMN, width // 2)
    head = ' '.join([', '.join(action.option_strings), *_value_of(action)]).strip()
    text = (action.help or '') % {**vars(action), 'prog': prog} + _default_of(action)
    lines = textwrap.wrap(text, width - column)
    if lines and len(head) + 4 <= column:
        yield '  ' + head.ljust(column - 2) + lines.pop(0)
    else:
        yield from textwrap.wrap(head, width, initial_indent='  ', subsequent_indent='  ')
    for line in lines:
        yield ' ' * column + line


def _value_of(action: argparse.Action) -> Iterator[str]:
    """The placeholder for the value of an option, if it takes one."""
    if action.nargs != 0:
        name = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
        yield name if action.nargs is None else name + ' ...'


def _default_of(action: argparse.Action) -> str:
    default = action.default
    if action.required and action.option_strings:
        return ' (required)'
    if isinstance(default, bool) or default in (None, argparse.SUPPRESS, (), []):
        return ''
    return ' (default: %s)' % (' '.join(map(str, default)) if isinstance(default, (tuple, list)) else default)


def _layout_title(group: argparse._ArgumentGroup, width: int, emphasize: Emphasize) -> str:
    title = group.title or ''
    if not group.description:
        return emphasize(title) + ':'
    return _layout_note(title, group.description, width, emphasize)


def _layout_note(title: str, text: str, width: int, emphasize: Emphasize) -> str:
    """Format `Title: text`. It emphasizes the title after wrapping, so that the marks do not count as columns."""
    filled = textwrap.fill('%s: %s' % (title, text), width)
    return emphasize(title) + filled[len(title) :]
