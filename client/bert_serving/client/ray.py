# -*- coding: utf-8 -*-
"""Ray Data: ``dataset.map_batches(BertEncoder, fn_constructor_kwargs={'ip': 'gpu-machine'}, concurrency=4)``."""

from __future__ import absolute_import

from bert_serving.client import BertClient
from bert_serving.client.connections import split_options

__all__ = ['BertEncoder']


class BertEncoder(object):
    """Adds the vectors of a column to each batch. Ray makes an instance in each actor.

    :param column: the column with the texts
    :param output_column: the new column, an array [rows, dimensions] in each batch
    :param options: arguments of ``BertClient``, such as ``ip``, and of ``encode``, such as ``dtype``
    """

    def __init__(self, column='text', output_column='vector', **options):
        self._column = column
        self._output_column = output_column
        arguments, self._options = split_options(options)
        self._client = BertClient(check_length=False, **arguments)

    def __call__(self, batch):
        """Return the batch, a dict of arrays, with the new column."""
        vectors = self._client.encode(list(batch[self._column]), **self._options)
        return dict(batch, **{self._output_column: vectors})
