"""Ask now, collect later: three ways not to wait for each answer.

python example/example2.py
python example/example2.py -batches 100 -rows 256
"""

import itertools
import time

import topics
from bert_serving.client import BertClient
from options import make_parser


def endless(sentences, rows):
    """Batch after batch, forever; the next is made when the server can take it."""
    stream = itertools.cycle(sentences)
    while True:
        yield list(itertools.islice(stream, rows))


def main():
    parser = make_parser(__doc__)
    parser.add_argument('-batches', type=int, default=10, help='how many (default: 10)')
    parser.add_argument('-rows', type=int, default=64, help='sentences of each (default: 64)')
    args = parser.parse_args()
    sentences, _ = topics.read(topics.TRAIN)

    with BertClient(args.ip, args.port, args.port_out) as bc:
        print('encode_async: the first %d batches of an endless stream, as they arrive' % args.batches)
        for response in bc.encode_async(endless(sentences, args.rows), max_num_batch=args.batches):
            print('  received %s' % (response.shape,))

        print('fetch: each answer as it arrives, a small one ahead of larger ones')
        started = time.perf_counter()
        for batch in itertools.islice(endless(sentences, args.rows), args.batches):
            bc.encode(batch, blocking=False)
        bc.encode(['One sentence, asked last.'], blocking=False)
        print('  %d requests are out after %.3f s' % (bc.status['num_pending_request'], time.perf_counter() - started))
        for response in bc.fetch():
            print('  received %s after %.3f s' % (response.shape, time.perf_counter() - started))

        print('fetch_all: all answers, in the order of sending')
        for batch in itertools.islice(endless(sentences, args.rows), args.batches):
            bc.encode(batch, blocking=False)
        print('  received %s' % (bc.fetch_all(concat=True).shape,))


if __name__ == '__main__':
    main()
