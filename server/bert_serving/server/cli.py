"""The console commands: parse the arguments, run, handle signals, and turn errors into exit codes.

Exit codes: 0 after a requested stop, 1 after a failure during startup or serving, 2 for invalid options or an unusable
model.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType

from .addresses import is_loopback, with_brackets
from .console import logs
from .console.streams import replace_missing, say
from .console.terminal import color
from .errors import ServingError, UsageError
from .helper import get_args_parser, get_benchmark_parser, get_encode_parser, get_http_parser, get_shutdown_parser
from .http.config import check_installed
from .http.upstreams import read_upstream_file
from .keys import get_keys_parser, run_keys
from .options.settings import Settings
from .parent.server import BertServer
from .parent.terminate import terminate
from .process.allocator import return_large_blocks
from .security.client_keys import ClientKeys


def main(server_class: type[BertServer] = BertServer) -> None:
    """Run `bert-serving-start`. A test passes a double as `server_class`."""
    replace_missing()
    return_large_blocks()
    args = get_args_parser().parse_args()
    try:
        settings = Settings.from_args(args)
        sys.exit(serve(server_class(settings), on_started=lambda: say(settings.to_table(), sys.stdout)))
    except ServingError as error:
        fail('bert-serving-start', error)


def serve(server: BertServer, on_started: Callable[[], None] = lambda: None) -> int:
    """Run `server` until it ends, and return its exit code. Call `on_started` when its options and model are valid.

    The first SIGINT or SIGTERM starts a graceful shutdown, the second one stops the server immediately.
    """
    signals = 0

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal signals
        signals += 1
        if signals == 1:
            server.request_drain()
        else:
            server.request_stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    server.start()
    on_started()
    while server.is_alive():
        server.join(0.2)
    return 0 if server.error is None else server.error.exit_code


def terminate_main() -> None:
    """Run `bert-serving-terminate`."""
    replace_missing()
    args = get_shutdown_parser().parse_args()
    try:
        keys = ClientKeys.from_args(args)
        address = terminate(args.ip, args.port, args.timeout, keys)
    except ServingError as error:
        fail('bert-serving-terminate', error)
    say('shutdown signal sent to %s:%d' % (with_brackets(args.ip), args.port), sys.stdout)
    if keys:
        say('The server obeys only a principal with the grant terminate. It does not reply; check its log.', sys.stdout)
    elif not is_loopback(address):
        advice = (
            'The server ignores it unless it listens on that address alone (-host) on this machine, '
            'or was started with -allow_remote_terminate. It does not reply; check its log.'
        )
        say(advice, sys.stdout)


def http_main() -> None:
    """Run `bert-serving-http`, the standalone HTTP proxy.

    The first SIGINT or SIGTERM starts a graceful shutdown, the second one stops the proxy immediately.
    """
    replace_missing()
    args = get_http_parser().parse_args()
    logs.set_up('PROXY', args.verbose, args.log_format)
    try:
        check_installed()
        from .http.proxy import run_alone  # Flask and the client, which only this command needs

        upstreams = [*(args.upstream or []), *(read_upstream_file(args.upstream_file) if args.upstream_file else [])]
        run_alone(Settings.from_args(args), args.ip, upstreams, ClientKeys.from_args(args))
    except ServingError as error:
        fail('bert-serving-http', error)


def benchmark_main() -> None:
    """Run `bert-serving-benchmark`. The exit code is 0 if every cell of every table was measured."""
    replace_missing()
    args = get_benchmark_parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # not immediately: stop servers, remove folders
    try:
        from .benchmark.run import run_benchmark  # the client, which only this command needs

        sys.exit(1 if run_benchmark(args) else 0)
    except ModuleNotFoundError as error:
        if error.name != 'bert_serving.client':
            raise
        missing = UsageError("the client is not installed: pip install 'bert-serving-server[benchmark]>=2'")
        fail('bert-serving-benchmark', missing)
    except ServingError as error:
        fail('bert-serving-benchmark', error)
    except KeyboardInterrupt:
        sys.exit(130)


def encode_main(server_module: str | None = None) -> None:
    """Run `bert-serving-encode`. A test passes the module of another server process."""
    replace_missing()
    args = get_encode_parser().parse_args()
    logs.set_up('ENCODE', args.verbose, args.log_format)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # not immediately: stop the server first
    try:
        from .files.job import run_encode  # the client, which only this command needs
    except ModuleNotFoundError as error:
        if error.name != 'bert_serving.client':
            raise
        missing = UsageError("the client is not installed: pip install 'bert-serving-server[encode]>=2'")
        fail('bert-serving-encode', missing)
    try:
        say(run_encode(args, *filter(None, [server_module])), sys.stdout)
    except (ServingError, OSError) as error:
        failure = error if isinstance(error, ServingError) else ServingError('cannot go on: %s' % error)
        fail('bert-serving-encode', failure)
    except KeyboardInterrupt:
        say('interrupted: run the same command again to continue', sys.stderr)
        sys.exit(130)


def keys_main() -> None:
    """Run `bert-serving-keys`."""
    replace_missing()
    args = get_keys_parser().parse_args()
    try:
        for line in run_keys(args):
            say(line, sys.stdout)
    except ServingError as error:
        fail('bert-serving-keys', error)


def fail(command: str, error: ServingError) -> None:
    """Print the error to standard error and exit with its code."""
    say('%s: error: %s' % (color(command, 'red', sys.stderr), error), sys.stderr)
    sys.exit(error.exit_code)


if __name__ == '__main__':
    main()
