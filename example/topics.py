"""The labeled sentences of data/: each is about the garden, the kitchen, music or sport."""

from pathlib import Path

TOPICS = ['garden', 'kitchen', 'music', 'sport']
DATA = Path(__file__).parent / 'data'
TRAIN = DATA / 'topics-train.tsv'
TEST = DATA / 'topics-test.tsv'


def read(path):
    """The sentences of a file, and as many labels, each an index into `TOPICS`."""
    rows = [line.split('\t') for line in path.read_text('utf-8').splitlines()]
    return [sentence for _, sentence in rows], [TOPICS.index(topic) for topic, _ in rows]
