"""What stands in docker/, read once for all tests."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / 'docker'
REQUIREMENTS = DOCKER / 'requirements'

README = (DOCKER / 'README.md').read_text('utf-8')


def dockerfile(name: str = 'Dockerfile') -> str:
    """A Dockerfile without its comments, an instruction a line."""
    text = re.sub(r'^#.*\n', '', (DOCKER / name).read_text('utf-8'), flags=re.MULTILINE)
    return re.sub(r'\\\n\s*', '', text)


def instructions(word: str, name: str = 'Dockerfile') -> list[str]:
    """What stands behind each `word` of a Dockerfile."""
    return re.findall(r'^%s (.*)$' % word, dockerfile(name), re.MULTILINE)


def environment(name: str = 'Dockerfile') -> dict[str, str]:
    """The variables that an image has at last."""
    last_stage = dockerfile(name).split('\nFROM ')[-1]
    return dict(
        pair for line in re.findall('^ENV (.*)$', last_stage, re.MULTILINE) for pair in re.findall(r'(\w+)=(\S+)', line)
    )


def load(path: str) -> Any:
    """A file of docker/ in YAML or JSON."""
    text = (DOCKER / path).read_text('utf-8')
    return json.loads(text) if path.endswith('.json') else yaml.safe_load(text)


def pinned(name: str) -> dict[str, str]:
    """The releases that a list pins, by the name of the package."""
    return dict(re.findall(r'^([\w.-]+)==(\S+) \\$', (REQUIREMENTS / name).read_text('utf-8'), re.MULTILINE))
