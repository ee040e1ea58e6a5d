# -*- coding: utf-8 -*-
"""What goes to another process by pickle: a client says what to do instead, results and errors arrive."""

import copy
import multiprocessing
import pickle

import numpy as np
import pytest

from bert_serving.client import (
    CancelledError,
    Encoded,
    ProtocolError,
    Response,
    ServerError,
    SharedClientError,
    TimeoutError,
    UnsupportedError,
)

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
WAYS = [copy.copy, copy.deepcopy, lambda value: copy.deepcopy({'in a': [value]})] + [
    lambda value, each=each: pickle.dumps(value, each) for each in PROTOCOLS
]


@pytest.mark.parametrize('fixture', ['client', 'pool'])
@pytest.mark.parametrize('way', WAYS)
def test_a_client_that_is_pickled_or_copied_says_what_to_do_instead(request, fixture, way):
    client = request.getfixturevalue(fixture)
    with pytest.raises(TypeError, match='^a %s cannot be pickled.*make one in each process' % type(client).__name__):
        way(client)
    assert client.encode(['a']).shape == (1, 5)


@pytest.mark.filterwarnings('ignore:.*fork:DeprecationWarning')
@pytest.mark.parametrize('fixture', ['client', 'pool'])
def test_a_client_that_is_sent_to_a_process_pool_says_what_to_do_instead(request, fixture):
    client = request.getfixturevalue(fixture)
    workers = multiprocessing.Pool(1)
    try:
        with pytest.raises(TypeError, match='make one in each process'):
            workers.apply(len, (client,))
    finally:
        workers.terminate()
        workers.join()


def fail_as_the_server_does():
    raise ServerError('Busy', 'try later', 7)


@pytest.mark.filterwarnings('ignore:.*fork:DeprecationWarning')
def test_an_error_of_the_server_comes_back_from_a_process_pool():
    workers = multiprocessing.Pool(1)
    try:
        with pytest.raises(ServerError) as caught:
            workers.apply_async(fail_as_the_server_does).get(20)
        assert (caught.value.type, caught.value.message, caught.value.request_id) == ('Busy', 'try later', 7)
        assert str(caught.value) == 'Busy: try later'
    finally:
        workers.terminate()
        workers.join()


@pytest.mark.parametrize('protocol', [2, pickle.HIGHEST_PROTOCOL])
def test_results_and_errors_can_be_pickled(protocol):
    response = Response(3, np.ones((1, 2), np.float32), [['a']])
    encoded = Encoded(np.ones((1, 2), np.float32), '', [3])
    assert pickle.loads(pickle.dumps(response, protocol)).tokens == [['a']]
    assert pickle.loads(pickle.dumps(encoded, protocol)).token_counts == [3]
    assert encoded.truncated_rows == (), 'of a server that does not tell'
    for kind in (CancelledError, ProtocolError, SharedClientError, TimeoutError, UnsupportedError):
        copied = pickle.loads(pickle.dumps(kind('why'), pickle.HIGHEST_PROTOCOL))
        assert (type(copied), str(copied)) == (kind, 'why')
