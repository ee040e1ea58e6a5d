"""A small Hugging Face hub: the listing of a model, and its files, with the headers that `huggingface_hub` reads."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit


class HubServer:
    """Serves folders as models, from a thread, on a free port of this machine.

    Attributes:
        models: the folder of each model by its name, ORGANIZATION/NAME; a change of it is seen at once.
        refused: names that need a token, with the error code of the hub: `GatedRepo` or `RepoNotFound`.
        extra_names: names in every listing that are no files.
        status: the HTTP status of every answer, if not None.
        requests: the method and path of every request so far.
    """

    def __init__(self, models: Mapping[str, Path]) -> None:
        self.models = dict(models)
        self.refused: dict[str, str] = {}
        self.extra_names: list[str] = []
        self.status: int | None = None
        self.requests: list[tuple[str, str]] = []
        self.pause = threading.Event()
        self.pause.set()
        self._server = ThreadingHTTPServer(('127.0.0.1', 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={'poll_interval': 0.05}, daemon=True)

    @property
    def url(self) -> str:
        return 'http://127.0.0.1:%d' % self._server.server_address[1]

    def fetched(self) -> set[str]:
        """The files that were read, by their names inside the model."""
        return {path.split('/', 5)[5] for method, path in self.requests if method == 'GET' and '/resolve/' in path}

    def commit_of(self, name: str) -> str:
        """The commit that the branch main is at: it changes when a file does."""
        folder = self.models[name]
        state = [
            (str(path.relative_to(folder)), path.read_bytes()) for path in sorted(folder.rglob('*')) if path.is_file()
        ]
        return hashlib.sha1(repr(state).encode()).hexdigest()

    def __enter__(self) -> HubServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pause.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(hub) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_GET(self) -> None:
                self.answer(with_body=True)

            def do_HEAD(self) -> None:
                self.answer(with_body=False)

            def answer(self, with_body: bool) -> None:
                path = unquote(urlsplit(self.path).path)
                hub.requests.append((self.command, path))
                if hub.status is not None:
                    return self.send(hub.status, {}, b'', with_body)
                parts = path.strip('/').split('/')
                match parts:
                    case ['api', 'models', organization, model, 'revision', *revision]:
                        name, file = '%s/%s' % (organization, model), None
                    case [organization, model, 'resolve', *rest]:
                        name, revision, file = '%s/%s' % (organization, model), rest[:1], '/'.join(rest[1:])
                    case _:
                        return self.send(404, {}, b'no such route', with_body)
                if name in hub.refused:
                    status = 403 if hub.refused[name] == 'GatedRepo' else 401
                    return self.fail(status, hub.refused[name], with_body)
                if name not in hub.models:
                    return self.fail(401, 'RepoNotFound', with_body)  # the hub does not say what it hides
                commit = hub.commit_of(name)
                if '/'.join(revision) not in ('main', 'v1.0', commit):
                    return self.fail(404, 'RevisionNotFound', with_body)
                if file is None:
                    return self.send(200, {'Content-Type': 'application/json'}, hub.listing(name, commit), with_body)
                target = hub.models[name] / file
                if not target.is_file():
                    return self.fail(404, 'EntryNotFound', with_body, {'X-Repo-Commit': commit})
                data = target.read_bytes()
                headers = {'ETag': '"%s"' % hashlib.sha1(data).hexdigest(), 'X-Repo-Commit': commit}
                if with_body and file.endswith('.safetensors'):
                    hub.pause.wait(60)
                return self.send(200, headers, data, with_body)

            def fail(self, status: int, code: str, with_body: bool, headers: Mapping[str, str] | None = None) -> None:
                self.send(status, {'X-Error-Code': code, **(headers or {})}, b'{"error": "no"}', with_body)

            def send(self, status: int, headers: Mapping[str, str], data: bytes, with_body: bool) -> None:
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.send_header('Content-Length', str(len(data)))
                self.end_headers()
                if with_body:
                    self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def listing(self, name: str, commit: str) -> bytes:
        """What the hub says of a model."""
        folder = self.models[name]
        files = [path for path in sorted(folder.rglob('*')) if path.is_file()]
        siblings: list[dict[str, Any]] = [
            {'rfilename': path.relative_to(folder).as_posix(), 'size': path.stat().st_size} for path in files
        ]
        siblings += [{'rfilename': extra} for extra in self.extra_names]
        return json.dumps({'id': name, '_id': '1', 'sha': commit, 'siblings': siblings}).encode()
