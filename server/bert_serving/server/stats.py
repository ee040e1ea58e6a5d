"""Counts what the ventilator sees of its clients: the `statistic` of SHOW_STATUS, in the keys of 1.10.

Pure: requests and the time go in, a dictionary comes out. Memory is bounded: of clients and intervals only the latest are
kept, of sizes only a summary.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass

ACTIVE_S = 180.0
"""A client is active when its last data request is no older."""

KEPT_CLIENTS = 10_000
KEPT_INTERVALS = 200

Number = int | float


@dataclass(slots=True)
class Summary:
    """Of the values seen so far: their number and sum, and the least and the greatest with how often each came."""

    count: int = 0
    total: Number = 0
    least: Number = 0
    num_least: int = 0
    greatest: Number = 0
    num_greatest: int = 0

    @classmethod
    def of(cls, values: Iterable[Number]) -> Summary:
        summary = cls()
        for value in values:
            summary.add(value)
        return summary

    def add(self, value: Number) -> None:
        """Take one more value in."""
        if not self.count or value < self.least:
            self.least, self.num_least = value, 0
        if not self.count or value > self.greatest:
            self.greatest, self.num_greatest = value, 0
        self.num_least += value == self.least
        self.num_greatest += value == self.greatest
        self.count += 1
        self.total += value

    def to_dict(self, name: str) -> dict[str, Number]:
        """The keys of 1.10 for a group of that name; {} if there are no values."""
        if not self.count:
            return {}
        return {
            'avg_' + name: self.total / self.count,
            'min_' + name: self.least,
            'max_' + name: self.greatest,
            'num_min_' + name: self.num_least,
            'num_max_' + name: self.num_greatest,
        }


class RequestStatistic:
    """What has been asked so far. Used by the ventilator's thread alone."""

    def __init__(self) -> None:
        self._requests_of: OrderedDict[bytes, int] = OrderedDict()
        self._last_data_request: OrderedDict[bytes, float] = OrderedDict()
        self._num_client = 0
        self._sizes = Summary()
        self._intervals: deque[float] = deque(maxlen=KEPT_INTERVALS)
        self._last: float | None = None
        self._num_sys = 0

    def count_system_request(self, identity: bytes) -> None:
        """A client has asked for the configuration or the status."""
        self._count_client(identity)
        self._num_sys += 1

    def count_data_request(self, identity: bytes, rows: int, now: float) -> None:
        """A client has sent `rows` texts at time `now`, in seconds of any clock that only goes forward."""
        self._count_client(identity)
        self._sizes.add(rows)
        self._last_data_request[identity] = now
        self._last_data_request.move_to_end(identity)
        if len(self._last_data_request) > KEPT_CLIENTS:
            self._last_data_request.popitem(last=False)
        if self._last is not None:
            self._intervals.append(now - self._last)
        self._last = now

    def _count_client(self, identity: bytes) -> None:
        if identity not in self._requests_of:
            self._num_client += 1
        self._requests_of[identity] = self._requests_of.get(identity, 0) + 1
        self._requests_of.move_to_end(identity)
        if len(self._requests_of) > KEPT_CLIENTS:
            self._requests_of.popitem(last=False)

    def to_dict(self, now: float) -> dict[str, Number]:
        """The keys of 1.10; a group of which nothing is known yet is left out."""
        return {
            'num_data_request': self._sizes.count,
            'num_total_seq': self._sizes.total,
            'num_sys_request': self._num_sys,
            'num_total_request': self._sizes.count + self._num_sys,
            'num_total_client': self._num_client,
            'num_active_client': sum(now - last < ACTIVE_S for last in self._last_data_request.values()),
            **Summary.of(self._requests_of.values()).to_dict('request_per_client'),
            **self._sizes.to_dict('size_per_request'),
            **Summary.of(self._intervals).to_dict('last_two_interval'),
            **Summary.of(1 / seconds for seconds in self._intervals if seconds > 0).to_dict('request_per_second'),
        }
