"""Write the state diagrams into docs/architecture.md, from the tables in the code: `python docs/state_diagrams.py`.

With `--check` it changes nothing. Each diagram stands between two comments, `<!-- states: NAME -->` and
`<!-- end of states -->`. tests/docs checks that all are current.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bert_serving.server.process.states import CHILD_TRANSITIONS, SERVER_TRANSITIONS, SLOT_TRANSITIONS

PAGE = Path(__file__).resolve().parent / 'architecture.md'

Transitions = Mapping[tuple[Any, Any], Any]

DIAGRAMS: dict[str, Transitions] = {
    'server': SERVER_TRANSITIONS,
    'child': CHILD_TRANSITIONS,
    'slot': SLOT_TRANSITIONS,
}


def diagram(transitions: Transitions) -> str:
    """Return one line for each step, `state ── event ──▶ next state`; the state is named once."""
    state_width = max(len(state.value) for state, _ in transitions)
    event_width = max(len(event.value) for _, event in transitions)
    lines, last = [], None
    for (state, event), target in transitions.items():
        name = '' if state is last else state.value
        arrow = '── %s %s▶' % (event.value, '─' * (event_width - len(event.value) + 2))
        lines.append('%s %s %s' % (name.ljust(state_width), arrow, 'the same' if target is state else target.value))
        last = state
    ends = [state.value for state in dict.fromkeys(transitions.values()) if all(state is not s for s, _ in transitions)]
    lines += ['%s (the end)' % end.ljust(state_width) for end in ends]
    return '\n'.join(lines)


def completed(page: str) -> str:
    """Return the text of the page with current diagrams."""

    def fill(match: re.Match[str]) -> str:
        text = diagram(DIAGRAMS[match[1]])
        return '<!-- states: %s -->\n\n```text\n%s\n```\n\n<!-- end of states -->' % (match[1], text)

    return re.sub(r'<!-- states: ([^>]*?) -->.*?<!-- end of states -->', fill, page, flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true', help='change nothing; exit code 1 if a diagram is not current')
    args = parser.parse_args()
    old = PAGE.read_text('utf-8')
    new = completed(old)
    if new != old:
        if args.check:
            sys.exit('not current: %s; run: python docs/state_diagrams.py' % PAGE.name)
        PAGE.write_text(new, 'utf-8')


if __name__ == '__main__':
    main()
