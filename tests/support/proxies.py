"""`bert-serving-http` as a user runs it, and `curl`."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any, Self

from support.serving import ServerProcess, fake_path

HTTP_READY = re.compile(r'serving HTTP at http://[^ ]*:(\d+),')


class ProxyProcess(ServerProcess):
    """A proxy in a process of its own, on a free port of this machine."""

    always = ('-http_host', '127.0.0.1', '-http_port', '0')

    def __init__(self, port: int, port_out: int, *words: str, **environment: str) -> None:
        """For the server on these ports; `environment` is laid over this process's."""
        ports = ('-ip', '127.0.0.1', '-port', str(port), '-port_out', str(port_out))
        super().__init__(
            *ports, *words, environment={'PYTHONPATH': fake_path(), **environment}, module='support.http_cli'
        )
        self.http_port = 0

    def wait_until_ready(self) -> Self:
        self.http_port = int(self.wait_for_log(HTTP_READY)[1])
        return self

    def url(self, path: str) -> str:
        return 'http://127.0.0.1:%d%s' % (self.http_port, path)

    def curl(self, path: str, *words: str) -> tuple[int, Any]:
        """The status and the JSON of an answer (or its text)."""
        return curl(self.url(path), *words)


def curl(url: str, *words: str) -> tuple[int, Any]:
    done = subprocess.run(
        ['curl', '--silent', '--show-error', '--max-time', '60', '--write-out', '\n%{http_code}', *words, url],
        capture_output=True,
        text=True,
        check=True,
    )
    body, _, status = done.stdout.rpartition('\n')
    try:
        return int(status), json.loads(body)
    except ValueError:
        return int(status), body
