"""The quota of unread replies: beyond it a reply becomes an error, and nothing else of the principal is lost."""

from __future__ import annotations

import json

from bert_serving.server.protocol.ring import Status
from bert_serving.server.security.principals import Principal, Quota
from bert_serving.server.security.shares import PrincipalShares
from bert_serving.server.sink.events import Publish
from bert_serving.server.sink.publisher import Publisher
from bert_serving.server.sink.replies import Reply
from bert_serving.server.sink.unread_quotas import UnreadQuotas


class Directory:
    """One principal with a quota, and one without."""

    names = frozenset({'alice', 'bob'})

    def principal(self, name: str) -> Principal:
        return Principal(name, quota=Quota(bytes_unread=1000) if name == 'alice' else Quota())


def a_reply(identity: bytes, size: int) -> Reply:
    return Reply.status(Status(identity, b'7', size * b'x'))


def test_a_reply_beyond_the_quota_becomes_an_error_that_says_whose_it_is_and_what_to_do() -> None:
    quotas = UnreadQuotas(PrincipalShares(Directory(), '_http'))
    first, other = a_reply(b'alice.1', 900), a_reply(b'bob.1', 5000)
    assert quotas.put(first) is first
    assert quotas.put(other) is other
    refused = quotas.put(a_reply(b'alice.2', 200))
    assert (refused.identity, refused.frames[-1], refused.answered) == (b'alice.2', b'7', False)
    error = json.loads(bytes(refused.frames[1]))['error']
    assert error['type'] == 'QuotaExceeded'
    assert "bytes_unread=1000 of principal 'alice'" in error['message']
    assert error['message'].endswith('read them, then retry')
    quotas.take(first)
    quotas.take(refused)
    fits = a_reply(b'alice.2', 200)
    assert quotas.put(fits) is fits


def test_a_reply_for_which_no_other_waits_is_never_too_much() -> None:
    quotas = UnreadQuotas(PrincipalShares(Directory(), '_http'))
    for _ in range(2):
        large = a_reply(b'alice.1', 9000)
        assert quotas.put(large) is large
        quotas.take(large)


def test_the_publisher_counts_what_waits_and_forgets_what_was_sent() -> None:
    publisher = Publisher()
    publisher.quotas = UnreadQuotas(PrincipalShares(Directory(), '_http'))
    publisher.subscribe(b'alice.' + 16 * b'1')
    for _ in range(3):
        (action,) = publisher.post(a_reply(b'alice.' + 16 * b'1', 900), 0.0)
        assert isinstance(action, Publish)
        publisher.sent(action.reply)
        publisher.check_invariants()
