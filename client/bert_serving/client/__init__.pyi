from builtins import TimeoutError as TimeoutError
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Literal, NamedTuple, Protocol, overload

import numpy as np
from numpy.typing import NDArray

__all__ = [
    '__version__',
    'BertClient',
    'ConcurrentBertClient',
    'Response',
    'Encoded',
    'ServerError',
    'ProtocolError',
    'AuthenticationError',
    'SharedClientError',
    'UnsupportedError',
    'CancelledError',
    'TimeoutError',
]

__version__: str
PROTOCOL_VERSION: str

class _Array(Protocol):
    """What numpy can make an array of: a pandas Series or Index, an Arrow array."""

    def __array__(self) -> NDArray[Any]: ...

# Lists are invariant, hence the unions.
_Tokens = list[str] | tuple[str, ...] | NDArray[Any]
_Sentences = (
    list[str] | tuple[str, ...] | list[list[str]] | list[tuple[str, ...]] | list[_Tokens] | tuple[_Tokens, ...] | _Array
)

# An array, or nested lists of floats with output_fmt='list': the caller knows which.
_Embedding = Any
_TokenLists = list[list[str]]
_Ids = list[list[int]]
_Dtype = Literal['float32', 'float16', 'int8', 'binary', 'ubinary'] | type[np.float32] | type[np.float16]
_Truncation = Literal['right', 'left', 'error']
_OnlyTexts = list[str] | tuple[str, ...] | _Array
_TextPairs = list[list[str]] | list[tuple[str, str]] | tuple[list[str] | tuple[str, str], ...] | _Array

class ServerError(RuntimeError):
    type: str
    message: str
    request_id: int | None
    def __init__(self, type: str, message: str, request_id: int | None = None) -> None: ...

class ProtocolError(RuntimeError): ...
class AuthenticationError(RuntimeError): ...
class SharedClientError(RuntimeError): ...
class UnsupportedError(RuntimeError): ...
class CancelledError(RuntimeError): ...

class _ResponseFields(NamedTuple):
    id: int
    embedding: _Embedding
    tokens: _TokenLists | Literal['']

class Response(_ResponseFields):
    @property
    def content(self) -> _Embedding: ...
    @property
    def shape(self) -> tuple[int, ...]: ...

class Encoded(NamedTuple):
    array: NDArray[Any]
    tokens: _TokenLists | Literal['']
    token_counts: list[int]
    truncated_rows: Sequence[int] = ...

