from collections.abc import Callable
from typing import Any

from pyspark.ml import Transformer
from pyspark.ml.param import Param
from pyspark.ml.param.shared import HasInputCol, HasOutputCol
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame

__all__ = ['encode_udf', 'BertTransformer']

def encode_udf(batch_size: int = 1024, **options: Any) -> Callable[..., Any]: ...

class BertTransformer(Transformer, HasInputCol, HasOutputCol, DefaultParamsReadable, DefaultParamsWritable):
    ip: Param[str]
    port: Param[int]
    port_out: Param[int]
    batchSize: Param[int]
    promptName: Param[str]
    def __init__(
        self,
        inputCol: str = 'text',
        outputCol: str = 'vector',
        ip: str = 'localhost',
        port: int = 5555,
        port_out: int = 5556,
        batchSize: int = 1024,
        promptName: str = '',
    ) -> None: ...
    def _transform(self, dataset: DataFrame) -> DataFrame: ...
