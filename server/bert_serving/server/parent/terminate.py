"""The request to stop a running server, as `bert-serving-terminate` and `BertServer.shutdown` send it.

1.10 printed "signal sent" whether or not a server was there. Here the ZeroMQ handshake shows whether a server listens,
before anything is sent.
"""

from __future__ import annotations

import zmq
from zmq.utils.monitor import recv_monitor_message

from ..errors import StartError
from ..protocol.wire import TERMINATION, encode_client_message


def terminate(ip: str, port: int, timeout_ms: int) -> None:
    """Send TERMINATION to the server that listens at `ip`:`port`; it shuts down gracefully.

    Raises:
        StartError: no server listens there; `timeout_ms` is how long to wait for a connection.
    """
    address = 'tcp://%s:%d' % (ip, port)
    with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
        socket.setsockopt(zmq.LINGER, timeout_ms)
        monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        socket.connect(address)
        connected = monitor.poll(timeout_ms)
        if connected:
            recv_monitor_message(monitor)
        socket.disable_monitor()
        monitor.close()
        if not connected:
            socket.setsockopt(zmq.LINGER, 0)
            raise StartError('no server listens at %s:%d (waited %d ms)' % (ip, port, timeout_ms))
        socket.send_multipart(encode_client_message(b'0', TERMINATION, 0))
