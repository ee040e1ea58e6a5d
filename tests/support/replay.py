"""Replay golden cases through whatever `bert_serving.client` is importable, and compare the answers.

    python tests/support/replay.py CASE.json PORT PORT_OUT

Python 2.7 and 3, numpy and a client: so that the real client of 1.10 can be the judge as well as ours. The client
is made with default arguments, its version check included. Exits 1 with the first difference.
"""

import json
import os
import sys

import numpy as np

RTOL, ATOL = 1e-4, 2e-5  # for float32; see the data's own notes
MIN_COSINE = 0.999  # for float16, which was computed in float16


def replay(case_path, client):
    """Send every request of a case through `client`; AssertionError names the first answer that differs."""
    with open(case_path, encoding='utf-8') as file_:
        case = json.load(file_)
    expected = np.load(os.path.splitext(case_path)[0] + '.npz')
    for k, request in enumerate(case['requests']):
        show_tokens = request.get('show_tokens', False)
        answer = client.encode(
            request['texts'], is_tokenized=request.get('is_tokenized', False), show_tokens=show_tokens
        )
        array, tokens = answer if show_tokens else (answer, None)
        where = '%s, request %d' % (case['name'], k)
        compare(array, expected['embedding_%d' % k], where)
        if tokens != request['tokens']:
            raise AssertionError('%s: tokens differ:\n%r\n%r' % (where, tokens, request['tokens']))


def compare(array, expected, where):
    if array.shape != expected.shape or array.dtype != expected.dtype:
        raise AssertionError(
            '%s: %s %s, expected %s %s' % (where, array.dtype, array.shape, expected.dtype, expected.shape)
        )
    if array.dtype == np.float32:
        np.testing.assert_allclose(array, expected, rtol=RTOL, atol=ATOL, err_msg=where)
        return
    a = array.reshape(-1, array.shape[-1]).astype(np.float64)
    b = expected.reshape(a.shape).astype(np.float64)
    if not np.isfinite(a).all():
        raise AssertionError('%s: not finite' % where)
    cosine = (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))
    if cosine.min() < MIN_COSINE:
        raise AssertionError('%s: cosine %.6f' % (where, cosine.min()))


if __name__ == '__main__':
    from bert_serving.client import BertClient

    client = BertClient(port=int(sys.argv[2]), port_out=int(sys.argv[3]))
    try:
        replay(sys.argv[1], client)
    except AssertionError as error:
        sys.exit('%s' % error)
    print('equal: %s' % sys.argv[1])
