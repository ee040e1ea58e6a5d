"""The manifest of a job: its definition, and the rows in each part. It determines where an interrupted job continues.

Pure. The file has one JSON object per line: first the job, then each complete part, finally `done`. Lines are only
appended, each with one write, so a killed process leaves at worst an unfinished last line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import UsageError
from .rows import Span

NAME = '_manifest.jsonl'
"""The name of the file. Programs that read the folder, such as pyarrow and Spark, skip names with this beginning."""

FORMAT = 1

_START_ANEW = 'choose another -output, or use -overwrite to start from the beginning'


@dataclass(frozen=True, slots=True)
class Part:
    """A complete part: its files with their sizes in bytes, its rows, and their source."""

    files: dict[str, int]
    rows: int
    errors: int
    tokens: int
    spans: list[Span]
    digest: str | None = None

    def to_line(self) -> bytes:
        values: dict[str, Any] = {
            'files': self.files,
            'rows': self.rows,
            'errors': self.errors,
            'tokens': self.tokens,
            'from': [list(span) for span in self.spans],
        }
        if self.digest is not None:
            values['sha256'] = self.digest
        return _line({'part': values})


@dataclass(frozen=True, slots=True)
class Job:
    """The definition of a job: its inputs in order, the options for the output, the model, and the kind of ids."""

    inputs: list[dict[str, Any]]
    options: dict[str, Any]
    model: dict[str, Any]
    id_kind: str

    def to_line(self) -> bytes:
        values = {'inputs': self.inputs, 'options': self.options, 'model': self.model, 'id_kind': self.id_kind}
        return _line({'format': FORMAT, 'job': values})


DONE_LINE = b'{"done": true}\n'


@dataclass(slots=True)
class Manifest:
    """The content of a manifest. `size` is the number of bytes in complete lines. Truncate the file to it."""

    job: Job | None = None
    parts: list[Part] = field(default_factory=list)
    is_done: bool = False
    size: int = 0

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def errors(self) -> int:
        return sum(part.errors for part in self.parts)

    @property
    def tokens(self) -> int:
        return sum(part.tokens for part in self.parts)

    @property
    def position(self) -> tuple[int, int]:
        """The index of the input, and of the row in it, at which the job continues."""
        if not self.parts:
            return 0, 0
        last = self.parts[-1].spans[-1]
        return last.source, last.stop


def read_manifest(content: bytes) -> Manifest:
    """Read the content of a manifest. The last line can be unfinished.

    Raises:
        UsageError: the content is not a manifest, or belongs to another release.
    """
    manifest = Manifest()
    for line in content.splitlines(keepends=True):
        if not line.endswith(b'\n'):
            break
        try:
            _read_line(manifest, json.loads(line))
        except (KeyError, TypeError, ValueError):
            raise UsageError('-output: %s is damaged: %s' % (NAME, _START_ANEW)) from None
        manifest.size += len(line)
    return manifest


def _read_line(manifest: Manifest, values: Mapping[str, Any]) -> None:
    if manifest.job is None:
        if values['format'] != FORMAT:
            raise UsageError('-output: another release has written %s: %s' % (NAME, _START_ANEW))
        job = values['job']
        manifest.job = Job(job['inputs'], job['options'], job['model'], job['id_kind'])
    elif 'part' in values:
        part = values['part']
        spans = [Span(*span) for span in part['from']]
        if not spans:
            raise ValueError('a part has rows')
        manifest.parts.append(
            Part(part['files'], part['rows'], part['errors'], part['tokens'], spans, part.get('sha256'))
        )
    else:
        manifest.is_done = bool(values['done'])


def check_same_job(old: Job, new: Job) -> None:
    """Check that a job can continue another one: it has the same inputs, options and model.

    Raises:
        UsageError: they differ; the message says in what.
    """
    difference = difference_of(old, new)
    if difference:
        raise UsageError('-output: it belongs to another job: %s: %s' % (difference, _START_ANEW))


def difference_of(old: Job, new: Job) -> str | None:
    """The first difference between two jobs, in words, or None if they are equal."""
    return (
        _difference_of_inputs(old.inputs, new.inputs)
        or _difference_of_values('-%s', old.options, new.options)
        or _difference_of_values('the %s of the model', old.model, new.model)
    )


def _difference_of_inputs(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> str | None:
    paths, new_paths = [each['path'] for each in old], [each['path'] for each in new]
    for missing in sorted(set(paths) - set(new_paths)):
        return 'the input %s is missing' % missing
    for added in sorted(set(new_paths) - set(paths)):
        return 'the input %s is new' % added
    if paths != new_paths:
        return 'the inputs are in another order'
    for before, now in zip(old, new, strict=True):
        if before != now:
            return 'the input %s has changed since' % before['path']
    return None


def _difference_of_values(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    for key in sorted({*old, *new}):
        before, now = old.get(key), new.get(key)
        if before != now:
            return '%s was %s, and is %s' % (name % key, json.dumps(before), json.dumps(now))
    return None


def _line(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, separators=(', ', ': ')).encode('ascii') + b'\n'


def describe_model(model: Mapping[str, Any], release: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the model for the metadata of the output. `model` is the server's description.

    The value `normalize` says whether vectors have length 1, and `prompt` is the text before each text.
    """
    normalize = options.get('normalize')
    name = options.get('prompt_name') or (None if options.get('prompt') is not None else model['default_prompt_name'])
    prompts = model['prompts'] or {}
    return {
        'name': model['name'],
        'digest': model.get('digest'),
        'pooling': model['pooling'],
        'max_seq_len': model['max_seq_len'],
        'normalize': model['normalize'] if normalize is None else normalize,
        'prompt': options.get('prompt') if name is None else prompts.get(name),
        'release': release,
    }
