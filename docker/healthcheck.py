#!/opt/bert-serving/bin/python
"""The image's HEALTHCHECK: exit code 0 if the server in this container takes requests, else 1 and the reason.

It asks /health/ready or, where HTTP is turned off, for the server's status over ZeroMQ, which is judged in the same
way. At which port says the process itself: its command line and its environment, read with the server's own parsers. So
a check is right for all options, needs no API key, and loads no TensorFlow. A server with keys lets one in who holds
its own secret key, for the status alone. The check prints only its own words, because a word of a command line may be a
secret.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import zmq

from bert_serving.client import BertClient
from bert_serving.server.addresses import reachable
from bert_serving.server.errors import UsageError
from bert_serving.server.helper import get_args_parser, get_http_parser
from bert_serving.server.http.health import StatusSnapshot, judge
from bert_serving.server.security.certificates import Certificate, format_certificate, read_secret_certificate
from bert_serving.server.security.gate import HEALTH

TIMEOUT_S = 7
"""For all questions together. The image gives the check three seconds more: Python has to start, a client to close."""

CLOSING_S = 1
"""What a client may take to close, after its time is over."""

PARSERS: dict[str, Callable[..., Any]] = {'bert-serving-start': get_args_parser, 'bert-serving-http': get_http_parser}


class Process(NamedTuple):
    """A server or proxy that runs: its number, its command without the path, what follows it, and its environment."""

    pid: int
    command: str
    words: Sequence[str]
    environ: dict[str, str]


def main() -> int:
    deadline = time.monotonic() + TIMEOUT_S
    found, reasons = [], []
    for process in find_processes():
        try:
            args = read_options(process)
        except ValueError as error:
            reasons.append(str(error))
        else:
            found += [] if args is None else [args]
    if not found and not reasons:
        print('neither bert-serving-start nor bert-serving-http runs in this container')
        return 1
    reasons += filter(None, check_all(found, deadline))
    print('; '.join(reasons) or 'ready')
    return 1 if reasons else 0


def find_processes() -> Iterator[Process]:
    """The servers and proxies in this container.

    With a shared process namespace there are processes of other containers too, which have another root.
    """
    for pid in filter(str.isdigit, os.listdir('/proc')):
        with contextlib.suppress(OSError):  # it has gone, or is another user's
            words = read_list('/proc/%s/cmdline' % pid)
            command = os.path.basename(words[1]) if len(words) > 1 else ''
            if command in PARSERS and os.path.samefile('/proc/%s/root' % pid, '/'):
                variables = [text for text in read_list('/proc/%s/environ' % pid) if '=' in text]
                yield Process(int(pid), command, words[2:], dict(text.split('=', 1) for text in variables))


def read_options(process: Process) -> Any:
    """The options of a process, as its parser understands them; None if it only shows its help or release.

    :raises ValueError: it has others than that; in the message is none of them
    """
    parser = PARSERS[process.command]()
    parser.environ = process.environ
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            args = parser.parse_args(process.words)
        except SystemExit as end:
            if not end.code:
                return None
        else:
            if getattr(args, 'curve_key_file', None):
                args.curve_key_file = os.path.join('/proc/%d/cwd' % process.pid, args.curve_key_file)
            return args
    raise ValueError('the options of %s, process %d, cannot be read' % (process.command, process.pid))


def read_list(path: str) -> list[str]:
    """The strings of a file of /proc, which end with a NUL each."""
    with open(path, 'rb') as file:
        return os.fsdecode(file.read()).split('\0')[:-1]


def check_all(found: Sequence[Any], deadline: float) -> list[str]:
    """As `check`, of each; they are asked at the same time, so that one that is silent takes none from the others."""
    reasons = ['no answer within %d seconds' % TIMEOUT_S for _ in found]

    def ask(number: int) -> None:
        reasons[number] = check(found[number], deadline)

    # Not a pool, which would wait for its threads at the end: one whose peer sends a byte a second is left behind.
    threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(len(found))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, deadline + CLOSING_S - time.monotonic()))
    return list(reasons)


def check(args: Any, deadline: float) -> str:
    """Why the process with these options is to be sent no requests, known by `deadline`; '' if it is ready."""
    timeout_s = max(0.001, deadline - time.monotonic())
    if args.http_port is None:
        return ask_server(args, timeout_s)
    if args.http_port == 0:
        return '-http_port 0 is any port, and this check cannot know which: give a fixed one'
    return ask_proxy(args, timeout_s)


def ask_proxy(args: Any, timeout_s: float) -> str:
    """As `check`, by /health/ready. Not by urllib, which would go through a proxy that the environment names.

    This check has no certificate of a client. Where `-http_tls_client_ca` demands one, that demand is the answer.
    """
    host, port = reachable(args.http_host), args.http_port
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    if args.http_tls_cert is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # the port is that of this container, by a number and not by its name
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)
    is_connected = False
    try:
        connection.connect()
        is_connected = True
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
        # TLS 1.3 demands the certificate when the client takes the handshake to be done. The alert can be lost where
        # the server closes the connection before it has read the request.
        is_closed = is_connected and isinstance(error, ssl.SSLError | ConnectionError)
        is_told = 'CERTIFICATE_REQUIRED' in str(getattr(error, 'reason', ''))
        if args.http_tls_client_ca is not None and (is_closed or is_told):
            return ''
        return 'no answer at port %d: %s' % (port, error)
    finally:
        connection.close()


def ask_server(args: Any, timeout_s: float) -> str:
    """As `check`, by the status over ZeroMQ."""
    host, port, port_out = reachable(args.host), args.port, args.port_out
    if 0 in (port, port_out):
        return '-port 0 and -port_out 0 are any ports, and this check cannot know which: give fixed ones, or -http_port'
    try:
        with contextlib.ExitStack() as stack:
            keys = stack.enter_context(own_keys(getattr(args, 'curve_key_file', None)))
            timeout = int(1000 * timeout_s)
            client = stack.enter_context(
                BertClient(host, port, port_out, ignore_all_checks=True, timeout=timeout, **keys)
            )
            health = judge(StatusSnapshot(client.server_status, is_fresh=True))
    except UsageError as error:
        return str(error)
    except TimeoutError:
        return 'no answer at ports %d and %d' % (port, port_out)
    except (
        RuntimeError,  # of which the client's own errors are
        OSError,
        ValueError,
        zmq.ZMQError,
        AttributeError,
        TypeError,
    ) as error:  # the last two: it is no server of ours
        return 'no status at ports %d and %d: %s' % (port, port_out, ' '.join(str(error).split()))
    return '' if health.is_ready else 'not ready: %s' % health.reason


@contextlib.contextmanager
def own_keys(key_file: str | None) -> Iterator[dict[str, str]]:
    """The arguments of a client that connects with the secret key of the server itself, if that has one.

    :raises UsageError: the file cannot be read
    """
    if key_file is None:
        yield {'server_key': '', 'key_file': ''}
        return
    own = read_secret_certificate(key_file, 'curve_key_file')
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, HEALTH + '.key_secret')
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), 'w', encoding='utf-8') as file:
            file.write(format_certificate(Certificate(own.public, own.secret, HEALTH)))
        yield {'server_key': own.public, 'key_file': path}


if __name__ == '__main__':
    sys.exit(main())
