# -*- coding: utf-8 -*-
"""A server by script, over real sockets: the tests say what is answered, when, in which order, and when it dies.

It runs in a thread, on ports that the system chose and that it keeps over a restart. As BertServer does, it publishes
to an identity only when that has subscribed.
"""

import json
import threading
import time
import zlib

import numpy as np
import zmq
import zmq.auth
from zmq.auth.thread import ThreadAuthenticator

CONFIG = {
    'server_version': '1.10.0',
    'server_release': '2.0.0',
    'max_seq_len': 25,
    'max_batch_size': 4,
    'show_tokens_to_client': True,
    'pooling_strategy': 2,
    'pooling_layer': [-2],
    'num_worker': 1,
}
DIMENSIONS = 5
PATIENCE_S = 20


class Request(object):
    """One message of a client."""

    def __init__(self, frames):
        self.frames = frames
        self.identity, self.payload, request_id, rows = frames[:4]
        self.options = json.loads(frames[4].decode('utf-8')) if len(frames) == 5 else None
        self.id = int(request_id)
        self.rows = int(rows)

    @property
    def texts(self):
        return json.loads(self.payload.decode('utf-8'))


def vectors(texts):
    """The embedding of texts or token lists: float32 [rows, DIMENSIONS], the same whoever asks."""
    return np.array(
        [
            [zlib.crc32(('%d %s' % (column, json.dumps(text))).encode('ascii')) % 1000 for column in range(DIMENSIONS)]
            for text in texts
        ],
        dtype=np.float32,
    )


def token_vectors(texts, batch):
    """As pooling strategy NONE without max_seq_len: [rows, L, DIMENSIONS], zero where a row has no token."""
    lengths = [len(text.split()) + 2 for text in texts]
    result = np.zeros((len(texts), max(lengths), DIMENSIONS), dtype=np.float32)
    for start in range(0, len(texts), batch):
        longest = max(lengths[start : start + batch])  # a server fills a sub-batch up to here
        result[start : start + batch, :longest] = vectors(texts[start : start + batch])[:, np.newaxis]
    return result


def tokens_of(texts):
    return [['[CLS]'] + (text if isinstance(text, list) else text.split()) + ['[SEP]'] for text in texts]


