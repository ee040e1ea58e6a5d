from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

__all__ = ['BertVectorizer']

class BertVectorizer(TransformerMixin, BaseEstimator):  # type: ignore[misc, unused-ignore]
    ip: str
    port: int
    port_out: int
    timeout: float
    server_key: str | None
    key_file: str | None
    prompt_name: str | None
    prompt: str | None
    normalize: bool | None
    dimensions: int | None
    dtype: str | None
    truncate: str | None
    def __init__(
        self,
        ip: str = 'localhost',
        port: int = 5555,
        port_out: int = 5556,
        timeout: float = -1,
        server_key: str | None = None,
        key_file: str | None = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        normalize: bool | None = None,
        dimensions: int | None = None,
        dtype: str | None = None,
        truncate: str | None = None,
    ) -> None: ...
    def fit(self, X: Any, y: Any = None) -> BertVectorizer: ...
    def transform(self, X: Any) -> NDArray[Any]: ...
    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> NDArray[Any]: ...
    def __getstate__(self) -> dict[str, Any]: ...
    def __sklearn_is_fitted__(self) -> bool: ...
    def __sklearn_tags__(self) -> Any: ...
