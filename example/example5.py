"""A text classifier: a small network in Keras on BERT's vectors, against TF-IDF on the same sentences.

python example/example5.py
python example/example5.py -epochs 100 -seed 2
"""

import keras
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import topics
from bert_serving.client import ConcurrentBertClient
from example4 import encode, read
from options import make_parser


def classify_vectors(client, epochs):
    """The share of the test sentences that a network, trained on the vectors of the others, gets right."""
    vectors, labels = vectors_of(topics.TRAIN, client)
    layers = [
        keras.Input(vectors.shape[1:]),
        keras.layers.Dense(128, activation='relu'),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(len(topics.TOPICS), activation='softmax'),
    ]
    model = keras.Sequential(layers)
    model.compile('adam', 'sparse_categorical_crossentropy', metrics=['accuracy'])
    model.fit(vectors, labels, epochs=epochs, verbose=0)
    _loss, accuracy = model.evaluate(*vectors_of(topics.TEST, client), verbose=0)
    return accuracy


def vectors_of(path, client):
    """The vectors [N, D] and labels [N] of a file: encoded once, however many epochs there are."""
    batches = encode(read(path).batch(64), client, client.max_concurrency)
    vectors, labels = zip(*batches.as_numpy_iterator())
    return np.concatenate(vectors), np.concatenate(labels)


def classify_words():
    """The same for TF-IDF and logistic regression, with the best of several settings by cross-validation."""
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(solver='newton-cg'))
    settings = {
        'tfidfvectorizer__ngram_range': [(1, 1), (1, 2)],
        'tfidfvectorizer__stop_words': [None, 'english'],
        'logisticregression__C': [1, 10, 100],
    }
    return GridSearchCV(model, settings).fit(*topics.read(topics.TRAIN)).score(*topics.read(topics.TEST))


def main():
    parser = make_parser(__doc__)
    parser.add_argument('-epochs', type=int, default=50, help='rounds of training (default: 50)')
    parser.add_argument('-seed', type=int, default=1, help='of the random numbers in training (default: 1)')
    args = parser.parse_args()
    keras.utils.set_random_seed(args.seed)

    client = ConcurrentBertClient(4, ip=args.ip, port=args.port, port_out=args.port_out)
    print('%-40s %s' % ('', 'accuracy'))
    print('%-40s %.3f' % ('BERT vectors, a layer of 128 units', classify_vectors(client, args.epochs)))
    print('%-40s %.3f' % ('TF-IDF, logistic regression', classify_words()))
    client.close()


if __name__ == '__main__':
    main()
