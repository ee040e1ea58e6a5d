"""The client of bert-as-service for asyncio, for Python 3.8 and later; its types are in ``aio.pyi``.

::

    tasks ──▶ orders ──▶ driver ──▶ PUSH ──▶ server ──▶ SUB ──▶ driver ──▶ the future of each task

The *driver* is a thread, and the only one that uses the sockets. It runs the same courier as ``BertClient``, so
requests survive a lost connection in the same way. The event loop owns no socket, so any kind of loop works on every
system, including one that is already running, as in Jupyter.
"""

from __future__ import annotations

import asyncio
import collections
import logging
import os
import threading
import weakref

import bert_serving.client as _client
from bert_serving.client import SharedClientError

__all__ = ['AsyncBertClient']

_log = logging.getLogger('bert_serving.client')

_MOST_PENDING_ROWS = 16384
_BATCHES_IN_FLIGHT = 16  # of `encode_async`


# --- driver -----------------------------------------------------------------------------------------------------------


class _Order:
    """A request of a task. For the courier it is an inbox, and its reply becomes the result of ``future``."""

    __slots__ = ('future', 'needs', 'waiting', '_settled')

    def __init__(self, future, needs, settled):
        self.future = future
        self.needs = needs  # the extensions that it requires
        self.waiting = {}
        self._settled = settled

    def put(self, reply):
        self.waiting.clear()
        self._settled(self, reply, reply.error)


