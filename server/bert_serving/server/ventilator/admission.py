"""Whether a request is accepted, by the limits of the queue, the shares and the quotas."""

from __future__ import annotations

from ..errors import ShuttingDown
from ..protocol.wire import EncodeRequest
from ..security.shares import NO_QUOTA, Shares
from .limits import AdmissionLimits
from .quotas import QuotaCheck
from .records import memory_bytes
from .registry import Holding, RequestRegistry


class Admission:
    """Knows whose each request is, and what its owner has already.

    Attributes:
        is_draining: whether no request is accepted any more.
        shares: says whose a client is, and what that owner may have.
    """

    def __init__(self, requests: RequestRegistry) -> None:
        """`requests` are those that are accepted and not finished."""
        self.is_draining = False
        self.shares = Shares()
        self._requests = requests
        self._quotas = QuotaCheck()

    def check(self, request: EncodeRequest, limits: AdmissionLimits, now: float) -> None:
        """Raise ShuttingDown, Busy or QuotaExceeded if a request is not accepted now."""
        if self.is_draining:
            raise ShuttingDown('the server is shutting down and takes no new requests: send it again later')
        owner, more_bytes = self.shares.owner_of(request.identity), memory_bytes(request)
        requests, quota = self._requests, self.shares.quota_of(owner)
        own = requests.holding(owner)
        if quota is not NO_QUOTA:
            self._quotas.check(owner, quota, own, Holding(request.rows, more_bytes, 1), now)
        if requests:  # a request that is the only one is never too much
            limits.check_queue(requests.rows, request.rows, requests.memory_bytes, more_bytes)
            if own.rows:
                limits.check_share(requests.rows, own.rows, request.rows)
                limits.check_share_of_memory(requests.memory_bytes, own.memory_bytes, more_bytes)

    def note(self, owner: bytes, rows: int, now: float) -> None:
        """Count the rows of an accepted request."""
        self._quotas.note(owner, self.shares.quota_of(owner), rows, now)
