# -*- coding: utf-8 -*-
"""Clients for objects that are pickled to other processes: each thread makes its own client on first use."""

from __future__ import absolute_import

import os
import threading

from bert_serving.client import BertClient

ENCODING = ('prompt_name', 'prompt', 'normalize', 'dimensions', 'dtype', 'truncate')


class Connection(object):
    """The arguments of a client, and the client of the current thread, made on demand."""

    def __init__(self, arguments):
        self._arguments = arguments
        self._local = threading.local()

    @property
    def client(self):
        """The client of the current thread and process."""
        if getattr(self._local, 'pid', None) != os.getpid():
            self._local.client = BertClient(check_length=False, **self._arguments)
            self._local.pid = os.getpid()
        return self._local.client

    def __getstate__(self):
        return self._arguments

    def __setstate__(self, arguments):
        self.__init__(arguments)


def split_options(options):
    """Split keyword arguments into those of ``BertClient`` and those of ``encode``."""
    of_encode = {name: options[name] for name in options if name in ENCODING}
    return {name: options[name] for name in options if name not in ENCODING}, of_encode