class _Driver:
    """The thread that carries orders to the server, and replies to the waiting event loops.

    Other threads call only ``do``, ``stop`` and the properties.
    """

    def __init__(self, courier):
        self._courier = courier
        self._pid = os.getpid()
        self._to_do = collections.deque()
        self._orders = set()  # without a reply
        self._outcomes = []  # (future, result, error), for the loops
        self._configured = []  # futures of those who wait for the configuration
        self._ended = []  # futures of those who wait for the end
        self._has_ended = False
        self._question = None  # the request for the configuration of this session
        self._limits_session = None
        self.config = self.limits = None  # of the server that was connected last; None before the first

    # of any thread

    def start(self):
        threading.Thread(target=self._run, name='bert-client-driver', daemon=True).start()

    def do(self, function, *arguments):
        """Make the thread call one of the methods below."""
        self._to_do.append((function, arguments))
        if len(self._to_do) == 1:  # else it has not begun with the earlier ones, and will handle this one with them
            self._courier.interrupt()
        if self._has_ended:
            self._finish()

    def stop(self):
        self._courier.is_closed = True
        if os.getpid() == self._pid:  # else the thread and the sockets belong to the parent process
            self._courier.interrupt()

    @property
    def is_stopped(self):
        return self._courier.is_closed

    @property
    def is_connected(self):
        return self._courier.is_connected

    @property
    def num_request(self):
        return self._courier.num_request

    @property
    def pending_ids(self):
        return self._courier.pending_ids

    def timeout_error(self, deadline):
        return self._courier.timeout_error(deadline)

    # to be called by `do`

    def post(self, order, payload, rows, options, is_patient):
        if order.future.cancelled():
            return
        if self._courier.is_closed:
            self._settle(order.future, None, _client._closed_error())
            return
        self._courier.forgive()
        self._courier.post(payload, rows, order, options, is_patient)
        self._orders.add(order)
        self._refuse_if_unsupported(order)

    def give_up(self, order):
        """Drop a request that nobody waits for, and cancel it at the server."""
        self._orders.discard(order)
        self._courier.abandon(order)

    def tell_config(self, future):
        if self.config is not None:
            self._settle(future, self.config, None)
        else:
            self._courier.forgive()
            self._configured.append(future)

    def tell_end(self, future):
        self._ended.append(future)

    # the thread

    def _run(self):
        reporter = self._courier.reporter()
        error = None
        try:
            while not self._courier.is_closed:
                self._run_calls()
                self._courier.exchange()
                self._learn()
                if self._courier.refusal:
                    self._fail(self._courier.refusal)
                if self._outcomes or not self._orders:
                    reporter = self._courier.reporter()  # whose wait begins now
                self._deliver()
                reporter.tick(len(self._orders))
                if not self._to_do:
                    self._courier.wait(_client._TICK_S)
        except BaseException as reason:
            _log.exception('an AsyncBertClient failed: its calls end with this error')
            error = reason
            self._courier.is_closed = True
        self._end(error)

    def _run_calls(self):
        while self._to_do:
            function, arguments = self._to_do.popleft()
            function(*arguments)

    def _learn(self):
        """Ask for the configuration on each new connection, because a restarted server can be another release."""
        session = self._courier.session
        if session is None or session == self._limits_session or self._question is not None:
            return
        self._question = _Order(None, frozenset(), self.settle_order)
        self._courier.post(b'SHOW_CONFIG', 0, self._question)
        self._courier.exchange()

    def _remember(self, config):
        self._question = None
        limits = _client._ServerLimits(config)
        session = self._limits_session = self._courier.session
        self._courier.extended_session = session if 'options' in limits.extensions else None
        self._courier.cancelling_session = session if 'cancel' in limits.extensions else None
        self.limits, self.config = limits, config
        for future in self._configured:
            self._settle(future, config, None)
        self._configured = []
        for order in list(self._orders):
            self._refuse_if_unsupported(order)

    def _refuse_if_unsupported(self, order):
        if self._limits_session == self._courier.session and not order.needs <= self.limits.extensions:
            self.give_up(order)
            self._settle(order.future, None, _client._unsupported_error(order.needs - self.limits.extensions))

    def settle_order(self, order, reply, error):
        """Handle a reply from the courier."""
        if order is self._question:
            if error is None:
                self._remember(reply.header)
            else:
                self._question = None
                self._fail_configured(error)
            return
        self._orders.discard(order)
        self._settle(order.future, reply, error)

    def _fail(self, error):
        """End all waiting calls, because the server rejects this client."""
        for order in list(self._orders):
            self.give_up(order)
            self._settle(order.future, None, error)
        if self._question is not None:
            self._courier.abandon(self._question)
            self._question = None
        self._fail_configured(error)

    def _fail_configured(self, error):
        for future in self._configured:
            self._settle(future, None, error)
        self._configured = []

    def _settle(self, future, result, error):
        self._outcomes.append((future, result, error))

    def _deliver(self):
        """Pass on the outcomes, in one call for each loop."""
        outcomes, self._outcomes = self._outcomes, []
        by_loop = collections.OrderedDict()
        for outcome in outcomes:
            by_loop.setdefault(outcome[0].get_loop(), []).append(outcome)
        for loop, its_outcomes in by_loop.items():
            try:
                loop.call_soon_threadsafe(_resolve, its_outcomes)
            except RuntimeError:
                pass  # that loop is closed, so nobody waits there any more

    def _end(self, error):
        for order in self._orders:
            self._settle(order.future, None, error or _client._closed_error())
        self._orders = set()
        self._has_ended = True
        try:
            self._courier.close()
        finally:
            self._finish()

    def _finish(self):
        """Answer late callers. Any thread can call it, because the driver's thread has ended."""
        while True:
            try:
                function, arguments = self._to_do.popleft()
            except IndexError:
                break
            function(*arguments)
        for future in self._ended:
            self._settle(future, None, None)
        self._ended = []
        self._fail_configured(_client._closed_error())
        self._deliver()


def _resolve(outcomes):
    """Set the results of futures, in their loop."""
    for future, result, error in outcomes:
        if future.done():
            pass  # its task was canceled meanwhile
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)


# --- bound ------------------------------------------------------------------------------------------------------------


class _Room:
    """The limit on pending rows. Requests without room wait in turn. A request beyond the limit is sent alone."""

    def __init__(self, most):
        self._most = most
        self._used = 0
        self._queue = collections.deque()

    async def take(self, rows, wait):
        """Wait with ``wait(futures)`` until there is room for ``rows`` rows."""
        if not self._queue and self._fits(rows):
            self._used += rows
            return
        turn = asyncio.get_running_loop().create_future()
        self._queue.append((rows, turn))
        try:
            await wait([turn])
        except BaseException:
            if turn.done():
                self.give_back(rows)  # it became free at the same moment
            else:
                turn.cancel()
                self._admit()
            raise

    def give_back(self, rows):
        self._used -= rows
        self._admit()

    def _admit(self):
        while self._queue:
            rows, turn = self._queue[0]
            if turn.done():  # cancelled
                self._queue.popleft()
            elif self._fits(rows):
                self._queue.popleft()
                self._used += rows
                turn.set_result(None)
            else:
                break

    def _fits(self, rows):
        return not self._used or self._used + rows <= self._most


# --- client -----------------------------------------------------------------------------------------------------------


