"""The code on the pages: what is marked with `<!-- run -->` is run, and what is not is at least well-formed.

A block that runs stands below a line `<!-- run -->`, which readers do not see, or `<!-- run on: OPTIONS -->` if its
server needs options of its own. Python blocks of a page share their names and run in order; what `print` shows is
compared with what stands behind `# -> ` in the same line. A block for bash has to end with exit code 0; of what it
prints, the lines of a block ```` ```text ```` right below must be part. docs/client.md and docs/http.md are run as a
whole by tests/client and tests/http.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from bert_serving.server.helper import (
    get_args_parser,
    get_benchmark_parser,
    get_encode_parser,
    get_http_parser,
    get_shutdown_parser,
)
from docs.pages import PAGES, ROOT, Block, Ports, blocks_of, name_of

pytestmark = pytest.mark.slow

PARSERS = {
    'bert-serving-start': get_args_parser,
    'bert-serving-http': get_http_parser,
    'bert-serving-terminate': get_shutdown_parser,
    'bert-serving-benchmark': get_benchmark_parser,
    'bert-serving-encode': get_encode_parser,
}

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
RUNNABLE = [page for page in PAGES if any(block.is_run for block in blocks_of(page))]

Redirect = Callable[[str, Ports], str]


@pytest.mark.parametrize('page', RUNNABLE, ids=name_of)
def test_what_is_marked_runs(
    page: Path, server_with: Callable[[str], Ports], redirect: Redirect, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = list(blocks_of(page))
    names: dict[str, object] = {}
    for number, block in enumerate(blocks):
        if not block.is_run:
            continue
        text = redirect(block.text, server_with(block.options))
        if block.language == 'python':
            run_python(block, text, names, capsys)
        else:
            assert block.language == 'bash', block
            after = blocks[number + 1] if number + 1 < len(blocks) else None
            run_bash(block, text, after.text if after and is_right_below(block, after) else '')


def run_python(block: Block, text: str, names: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    exec(compile('\n' * block.line + text, str(block.page), 'exec'), names)
    expected = re.findall(r'# -> (.*)', text)
    if expected:
        printed = capsys.readouterr().out.splitlines()
        assert printed == expected, block


def run_bash(block: Block, text: str, expected: str) -> None:
    process = subprocess.run(
        ['bash', '-euo', 'pipefail', '-c', text], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert process.returncode == 0, '%s\n%s%s' % (block, process.stdout, process.stderr)
    for line in expected.splitlines():
        assert line in process.stdout, block


def is_right_below(block: Block, other: Block) -> bool:
    return other.language == 'text' and other.line - block.line - block.text.count('\n') - 2 in (0, 1)


def test_the_marks_are_read() -> None:
    marks = sum(len(re.findall('^<!-- run', page.read_text('utf-8'), re.MULTILINE)) for page in PAGES)
    assert marks == sum(block.is_run for block in BLOCKS) >= 15


@pytest.mark.parametrize('block', [block for block in BLOCKS if block.language == 'python'], ids=str)
def test_python_compiles(block: Block) -> None:
    compile(block.text, str(block), 'exec')


def commands_of(text: str) -> list[list[str]]:
    """The commands of a block for bash, as words, without comments, assignments and redirections."""
    lines = [line for line in text.replace('\\\n', ' ').splitlines() if line.strip()]
    commands = [shlex.split(line, comments=True) for line in lines]
    return [words for line in commands for words in split_at('&&', line) if words]


def split_at(separator: str, words: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word == separator:
            parts.append([])
        elif parts[-1] or not re.match('[A-Z_]+=', word):
            parts[-1].append(word)
    return parts


COMMANDS = [
    (block, words)
    for block in BLOCKS
    if block.language == 'bash' and '<<' not in block.text
    for words in commands_of(block.text)
]


def test_our_commands_take_the_options_that_the_pages_give_them(capsys: pytest.CaptureFixture[str]) -> None:
    seen: Counter[str] = Counter()
    for block, words in COMMANDS:
        if words[0] not in PARSERS:
            continue
        seen[words[0]] += 1
        parser = PARSERS[words[0]]()
        parser.environ = {}
        try:
            parser.parse_args(words[1 : words.index('&') if '&' in words else None])
        except SystemExit as end:
            assert not end.code, '%s: %s' % (block, capsys.readouterr().err)
    assert set(seen) == set(PARSERS)


def test_the_files_and_targets_of_commands_exist() -> None:
    targets = re.findall('^([a-z-]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE)
    for block, words in COMMANDS:
        if words[0] == 'python' and words[1].endswith('.py'):
            assert (ROOT / words[1]).is_file(), '%s: %s' % (block, words[1])
        if words[0] == 'make':
            assert words[1] in targets, '%s: make %s' % (block, words[1])


def test_every_option_that_a_page_names_exists() -> None:
    known = {flag for make in PARSERS.values() for action in make()._actions for flag in action.option_strings}
    for example in (ROOT / 'example').glob('example*.py'):
        known.update(re.findall(r"add_argument\('(-\w+)'", example.read_text('utf-8')))
    for page in PAGES:
        for span in re.findall(r'`(-[a-z][a-z_]+)[ `]', page.read_text('utf-8')):
            assert span in known | OPTIONS_OF_OTHERS, '%s: %s' % (name_of(page), span)


OPTIONS_OF_OTHERS = {'-workers', '-clients', '-rows', '-ms', '-seconds'}
"""Those of tests/scaling/measure.py."""
