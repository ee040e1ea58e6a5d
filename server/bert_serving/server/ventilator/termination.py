"""Decide who can stop the server by a message. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TerminationPolicy:
    """The policy of the options: `is_off` for `-no_terminate`, `allows_remote` for `-allow_remote_terminate`.

    `user` is the user id of the server.
    """

    is_off: bool
    allows_remote: bool
    user: int


@dataclass(frozen=True, slots=True)
class TerminationSender:
    """The sender of a shutdown request.

    Attributes:
        is_private: the request came over the socket in the server's private folder, which other users cannot enter.
        is_local: the sender is certainly on this machine.
        user: the sender's user id on this machine, or None if unknown.
        is_granted: whether the sender's key allows it, or None if the server has no keys.
    """

    is_private: bool = False
    is_local: bool = False
    user: int | None = None
    is_granted: bool | None = None


def refusal_of_termination(policy: TerminationPolicy, sender: TerminationSender) -> str | None:
    """Return why the server ignores the request, or None if it obeys."""
    if policy.is_off:
        return 'the server was started with -no_terminate'
    if sender.is_private:
        return None
    if sender.is_granted is not None:
        return None if sender.is_granted else 'its key lacks the grant terminate'
    if policy.allows_remote:
        return None
    if not sender.is_local:
        return 'only local requests are accepted without -allow_remote_terminate'
    if sender.user not in (None, 0, policy.user):
        return 'it came from another user (id %d) of this machine, without -allow_remote_terminate' % sender.user
    return None