class AsyncBertClient(_client._Configured):
    """A client of a BertServer for any number of tasks of an event loop, over one pair of connections.

    ::

        async with AsyncBertClient() as bc:
            await asyncio.gather(*(bc.encode([text]) for text in texts))

    It has the methods of ``BertClient`` as coroutines. ``server_config``, ``server_status`` and ``model`` are awaited
    too: ``await bc.model``. To send now and collect later, make tasks: ``encode(blocking=False)``, ``fetch``,
    ``fetch_all`` and ``listen`` raise NotImplementedError.

    Canceling a task cancels its requests at the server. While ``max_pending_rows`` rows are pending, further requests
    wait in the client. If the server is down or restarts, calls wait for it up to ``timeout``, and the client sends
    pending requests again.

    The first call or ``async with`` connects. A client belongs to one event loop at a time, and to the process of its
    first call.

    :param ip: host name or address of the server
    :param port: port that takes requests, the server's ``-port``
    :param port_out: port that publishes results, the server's ``-port_out``
    :param output_fmt: ``'ndarray'`` or ``'list'``: whether embeddings are arrays or nested lists of floats
    :param show_server_config: print the server's configuration at the first call
    :param identity: bytes or text; clients with the same identity receive each other's results
    :param check_version: the first call raises AttributeError if the server speaks another protocol
    :param check_length: warn when a text has more words than the server's ``max_seq_len``
    :param check_token_info: ask the server whether it shows its tokens, for ``token_info_available``
    :param ignore_all_checks: skip the checks above
    :param timeout: milliseconds that a call waits for the server; -1: forever
    :param max_pending_rows: maximum number of pending rows; a larger request is sent alone
    :param server_key: public key of a server with ``-curve_key_file``, or the file of its certificate; ``''`` for none;
        None: ``BERT_SERVING_SERVER_KEY`` of the environment
    :param key_file: file with the secret certificate of this client; None: ``BERT_SERVING_KEY_FILE``
    :raises AttributeError: a wrong ``output_fmt``
    :raises TypeError: an argument of another type
    :raises ValueError: a value that an argument cannot have
    """

    def __init__(
        self,
        ip='localhost',
        port=5555,
        port_out=5556,
        output_fmt='ndarray',
        show_server_config=False,
        identity=None,
        check_version=True,
        check_length=True,
        check_token_info=True,
        ignore_all_checks=False,
        timeout=-1,
        max_pending_rows=_MOST_PENDING_ROWS,
        server_key=None,
        key_file=None,
    ):
        self._configure(
            ip,
            port,
            port_out,
            output_fmt,
            show_server_config,
            identity,
            check_version,
            check_length,
            check_token_info,
            ignore_all_checks,
            timeout,
            server_key,
            key_file,
        )
        self._has_clones = bool(identity)
        self._max_pending_rows = _client._read_number(max_pending_rows, 'max_pending_rows', 1)

        # The first call makes it, so that a client can be made before a fork.
        self._pid = self._loop = self._room = self._driver = None
        self._is_checked = self._is_closed = False

    # --- public -------------------------------------------------------------------------------------------------------

    @property
    def status(self):
        """State of this client, without asking the server: the keys of ``BertClient.status``."""
        pending = set(self._driver.pending_ids) if self._driver else set()
        return self._describe(self._driver.num_request if self._driver else 0, pending)

    @property
    def is_connected(self):
        """Whether both connections to the server are up."""
        return self._driver is not None and self._driver.is_connected

    @property
    def server_config(self):
        """Options and versions of the server: ``await`` gives a dict; it asks the server each time."""
        return self._ask(b'SHOW_CONFIG')

    @property
    def server_status(self):
        """Like ``server_config``, with ``statistic``: a dict of the counters of the server."""
        return self._ask(b'SHOW_STATUS')

    @property
    def model(self):
        """Description of the server's model, the dict of ``BertClient.model``, by ``await``."""
        return self._model()

    async def encode(
        self,
        texts,
        blocking=True,
        is_tokenized=False,
        show_tokens=False,
        show_progress=False,
        prompt_name=None,
        prompt=None,
        normalize=None,
        dimensions=None,
        dtype=None,
        truncate=None,
    ):
        """Turn texts into vectors; the parameters, the result and the errors are those of ``BertClient.encode``."""
        if not blocking:
            raise _not_async('encode(blocking=False)')
        options = _client._wishes(prompt_name, prompt, normalize, dimensions, dtype, truncate, not is_tokenized)
        deadline = await self._begin()
        rows = _client._checked(texts, is_tokenized, truncate, self.length_limit)
        answer = await self._encode_in_chunks(rows, deadline, options, show_progress=show_progress)
        return _client._presented(answer, self.output_fmt, show_tokens)

    async def encode_query(
        self, texts, normalize=None, dimensions=None, dtype=None, truncate=None, show_tokens=False, show_progress=False
    ):
        """Encode search queries with the model's prompt, as ``BertClient.encode_query`` does."""
        return await self._encode_as('query', texts, normalize, dimensions, dtype, truncate, show_tokens, show_progress)

    async def encode_document(
        self, texts, normalize=None, dimensions=None, dtype=None, truncate=None, show_tokens=False, show_progress=False
    ):
        """Encode documents for search with the model's prompt, as ``BertClient.encode_document`` does."""
        return await self._encode_as(
            'document', texts, normalize, dimensions, dtype, truncate, show_tokens, show_progress
        )

    async def predict(self, pairs_or_texts, raw=False, truncate=None):
        """Return the scores of a cross-encoder or classifier, as ``BertClient.predict`` does."""
        rows, options = _client._pairs_or_texts(pairs_or_texts, raw, truncate)
        answer = await self._encode_in_chunks(rows, await self._begin(), options)
        return _client._scores(answer.array)

    async def rerank(self, query, documents, top_n=None, raw=False, truncate=None):
        """Order documents by a cross-encoder's scores for a query, as ``BertClient.rerank`` does."""
        pairs = _client._candidates(query, documents, top_n)
        return _client._ranking(await self.predict(pairs, raw, truncate), top_n)

    async def encode_with_details(
        self,
        texts,
        is_tokenized=False,
        token_ids=False,
        prompt_name=None,
        prompt=None,
        normalize=None,
        dimensions=None,
        dtype=None,
        truncate=None,
        joined_pairs=True,
    ):
        """Encode, and also return the number of tokens of each text, as ``BertClient.encode_with_details`` does."""
        is_text = not (is_tokenized or token_ids)
        wishes = _client._wishes(prompt_name, prompt, normalize, dimensions, dtype, truncate, is_text)
        options = _client._details_options(wishes, joined_pairs)
        deadline = await self._begin()
        if token_ids:
            rows, needs = _client._TokenIds(texts), frozenset(['token_ids'])
        else:
            rows, needs = _client._checked(texts, is_tokenized, truncate, self.length_limit), frozenset()
        return await self._ask_for_details(rows, deadline, options, needs)

    async def predict_with_details(self, pairs_or_texts, raw=False, truncate=None):
        """Return scores and the number of tokens of each row, as ``BertClient.predict_with_details`` does."""
        rows, options = _client._pairs_or_texts(pairs_or_texts, raw, truncate)
        return await self._ask_for_details(rows, await self._begin(), dict(options, token_counts=True))

    async def tokenize(self, texts, is_tokenized=False, offsets=False, prompt_name=None, prompt=None):
        """Return the tokens of texts and their ids, as ``BertClient.tokenize`` does."""
        options = _client._tokenize_options(is_tokenized, offsets, prompt_name, prompt)
        return await self._ask_for_details(_client._Texts(texts, is_tokenized), await self._begin(), options)

    async def decode(self, token_ids, special_tokens=False):
        """Return the texts that lists of token ids stand for, as ``BertClient.decode`` does."""
        options = _client._decode_options(special_tokens)
        rows = _client._TokenIds(token_ids)
        needs = frozenset(['token_ids'])
        return _client._decoded(await self._ask_for_details(rows, await self._begin(), options, needs))

    async def encode_async(
        self,
        batch_generator,
        max_num_batch=None,
        delay=0.1,
        is_tokenized=False,
        show_tokens=False,
        show_progress=False,
        prompt_name=None,
        prompt=None,
        normalize=None,
        dimensions=None,
        dtype=None,
        truncate=None,
    ):
        """Encode a stream of batches; yield each result as a ``Response``, in the order of arrival.

        ::

            async for response in bc.encode_async(batches()):
                print(response.id, response.embedding.shape)

        :param batch_generator: an asynchronous or plain iterable of values for ``texts`` of ``encode``; a plain one
            runs in a thread, because it might block
        :param delay: ignored; 1.10 used it
        :param show_tokens: ignored; the tokens are in the responses

        The other parameters are as in ``BertClient.encode_async``. If you leave the loop early, close the generator
        (``contextlib.aclosing``) to cancel the rest.
        """
        options = _client._wishes(prompt_name, prompt, normalize, dimensions, dtype, truncate, not is_tokenized)
        await self._begin()
        batches = _Batches(batch_generator, max_num_batch or None)
        progress = _client._progress_bar(max_num_batch, stacklevel=3) if show_progress else _client._NoProgress()
        requests = set()  # tasks
        pull = error = None  # the error of the producer is raised after the results of its earlier batches
        try:
            while True:
                if pull is None and not batches.has_ended and len(requests) < _BATCHES_IN_FLIGHT:
                    pull = asyncio.ensure_future(self._next_rows(batches, is_tokenized, truncate))
                if not requests and pull is None:
                    break
                done, _ = await asyncio.wait(
                    [*requests, *([pull] if pull else [])], return_when=asyncio.FIRST_COMPLETED
                )
                if pull in done:
                    done.remove(pull)
                    error = pull.exception()
                    batches.has_ended |= error is not None
                    if not batches.has_ended:
                        requests.add(asyncio.ensure_future(self._send_whole(pull.result(), options)))
                    pull = None
                for request in done:
                    requests.remove(request)
                    response = request.result()
                    progress.update(1)
                    yield response
            if error:
                raise error
        finally:
            left = [*requests, *([pull] if pull else [])]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            progress.close()

    def fetch(self, *args, **kwargs):
        raise _not_async('fetch')

    def fetch_all(self, *args, **kwargs):
        raise _not_async('fetch_all')

    def listen(self):
        raise _not_async('listen')

    async def close(self):
        """Close both connections; pending calls end with an error. You can call it twice."""
        self._is_closed = True
        driver = self._driver
        if driver is not None and self._pid == os.getpid():
            driver.stop()
            ended = asyncio.get_running_loop().create_future()
            driver.do(driver.tell_end, ended)
            await ended

    async def __aenter__(self):
        try:
            await self._begin()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, exc_type, exc_value, traceback):
        await self.close()

    def __reduce_ex__(self, protocol):
        """Refuse to be pickled or copied, by multiprocessing, joblib and copy."""
        raise TypeError(
            'an AsyncBertClient cannot be pickled or copied, because its connections belong to this process: make one in '
            'each process'
        )

    # --- private ------------------------------------------------------------------------------------------------------

    async def _begin(self):
        """Connect if necessary, get the server's configuration, and return the deadline of the new call."""
        deadline = _client._Deadline(self.timeout)
        self._claim()
        if self._driver.config is None:
            told = asyncio.get_running_loop().create_future()
            self._driver.do(self._driver.tell_config, told)
            try:
                await self._wait([told], deadline)
            finally:
                told.cancel()
            told.result()  # raises
        if not self._is_checked:
            self._check_server(self._driver.config)
            self._is_checked = True
        return deadline

    def _claim(self):
        if self._is_closed:
            raise _client._closed_error()
        loop = asyncio.get_running_loop()
        if self._driver is None:
            link = _client._Link(self.ip, self.port, self.port_out, self.identity, self._keys)
            self._driver = _Driver(_client._Courier(link, self.identity, self._has_clones))
            self._driver.start()
            self._pid = os.getpid()
            weakref.finalize(self, self._driver.stop)
        if self._pid != os.getpid():
            raise SharedClientError(
                'this AsyncBertClient was used in process %d and is now used in process %d: make one in each process'
                % (self._pid, os.getpid())
            )
        if self._loop is not loop:
            if self._loop is not None and not self._loop.is_closed():
                raise SharedClientError('this AsyncBertClient belongs to another event loop: make one in each')
            self._loop = loop
            self._room = _Room(self._max_pending_rows)

    async def _wait(self, futures, deadline):
        """Wait for the first of some futures, and return the finished ones."""
        seconds = deadline.seconds_left
        timeout = None if seconds == float('inf') else max(0, seconds)
        done, _ = await asyncio.wait(futures, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            raise self._driver.timeout_error(deadline)
        return done

    async def _post(self, payload, rows, deadline, options=None, needs=frozenset(), is_patient=True):
        """Send a request as soon as there is room, and return its order."""
        room = self._room
        await room.take(rows, lambda futures: self._wait(futures, deadline))
        future = self._loop.create_future()
        future.add_done_callback(lambda future: room.give_back(rows))
        order = _Order(future, needs, self._driver.settle_order)
        self._driver.do(self._driver.post, order, payload, rows, _client._until(options, deadline), is_patient)
        return order

    def _give_up(self, order):
        if not order.future.done():
            order.future.cancel()
            self._driver.do(self._driver.give_up, order)

    async def _reply(self, order, deadline):
        """Wait for the reply to a request. Give up the request if the wait ends early."""
        try:
            await self._wait([order.future], deadline)
        finally:
            self._give_up(order)
        return order.future.result()

    async def _ask(self, question):
        deadline = await self._begin()
        return (await self._reply(await self._post(question, 0, deadline), deadline)).header

    async def _model(self):
        return _client._described_model(await self._ask(b'SHOW_CONFIG'))

    async def _next_rows(self, batches, is_tokenized, truncate):
        """Get and check the next batch, or return None after the last."""
        batch = await batches.next()
        return None if batches.has_ended else _client._checked(batch, is_tokenized, truncate, self.length_limit)

    async def _send_whole(self, rows, options):
        """Encode all rows with one request, and return its ``Response``."""
        deadline = await self._begin()
        payload = _client._dump_whole(rows, self._driver.limits)
        needs = _client._needs_of(options) if options else frozenset()
        reply = await self._reply(await self._post(payload, len(rows), deadline, options, needs), deadline)
        return _client._response(reply, self.output_fmt)

    async def _encode_as(self, kind, texts, normalize, dimensions, dtype, truncate, show_tokens, show_progress):
        await self._begin()
        limits = self._driver.limits
        if not _client._PROMPT_NEEDS <= limits.extensions:
            raise _client._unsupported_error(_client._PROMPT_NEEDS - limits.extensions)
        options = _client._prompt_options(kind, limits.prompts)
        options.update(normalize=normalize, dimensions=dimensions, dtype=dtype, truncate=truncate)
        return await self.encode(texts, show_tokens=show_tokens, show_progress=show_progress, **options)

    async def _ask_for_details(self, rows, deadline, options, needs=frozenset()):
        answer = await self._encode_in_chunks(rows, deadline, options, needs, is_patient=False)
        return answer.details()

    async def _encode_in_chunks(
        self, rows, deadline, options=None, needs=frozenset(), is_patient=True, show_progress=False
    ):
        if options:
            needs = needs | _client._needs_of(options)
        answer = _client._Answer(len(rows), is_ragged=bool(options and options.get('tokenize')))
        progress = _client._progress_bar(len(rows), stacklevel=4) if show_progress else _client._NoProgress()
        limits = self._driver.limits
        chunks = _client._requests(rows, answer, show_progress, limits, lambda: limits)
        orders = {}  # future -> (order, first row)
        try:
            while answer.missing:
                while len(orders) < _client._CHUNKS_IN_FLIGHT:
                    start, count, payload = next(chunks, (0, 0, None))
                    if payload is None:
                        break
                    order = await self._post(payload, count, deadline, options, needs, is_patient)
                    orders[order.future] = order, start
                for future in await self._wait(orders, deadline):
                    _, start = orders.pop(future)
                    progress.update(answer.put(start, future.result()))
            return answer
        finally:
            for order, _ in orders.values():
                self._give_up(order)
            progress.close()


class _Batches:
    """The batches of an asynchronous or plain iterable, up to a maximum number."""

    def __init__(self, iterable, most):
        self._is_async = hasattr(iterable, '__aiter__')
        self._iterator = iterable.__aiter__() if self._is_async else iter(iterable)
        self._left = most
        self.has_ended = False

    async def next(self):
        """Return the next batch. After the last, return None and set ``has_ended``."""
        if self._left == 0:
            self.has_ended = True
            return None
        if self._left is not None:
            self._left -= 1
        try:
            if self._is_async:
                return await self._iterator.__anext__()
            return await asyncio.get_running_loop().run_in_executor(None, _next, self._iterator)
        except (StopAsyncIteration, _Exhausted):
            self.has_ended = True
            return None


class _Exhausted(Exception):
    """Replaces StopIteration, which a future cannot carry."""


def _next(iterator):
    try:
        return next(iterator)
    except StopIteration:
        raise _Exhausted from None


def _not_async(method):
    return NotImplementedError('"%s" is not implemented for AsyncBertClient: make tasks of "encode"' % method)
