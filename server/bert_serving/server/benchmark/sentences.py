"""Make the sentences of a benchmark, all different and the same for every run and every server."""

from __future__ import annotations

import random
from collections.abc import Sequence

SEED = 20181115

MEAN_WORDS, SHAPE = 19.0, 4.0
"""The gamma distribution of sentence lengths. With the period, [CLS] and [SEP], the mean is 22 tokens."""
SHORTEST, LONGEST = 3, 60

WORDS = tuple(
    'the of and a to in is you that it he was for on are as with his they at be this have from or one had by word but '
    'not what all were we when your can said there use an each which she do how their if will up other about out many '
    'then them these so some her would make like him into time has look two more write go see number no way could '
    'people my than first water been call who oil its now find long down day did get come made may part over new sound '
    'take only little work know place year live me back give most very after thing our just name good sentence man '
    'think say great where help through much before line right too mean old any same tell boy follow came want show '
    'also around form three small set put end does another well large must big even such because turn here why ask '
    'went men read need land different home us move try kind hand picture again change off play spell air away animal '
    'house point page letter mother answer found study still learn should world'.split()
)
"""Frequent English words, the most frequent first. Each is one token in the usual vocabularies."""


def read_vocabulary(path: str) -> list[str]:
    """Read the words of a file, each once, in order."""
    with open(path, encoding='utf-8-sig') as file:
        return list(dict.fromkeys(word for line in file for word in line.split()))


def make_sentences(number: int, words: int | None = None, vocabulary: Sequence[str] = WORDS) -> list[str]:
    """Make `number` different sentences from `vocabulary`, in which frequent words come first.

    Each has `words` words, or the length of a natural sentence. If the vocabulary is too small to make them all
    different, a number is appended.
    """
    dice = random.Random(SEED)
    weights = [1 / (rank + 10) for rank in range(len(vocabulary))]
    sentences: dict[str, None] = {}
    for index in range(number):
        length = words or min(LONGEST, max(SHORTEST, round(dice.gammavariate(SHAPE, MEAN_WORDS / SHAPE))))
        sentence = ' '.join(dice.choices(vocabulary, weights, k=length)) + '.'
        sentences[sentence if sentence not in sentences else '%s %d' % (sentence, index)] = None
    return list(sentences)
