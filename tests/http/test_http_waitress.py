"""waitress has every name that `waitress_adapter`, `waitress_connection` and `socket_poll` use.

Most of these names are not documented, so a new release may drop one. When a test here fails, read that release of
waitress, change the adapter and this table, or lower the bound in server/pyproject.toml.
"""

from __future__ import annotations

import ast
import inspect
import logging
import socket
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from selectors import BaseSelector, SelectorKey
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.requirements import Requirement
from waitress import adjustments, channel, parser, server, task, utilities, wasyncore

from bert_serving.server.http import socket_poll, waitress_adapter, waitress_connection
from bert_serving.server.http.connections import ConnectionState, Phase, WriteBudget
from bert_serving.server.http.tls import Tls, TlsSocket

MODULES = {
    wasyncore: {'dispatcher', 'readwrite', 'close_all'},
    adjustments: {'Adjustments'},
    channel: {'HTTPChannel'},
    parser: {'HTTPRequestParser', 'ParsingError'},
    server: {'TcpWSGIServer'},
    task: {'ThreadedTaskDispatcher', 'WSGITask'},
    utilities: {'Error', 'RequestEntityTooLarge', 'RequestHeaderFieldsTooLarge', 'ServerNotImplemented'},
}

ATTRIBUTES = {
    'connection': (
        'accepting adj cancel close_when_flushed connected del_channel handle_close handle_read handle_write '
        'last_activity outbuf_lock parser_class readable received recv request requests send send_continue server '
        'service socket task_class total_outbufs_len will_close writable _fileno _flush_exception _flush_some'
    ),
    'server': (
        'accept active_channels add_task adj channel_class close handle_accept maintenance pull_trigger readable '
        'set_socket_options task_dispatcher _map'
    ),
    'request': (
        'body_bytes_received chunked command error expect_continue get_body_stream headers headers_finished '
        'parse_header path query request_uri url_scheme version'
    ),
    'malformed request': 'error expect_continue headers',
    'task': 'channel execute finish get_environment request set_close_on_finish',
    'body': 'read seek',
    'error': 'body',
    'options': 'channel_timeout send_bytes url_scheme',
    'lock': 'acquire release',
    'threads': 'add_task queue_logger set_thread_count shutdown',
}
"""The attributes that the adapter uses or overrides, of each kind of object."""

PARAMETERS: dict[Callable[..., object], set[str]] = {
    wasyncore.readwrite: {'obj', 'flags'},
    wasyncore.close_all: {'map'},
    server.TcpWSGIServer.__init__: {'application', 'map', '_sock', 'dispatcher', 'adj', 'bind_socket', 'sockinfo'},
    task.ThreadedTaskDispatcher.set_thread_count: {'count'},
    task.ThreadedTaskDispatcher.shutdown: {'cancel_pending', 'timeout'},
}

ROOT = Path(__file__).resolve().parents[2]
HINT = 'waitress %s has no %s: http/ uses it'
OURS = (socket_poll, waitress_adapter, waitress_connection)
"""The modules that know waitress."""

IMPORTED = ('logging', 'select', 'selectors', 'socket', 'sys', 'threading', 'time')
"""Modules whose attributes are not waitress's."""


@pytest.fixture
def objects() -> Iterator[dict[str, Any]]:
    """One of each kind of waitress's objects, by the keys of `ATTRIBUTES`: of waitress's own classes, not of ours."""
    options = adjustments.Adjustments(listen='127.0.0.1:0')
    sockets: dict[int, Any] = {}
    dispatcher = SimpleNamespace(add_task=lambda _channel: None)
    listener = server.TcpWSGIServer(lambda _environ, _start: [], sockets, dispatcher=dispatcher, adj=options)
    client, peer = socket.socketpair()
    connection = channel.HTTPChannel(listener, peer, ('127.0.0.1', 1), options, map=sockets)
    request, malformed = parser.HTTPRequestParser(options), parser.HTTPRequestParser(options)
    request.received(b'GET / HTTP/1.1\r\nauthorization: Bearer key\r\n\r\n')
    malformed.received(b'nonsense\r\n\r\n')
    yield {
        'connection': connection,
        'server': listener,
        'request': request,
        'malformed request': malformed,
        'task': task.WSGITask(connection, request),
        'body': request.get_body_stream(),
        'error': malformed.error,
        'options': options,
        'lock': connection.outbuf_lock,
        'threads': task.ThreadedTaskDispatcher(),
    }
    wasyncore.close_all(sockets)
    client.close()