class ScriptedServer(object):
    """A stand-in for BertServer.

    ``script(request)`` gives the messages to publish for a data request; ``hold()`` gives none, so that the test does
    it.
    """

    def __init__(self, curve=None, **config):
        self.curve = curve  # the secret certificate of a server with keys, and the folder of the public ones
        self.config = dict(CONFIG, **config)
        self.script = self.answer
        self.port = self.port_out = None
        self.requests = []  # data requests, in the order of arrival, those of earlier lives too
        self.questions = []  # SHOW_CONFIG and SHOW_STATUS
        self.cancelled = []  # ids
        self.num_published = 0
        self._changed = threading.Condition()
        self._thread = None
        self._error = None  # of a script
        self.start()

    # what to answer

    def answer(self, request):
        """A true answer."""
        texts = request.texts
        if self.config['pooling_strategy'] == 0:
            return [self.result(request, token_vectors(texts, self.config['max_batch_size']))]
        return [self.result(request, vectors(texts))]

    def result(self, request, array, **header):
        info = {
            'dtype': str(array.dtype),
            'shape': array.shape,
            'tokens': tokens_of(request.texts) if self.config['show_tokens_to_client'] else '',
        }
        info.update(header)
        return [request.identity, json.dumps(info).encode('ascii'), array.tobytes(), b'%d' % request.id]

    def error(self, request, kind, message):
        body = json.dumps({'error': {'type': kind, 'message': message}}).encode('utf-8')
        return [request.identity, body, b'', b'%d' % request.id]

    def hold(self):
        self.script = lambda request: []

    def publish(self, *messages):
        """Publish from the thread of the test."""
        for frames in messages:
            self._orders.send_multipart(frames)

    # what has come

    def wait_for(self, number):
        """The first so many data requests; waits until they are there."""
        self.wait_until(lambda: len(self.requests) >= number)
        return self.requests[:number]

    def wait_until(self, condition):
        end = time.time() + PATIENCE_S
        with self._changed:
            while time.time() < end:
                if condition():
                    return
                self._changed.wait(0.1)
        raise AssertionError(
            'waited %d s; there are %d data requests, %d messages published'
            % (PATIENCE_S, len(self.requests), self.num_published)
        )

    # life and death

    def start(self):
        self._context = zmq.Context()
        if self.curve is not None:
            self._authenticator = ThreadAuthenticator(self._context)
            self._authenticator.start()
            self._authenticator.configure_curve(domain='*', location=self.curve[1])
        requests, results, orders = [self._context.socket(kind) for kind in (zmq.PULL, zmq.XPUB, zmq.PAIR)]
        for socket in (requests, results):
            socket.setsockopt(zmq.LINGER, 0)
            if self.curve is not None:
                public, secret = zmq.auth.load_certificate(self.curve[0])
                socket.curve_publickey, socket.curve_secretkey, socket.curve_server = public, secret, True
        results.setsockopt(zmq.XPUB_NODROP, 1)
        self.port = _bind(requests, self.port)
        self.port_out = _bind(results, self.port_out)
        orders.bind('inproc://orders')
        self._orders = self._context.socket(zmq.PAIR)
        self._orders.connect('inproc://orders')
        self._thread = threading.Thread(target=self._run, args=(requests, results, orders))
        self._thread.daemon = True
        self._thread.start()

    def stop(self):
        """Die, with all that has been accepted; may be called when dead."""
        if self._thread is not None:
            try:
                self._orders.send(b'stop', zmq.NOBLOCK)
            except zmq.Again:
                pass  # its thread ended, by an error of a script
            self._thread.join()
            self._thread = None
            if self.curve is not None:
                self._authenticator.stop()
            self._orders.close(0)
            self._context.term()
            if self._error is not None:
                raise self._error

    def restart(self):
        self.stop()
        self.start()

    def _run(self, requests, results, orders):
        try:
            self._serve(requests, results, orders)
        except Exception as error:  # of a script, for `stop` to raise
            self._error = error
        finally:
            for each in (requests, results, orders):  # or `stop` would wait for ever
                each.close(0)

    def _serve(self, requests, results, orders):
        poller = zmq.Poller()
        for socket in (requests, results, orders):
            poller.register(socket, zmq.POLLIN)
        topics, waiting = set(), []
        while True:
            for socket, _ in poller.poll(5 if waiting else None):
                frames = socket.recv_multipart()
                if socket is results:
                    (topics.add if frames[0][:1] == b'\x01' else topics.discard)(frames[0][1:])
                elif socket is requests:
                    waiting += self._handle(Request(frames))
                elif frames == [b'stop']:
                    return
                else:
                    waiting.append(frames)
            waiting = [frames for frames in waiting if not self._try_to_publish(results, topics, frames)]

    def _handle(self, request):
        if request.rows:
            messages = self.script(request)
            kept = self.requests
        elif request.payload == b'CANCEL':
            messages, kept = [], self.cancelled
            request = request.id
        else:
            answer = dict(self.config)
            if request.payload == b'SHOW_STATUS':
                answer['statistic'] = {'num_data_request': len(self.requests)}
            messages = [[request.identity, json.dumps(answer).encode('ascii'), b'%d' % request.id]]
            kept = self.questions
        with self._changed:
            kept.append(request)
            self._changed.notify_all()
        return messages

    def _try_to_publish(self, results, topics, frames):
        if not any(frames[0].startswith(topic) for topic in topics):
            return False
        try:
            results.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            return False
        with self._changed:
            self.num_published += 1
            self._changed.notify_all()
        return True


def _bind(socket, port):
    if port is None:
        return socket.bind_to_random_port('tcp://127.0.0.1')
    socket.bind('tcp://127.0.0.1:%d' % port)
    return port
