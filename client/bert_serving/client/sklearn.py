# -*- coding: utf-8 -*-
"""scikit-learn: ``make_pipeline(BertVectorizer(ip='gpu-machine'), LogisticRegression())``."""

from __future__ import absolute_import

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from bert_serving.client.connections import ENCODING, Connection

__all__ = ['BertVectorizer']


class BertVectorizer(TransformerMixin, BaseEstimator):
    """Turns texts into vectors. It learns nothing, so ``fit`` is optional.

    It can be pickled and cloned, and used in the processes and threads of joblib, where each makes its own connection.

    :param ip: as in ``BertClient``, like the next four parameters
    :param prompt_name: as in ``BertClient.encode``, like the parameters below
    """

    def __init__(
        self,
        ip='localhost',
        port=5555,
        port_out=5556,
        timeout=-1,
        server_key=None,
        key_file=None,
        prompt_name=None,
        prompt=None,
        normalize=None,
        dimensions=None,
        dtype=None,
        truncate=None,
    ):
        self.ip = ip
        self.port = port
        self.port_out = port_out
        self.timeout = timeout
        self.server_key = server_key
        self.key_file = key_file
        self.prompt_name = prompt_name
        self.prompt = prompt
        self.normalize = normalize
        self.dimensions = dimensions
        self.dtype = dtype
        self.truncate = truncate

    def fit(self, X, y=None):
        """Return this object; nothing is learned from ``X`` and ``y``."""
        return self

    def transform(self, X):
        """Return the vectors of the texts, an array [rows, dimensions].

        :param X: a list, an array or a Series of strings, or a table with one column of them
        """
        return self._client().encode(_texts_of(X), **{name: getattr(self, name) for name in ENCODING})

    def get_feature_names_out(self, input_features=None):
        """Return a name for each dimension, an array of ``bert0``, ``bert1`` and so on. It asks the server."""
        width = self.transform(['a']).shape[1]
        return np.array(['bert%d' % number for number in range(width)], dtype=object)

    def _client(self):
        names = ('ip', 'port', 'port_out', 'timeout', 'server_key', 'key_file')
        arguments = {name: getattr(self, name) for name in names}
        connected = self.__dict__.get('_connected')  # the arguments, and the connection
        if connected is None or connected[0] != arguments:
            connected = self._connected = (arguments, Connection(arguments))
        return connected[1].client

    def __getstate__(self):
        state = dict(super(BertVectorizer, self).__getstate__())
        state.pop('_connected', None)
        return state

    def __sklearn_is_fitted__(self):
        return True

    def __sklearn_tags__(self):
        tags = super(BertVectorizer, self).__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags


def _texts_of(X):
    shape = np.shape(X)
    if len(shape) == 2 and shape[1] == 1:  # a column, as a ColumnTransformer passes it
        X = np.asarray(X)[:, 0]
    return X if isinstance(X, list) else list(X)