def message_of(name: str) -> str:
    return HINT % (version('waitress'), name)


@pytest.mark.parametrize('module', MODULES, ids=lambda module: module.__name__)
def test_a_module_of_waitress_has_the_names_that_we_import(module: Any) -> None:
    for name in MODULES[module]:
        assert hasattr(module, name), message_of('%s.%s' % (module.__name__, name))


@pytest.mark.parametrize('kind', ATTRIBUTES)
def test_an_object_of_waitress_has_the_attributes_that_we_use(objects: dict[str, Any], kind: str) -> None:
    for name in ATTRIBUTES[kind].split():
        assert hasattr(objects[kind], name), message_of('%s on a %s' % (name, kind))


def test_a_parsed_request_has_the_values_that_we_read(objects: dict[str, Any]) -> None:
    request = objects['request']
    assert (request.command, request.path, request.error) == ('GET', '/', None)
    assert request.headers.get('AUTHORIZATION') == 'Bearer key', 'headers are in upper case'
    assert isinstance(objects['malformed request'].error, utilities.Error)


@pytest.mark.parametrize('function', PARAMETERS, ids=lambda function: function.__qualname__)
def test_a_function_of_waitress_takes_the_arguments_that_we_give(function: Callable[..., object]) -> None:
    parameters = set(inspect.signature(function).parameters)
    for name in PARAMETERS[function]:
        assert name in parameters, message_of('argument %s of %s' % (name, function.__qualname__))


def test_the_options_that_we_set_are_options_of_waitress() -> None:
    known = {name for name, _ in adjustments.Adjustments._params}
    for name in keywords_of('Adjustments'):
        assert name in known, message_of('option ' + name)


def nodes_of_the_adapter() -> list[ast.AST]:
    return [node for ours in OURS for node in ast.walk(ast.parse(Path(inspect.getfile(ours)).read_text('utf-8')))]


def keywords_of(function: str) -> set[str]:
    """The keyword arguments with which the adapter calls `function`."""
    (call,) = [
        node
        for node in nodes_of_the_adapter()
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function
    ]
    return {keyword.arg for keyword in call.keywords if keyword.arg is not None}


def test_every_attribute_that_the_adapter_uses_is_its_own_or_in_the_tables() -> None:
    """So the tables cannot fall behind the adapter."""
    nodes = nodes_of_the_adapter()
    used = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id in IMPORTED)
    }
    own = {name for kind in (ConnectionState, Phase, WriteBudget, Tls, TlsSocket) for name in dir(kind)}
    own |= {field.name for field in fields(ConnectionState)} | {'most', 'wants_write'}
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            defined = next(vars(ours)[node.name] for ours in OURS if node.name in vars(ours))
            own |= set(vars(defined)) | names_set_on_self(node)
    listed = {name for names in MODULES.values() for name in names}
    listed |= {name for names in ATTRIBUTES.values() for name in names.split()}
    of_python = {
        name
        for kind in (str, dict, set, Counter, OSError, socket.socket, logging.Logger, BaseSelector, SelectorKey)
        for name in dir(kind)
    }
    assert used - own - of_python - listed == set(), 'add each to ATTRIBUTES, at the object that has it'


def names_set_on_self(node: ast.ClassDef) -> set[str]:
    return {
        target.attr
        for target in ast.walk(node)
        if isinstance(target, ast.Attribute)
        and isinstance(target.ctx, ast.Store)
        and isinstance(target.value, ast.Name)
        and target.value.id == 'self'
    }


def test_a_new_major_release_of_waitress_is_not_installed() -> None:
    project = tomllib.loads((ROOT / 'server' / 'pyproject.toml').read_text('utf-8'))['project']
    (waitress,) = [
        requirement
        for requirement in map(Requirement, project['optional-dependencies']['http'])
        if requirement.name == 'waitress'
    ]
    next_major = '%d.0' % (int(version('waitress').split('.')[0]) + 1)
    assert version('waitress') in waitress.specifier
    assert next_major not in waitress.specifier
