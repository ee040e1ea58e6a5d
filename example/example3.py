"""Multicast: clients of one identity all hear what one of them asked for, and the server computes it once.

python example/example3.py
python example/example3.py -clones 4 -batches 10
"""

import itertools
import sys
from threading import Thread

import topics
from bert_serving.client import BertClient
from options import make_parser


def hear(name, responses):
    """What a clone does with the vectors that it hears, each in a thread of its own; here it only says so."""
    for response in responses:
        say('%s: received %s' % (name, response.shape))


def say(line):
    sys.stdout.write(line + '\n')  # in one piece, whatever the other threads have to say


def main():
    parser = make_parser(__doc__)
    parser.add_argument('-clones', type=int, default=2, help='how many (default: 2)')
    parser.add_argument('-batches', type=int, default=3, help='how many are encoded (default: 3)')
    args = parser.parse_args()
    sentences, _ = topics.read(topics.TEST)

    bc = BertClient(args.ip, args.port, args.port_out)
    clones = [BertClient(args.ip, args.port, args.port_out, identity=bc.identity) for _ in range(args.clones)]
    threads = []
    for number, clone in enumerate(clones):
        # `listen` goes on forever, and keeps what comes from now on.
        responses = itertools.islice(clone.listen(), args.batches)
        threads.append(Thread(target=hear, args=('clone %d' % number, responses)))
        threads[-1].start()

    for number in range(args.batches):
        say('original: received %s' % (bc.encode(sentences[number :: args.batches]).shape,))

    for thread in threads:
        thread.join()
    for client in [bc, *clones]:
        client.close()


if __name__ == '__main__':
    main()
