# -*- coding: utf-8 -*-
"""Spark: ``encode_udf(ip=...)`` for columns of texts, and ``BertTransformer`` for pipelines of ``pyspark.ml``."""

from __future__ import absolute_import

from pyspark import keyword_only
from pyspark.ml import Transformer
from pyspark.ml.functions import array_to_vector, predict_batch_udf
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCol, HasOutputCol
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql.types import ArrayType, FloatType

from bert_serving.client import BertClient
from bert_serving.client.connections import split_options

__all__ = ['encode_udf', 'BertTransformer']


def encode_udf(batch_size=1024, **options):
    """Return a function from a column of texts to a column of arrays of floats.

    Each Python process of Spark makes one client.

    :param batch_size: maximum rows per request
    :param options: arguments of ``BertClient``, such as ``ip``, and of ``encode``, such as ``normalize``
    """
    arguments, of_encode = split_options(options)

    def make_predict():
        client = BertClient(check_length=False, **arguments)

        def predict(texts):
            return client.encode(list(texts.ravel()), **of_encode).astype('float32', copy=False)

        return predict

    return predict_batch_udf(make_predict, return_type=ArrayType(FloatType()), batch_size=batch_size)


class BertTransformer(Transformer, HasInputCol, HasOutputCol, DefaultParamsReadable, DefaultParamsWritable):
    """Adds the vectors of a column of texts as vectors of ``pyspark.ml``. It can be saved with its pipeline.

    :param inputCol: the column with the texts
    :param outputCol: the new column
    :param ip: as in ``BertClient``, like ``port`` and ``port_out``
    :param batchSize: maximum rows per request
    :param promptName: as ``prompt_name`` in ``BertClient.encode``; empty for none
    """

    ip = Param(Params._dummy(), 'ip', 'address of the server', typeConverter=TypeConverters.toString)
    port = Param(Params._dummy(), 'port', 'request port of the server', typeConverter=TypeConverters.toInt)
    port_out = Param(Params._dummy(), 'port_out', 'result port of the server', typeConverter=TypeConverters.toInt)
    batchSize = Param(Params._dummy(), 'batchSize', 'the most rows of a request', typeConverter=TypeConverters.toInt)
    promptName = Param(
        Params._dummy(), 'promptName', 'prompt to put before each text', typeConverter=TypeConverters.toString
    )

    @keyword_only
    def __init__(
        self,
        inputCol='text',
        outputCol='vector',
        ip='localhost',
        port=5555,
        port_out=5556,
        batchSize=1024,
        promptName='',
    ):
        super(BertTransformer, self).__init__()
        self._setDefault(
            inputCol='text',
            outputCol='vector',
            ip='localhost',
            port=5555,
            port_out=5556,
            batchSize=1024,
            promptName='',
        )
        self._set(**self._input_kwargs)

    def _transform(self, dataset):
        encode = encode_udf(
            self.getOrDefault(self.batchSize),
            ip=self.getOrDefault(self.ip),
            port=self.getOrDefault(self.port),
            port_out=self.getOrDefault(self.port_out),
            prompt_name=self.getOrDefault(self.promptName) or None,
        )
        return dataset.withColumn(self.getOutputCol(), array_to_vector(encode(self.getInputCol())))
