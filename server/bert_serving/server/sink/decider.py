"""All decisions of the sink: the assembler joins parts into replies, the publisher delivers them to clients.

Pure: an event and the time go in, a list of actions comes out. The two share nothing but one step, `Publisher.post`.
"""

from __future__ import annotations

from typing import assert_never

from ..protocol.ring import (
    Collected,
    Drain,
    Drop,
    DroppedPart,
    FailedPart,
    JobHeader,
    Part,
    Refuse,
    Register,
    Status,
)
from .assembler import Assembler
from .events import Action, Blocked, EmitSpans, Event, SendFeedback, Sent, SpareTime, Subscribed, Tick, Unsubscribed
from .limits import DEFAULT_LIMITS, SinkLimits
from .publisher import Publisher
from .replies import Reply


class SinkDecider:
    """The assembler and the publisher. For the sink's thread only."""

    def __init__(self, limits: SinkLimits = DEFAULT_LIMITS) -> None:
        self.assembler = Assembler(limits)
        self.publisher = Publisher(limits)
        # The credit for the last part of a request is withheld until it is joined: should the sink die of that, the
        # ventilator must not take the request for collected (rule 4 of the ring).
        self._withheld: dict[int, Action] = {}

    @property
    def is_joining(self) -> bool:
        """Whether `SpareTime` should come as soon as possible."""
        return bool(self.assembler.joining)

    def handle(self, event: Event, now: float) -> list[Action]:
        """Handle one event, and return the actions for the loop, in order."""
        actions = self._handle(event, now)
        if self._withheld:
            joined = [number for number in self._withheld if number not in self.assembler.joining]
            return [*map(self._withheld.pop, joined), *actions]
        return actions

    def _handle(self, event: Event, now: float) -> list[Action]:
        match event:
            case Part():
                return self._collect(event, now)
            case SpareTime():
                return self._post(self.assembler.join_some(), now) if self.is_joining else []
            case Sent(reply):
                if reply.trace is None:
                    return self.publisher.sent(reply)
                return [*self.publisher.sent(reply), EmitSpans(reply.trace.traceparent, reply.trace.spans(now))]
            case Register(request):
                self.assembler.register(request)
                self.publisher.expect(request.identity, now)
                return []
            case FailedPart(worker, header, error):
                if header.trace is not None:
                    header.trace.collected_at = now
                return [_give_credit(worker, header), *self._post(self.assembler.fail(header, error), now)]
            case DroppedPart(worker, header):
                return [_give_credit(worker, header)]
            case Refuse():
                return self._post(self.assembler.refuse(event), now)
            case Drop(number):
                self.assembler.drop(number)
                return []
            case Status():
                return self.publisher.post(Reply.status(event), now)
            case Blocked(reply):
                return self.publisher.blocked(reply, now)
            case Subscribed(topic):
                return self.publisher.subscribe(topic)
            case Unsubscribed(topic):
                return self.publisher.unsubscribe(topic, now)
            case Drain():
                self.publisher.drain()
                return []
            case Tick():
                return self.publisher.tick(now)
            case _:
                assert_never(event)

    def check_invariants(self) -> None:
        """Raise AssertionError if the state is inconsistent. For tests, after all actions were performed."""
        self.assembler.check_invariants()
        self.publisher.check_invariants()

    def _collect(self, part: Part, now: float) -> list[Action]:
        header, number = part.header, part.header.request.number
        if header.trace is not None:
            header.trace.collected_at = now
        actions = [_give_credit(part.worker, header)]
        was_joining = number in self.assembler.joining
        for product in self.assembler.add(part):
            if isinstance(product, Reply):
                actions += self.publisher.post(product, now)
            else:
                actions.append(product)
        if number in self.assembler.joining and not was_joining:
            self._withheld[number] = actions.pop()
        return actions

    def _post(self, reply: Reply | None, now: float) -> list[Action]:
        return [] if reply is None else self.publisher.post(reply, now)


def _give_credit(worker: int, header: JobHeader) -> Action:
    """Return the worker's credit for a job immediately, even if the part is a duplicate."""
    return SendFeedback(Collected(worker, header.request.number, header.part, header.attempt))
