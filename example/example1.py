"""How the size of a request changes the speed.

python example/example1.py
python example/example1.py -sizes 1 64 -seconds 10
"""

import time

from bert_serving.client import BertClient
from options import make_parser

SENTENCES = [
    'The size of a request decides how well the server is used.',
    'A request may hold one sentence, or ten thousand.',
    'Do not bother to batch: the server does.',
    'One sentence at a time is the slowest way there is.',
]


def main():
    parser = make_parser(__doc__)
    parser.add_argument('-sizes', type=int, nargs='+', default=[1, 4, 16, 64, 256, 1024], help='sentences of a request')
    parser.add_argument('-seconds', type=float, default=2.0, help='for each size (default: 2)')
    args = parser.parse_args()

    with BertClient(args.ip, args.port, args.port_out) as bc:
        print('%12s %14s' % ('request size', 'sentences/s'))
        for size in args.sizes:
            # No two alike: the server computes equal sentences once.
            texts = ['%d. %s' % (number, SENTENCES[number % len(SENTENCES)]) for number in range(size)]
            bc.encode(texts)  # the first of a size is slower
            rows, started = 0, time.perf_counter()
            while time.perf_counter() - started < args.seconds:
                rows += len(bc.encode(texts))
            print('%12d %14.0f' % (size, rows / (time.perf_counter() - started)))


if __name__ == '__main__':
    main()
