from typing import Any

from numpy.typing import NDArray

__all__ = ['BertEncoder']

class BertEncoder:
    def __init__(self, column: str = 'text', output_column: str = 'vector', **options: Any) -> None: ...
    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]: ...
