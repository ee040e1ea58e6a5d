"""The real client of 1.10 in a process of its own, which has that client instead of ours."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

PROGRAM = """
import json, sys
from bert_serving.client import BertClient
for line in sys.stdin:
    question = json.loads(line)
    with BertClient(port=question['port'], port_out=question['port_out']) as client:
        print(json.dumps([client.encode(texts).tolist() for texts in question['requests']]), flush=True)
"""


class RealClient:
    """One process that asks any number of servers, one after another, with the default arguments of the client."""

    def __init__(self, python: str) -> None:
        """`python` is the interpreter of an environment with `bert-serving-client==1.10.0`."""
        self._process = subprocess.Popen(
            [python, '-c', PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={name: value for name, value in os.environ.items() if name != 'PYTHONPATH'},
        )

    def encode(self, port: int, port_out: int, requests: list[list[str]]) -> list[list[Any]]:
        """The answer to each list of texts."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({'port': port, 'port_out': port_out, 'requests': requests}) + '\n')
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, 'the real client has failed: its output has the reason'
        answers: list[list[Any]] = json.loads(answer)
        return answers

    def close(self) -> None:
        self._process.communicate(timeout=30)
