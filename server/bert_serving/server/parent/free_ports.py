"""The ports that the children of a server are to listen on, checked before the children are started."""

from __future__ import annotations

from ..addresses import own_address
from ..http.config import HttpConfig
from ..transport import check_port
from .plan import Plan


def check_ports(plan: Plan, port_out: int) -> None:
    """Raise StartError if a port that a child is to listen on is in use: it would know only after the export."""
    check_port(port_out, 'port_out', plan.address)
    if plan.settings.http_port is not None:
        address = own_address(HttpConfig.from_settings(plan.settings).host)
        check_port(plan.settings.http_port, 'http_port', address)
