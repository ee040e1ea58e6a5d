"""bert-serving-server: turns sentences into vectors with BERT, over ZeroMQ.

    from bert_serving.server import BertServer
    from bert_serving.server.helper import get_args_parser

The server's child processes import this package too, so it loads each name on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .release import RELEASE as __version__

if TYPE_CHECKING:
    from .parent.server import BertServer

__all__ = ['BertServer', '__version__']


def __getattr__(name: str) -> Any:
    if name == 'BertServer':
        from .parent.server import BertServer

        return BertServer
    raise AttributeError('module %r has no attribute %r' % (__name__, name))
