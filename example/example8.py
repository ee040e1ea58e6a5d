"""A search engine over the FAQ of the README: the question that is most like yours, and its answer.

    python example/example8.py                                 # asks you, until Ctrl-D
    python example/example8.py -query 'Do I need a GPU?'
    python example/example8.py -evaluate                       # figures, with the paraphrases in data/

Beside the questions as the README has them, data/phrasings.tsv has other ways in which each has been asked.
"""

import re
from pathlib import Path

import numpy as np

from bert_serving.client import BertClient
from options import make_parser

EXAMPLE = Path(__file__).resolve().parent
README = EXAMPLE.parent / 'README.md'
PHRASINGS = EXAMPLE / 'data' / 'phrasings.tsv'
PARAPHRASES = EXAMPLE / 'data' / 'paraphrases.tsv'


def read_faq(path):
    """The answers of the FAQ by their questions, which are headings of the form `##### **Q:** question`."""
    _before, *parts = re.split(r'^##### \*\*Q:\*\* (.*)$', path.read_text('utf-8'), flags=re.MULTILINE)
    return {question: answer.split('\n## ')[0].strip() for question, answer in zip(parts[::2], parts[1::2])}


def read_pairs(path):
    """Pairs of a text and the question of the FAQ that it asks."""
    return [tuple(line.split('\t')) for line in path.read_text('utf-8').splitlines()]


class Index:
    """Vectors of texts, each with the question that it asks."""

    def __init__(self, bc, pairs):
        texts, self.questions = zip(*pairs)
        self.bc = bc
        self.vectors = self.encode(texts)

    def encode(self, texts):
        """Vectors of length one, [N, D]: the product of two is the cosine of the angle between them."""
        vectors = self.bc.encode(texts)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def search(self, query):
        """All questions by their scores, the best first; a question is as near as the nearest text that asks it."""
        scores = self.vectors @ self.encode([query])[0]
        found = {}
        for at in np.argsort(-scores):
            found.setdefault(self.questions[at], scores[at])
        return found


def answer(index, faq, query, how_many):
    found = index.search(query)
    for question in list(found)[:how_many]:
        print('> %.3f  %s' % (found[question], question))
    print('\n%s\n' % faq[next(iter(found))])


def evaluate(index):
    """Say how many of the paraphrases find the right question, and which do not find it first."""
    pairs = read_pairs(PARAPHRASES)
    ranks = []
    for paraphrase, question in pairs:
        found = list(index.search(paraphrase))
        ranks.append(1 + found.index(question))
        if ranks[-1] > 1:
            print('%s\n    found: %s\n    right: %s (%d)' % (paraphrase, found[0], question, ranks[-1]))
    for place in (1, 3):
        print('the right one is among the first %d for %d of %d' % (place, sum(r <= place for r in ranks), len(pairs)))


def main():
    parser = make_parser(__doc__)
    parser.add_argument('-query', help='answer this question and end')
    parser.add_argument('-topk', type=int, default=5, help='how many questions are shown (default: 5)')
    parser.add_argument('-evaluate', action='store_true', help='try the paraphrases in data/')
    args = parser.parse_args()

    faq = read_faq(README)
    pairs = [(question, question) for question in faq]
    print('%d questions loaded, avg. len of %.0f words' % (len(faq), np.mean([len(q.split()) for q in faq])))
    with BertClient(args.ip, args.port, args.port_out) as bc:
        index = Index(bc, pairs + read_pairs(PHRASINGS))
        if args.evaluate:
            print('\nwith the questions of the README alone:')
            evaluate(Index(bc, pairs))
            print('\nwith other phrasings:')
            evaluate(index)
        elif args.query:
            answer(index, faq, args.query, args.topk)
        else:
            try:
                while True:
                    answer(index, faq, input('your question: '), args.topk)
            except (EOFError, KeyboardInterrupt):
                print()


if __name__ == '__main__':
    main()
