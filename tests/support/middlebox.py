# -*- coding: utf-8 -*-
"""A box between client and server, as a firewall or a NAT is one: it forwards TCP, and may swallow bytes or be slow.

It runs in threads, on Python 2.7 too.
"""

import socket
import threading
import time

PATIENCE_S = 20
_BUFFER_BYTES = 1 << 16
_STEP_S = 0.01


class Middlebox(object):
    """Forwards connections to a port of this machine.

    ``swallow()`` makes the box forget the connections that it has: it goes on to acknowledge their bytes, in both
    directions, but drops them, and tells nobody. Later connections are forwarded, or swallowed from the start with
    ``swallows_new``. ``bytes_per_s`` makes each direction of a connection slow.
    """

    def __init__(self, port, host='127.0.0.1'):
        self._target = (host, port)
        self._listener = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)  # connections inherit it
        self._listener.bind((host, 0))
        self._listener.listen(16)
        self.port = self._listener.getsockname()[1]
        self.num_accepted = 0
        self.num_bytes = 0
        self.bytes_per_s = None
        self.swallows_new = False
        self._connections = []
        self._is_closed = False
        self._threads = []
        self._start(self._accept)

    def swallow(self):
        for connection in list(self._connections):
            connection.is_swallowed = True

    def wait_until(self, condition):
        end = time.time() + PATIENCE_S
        while not condition():
            assert time.time() < end
            time.sleep(0.005)

    def close(self):
        self._is_closed = True
        socket.create_connection(self._listener.getsockname()[:2]).close()  # wakes the thread that accepts
        self._threads[0].join()
        for connection in self._connections:
            connection.end()
        for thread in self._threads:
            thread.join()
        for connection in self._connections:
            connection.close()

    def _start(self, function, *arguments):
        thread = threading.Thread(target=function, args=arguments)
        thread.daemon = True
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            near = self._listener.accept()[0]
            if self._is_closed:
                break
            try:
                far = socket.create_connection(self._target)
            except socket.error:  # the server is away
                near.close()
                continue
            connection = _Connection(near, far, self.swallows_new)
            self._connections.append(connection)
            self.num_accepted += 1
            self._start(self._forward, connection, near, far)
            self._start(self._forward, connection, far, near)
        near.close()
        self._listener.close()

    def _forward(self, connection, source, target):
        try:
            while True:
                rate = self.bytes_per_s
                data = source.recv(max(1, int(rate * _STEP_S)) if rate else _BUFFER_BYTES)
                if not data:
                    break
                self.num_bytes += len(data)
                if not connection.is_swallowed:
                    if rate:
                        time.sleep(_STEP_S)
                    target.sendall(data)
        except socket.error:
            pass
        if not connection.is_swallowed:
            connection.end()


class _Connection(object):
    """Both ends of a connection."""

    def __init__(self, near, far, is_swallowed):
        self._ends = near, far
        self.is_swallowed = is_swallowed

    def end(self):
        for each in self._ends:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except socket.error:
                pass

    def close(self):
        for each in self._ends:
            each.close()
