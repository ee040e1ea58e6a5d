"""Counts what the ventilator sees of its clients: the `statistic` of SHOW_STATUS, in the keys of 1.10.

Pure: requests and the time go in, a dictionary comes out. Memory is bounded: of clients and intervals only the latest
are kept.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Mapping

ACTIVE_S = 180.0
"""A client is active when its last data request is no older."""

KEPT_CLIENTS = 10_000
KEPT_INTERVALS = 200

Number = int | float


class RequestStatistic:
    """What has been asked so far. Used by the ventilator's thread alone."""

    def __init__(self) -> None:
        self._requests_of: OrderedDict[bytes, int] = OrderedDict()
        self._last_data_request: OrderedDict[bytes, float] = OrderedDict()
        self._num_client = 0
        self._sizes: Counter[int] = Counter()
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
        self._sizes[rows] += 1
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
        num_data = self._sizes.total()
        return {
            'num_data_request': num_data,
            'num_total_seq': sum(size * count for size, count in self._sizes.items()),
            'num_sys_request': self._num_sys,
            'num_total_request': num_data + self._num_sys,
            'num_total_client': self._num_client,
            'num_active_client': sum(now - last < ACTIVE_S for last in self._last_data_request.values()),
            **summarise('request_per_client', Counter(self._requests_of.values())),
            **summarise('size_per_request', self._sizes),
            **summarise('last_two_interval', Counter(self._intervals)),
            **summarise('request_per_second', Counter(1 / interval for interval in self._intervals if interval > 0)),
        }


def summarise(name: str, values: Mapping[int, int] | Mapping[float, int]) -> dict[str, Number]:
    """Mean, least and greatest of `values`, which maps each to how often it came; {} if there are none."""
    if not values:
        return {}
    least, greatest = min(values), max(values)
    return {
        'avg_' + name: sum(value * count for value, count in values.items()) / sum(values.values()),
        'min_' + name: least,
        'max_' + name: greatest,
        'num_min_' + name: values[least],  # type: ignore[index]
        'num_max_' + name: values[greatest],  # type: ignore[index]
    }