class BertClient:
    ip: str
    port: int
    port_out: int
    output_fmt: Literal['ndarray', 'list']
    identity: bytes
    length_limit: int | None
    token_info_available: bool
    def __init__(
        self,
        ip: str = 'localhost',
        port: int | str = 5555,
        port_out: int | str = 5556,
        output_fmt: Literal['ndarray', 'list'] = 'ndarray',
        show_server_config: bool | str = False,
        identity: bytes | str | None = None,
        check_version: bool | str = True,
        check_length: bool | str = True,
        check_token_info: bool | str = True,
        ignore_all_checks: bool | str = False,
        timeout: float | str | None = -1,
        server_key: str | None = None,
        key_file: str | None = None,
    ) -> None: ...
    @property
    def timeout(self) -> float: ...
    @timeout.setter
    def timeout(self, value: float | str | None) -> None: ...
    @property
    def status(self) -> dict[str, Any]: ...
    @property
    def server_config(self) -> dict[str, Any]: ...
    @property
    def server_status(self) -> dict[str, Any]: ...
    @overload
    def encode(
        self,
        texts: _Sentences,
        blocking: Literal[True] = True,
        is_tokenized: bool = False,
        show_tokens: Literal[False] = False,
        show_progress: bool = False,
        prompt_name: str | None = None,
        prompt: str | None = None,
        normalize: bool | None = None,
        dimensions: int | None = None,
        dtype: _Dtype | None = None,
        truncate: _Truncation | None = None,
    ) -> _Embedding: ...
    @overload
    def encode(
        self,
        texts: _Sentences,
        blocking: Literal[False],
        is_tokenized: bool = False,
        show_tokens: bool = False,
        show_progress: bool = False,
        prompt_name: str | None = None,
        prompt: str | None = None,
        normalize: bool | None = None,
        dimensions: int | None = None,
        dtype: _Dtype | None = None,
        truncate: _Truncation | None = None,
    ) -> None: ...
    @overload
    def encode(
        self,
        texts: _Sentences,
        blocking: bool = True,
        is_tokenized: bool = False,
        show_tokens: bool = False,
        show_progress: bool = False,
        prompt_name: str | None = None,
        prompt: str | None = None,
        normalize: bool | None = None,
        dimensions: int | None = None,
        dtype: _Dtype | None = None,
        truncate: _Truncation | None = None,
    ) -> Any: ...
    def encode_query(
        self,
        texts: _OnlyTexts,
        normalize: bool | None = None,
        dimensions: int | None = None,
        dtype: _Dtype | None = None,
        truncate: _Truncation | None = None,
        show_tokens: bool = False,
        show_progress: bool = False,
    ) -> _Embedding: ...
    def encode_document(
        self,
        texts: _OnlyTexts,
        normalize: bool | None = None,
        dimensions: int | None = None,
        dtype: _Dtype | None = None,
        truncate: _Truncation | None = None,
        show_tokens: bool = False,
        show_progress: bool = False,
    ) -> _Embedding: ...
    def predict(
        self, pairs_or_texts: _TextPairs | _OnlyTexts, raw: bool = False, truncate: _Truncation | None = None
    ) -> NDArray[Any]: ...
    def predict_with_details(
        self,
        pairs_or_texts: _TextPairs | _OnlyTexts,
        raw: bool = False,
        truncate: _Truncation | None = None,
        cancelled: Callable[[], bool] | None = None,
        traceparent: str | None = None,
    ) -> Encoded: ...
    def rerank(
        self,
        query: str,
        documents: _OnlyTexts,
        top_n: int | None = None,
        raw: bool = False,
        truncate: _Truncation | None = None,
    ) -> list[tuple[int, float]]: ...
    @property
    def model(self) -> dict[str, Any]: ...
    def encode_with_details(
        self,
        texts: _Sentences | _Ids,
        is_tokenized: bool = False,
        token_ids: bool = False,
        cancelled: Callable[[], bool] | None = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        normalize: bool | None = None,
        dimensions: int | None = None,
        dtype: _Dtype | None = None,
        truncate: _Truncation | None = None,
        joined_pairs: bool = True,
        traceparent: str | None = None,
    ) -> Encoded: ...
    def tokenize(
        self,
        texts: _Sentences,
        is_tokenized: bool = False,
        cancelled: Callable[[], bool] | None = None,
        offsets: bool = False,
        prompt_name: str | None = None,
        prompt: str | None = None,
    ) -> Encoded: ...
    def decode(
        self, token_ids: _Ids, special_tokens: bool = False, cancelled: Callable[[], bool] | None = None
    ) -> list[str]: ...
    @property
    def is_connected(self) -> bool: ...
    def encode_async(
        self,
        batch_generator: Iterable[_Sentences],
        max_num_batch: int | None = None,
        delay: float = 0.1,
        is_tokenized: bool = False,
        show_tokens: bool = False,
        show_progress: bool = False,
        prompt_name: str | None = None,
        prompt: str | None = None,
        normalize: bool | None = None,
        dimensions: int | None = None,
        dtype: _Dtype | None = None,
        truncate: _Truncation | None = None,
    ) -> Iterator[Response]: ...
    def fetch(self, delay: float = 0) -> Iterator[Response]: ...
    @overload
    def fetch_all(self, sort: bool = True, concat: Literal[False] = False) -> list[_Embedding] | None: ...
    @overload
    def fetch_all(self, sort: bool = True, *, concat: Literal[True]) -> _Embedding | None: ...
    @overload
    def fetch_all(self, sort: bool, concat: bool) -> Any: ...
    def listen(self) -> Iterator[Response]: ...
    def close(self) -> None: ...
    def __enter__(self) -> BertClient: ...
    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
    def __del__(self) -> None: ...

class ConcurrentBertClient(BertClient):
    max_concurrency: int
    def __init__(self, max_concurrency: int | str = 10, **kwargs: Any) -> None: ...
    def encode_async(self, *args: Any, **kwargs: Any) -> Any: ...
    def fetch(self, *args: Any, **kwargs: Any) -> Any: ...
    def fetch_all(self, *args: Any, **kwargs: Any) -> Any: ...
