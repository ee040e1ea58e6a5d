"""A search engine over the FAQ in docs/: the question that is most like yours, and its answer.

    python example/example8.py                                 # asks you, until Ctrl-D
    python example/example8.py -query 'Do I need a GPU?'
    python example/example8.py -evaluate                       # figures, with the paraphrases in data/
    python example/example8.py -database :memory: -evaluate    # in Qdrant, among the sentences in data/
    python example/example8.py -rerank_port 5557 -rerank_port_out 5558    # with a server of a cross-encoder

In addition to the questions as the FAQ has them, data/phrasings.tsv has other ways in which each has been asked.
"""

import contextlib
import re
from functools import partial
from pathlib import Path

import numpy as np

from bert_serving.client import BertClient
from database import STAGES, Database
from options import make_parser
from topics import TEST, TRAIN, read

EXAMPLE = Path(__file__).resolve().parent
FAQ = EXAMPLE.parent / 'docs' / 'faq.md'
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


def reranked(search, ranker, how_many=20):
    """The search with its first results in the order of a cross-encoder, which reads query and question together.

    Without a ranker, it is the search as it is.
    """
    if ranker is None:
        return search

    def search_and_rerank(query):
        found = search(query)
        first = list(found)[:how_many]
        ranking = {first[at]: score for at, score in ranker.rerank(query, first)}
        return {**ranking, **{question: score for question, score in found.items() if question not in ranking}}

    return search_and_rerank


def answer(search, faq, query, how_many):
    found = search(query)
    for question in list(found)[:how_many]:
        print('> %.3f  %s' % (found[question], question))
    best = next(iter(found))
    print('\n%s\n' % faq.get(best, 'That is a sentence of data/, and no question.'))


def evaluate(search, pairs):
    """Say how many of the texts find the question that they ask, and which do not find it first."""
    ranks = []
    for text, question in pairs:
        found = list(search(text))
        ranks.append(1 + (found + [question]).index(question))
        if ranks[-1] > 1:
            print('%s\n    found: %s\n    right: %s (%d)' % (text, found[0], question, ranks[-1]))
    for place in (1, 3):
        print('the right one is among the first %d for %d of %d' % (place, sum(r <= place for r in ranks), len(pairs)))


def evaluate_index(bc, pairs, rank):
    for title, indexed in (
        ('with the questions of the FAQ alone', pairs),
        ('with other phrasings', pairs + read_pairs(PHRASINGS)),
    ):
        print('\n%s:' % title)
        evaluate(rank(Index(bc, indexed).search), read_pairs(PARAPHRASES))


def evaluate_database(bc, pairs, location, rank):
    """The phrasings are not in the database here, and are asked, too."""
    asked = read_pairs(PARAPHRASES) + read_pairs(PHRASINGS)
    texts = [text for text, _ in asked]
    vectors = dict(zip(texts, bc.encode_query(texts)))
    with fill_database(bc, pairs, location) as database:
        for stage in STAGES:
            print('\n%s:' % stage)
            evaluate(rank(lambda query: database.search(vectors[query], stage)), asked)


def fill_database(bc, pairs, location):
    """The pairs, and the 440 sentences of data/ among which they are to be found; to be closed."""
    sentences = [(sentence, sentence) for sentence in read(TRAIN)[0] + read(TEST)[0]]
    return contextlib.closing(Database(bc, pairs + sentences, location))


def main():
    parser = make_parser(__doc__)
    parser.add_argument('-query', help='answer this question and end')
    parser.add_argument('-topk', type=int, default=5, help='how many questions are shown (default: 5)')
    parser.add_argument('-evaluate', action='store_true', help='try the paraphrases in data/')
    parser.add_argument('-database', help='search in Qdrant: :memory:, a folder, or the URL of a server of it')
    parser.add_argument('-rerank_port', type=int, help='rerank with a cross-encoder: the -port of its server')
    parser.add_argument('-rerank_port_out', type=int, default=5558, help='its -port_out (default: 5558)')
    args = parser.parse_args()

    faq = read_faq(FAQ)
    pairs = [(question, question) for question in faq]
    print('%d questions loaded, avg. len of %.0f words' % (len(faq), np.mean([len(q.split()) for q in faq])))
    with contextlib.ExitStack() as stack:
        bc = stack.enter_context(BertClient(args.ip, args.port, args.port_out))
        ranker = None
        if args.rerank_port:
            ranker = stack.enter_context(BertClient(args.ip, args.rerank_port, args.rerank_port_out))
        rank = partial(reranked, ranker=ranker)
        if args.evaluate and args.database:
            evaluate_database(bc, pairs, args.database, rank)
        elif args.evaluate:
            evaluate_index(bc, pairs, rank)
        else:
            pairs += read_pairs(PHRASINGS)
            if args.database:
                database = stack.enter_context(fill_database(bc, pairs, args.database))
                search = lambda query: database.search(bc.encode_query([query])[0])  # noqa: E731
            else:
                search = Index(bc, pairs).search
            talk(rank(search), faq, args)


def talk(search, faq, args):
    if args.query:
        answer(search, faq, args.query, args.topk)
        return
    try:
        while True:
            answer(search, faq, input('your question: '), args.topk)
    except (EOFError, KeyboardInterrupt):
        print()


if __name__ == '__main__':
    main()
