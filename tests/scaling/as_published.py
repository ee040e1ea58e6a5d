#!/usr/bin/env python3
"""Does a folder answer as sentence-transformers does? 1,000 texts of this repository, through both.

    python tests/scaling/as_published.py ask FOLDER answers.npz       where sentence-transformers is installed
    python tests/scaling/as_published.py compare FOLDER answers.npz   where the server and the client are

The two can be one environment or two. Printed are the number of texts whose ids differ, the greatest difference of a
number in a vector, and the smallest cosine of two vectors.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
COUNT = 1000
EDGES = (
    'a',
    'UPPER lower MiXeD naïve café — “quoted” text…',
    '你好么？我还可以',
    'emoji 😀 and ##hash',
    'word ' * 2000,
)


def read_texts() -> list[str]:
    """The sentences of the examples, lines of README and docs, and a few texts that are hard to tokenize."""
    examples = [
        line.partition('\t')[2] if path.stem.startswith('topics') else line.partition('\t')[0]
        for path in sorted((ROOT / 'example' / 'data').glob('*.tsv'))
        for line in path.read_text('utf-8').splitlines()
    ]
    pages = [
        line
        for path in (ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md')))
        for line in path.read_text('utf-8').splitlines()
    ]
    texts = list(dict.fromkeys(text for text in (*EDGES, *examples, *pages) if text.strip() and ' ||| ' not in text))
    return texts[:COUNT]


def ask(folder: str, path: str) -> None:
    """Write the answers of sentence-transformers, and the texts, to the file `path`."""
    from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found, unused-ignore]

    model = SentenceTransformer(folder, device='cpu')
    texts = read_texts()
    features = model.preprocess(texts)
    ids = [
        row[mask.bool()].tolist() for row, mask in zip(features['input_ids'], features['attention_mask'], strict=True)
    ]
    np.savez(path, vectors=model.encode(texts), texts=np.array(texts, object), ids=np.array(ids, object))


def compare(folder: str, path: str) -> None:
    """Ask a server, started with nothing but `-model_dir`, the same, and print the differences."""
    sys.path.insert(0, str(ROOT / 'tests'))
    from support.serving import connect, serve

    answers = np.load(path, allow_pickle=True)  # which this program wrote
    texts = answers['texts'].tolist()
    with serve('-model_dir', folder) as server, connect(server, check_length=False, timeout=-1) as client:
        ours = client.encode(texts)
        encoded = client.tokenize(texts)
    ids = [row[:count].tolist() for row, count in zip(encoded.array, encoded.token_counts, strict=True)]
    theirs = answers['vectors']
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    print('texts                %d' % len(texts))
    print('ids differ           %d' % sum(a != b for a, b in zip(ids, answers['ids'].tolist(), strict=True)))
    print('greatest difference  %.1e' % np.abs(ours - theirs).max())
    print('smallest cosine      %.7f' % ((ours * theirs).sum(1) / lengths).min())


if __name__ == '__main__':
    if len(sys.argv) != 4 or sys.argv[1] not in ('ask', 'compare'):
        sys.exit(__doc__)
    (ask if sys.argv[1] == 'ask' else compare)(*sys.argv[2:])
