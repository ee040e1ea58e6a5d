"""The pages of the documentation, and the code blocks on them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]

PAGES = [
    *sorted(ROOT.glob('*.md')),
    *sorted(ROOT.glob('docs/*.md')),
    *sorted(ROOT.glob('docs/adr/*.md')),
    *sorted(ROOT.glob('example/**/*.md')),
    *(ROOT / folder / 'README.md' for folder in ('server', 'client', 'docker', 'plugin')),
]

_FENCE = re.compile(
    r'(?:^<!-- run(?: on:(?P<options>[^>]*?))? -->\n)?^(?P<fence>```+)(?P<language>[^\n]*)\n(?P<text>.*?)^(?P=fence)\n',
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block; `is_run` if `<!-- run -->` stands before it, `options` what that says of the server it needs."""

    page: Path
    line: int
    language: str
    text: str
    is_run: bool
    options: str

    def __str__(self) -> str:
        return '%s:%d' % (name_of(self.page), self.line)


class Ports(NamedTuple):
    """Where the server listens that a page speaks of as 5555, 5556 and 8125."""

    port: int
    port_out: int
    http_port: int


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks_of(page: Path) -> Iterator[Block]:
    content = page.read_text('utf-8')
    for match in _FENCE.finditer(content):
        yield Block(
            page,
            1 + content.count('\n', 0, match.start('fence')),
            match['language'].strip(),
            match['text'],
            match[0].startswith('<!-- run'),
            (match['options'] or '').strip(),
        )
