"""Write the tables of options into README.md and docs/: `python docs/options.py`; `--check` changes nothing.

Each stands between two comments, `<!-- options: NAME -->` and `<!-- end of options -->`. The text of the server's
options comes from `options/` and `helper.py`, that of the client's from its signature and docstrings. tests/docs
checks that all are current.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / 'client'), str(ROOT / 'server')]  # the tables are of this tree, not of what is installed

from bert_serving.client import BertClient  # noqa: E402
from bert_serving.server.files.options import FILES  # noqa: E402
from bert_serving.server.helper import get_encode_parser, get_http_parser, get_shutdown_parser  # noqa: E402
from bert_serving.server.model.pooling import PoolingStrategy  # noqa: E402
from bert_serving.server.options.option import GROUPS, Option  # noqa: E402
from bert_serving.server.options.settings import OPTIONS, Settings  # noqa: E402

METHODS = """
    encode encode_async fetch fetch_all listen encode_with_details tokenize close status server_config server_status
    is_connected
""".split()


MOST_USED = """
    model_dir tuned_model_dir max_seq_len pooling_layer pooling_strategy host port port_out num_worker http_port
    http_api_key_file cpu engine int8 bf16 device_map log_format
""".split()


def server_in_short() -> Iterator[str]:
    """One table of the options of `bert-serving-start` that most servers need, in the order of all."""
    yield from head('option', 'default', 'meaning')
    for dest, option in OPTIONS.items():
        if dest in MOST_USED:
            yield row(names_of(option), default_of(dest), prose(option.help))


def server() -> Iterator[str]:
    """A table for each group, with the variable of the environment."""
    for title, about, options in groups():
        yield '### %s' % title
        yield ''
        if about:
            yield prose(about[0].upper() + about[1:]) + '.'
            yield ''
        yield from head('option', 'in the environment', 'default', 'meaning')
        for dest, option in options:
            yield row(names_of(option), '`%s`' % option.variable, default_of(dest), prose(option.help))
        yield ''


def groups() -> Iterator[tuple[str, str, list[tuple[str, Option]]]]:
    for title, about in GROUPS.items():
        yield title, about, [(dest, option) for dest, option in OPTIONS.items() if option.group == title]


def names_of(option: Option) -> str:
    return ', '.join('`-%s`' % name for name in option.names)


def default_of(dest: str) -> str:
    if OPTIONS[dest].flag is not None:
        return 'off'
    return shown(getattr(Settings(), dest))


def shown(value: object) -> str:
    if value is None or value == ():
        return ''
    if isinstance(value, (tuple, list)):
        value = ' '.join(map(str, value))
    return '`%s`' % (value.name if isinstance(value, PoolingStrategy) else value)


def command(make_parser: Callable[[], argparse.ArgumentParser]) -> Iterator[str]:
    """A table of a parser's options."""
    yield from head('option', 'default', 'meaning')
    for action in make_parser()._actions:
        if action.dest not in ('help', 'version'):
            is_flag = action.nargs == 0
            text = re.sub(r' \(default: .*\)$', '', action.help or '')
            default = 'off' if is_flag else 'required' if action.required else shown(action.default)
            yield row(', '.join('`%s`' % flag for flag in action.option_strings), default, prose(text))


def encode() -> Iterator[str]:
    """A table of the options of `bert-serving-encode` that are not those of a server."""
    yield from head('option', 'default', 'meaning')
    for option in get_encode_parser().options.values():
        if option.group == FILES:
            default = 'off' if option.flag is not None else shown(option.default)
            yield row(names_of(option), default, prose(option.help))


def client() -> Iterator[str]:
    """The arguments of `BertClient`, as its docstring has them."""
    said = dict(re.findall(r':param (\w+): (.*(?:\n {4,}.*)*)', inspect.getdoc(BertClient) or ''))
    yield from head('argument', 'default', 'meaning')
    for name, parameter in list(inspect.signature(BertClient.__init__).parameters.items())[1:]:
        yield row('`%s`' % name, '`%r`' % (parameter.default,), prose(said[name]))


def methods() -> Iterator[str]:
    """The methods and properties of `BertClient`, with the first sentence of what each says of itself."""
    yield from head('method, property', '')
    for name in METHODS:
        member = getattr(BertClient, name)
        sentence = re.split(r'\.(?:\s|$)', inspect.getdoc(member) or '')[0]
        yield row('`%s%s`' % (name, '' if isinstance(member, property) else '()'), prose(sentence))


def head(*titles: str) -> Iterator[str]:
    yield row(*titles)
    yield '|---' * len(titles) + '|'


def row(*cells: str) -> str:
    return ('| %s |' % ' | '.join(cells)).replace('|  |', '| |').replace('|  |', '| |')


def prose(text: str) -> str:
    """Help or a docstring as a line of Markdown: options and code between backticks."""
    text = re.sub(r'\s+', ' ', text).replace('``', '`').replace('*', r'\*').replace('|', r'\|')
    return re.sub(r'(?<![\w`])(-[a-z]\w{2,})', r'`\1`', text)


TABLES: dict[str, Callable[[], Iterable[str]]] = {
    'server, in short': server_in_short,
    'server': server,
    'http': lambda: command(get_http_parser),
    'terminate': lambda: command(get_shutdown_parser),
    'encode': encode,
    'client': client,
    'methods': methods,
}

PAGES = (ROOT / 'README.md', *(ROOT / 'docs' / name for name in ('server.md', 'client-reference.md', 'files.md')))


def completed(page: str) -> str:
    """The text of a page with its tables as they have to be."""

    def fill(match: re.Match[str]) -> str:
        table = '\n'.join(TABLES[match[1]]()).strip()
        return '<!-- options: %s -->\n\n%s\n\n<!-- end of options -->' % (match[1], table)

    return re.sub(r'<!-- options: ([^>]*?) -->.*?<!-- end of options -->', fill, page, flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true', help='change nothing; exit code 1 if a table is not current')
    args = parser.parse_args()
    stale = []
    for path in PAGES:
        old = path.read_text('utf-8')
        new = completed(old)
        if new != old:
            stale.append(path.name)
            if not args.check:
                path.write_text(new, 'utf-8')
    if args.check and stale:
        sys.exit('not current: %s; run: python docs/options.py' % ', '.join(stale))


if __name__ == '__main__':
    main()
