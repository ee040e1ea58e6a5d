"""Reading of the messages of clients, frame by frame, so that one of very many frames holds nobody up."""

from __future__ import annotations

import logging

import zmq

from ..guard import MessageCounter
from ..protocol.wire import wrong_number_of_frames
from ..tcp import shut_down
from ..transport import Socket, connection_of_message

logger = logging.getLogger(__name__)

MAX_FRAMES = 5
"""Frames of the longest message that makes sense."""

SKIPPED_A_ROUND = 2000
"""Frames of a longer message that are read into nothing before others are served."""

MAX_SKIPPED = 1000
"""A message of more frames than that ends its connection."""


class FrameReader:
    """Reads the messages of one socket. Used by the thread of the socket."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._skipped = 0
        self._skipped_from: zmq.Frame | None = None
        self.counter = MessageCounter()
        self.num_skipped = 0
        """Messages that had too many frames."""

    def read(self) -> list[zmq.Frame]:
        """Read a message, frame by frame; return no frames of one that has too many, or if there is none.

        A socket with keys can be readable and have no message: libzmq queues whose connection it is in front of the
        first message, even if the peer has sent nothing but a heartbeat. Who waits for a message then waits in vain.

        ZeroMQ gives the frames of a message away only after the last has come, and those of another message only after
        the last has been read. So the rest is read some thousand frames a round, and not kept.
        """
        if self._skipped_from is None:
            try:
                frame = self._socket.recv(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return []
            self.counter.add(frame)
            frames = [frame]
            while frame.more and len(frames) < MAX_FRAMES:
                frame = self._socket.recv(copy=False)
                frames.append(frame)
            if not frame.more:
                return frames
            self._skipped, self._skipped_from = MAX_FRAMES, frames[0]
        self._skip(self._skipped_from)
        return []

    def _skip(self, first: zmq.Frame) -> None:
        for _ in range(SKIPPED_A_ROUND):
            more = self._socket.recv(copy=False).more  # twice as fast as to copy, and then to ask the socket
            self._skipped += 1
            if not more:
                self.num_skipped += 1
                logger.warning('%s', wrong_number_of_frames(self._skipped))
                self._skipped_from = None
                return
        has_too_many = MAX_SKIPPED < self._skipped <= MAX_SKIPPED + SKIPPED_A_ROUND
        if has_too_many and (connection := connection_of_message(first)):
            logger.warning('closed a connection from %s that sent a message with too many frames', connection.address)
            shut_down(connection)
