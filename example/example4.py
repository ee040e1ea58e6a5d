"""Encode on the fly in a `tf.data` pipeline, with a pool of clients.

    python example/example4.py
    python example/example4.py -parallel_calls 8 -rows 64

`map` calls its function in several threads at once, and a client belongs to one thread at a time. So each call takes a
client from a pool and puts it back: that is what `ConcurrentBertClient` does.
"""

import time

import tensorflow as tf

import topics
from bert_serving.client import ConcurrentBertClient
from options import make_parser


def read(path):
    """A dataset of the lines of a file: (sentence, label), a string and an integer."""
    names = tf.constant(topics.TOPICS)

    def split(line):
        fields = tf.strings.split(line, '\t')
        return fields[1], tf.argmax(tf.cast(names == fields[0], tf.int32))

    return tf.data.TextLineDataset(str(path)).map(split)


def encode(dataset, client, parallel_calls):
    """A dataset of (vectors [B, D], labels [B]), from one of (sentences [B], labels [B])."""
    shape = client.encode(['How long is a vector?']).shape[1:]

    def ask(sentences):
        return client.encode([sentence.decode() for sentence in sentences]).astype('float32', copy=False)

    def to_vectors(sentences, labels):
        vectors = tf.numpy_function(ask, [sentences], tf.float32)
        return tf.ensure_shape(vectors, [None, *shape]), labels

    return dataset.map(to_vectors, num_parallel_calls=parallel_calls)


def main():
    parser = make_parser(__doc__)
    parser.add_argument('-parallel_calls', type=int, default=4, help='calls, and so clients, at a time (default: 4)')
    parser.add_argument('-rows', type=int, default=32, help='sentences of a batch (default: 32)')
    args = parser.parse_args()

    pool = ConcurrentBertClient(args.parallel_calls, ip=args.ip, port=args.port, port_out=args.port_out)
    dataset = encode(read(topics.TRAIN).batch(args.rows), pool, args.parallel_calls).prefetch(tf.data.AUTOTUNE)
    print(dataset.element_spec)
    rows, started = 0, time.perf_counter()
    for vectors, labels in dataset:
        rows += len(vectors)
        print('features %s, labels %s' % (vectors.shape, labels.shape))
    print('%d sentences in %.2f s' % (rows, time.perf_counter() - started))
    pool.close()


if __name__ == '__main__':
    main()
