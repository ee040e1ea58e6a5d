from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Iterable
from types import TracebackType
from typing import Any, NoReturn

from numpy.typing import NDArray

from bert_serving.client import (
    Encoded,
    Response,
    _Dtype,
    _Embedding,
    _Ids,
    _OnlyTexts,
    _Sentences,
    _TextPairs,
    _Truncation,
)

__all__ = ['AsyncBertClient']

class AsyncBertClient:
    ip: str
    port: int
    port_out: int
    output_fmt: str
    identity: bytes
    length_limit: int | None
    token_info_available: bool
    def __init__(
        self,
        ip: str = 'localhost',
        port: int | str = 5555,
        port_out: int | str = 5556,
        output_fmt: str = 'ndarray',
        show_server_config: bool | str = False,
        identity: str | bytes | None = None,
        check_version: bool | str = True,
        check_length: bool | str = True,
        check_token_info: bool | str = True,
        ignore_all_checks: bool | str = False,
        timeout: float | str | None = -1,
        max_pending_rows: int | str = 16384,
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
    def is_connected(self) -> bool: ...
    @property
    def server_config(self) -> Awaitable[dict[str, Any]]: ...
    @property
    def server_status(self) -> Awaitable[dict[str, Any]]: ...
    @property
    def model(self) -> Awaitable[dict[str, Any]]: ...
    async def encode(
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
    async def encode_query(
        self,
        texts: _OnlyTexts,
        normalize: bool | None = None,
        dimensions: int | None = None,
        dtype: _Dtype | None = None,
        truncate: _Truncation | None = None,
        show_tokens: bool = False,
        show_progress: bool = False,
    ) -> _Embedding: ...
    async def encode_document(
        self,
        texts: _OnlyTexts,
        normalize: bool | None = None,
        dimensions: int | None = None,
        dtype: _Dtype | None = None,
        truncate: _Truncation | None = None,
        show_tokens: bool = False,
        show_progress: bool = False,
    ) -> _Embedding: ...
    async def predict(
        self, pairs_or_texts: _TextPairs | _OnlyTexts, raw: bool = False, truncate: _Truncation | None = None
    ) -> NDArray[Any]: ...
    async def rerank(
        self,
        query: str,
        documents: _OnlyTexts,
        top_n: int | None = None,
        raw: bool = False,
        truncate: _Truncation | None = None,
    ) -> list[tuple[int, float]]: ...
    async def encode_with_details(
        self,
        texts: _Sentences | _Ids,
        is_tokenized: bool = False,
        token_ids: bool = False,
        prompt_name: str | None = None,
        prompt: str | None = None,
        normalize: bool | None = None,
        dimensions: int | None = None,
        dtype: _Dtype | None = None,
        truncate: _Truncation | None = None,
        joined_pairs: bool = True,
    ) -> Encoded: ...
    async def predict_with_details(
        self, pairs_or_texts: _TextPairs | _OnlyTexts, raw: bool = False, truncate: _Truncation | None = None
    ) -> Encoded: ...
    async def tokenize(
        self,
        texts: _Sentences,
        is_tokenized: bool = False,
        offsets: bool = False,
        prompt_name: str | None = None,
        prompt: str | None = None,
    ) -> Encoded: ...
    async def decode(self, token_ids: _Ids, special_tokens: bool = False) -> list[str]: ...
    def encode_async(
        self,
        batch_generator: AsyncIterable[_Sentences] | Iterable[_Sentences],
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
    ) -> AsyncIterator[Response]: ...
    def fetch(self, *args: Any, **kwargs: Any) -> NoReturn: ...
    def fetch_all(self, *args: Any, **kwargs: Any) -> NoReturn: ...
    def listen(self) -> NoReturn: ...
    async def close(self) -> None: ...
    async def __aenter__(self) -> AsyncBertClient: ...
    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
