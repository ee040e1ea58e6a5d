"""Options: the HTTP API."""

from __future__ import annotations

from dataclasses import dataclass

from .option import HTTP, flag, option
from .values import port_number, whole_number


@dataclass(frozen=True)
class HttpOptions:
    """The options of the group `HTTP`."""

    http_port: int | None = option(
        default=None,
        group=HTTP,
        help='port of the HTTP server; 0 picks a free one (default: no HTTP server)',
        parse=port_number,
        metavar='PORT',
    )
    http_host: str = option(
        default='0.0.0.0',
        group=HTTP,
        help='address to listen on; 127.0.0.1 accepts requests from this machine only',
        metavar='ADDRESS',
    )
    http_max_connect: int = option(
        default=10,
        group=HTTP,
        help='maximum HTTP requests served at the same time',
        parse=whole_number(1),
        metavar='N',
    )
    http_max_small: int = option(
        default=32,
        group=HTTP,
        help='maximum HTTP requests served at the same time, if those beyond -http_max_connect are small; the server '
        'computes the texts of all of them together',
        parse=whole_number(0),
        metavar='N',
    )
    http_max_waiting: int = option(
        default=128,
        group=HTTP,
        help='maximum HTTP requests in the queue; further requests are rejected with status 429',
        parse=whole_number(0),
        metavar='N',
    )
    http_timeout: int = option(
        default=60,
        group=HTTP,
        help='maximum seconds for an HTTP request, including the wait; after that it gets status 504',
        parse=whole_number(1, 86400),
        metavar='SECONDS',
    )
    http_max_body: int = option(
        default=1 << 24,
        group=HTTP,
        help='maximum bytes of the body of an HTTP request',
        parse=whole_number(1024),
        metavar='BYTES',
    )
    http_api_key: str | None = option(
        default=None,
        group=HTTP,
        help='key that HTTP clients must send as "Authorization: Bearer KEY". Command lines are visible in process '
        'listings: prefer the environment variable or -http_api_key_file',
        metavar='KEY',
        secret=True,
    )
    http_api_key_file: str | None = option(
        default=None,
        group=HTTP,
        help='file with the accepted keys, one per line',
        metavar='FILE',
    )
    http_tls_cert: str | None = option(
        default=None,
        group=HTTP,
        help='PEM file with the certificate of the HTTP server and its chain. The port then accepts HTTPS only; the '
        'server reads the file again when it changes',
        metavar='FILE',
    )
    http_tls_key: str | None = option(
        default=None,
        group=HTTP,
        help='PEM file with the private key of -http_tls_cert, without a password',
        metavar='FILE',
    )
    http_tls_client_ca: str | None = option(
        default=None,
        group=HTTP,
        help='PEM file with the certificates of CAs; HTTP clients then need a certificate from one of them',
        metavar='FILE',
    )
    http_model_name: str | None = option(
        default=None,
        group=HTTP,
        help='comma-separated model names for the OpenAI API (default: name of the model)',
        metavar='NAME',
    )
    http_token_ids: bool = flag(
        group=HTTP,
        help="accept token ids of the model's own vocabulary instead of texts. They are rejected by default, because "
        'LangChain sends ids of another vocabulary',
    )
    cors: str = option(
        default='*',
        group=HTTP,
        help='comma-separated origins whose pages can call the HTTP server from a browser',
        metavar='ORIGIN',
    )
