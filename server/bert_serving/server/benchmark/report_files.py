"""The files that a benchmark leaves in its output folder, and the facts that its report begins with."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ..console.streams import say
from ..release import RELEASE


def make_log(output_dir: str) -> str:
    """Make the output folder, and return the path of the servers' log there, without the log of an earlier run.

    Raises:
        OSError: the folder cannot be made.
    """
    os.makedirs(output_dir, exist_ok=True)
    log = os.path.join(output_dir, 'server.log')
    with contextlib.suppress(FileNotFoundError):
        os.remove(log)
    return log


def facts_of(args: argparse.Namespace, **machine: str) -> dict[str, str]:
    """The facts about a benchmark that ends now, with those about the `machine`."""
    return {
        'command': '`%s`' % shlex.join([os.path.basename(sys.argv[0]), *sys.argv[1:]]),
        'finished': datetime.now().isoformat(' ', 'seconds'),
        'release': RELEASE,
        **machine,
        'every cell': 'the median (least..greatest) of %d repeats, after a warm-up' % args.num_repeat,
    }


def write_report(output_dir: str, report: str, results: Mapping[str, Any]) -> None:
    """Write `report.md` and `results.json` to the output folder, and print the report.

    Raises:
        OSError: a file cannot be written.
    """
    with open(os.path.join(output_dir, 'report.md'), 'w', encoding='utf-8') as file:
        file.write(report)
    with open(os.path.join(output_dir, 'results.json'), 'w', encoding='utf-8') as file:
        json.dump(results, file, indent=1)
    say(report, sys.stdout)
