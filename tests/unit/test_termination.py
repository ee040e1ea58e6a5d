"""Permission to stop the server by a message."""

from __future__ import annotations

import re

import pytest

from bert_serving.server.ventilator.termination import TerminationPolicy, TerminationSender, refusal_of_termination

DEFAULT = TerminationPolicy(is_off=False, allows_remote=False, user=1000)
OFF = TerminationPolicy(is_off=True, allows_remote=False, user=1000)
REMOTE = TerminationPolicy(is_off=False, allows_remote=True, user=1000)

PRIVATE = TerminationSender(is_private=True)
LOCAL = TerminationSender(is_local=True)
FAR = TerminationSender()


@pytest.mark.parametrize(
    ('policy', 'sender'),
    [
        (DEFAULT, PRIVATE),
        (DEFAULT, LOCAL),
        (DEFAULT, TerminationSender(is_local=True, user=0)),
        (DEFAULT, TerminationSender(is_local=True, user=1000)),
        (DEFAULT, TerminationSender(is_granted=True)),
        (REMOTE, FAR),
        (REMOTE, TerminationSender(is_local=True, user=1001)),
    ],
)
def test_the_server_stops_for_its_user_for_a_key_with_the_grant_and_for_whom_the_options_allow(
    policy: TerminationPolicy, sender: TerminationSender
) -> None:
    assert refusal_of_termination(policy, sender) is None


@pytest.mark.parametrize(
    ('policy', 'sender', 'says'),
    [
        (DEFAULT, FAR, '-allow_remote_terminate'),
        (DEFAULT, TerminationSender(is_local=True, user=1001), 'another user .id 1001. of this machine'),
        (DEFAULT, TerminationSender(is_local=True, user=1000, is_granted=False), 'lacks the grant'),
        (REMOTE, TerminationSender(is_granted=False), 'lacks the grant'),
        (OFF, PRIVATE, '-no_terminate'),
        (OFF, LOCAL, '-no_terminate'),
        (OFF, TerminationSender(is_granted=True), '-no_terminate'),
    ],
)
def test_it_stops_for_nobody_else(policy: TerminationPolicy, sender: TerminationSender, says: str) -> None:
    refusal = refusal_of_termination(policy, sender)
    assert refusal is not None
    assert re.search(says, refusal)
