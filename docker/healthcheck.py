#!/opt/bert-serving/bin/python
"""The image's HEALTHCHECK: exit code 0 if the server in this container takes requests, else 1 and a line that says why not.

It asks /health/ready or, where HTTP is turned off, for the server's status over ZeroMQ, which is judged in the same way.
At which port says the process itself: its command line and its environment, read with the server's own parsers. So a check
is right whatever the options, needs no API key, and loads no TensorFlow.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from bert_serving.client import BertClient
from bert_serving.server.helper import get_args_parser, get_http_parser
from bert_serving.server.http.health import Report, judge

TIMEOUT_S = 8
"""For a question; the image gives the check two seconds more."""

PARSERS: dict[str, Callable[..., Any]] = {'bert-serving-start': get_args_parser, 'bert-serving-http': get_http_parser}


def main() -> int:
    found = list(find_processes())
    if not found:
        print('neither bert-serving-start nor bert-serving-http runs in this container')
        return 1
    reasons = [reason for args in found if (reason := check(args))]
    print('; '.join(reasons) or 'ready')
    return 1 if reasons else 0


def find_processes() -> Iterator[Any]:
    """The options of each server and proxy in this container, as its parser understands them.

    With a shared process namespace there are processes of other containers too, which have another root.
    """
    for pid in filter(str.isdigit, os.listdir('/proc')):
        with contextlib.suppress(OSError):  # it has gone, or is another user's
            words = read_list('/proc/%s/cmdline' % pid)
            make_parser = PARSERS.get(os.path.basename(words[1])) if len(words) > 1 else None
            if make_parser is None or not os.path.samefile('/proc/%s/root' % pid, '/'):
                continue
            parser = make_parser()
            parser.environ = dict(
                variable.split('=', 1) for variable in read_list('/proc/%s/environ' % pid) if '=' in variable
            )
            yield parser.parse_args(words[2:])


def read_list(path: str) -> list[str]:
    """The strings of a file of /proc, which end with a NUL each."""
    with open(path, 'rb') as file:
        return os.fsdecode(file.read()).split('\0')[:-1]


def check(args: Any) -> str:
    """Why the process with these options is to be sent no requests; '' if it is ready."""
    if args.http_port is None:
        return ask_server(args.port, args.port_out)
    if args.http_port == 0:
        return '-http_port 0 is any port, and this check can not know which: give a fixed one'
    return ask_proxy(reachable(args.http_host), args.http_port)


def reachable(host: str) -> str:
    """The address at which one finds, on the same machine, who listens on `host`."""
    return {'0.0.0.0': '127.0.0.1', '': '127.0.0.1', '::': '::1'}.get(host, host)


def ask_proxy(host: str, port: int) -> str:
    """As `check`, by /health/ready. Not by urllib, which would go through a proxy that the environment names."""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request('GET', '/health/ready')
        answer = connection.getresponse()
        body = answer.read()
        if answer.status == 200:
            return ''
        return 'not ready: %s' % json.loads(body).get('reason', 'status %d' % answer.status)
    except (
        OSError,
        http.client.HTTPException,
        ValueError,
        AttributeError,
    ) as error:  # the last two: it is no proxy of ours
        return 'no answer at port %d: %s' % (port, error)
    finally:
        connection.close()


def ask_server(port: int, port_out: int) -> str:
    """As `check`, by the status over ZeroMQ."""
    if 0 in (port, port_out):
        return (
            '-port 0 and -port_out 0 are any ports, and this check can not know which: give fixed ones, or -http_port'
        )
    try:
        with BertClient('127.0.0.1', port, port_out, ignore_all_checks=True, timeout=1000 * TIMEOUT_S) as client:
            health = judge(Report(client.server_status, is_fresh=True))
    except TimeoutError:
        return 'no answer at ports %d and %d' % (port, port_out)
    return '' if health.is_ready else 'not ready: %s' % health.reason


if __name__ == '__main__':
    sys.exit(main())
