"""Save vectors to a TFRecord file, and load them as a dataset.

    python example/example6.py
    python example/example6.py -file vectors.tfrecord

What is saved is what the server answers: a vector for each sentence or, when it was started with `-pooling_strategy
NONE`, one for each token. The latter makes large files.
"""

import os
import tempfile
from contextlib import nullcontext

import numpy as np
import tensorflow as tf

import topics
from bert_serving.client import BertClient
from options import make_parser


def save(path, embeddings, labels):
    """Write a record for each sentence. A record holds flat lists, so the shape goes with the numbers."""
    with tf.io.TFRecordWriter(path) as writer:
        for embedding, label in zip(embeddings, labels):
            writer.write(make_example(embedding, label).SerializeToString())


def make_example(embedding, label):
    def floats(values):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    def integers(values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    features = {'embedding': floats(embedding.ravel()), 'shape': integers(embedding.shape), 'label': integers([label])}
    return tf.train.Example(features=tf.train.Features(feature=features))


def load(path):
    """A dataset of (embedding, label): embeddings are [D], or [T, D] at token level."""
    features = {
        'embedding': tf.io.FixedLenSequenceFeature([], tf.float32, allow_missing=True),
        'shape': tf.io.FixedLenSequenceFeature([], tf.int64, allow_missing=True),
        'label': tf.io.FixedLenFeature([], tf.int64),
    }

    def parse(record):
        example = tf.io.parse_single_example(record, features)
        return tf.reshape(example['embedding'], example['shape']), example['label']

    return tf.data.TFRecordDataset(path).map(parse)


def main():
    parser = make_parser(__doc__)
    parser.add_argument('-file', help='where to save (default: a temporary file)')
    args = parser.parse_args()
    sentences, labels = topics.read(topics.TEST)

    with BertClient(args.ip, args.port, args.port_out) as bc:
        if bc.server_config['pooling_strategy'] == 0:
            print('token level: this server does not pool (-pooling_strategy NONE)')
        else:
            print('sentence level: this server pools; for token level, start one with -pooling_strategy NONE')
        embeddings = bc.encode(sentences)

    with nullcontext() if args.file else tempfile.TemporaryDirectory() as folder:
        path = args.file or os.path.join(folder, 'vectors.tfrecord')
        save(path, embeddings, labels)
        print('saved %d records of %s, %d bytes' % (len(embeddings), embeddings.shape[1:], os.path.getsize(path)))
        for embedding, label in load(path).batch(64):
            print('loaded embeddings %s, labels %s' % (embedding.shape, label.shape))
        loaded = np.stack([embedding for embedding, _ in load(path).as_numpy_iterator()])
        print('what was loaded is what was saved: %s' % np.array_equal(loaded, embeddings))


if __name__ == '__main__':
    main()
