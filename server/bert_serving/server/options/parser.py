"""The parser of every command: its defaults from the environment, its errors on one line, its help for a terminal.

What an option is stands in the table of `settings.py`; which options a command has, in `helper.py`. The help is laid out
here and not by `argparse`, whose form differs between the versions of Python.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NoReturn, TextIO

from ..console.suggestions import did_you_mean
from ..console.terminal import bold, text_width
from .settings import GROUPS, OPTIONS, OTHER, Option, Settings

HELP_COLUMN = 28
"""Where what an option means begins, at most."""


class EnvironmentParser(argparse.ArgumentParser):
    """An argument parser whose defaults come from the environment; what the command line says wins.

    The environment is read when arguments are parsed, not when the parser is made.
    """

    def __init__(
        self, *args: Any, environ: Mapping[str, str] | None = None, examples: Sequence[str] = (),
        guide: str = 'docs/server.md', **kwargs: Any,
    ) -> None:  # fmt: skip
        """`examples` are command lines, and `guide` the page to read on, that the help ends with.

        The rest is as with `argparse`.
        """
        super().__init__(*args, **{'add_help': False, **kwargs})
        self.environ = os.environ if environ is None else environ
        self.examples = examples
        self.guide = guide
        self.options: dict[str, Option] = {}
        self._groups: dict[str, argparse._ArgumentGroup] = {}

    # Arguments ---------------------------------------------------------------------------------------------------------

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        words = sys.argv[1:] if args is None else list(args)
        for word in words[: words.index('--') if '--' in words else None]:
            if self._is_unknown_option(word):
                self.error(self._explain_option(word))
        namespace, rest = self.parse_known_args(words, namespace)
        if rest:
            self.error(self._explain_word(words, rest[0]))
        return namespace

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        namespace = argparse.Namespace() if namespace is None else namespace
        variables = {dest: text for dest in self.options if (text := self._variable_of(dest))}
        for dest in variables:
            setattr(namespace, dest, _NOT_GIVEN)
        namespace, rest = super().parse_known_args(args, namespace)
        for dest, text in variables.items():
            if getattr(namespace, dest) is _NOT_GIVEN:
                setattr(namespace, dest, self._parse_variable(self.options[dest], text))
        return namespace, rest

    def _variable_of(self, dest: str) -> str:
        """The text of an option's variable; an empty one counts as not set."""
        return self.environ.get(self.options[dest].variable, '')

    def _parse_variable(self, option: Option, text: str) -> Any:
        try:
            return option.parse_variable(text)
        except ValueError as error:
            hint = ''
            if text.startswith('tcp://'):
                hint = ' (Kubernetes sets it for a Service of that name: give the pod enableServiceLinks: false)'
            self.error('environment variable %s: %s%s' % (option.variable, error, hint))

    # Errors ------------------------------------------------------------------------------------------------------------

    def error(self, message: str) -> NoReturn:
        """One line on standard error, exit code 2; the usage of forty options would bury the message."""
        self.exit(2, '%s: error: %s (see %s -help)\n' % (self.prog, message, self.prog))

    def _is_unknown_option(self, word: str) -> bool:
        """Whether `word` is to be an option and is none, nor the beginning of one; argparse takes -http_prt for -h."""
        if len(word) < 2 or word[0] != '-' or word[1].isdigit() or word[1] == '.' or ' ' in word:
            return False
        name = word.partition('=')[0]
        return not any(known.startswith(name) for known in self._option_string_actions)

    def _explain_option(self, word: str) -> str:
        name = word.partition('=')[0]
        known = [flag for flag in self._option_string_actions if not flag.startswith('--')]
        return 'there is no option %s%s' % (name, did_you_mean(name, known))

    def _explain_word(self, words: Sequence[str], word: str) -> str:
        """Why a word of the command line belongs to nothing."""
        for before, given in itertools.pairwise(words):
            action = self._option_string_actions.get(before)
            if given == word and action is not None and action.nargs == 0:
                return '%s takes no value, got %r: giving it turns it on' % (before, word)
        return 'expected options, which begin with a dash, got %r' % word

    # Options -----------------------------------------------------------------------------------------------------------

    def group(self, title: str, about: str | None = None) -> argparse._ArgumentGroup:
        """The group of that title, made when it is asked for first."""
        if title not in self._groups:
            self._groups[title] = self.add_argument_group(title, about)
        return self._groups[title]

    def add_option(self, group: argparse._ActionsContainer, dest: str, option: Option, default: Any) -> None:
        """Add one option of the table to `group`."""
        self.options[dest] = option
        flags = ['-' + name for name in option.names]
        if option.flag is not None:
            action = 'store_true' if option.flag else 'store_false'
            group.add_argument(*flags, dest=dest, action=action, default=default, help=option.help)
            return
        group.add_argument(
            *flags, dest=dest, type=_argument_type(option.parse), default=default, help=option.help,
            metavar=option.metavar, nargs='+' if option.many else None,
        )  # fmt: skip

    # Help --------------------------------------------------------------------------------------------------------------

    def format_usage(self) -> str:
        return 'usage: %s\n' % ' '.join([self.prog, *_usage(self._actions)])

    def format_help(self) -> str:
        """The help as plain text, as wide as the terminal."""
        return self._format_help(lambda title: title)

    def print_help(self, file: Any = None) -> None:
        stream: TextIO = sys.stdout if file is None else file
        stream.write(self._format_help(lambda title: bold(title, stream)))

    def _format_help(self, emphasise: Callable[[str], str]) -> str:
        width = text_width()
        paragraphs = [self.format_usage().rstrip('\n')]
        if self.description:
            paragraphs.append(textwrap.fill(self.description, width))
        for group in sorted(self._action_groups, key=lambda group: group.title == OTHER):  # that one is the last
            lines = [line for action in group._group_actions for line in self._format_option(action, width)]
            if lines:
                paragraphs.append('\n'.join([*_format_title(group, width, emphasise), *lines]))
        if self.options:
            first = next(iter(self.options.values()))
            text = 'each option can be set there, too: -%s as %s; the command line wins' % (first.name, first.variable)
            paragraphs.append(_format_note('Environment', text, width, emphasise))
        if self.examples:
            paragraphs.append('\n'.join([emphasise('Examples') + ':', *('  ' + line for line in self.examples)]))
        if self.epilog:
            paragraphs.append(textwrap.fill(self.epilog, width))
        where = 'README.md and %s of the repository' % self.guide
        paragraphs.append(_format_note('Documentation', where, width, emphasise))
        return '\n\n'.join(paragraphs) + '\n'

    def _format_option(self, action: argparse.Action, width: int) -> Iterator[str]:
        if action.help is argparse.SUPPRESS:
            return
        column = min(HELP_COLUMN, width // 2)
        head = ' '.join([', '.join(action.option_strings), *_value_of(action)]).strip()
        text = (action.help or '') % {**vars(action), 'prog': self.prog} + _default_of(action)
        lines = textwrap.wrap(text, width - column)
        if lines and len(head) + 4 <= column:
            yield '  ' + head.ljust(column - 2) + lines.pop(0)
        else:
            yield from textwrap.wrap(head, width, initial_indent='  ', subsequent_indent='  ')
        for line in lines:
            yield ' ' * column + line


_NOT_GIVEN = object()
"""Stands in a namespace for an option that is in the environment, until the command line turns out not to have it."""


def _argument_type(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """`parse` with its ValueError worded by itself instead of by argparse."""

    def argument(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return argument


def _usage(actions: Sequence[argparse.Action]) -> Iterator[str]:
    """What must be given, and that there are options; forty of them between brackets tell nobody anything."""
    for action in actions:
        if action.required and action.option_strings:
            yield ' '.join([action.option_strings[0], *_value_of(action)])
    yield '[options]'
    for action in actions:
        if not action.option_strings:
            yield from _value_of(action)


def _value_of(action: argparse.Action) -> Iterator[str]:
    """What stands for an option's value, if it takes one."""
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


def _format_title(group: argparse._ArgumentGroup, width: int, emphasise: Callable[[str], str]) -> list[str]:
    title = group.title or ''
    if not group.description:
        return [emphasise(title) + ':']
    return [_format_note(title, group.description, width, emphasise)]


def _format_note(title: str, text: str, width: int, emphasise: Callable[[str], str]) -> str:
    """`Title: text`, the title emphasised once the line breaks are known."""
    filled = textwrap.fill('%s: %s' % (title, text), width)
    return emphasise(title) + filled[len(title) :]


def add_help_and_version(parser: EnvironmentParser, release: str) -> None:
    """`-h`, `-help`, `--help`, `-version` and `--version`."""
    other = parser.group(OTHER)
    other.add_argument('-h', '-help', '--help', action='help', help='show this help and exit')
    other.add_argument('-version', '--version', action='version', version=release, help='show the release and exit')


def add_server_options(parser: EnvironmentParser) -> None:
    """Add every option of `Settings`, in its groups."""
    add_options(parser, lambda _name, _option: True)


def add_options(
    parser: EnvironmentParser, wanted: Callable[[str, Option], bool], said: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Add those options of `Settings` that are `wanted`, by field name, in their groups; of some, else is `said`."""
    defaults = Settings()
    for dest, option in OPTIONS.items():
        if wanted(dest, option):
            group = parser.group(option.group, GROUPS[option.group])
            option = replace(option, help=said.get(dest, option.help))
            parser.add_option(group, dest, option, getattr(defaults, dest))
