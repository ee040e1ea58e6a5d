"""The vocabulary of Google's BERT: a `vocab.txt`, whose lines are the tokens."""

from __future__ import annotations

import os
from os import PathLike

from ..errors import ModelError
from . import hints
from .files import check_file

UNKNOWN = '[UNK]'
CLASSIFY = '[CLS]'
SEPARATE = '[SEP]'

MOST_VOCABULARY_BYTES = 64 << 20
"""The maximum size of a vocab.txt. The longest published ones have 5 MB."""


def check_vocab(path: str, vocab_size: int, config_path: str) -> None:
    """Check that a `vocab.txt` has an embedding for each token, because one without would fail a whole batch.

    Raises:
        ModelError: the file is missing, too large or not UTF-8, or has more than the `vocab_size` of the config.
    """
    if not os.path.lexists(path):
        raise ModelError('the vocabulary is missing: there is no file %s%s' % (path, hints.of_no_file(path)))
    check_file(path, 'the vocabulary')
    if os.path.getsize(path) > MOST_VOCABULARY_BYTES:
        raise ModelError('%s has %d bytes: at most %d are read' % (path, os.path.getsize(path), MOST_VOCABULARY_BYTES))
    try:
        with open(path, encoding='utf-8-sig', newline='\n') as file:
            tokens = file.read().rstrip().count('\n') + 1
    except UnicodeDecodeError as error:
        raise ModelError('%s is not UTF-8: byte %d cannot be decoded' % (path, error.start)) from None
    if tokens > vocab_size:
        raise ModelError('%s has %d tokens, but vocab_size in %s is %d' % (path, tokens, config_path, vocab_size))


def load_vocab(path: str | PathLike[str]) -> dict[str, int]:
    """Read a `vocab.txt`, one token per line, and map each token to its id, counted from 0.

    It strips white space around tokens and a byte order mark. If a token occurs twice, the last one counts.

    Raises:
        ModelError: the file cannot be read, is not UTF-8, or lacks a token that every row needs.
    """
    try:
        with open(path, encoding='utf-8-sig', newline='\n') as lines:
            vocab = {line.strip(): index for index, line in enumerate(lines)}
    except OSError as error:
        raise ModelError(
            'cannot read the vocabulary %s: %s; -model_dir must be a folder with a vocab.txt' % (path, error.strerror)
        ) from error
    except UnicodeDecodeError as error:
        raise ModelError(
            'the vocabulary %s is not UTF-8 text (byte %d); copy vocab.txt from the model again' % (path, error.start)
        ) from error
    missing = [token for token in (UNKNOWN, CLASSIFY, SEPARATE) if token not in vocab]
    if missing:
        raise ModelError(
            'the vocabulary %s has no %s among its %d tokens; it must be the vocab.txt of a BERT model, '
            'one token per line' % (path, ' '.join(missing), len(vocab))
        )
    return vocab
