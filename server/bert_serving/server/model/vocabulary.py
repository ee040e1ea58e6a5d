"""The vocabulary of Google's BERT: a `vocab.txt`, whose lines are the tokens."""

from __future__ import annotations

from os import PathLike

from ..errors import ModelError

UNKNOWN = '[UNK]'
CLASSIFY = '[CLS]'
SEPARATE = '[SEP]'


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
