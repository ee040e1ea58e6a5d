"""How the size of a request changes the speed. Needs a server: `make serve`, or `bert-serving-start`.

    python example/example1.py [PORT [PORT_OUT]]
"""

from __future__ import print_function

import sys
import time

from bert_serving.client import BertClient

SENTENCES = [
    'The size of a request decides how well the server is used.',
    'A request may hold one sentence, or ten thousand.',
    'Do not bother to batch: the server does.',
    'One sentence at a time is the slowest way there is.',
]
SIZES = [1, 4, 16, 64, 256, 1024]
SECONDS_EACH = 2.0


def main():
    ports = [int(word) for word in sys.argv[1:]] or [5555]
    with BertClient('localhost', *ports) as bc:
        print('%12s %14s' % ('request size', 'sentences/s'))
        for size in SIZES:
            texts = (SENTENCES * size)[:size]
            bc.encode(texts)  # the first of a size is slower
            rows, started = 0, time.time()
            while time.time() - started < SECONDS_EACH:
                rows += len(bc.encode(texts))
            print('%12d %14.0f' % (size, rows / (time.time() - started)))


if __name__ == '__main__':
    main()
