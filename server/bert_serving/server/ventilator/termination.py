"""Permission to stop the server by a message. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TerminationPolicy:
    """The permissions that the options give: `is_off` is `-no_terminate`, `allows_remote` is `-allow_remote_terminate`.

    `user` is the user id of the server.
    """

    is_off: bool
    allows_remote: bool
    user: int


@dataclass(frozen=True, slots=True)
class TerminationSender:
    """The sender of the message.

    Attributes:
        is_private: it came over the socket in the private folder of the server, which other users cannot enter.
        is_local: it is on this machine for sure.
        user: its user id on this machine, None if that is not known.
        is_granted: what its key allows, None if the server has no keys.
    """

    is_private: bool = False
    is_local: bool = False
    user: int | None = None
    is_granted: bool | None = None


def refusal_of_termination(policy: TerminationPolicy, sender: TerminationSender) -> str | None:
    """Why the server does not obey, None if it does."""
    if policy.is_off:
        return 'the server was started with -no_terminate'
    if sender.is_private:
        return None
    if sender.is_granted is not None:
        return None if sender.is_granted else 'its key has no grant to stop the server'
    if policy.allows_remote:
        return None
    if not sender.is_local:
        return 'only local requests are accepted without -allow_remote_terminate'
    if sender.user not in (None, 0, policy.user):
        return 'it came from another user (id %d) of this machine, without -allow_remote_terminate' % sender.user
    return None
