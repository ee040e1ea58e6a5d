"""The argument parser of every command: defaults from the environment, errors on one line.

Each group of options has a module that describes them. `helper.py` chooses the options of each command, and `help.py`
formats the help.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NoReturn, TextIO

from ..console.streams import say
from ..console.suggestions import did_you_mean
from ..console.terminal import bold
from .help import layout_help, layout_usage
from .option import GROUPS, OTHER, Option
from .settings import OPTIONS


class EnvironmentParser(argparse.ArgumentParser):
    """An argument parser whose defaults come from the environment; the command line takes precedence.

    It reads the environment when it parses arguments, not when it is created.
    """

    def __init__(
        self,
        *args: Any,
        environ: Mapping[str, str] | None = None,
        examples: Sequence[str] = (),
        guide: str = 'docs/server.md',
        **kwargs: Any,
    ) -> None:
        """Take the arguments of `argparse`, and `examples` (command lines) and `guide` (a page) for the help."""
        super().__init__(*args, **{'add_help': False, **kwargs})
        self.environ = os.environ if environ is None else environ
        self.examples = examples
        self.guide = guide
        self.options: dict[str, Option] = {}
        self._groups: dict[str, argparse._ArgumentGroup] = {}

    # ---- arguments

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
        unknown = [dest for dest in self.options if not hasattr(namespace, dest)]
        for dest in unknown:
            setattr(namespace, dest, _NOT_GIVEN)
        namespace, rest = super().parse_known_args(args, namespace)
        given = [dest for dest in self.options if getattr(namespace, dest) is not _NOT_GIVEN]
        for dest in unknown:
            if getattr(namespace, dest) is _NOT_GIVEN:
                text = self._variable_of(dest)
                given += [dest] if text else []
                value = self._parse_variable(self.options[dest], text) if text else self.get_default(dest)
                setattr(namespace, dest, value)
        namespace.given_options = given
        return namespace, rest

    def _variable_of(self, dest: str) -> str:
        """The text of an option's environment variable. An empty variable counts as not set."""
        return self.environ.get(self.options[dest].variable, '')

    def _parse_variable(self, option: Option, text: str) -> Any:
        try:
            return option.parse_variable(text)
        except ValueError as error:
            hint = ''
            if text.startswith('tcp://'):
                hint = ' (Kubernetes sets it for a Service of that name: set enableServiceLinks: false in the pod)'
            self.error('environment variable %s: %s%s' % (option.variable, error, hint))

    # ---- errors

    def error(self, message: str) -> NoReturn:
        """Print one line, because the usage of forty options would hide the message, and exit with code 2."""
        self.exit(2, '%s: error: %s (see %s -help)\n' % (self.prog, message, self.prog))

    def _is_unknown_option(self, word: str) -> bool:
        """Whether `word` looks like an option but is not the beginning of one. argparse would read -http_prt as -h."""
        if len(word) < 2 or word[0] != '-' or word[1].isdigit() or word[1] == '.' or ' ' in word:
            return False
        name = word.partition('=')[0]
        return not any(known.startswith(name) for known in self._option_string_actions)

    def _explain_option(self, word: str) -> str:
        name = word.partition('=')[0]
        known = [flag for flag in self._option_string_actions if not flag.startswith('--')]
        return 'unknown option %s%s' % (name, did_you_mean(name, known))

    def _explain_word(self, words: Sequence[str], word: str) -> str:
        """Explain why `word` is neither an option nor the value of one."""
        for before, given in itertools.pairwise(words):
            action = self._option_string_actions.get(before)
            if given == word and action is not None and action.nargs == 0:
                return '%s takes no value, got %r: the option alone turns it on' % (before, word)
        return 'expected an option, which begins with a dash, got %r' % word

    # ---- options

    def group(self, title: str, about: str | None = None) -> argparse._ArgumentGroup:
        """The group with that title, created on first use."""
        if title not in self._groups:
            self._groups[title] = self.add_argument_group(title, about)
        return self._groups[title]

    def add_option(self, group: argparse._ActionsContainer, dest: str, option: Option) -> None:
        """Add one option to `group`. Its value becomes the attribute `dest` of the namespace."""
        self.options[dest] = option
        flags = ['-' + name for name in option.names]
        if option.flag is not None:
            action = 'store_true' if option.flag else 'store_false'
            group.add_argument(*flags, dest=dest, action=action, default=option.default, help=option.help)
            return
        group.add_argument(
            *flags,
            dest=dest,
            type=_argument_type(option.parse),
            default=option.default,
            help=option.help,
            metavar=option.metavar,
            nargs='+' if option.many else None,
            action=_AddUp if option.adds_up else 'store',
        )

    # ---- help

    def format_usage(self) -> str:
        return layout_usage(self) + '\n'

    def format_help(self) -> str:
        """The help as plain text, wrapped to the width of the terminal."""
        return self._format_help(lambda title: title)

    def print_help(self, file: Any = None) -> None:
        stream: TextIO = sys.stdout if file is None else file
        say(self._format_help(lambda title: bold(title, stream)).rstrip('\n'), stream)

    def _an_option_of_the_environment(self) -> Option | None:
        """An example option, if all options have an environment variable."""
        others = {action.dest for action in self._actions} - set(self.options) - {'help', 'version'}
        return None if others else next(iter(self.options.values()), None)

    def _format_help(self, emphasize: Callable[[str], str]) -> str:
        groups = sorted(self._action_groups, key=lambda group: group.title == OTHER)  # that group comes last
        return layout_help(
            self,
            groups=groups,
            option=self._an_option_of_the_environment(),
            examples=self.examples,
            guide=self.guide,
            emphasize=emphasize,
        )


_NOT_GIVEN = object()
"""A temporary default, during parsing, of options that the environment sets and the command line might override."""


def _argument_type(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Wrap `parse` so that argparse shows the text of its ValueError."""

    def argument(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return argument


def add_help_and_version(parser: EnvironmentParser, release: str) -> None:
    """Add `-h`, `-help`, `--help`, `-version` and `--version`."""
    other = parser.group(OTHER)
    other.add_argument('-h', '-help', '--help', action='help', help='show this help and exit')
    other.add_argument('-version', '--version', action='version', version=release, help='show the release and exit')


def add_server_options(parser: EnvironmentParser) -> None:
    """Add every option of `Settings`, in its groups."""
    add_options(parser, lambda _name, _option: True)


class _AddUp(argparse.Action):
    """Collects the words of all occurrences of an option in one list."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        earlier = getattr(namespace, self.dest, None)
        setattr(namespace, self.dest, [*(earlier if isinstance(earlier, list) else []), *values])


def add_options(
    parser: EnvironmentParser,
    wanted: Callable[[str, Option], bool],
    helps: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Add the options of `Settings` for which `wanted(field name, option)` is true. `helps` replaces some helps."""
    for dest, option in OPTIONS.items():
        if wanted(dest, option):
            group = parser.group(option.group, GROUPS[option.group])
            parser.add_option(group, dest, replace(option, help=helps.get(dest, option.help)))
