"""Who may do what: stop the server, read what others are answered, look into its folder of sockets.

The folder: tests/loops/test_transport.py and tests/system/test_start_and_stop.py.
"""

from __future__ import annotations

import psutil
import pytest

from bert_serving.server.addresses import is_loopback
from support.processes import fake_server
from support.raw_client import raw_client


def own_address() -> str:
    """An address of this machine that is not its loopback; whoever connects to it comes from it."""
    for addresses in psutil.net_if_addrs().values():
        for address in addresses:
            if address.family.name == 'AF_INET' and not is_loopback(address.address):
                return str(address.address)
    pytest.skip('this machine has no address but its loopback')


def test_who_may_do_what_a_termination_from_another_address_is_not_obeyed() -> None:
    ip = own_address()
    with fake_server() as server:
        server.wait_until_ready()
        with raw_client(server, ip=ip) as stranger:
            stranger.send(b'0', b'TERMINATION', b'0', b'0')
            stranger.assert_served()
        server.wait_for_log('ignored a shutdown request from %s' % ip)
        with raw_client(server) as neighbor:
            neighbor.send(b'0', b'TERMINATION', b'0', b'0')
            assert server.wait() == 0


def test_who_may_do_what_with_allow_remote_terminate_it_is_obeyed() -> None:
    ip = own_address()
    with fake_server('-allow_remote_terminate') as server:
        server.wait_until_ready()
        with raw_client(server, ip=ip) as stranger:
            stranger.send(b'0', b'TERMINATION', b'0', b'0')
            assert server.wait() == 0


def test_who_may_do_what_an_empty_subscription_reads_nobodys_answers() -> None:
    with fake_server() as server:
        server.wait_until_ready()
        with raw_client(server) as spy, raw_client(server) as honest:
            spy.leave()
            spy.identity = b''
            spy.subscribe()
            server.wait_for_log('refused an empty subscription')
            honest.assert_served()
            with pytest.raises(AssertionError, match='no answer'):
                spy.receive(within_s=0.3)
        assert server.stop() == 0
