# -*- coding: utf-8 -*-
"""Put one client through its paces against one server, whichever releases they are; runs on Python 2.7 and 3.

    python exercise.py --port 5555 --port-out 5556 --client ours    # bert-serving-client 2 is installed
    python exercise.py --port 5555 --port-out 5556 --client 1.10    # bert-serving-client==1.10.0 is

The server must have been started with -show_tokens_to_client. Exits with 1 at the first thing that is wrong, and says
what.
"""

from __future__ import print_function, unicode_literals  # ruff format drops the u of a literal

import argparse
import sys
import threading

import numpy as np

import bert_serving.client
from bert_serving.client import BertClient, ConcurrentBertClient

TEXTS = ['hello world', 'the quick brown fox', 'na\u00efve \u4f60\u597d', 'a ||| b']
PATIENCE_MS = 60000


class Wrong(Exception):
    """What a server or a client did, and should not have."""


def check(condition, complaint):
    if not condition:
        raise Wrong(complaint)


def same(got, expected, what):
    check(got.shape == expected.shape, '%s: shape %s instead of %s' % (what, got.shape, expected.shape))
    check(np.allclose(got, expected, rtol=1e-4, atol=2e-5), '%s: wrong values' % what)


def encoding(bc, alone):
    same(bc.encode(TEXTS), np.concatenate([alone[text] for text in TEXTS]), 'encode')
    many = TEXTS * 200
    same(bc.encode(many), np.concatenate([alone[text] for text in many]), 'encode of %d rows' % len(many))


def tokens(bc, alone):
    embedding, shown = bc.encode(['hello world', 'a ||| b'], show_tokens=True)
    same(embedding, np.concatenate([alone['hello world'], alone['a ||| b']]), 'encode with tokens')
    check(shown[0][0] == '[CLS]' and shown[0][-1] == '[SEP]', 'tokens are %r' % (shown,))
    inner = shown[0][1:-1]
    same(bc.encode([inner], is_tokenized=True), alone['hello world'], 'encode of tokens')


def pairs(bc, alone):
    shown = bc.encode(['a ||| b'], show_tokens=True)[1][0]
    check(shown.count('[SEP]') == 2, 'tokens of a pair are %r' % (shown,))
    same(bc.encode([['a', '|||', 'b']], is_tokenized=True), alone['a ||| b'], 'a pair in tokens')


def asynchronous(bc, alone):
    for text in TEXTS:
        bc.encode([text], blocking=False)
    answers = bc.fetch_all()
    check(len(answers) == len(TEXTS), '%d answers to %d requests' % (len(answers), len(TEXTS)))
    for text, embedding in zip(TEXTS, answers):
        same(embedding, alone[text], 'fetch_all')
    rows = [
        response.embedding.shape[0]
        for response in bc.encode_async((['a'] * (number + 1) for number in range(10)), max_num_batch=8)
    ]
    check(sorted(rows) == list(range(1, 9)), 'encode_async gave %r rows' % (rows,))


def status(bc, alone):
    config, full = bc.server_config, bc.server_status
    for key in ('max_seq_len', 'max_batch_size', 'pooling_strategy', 'server_version', 'num_process', 'client'):
        check(key in config and key in full, '%s is missing in the config or the status' % key)
    check(config['server_version'] == '1.10.0', 'the protocol is %r' % config['server_version'])
    check(full['statistic']['num_data_request'] > 0, 'the statistic is %r' % full['statistic'])
    check(bc.status['num_pending_request'] == 0, 'something is pending: %r' % bc.status)


def multicast(bc, alone, connect):
    clone = connect(identity=bc.identity, ignore_all_checks=True)  # 1.10 stumbles over what a clone asks for itself
    if hasattr(clone, 'listen'):
        clone.server_config  # answered, so it has subscribed
        bc.encode(['hello world'], blocking=False)
        same(next(clone.listen()).embedding, alone['hello world'], 'what the clone hears')
        same(bc.fetch_all()[0], alone['hello world'], 'what was asked for')
    else:
        same(overheard(clone, lambda: bc.encode(['hello world'])), alone['hello world'], 'what the clone hears')
    clone.close()


def overheard(clone, ask):
    """What a clone of 1.10 hears, which has no method for it; asked again, because it may not have subscribed yet."""
    for _ in range(100):
        ask()
        if clone.receiver.poll(200):
            return np.frombuffer(clone.receiver.recv_multipart()[2], dtype=np.float32).reshape(1, -1)
    raise Wrong('the clone hears nothing')


def threads(connect):
    pool = connect(ConcurrentBertClient, max_concurrency=4)
    results = {}

    def ask(text):
        results[text] = pool.encode(texts=[text])

    asking = [threading.Thread(target=ask, args=(text,)) for text in TEXTS]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    check(len(results) == len(TEXTS), 'only %d of %d threads were answered' % (len(results), len(TEXTS)))
    pool.close()


def run(port, port_out):
    def connect(kind=BertClient, **arguments):
        return kind(ip='localhost', port=port, port_out=port_out, timeout=PATIENCE_MS, **arguments)

    with connect() as bc:  # its check of versions included
        alone = {text: bc.encode([text]) for text in TEXTS}
        for exercise in (encoding, tokens, pairs, asynchronous, status):
            exercise(bc, alone)
            print('  %s: good' % exercise.__name__)
        multicast(bc, alone, connect)
        print('  multicast: good')
    threads(connect)
    print('  threads: good')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--port', type=int, required=True)
    parser.add_argument('--port-out', type=int, required=True)
    parser.add_argument('--client', choices=['ours', '1.10'], required=True)
    arguments = parser.parse_args()
    release = bert_serving.client.__version__
    if (release == '1.10.0') != (arguments.client == '1.10'):
        sys.exit('the client that is installed is %s' % release)
    print('client %s on Python %d.%d, server on port %d' % ((release,) + sys.version_info[:2] + (arguments.port,)))
    try:
        run(arguments.port, arguments.port_out)
    except Wrong as complaint:
        sys.exit('WRONG: %s' % complaint)
    print('all good')


if __name__ == '__main__':
    main()
