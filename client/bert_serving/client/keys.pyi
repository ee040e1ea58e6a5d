from typing import NamedTuple

class _KeysFields(NamedTuple):
    server: bytes
    public: bytes
    secret: bytes
    name: str

class Keys(_KeysFields):
    @property
    def options(self) -> list[tuple[int, bytes]]: ...
    def own_identity(self, identity: bytes) -> bytes: ...

def read_keys(server_key: str | None, key_file: str | None) -> Keys | None: ...
