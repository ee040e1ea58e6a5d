"""Read the messages of clients frame by frame, so that a message of very many frames delays no other client."""

from __future__ import annotations

import logging

import zmq

from ..guard import MessageCounter
from ..protocol.wire import wrong_number_of_frames
from ..tcp import shut_down
from ..transport import Socket, connection_of_message

logger = logging.getLogger(__name__)

MAX_FRAMES = 5
"""The frames of the longest valid message."""

SKIPPED_A_ROUND = 2000
"""Frames of a longer message that the reader discards before it serves others."""

MAX_SKIPPED = 1000
"""The maximum frames to discard: a message with more closes its connection."""


class FrameReader:
    """Reads the messages of one socket. For the socket's thread only."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._skipped = 0
        self._skipped_from: zmq.Frame | None = None
        self.counter = MessageCounter()
        self.num_skipped = 0
        """The number of messages with too many frames."""

    def read(self) -> list[zmq.Frame]:
        """Read a message frame by frame. Return no frames if there is no message, or if it has too many frames.

        A socket with keys can be readable without a message: libzmq queues the owner of the connection in front of the
        first message, even if the peer has sent nothing but a heartbeat. So this method never waits for a message.

        ZeroMQ delivers the frames of a message only after the last has arrived, and the next message only after the
        last frame has been read. So this method reads the rest a few thousand frames a round, and discards them.
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
            more = self._socket.recv(copy=False).more  # twice as fast as a copy and a question to the socket
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
