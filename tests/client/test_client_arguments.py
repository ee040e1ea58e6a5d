# -*- coding: utf-8 -*-
"""Arguments as the environment or a configuration file has them: taken, or refused at once and by name."""

import numpy as np
import pytest

from bert_serving.client import BertClient, ConcurrentBertClient
from support.scripted_server import vectors

KINDS = [BertClient, ConcurrentBertClient]


@pytest.mark.parametrize('kind', KINDS)
def test_arguments_that_are_text_are_taken(server, kind):
    client = kind(
        ip=' 127.0.0.1\n',
        port=str(server.port),
        port_out=' %d\n' % server.port_out,
        show_server_config='false',
        check_version='True',
        check_length='1',
        check_token_info='yes',
        ignore_all_checks='0',
        timeout='20000',
    )
    np.testing.assert_array_equal(client.encode(['a']), vectors(['a']))
    assert (client.ip, client.port, client.port_out) == ('127.0.0.1', server.port, server.port_out)
    assert (client.timeout, client.length_limit, client.token_info_available) == (20000, 25, True)
    client.close()


def test_numbers_of_numpy_are_taken(server):
    ports = np.array([server.port, server.port_out])
    with BertClient(
        ip='127.0.0.1', port=ports[0], port_out=ports[1], check_length=np.bool_(False), timeout=np.float32(20000)
    ) as client:
        np.testing.assert_array_equal(client.encode(['a']), vectors(['a']))
        assert client.length_limit == 0


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize(
    ('name', 'value', 'error', 'says'),
    [
        ('ip', None, TypeError, 'a host name or an address, but is a NoneType'),
        ('ip', 127, TypeError, 'a host name or an address, but is a int'),
        ('ip', ' ', ValueError, 'is empty'),
        ('ip', '[]', ValueError, 'is empty'),
        ('ip', 'tcp://localhost', ValueError, 'leave out the protocol'),
        ('ip', 'localhost:5555', ValueError, 'pass the port as "port"'),
        ('ip', '[::1]:5555', ValueError, 'pass the port as "port"'),
        ('ip', 'no::host', ValueError, 'that is no IPv6 address'),
        ('ip', '[1:2:3]', ValueError, 'that is no IPv6 address'),
        ('ip', 'local host', ValueError, 'ASCII without spaces'),
        ('ip', 'm\xfcnchen', ValueError, 'ASCII without spaces'),
        ('ip', '127.0.0.1;127.0.0.1', ValueError, 'a host name or an address'),
        ('ip', 'user@localhost', ValueError, 'a host name or an address'),
        ('ip', 'one,two', ValueError, 'a host name or an address'),
        ('ip', '*', ValueError, 'a host name or an address'),
        ('ip', '127.0.0.1\0', ValueError, 'a host name or an address'),
        ('port', '', ValueError, 'a whole number from 1 to 65535'),
        ('port', '5555.0', ValueError, 'a whole number from 1 to 65535'),
        ('port', 'http', ValueError, 'a whole number from 1 to 65535'),
        ('port', '-1', ValueError, 'a whole number from 1 to 65535'),
        ('port', '\xb2', ValueError, 'a whole number from 1 to 65535'),
        ('port', '\uff15\uff15', ValueError, 'a whole number from 1 to 65535'),
        ('port', '1' * 5000, ValueError, 'a whole number from 1 to 65535'),
        ('port', bytearray(b'5555'), TypeError, 'but is a bytearray'),
        ('port', '+5555', ValueError, 'a whole number from 1 to 65535'),
        ('port', 0, ValueError, 'but is 0'),
        ('port', 70000, ValueError, 'but is 70000'),
        ('port_out', None, TypeError, 'but is a NoneType'),
        ('port_out', True, TypeError, 'but is a bool'),
        ('port_out', 5556.0, TypeError, 'but is a float'),
        ('identity', 3, TypeError, 'bytes or text, but is a int'),
        ('identity', 0, TypeError, 'bytes or text, but is a int'),
        ('identity', 'a' * 2000, ValueError, 'at most 256 bytes, but has 2000'),
        ('timeout', 'soon', ValueError, 'a number of milliseconds'),
        ('timeout', float('nan'), ValueError, 'a number of milliseconds'),
        ('timeout', 10**400, ValueError, 'a number of milliseconds'),
        ('timeout', '', ValueError, 'a number of milliseconds'),
        ('timeout', False, TypeError, 'but is a bool'),
        ('timeout', [1], TypeError, 'but is a list'),
        ('show_server_config', 'perhaps', ValueError, 'must be True or False'),
        ('check_version', [], TypeError, 'must be True or False, but is a list'),
        ('check_length', 1.0, TypeError, 'must be True or False, but is a float'),
        ('check_token_info', 'oui', ValueError, 'must be True or False'),
        ('ignore_all_checks', 'nein', ValueError, 'must be True or False'),
        ('output_fmt', 'json', AttributeError, 'must be "ndarray" or "list"'),
        ('output_fmt', None, AttributeError, 'must be "ndarray" or "list"'),
        ('ports', 1, TypeError, "unexpected keyword argument 'ports'"),
    ],
)
def test_an_argument_that_will_not_do_is_refused_by_name(kind, name, value, error, says):
    with pytest.raises(error) as caught:
        kind(**{name: value})
    assert says in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ('value', 'error'), [('0', ValueError), ('many', ValueError), (-1, ValueError), (2.0, TypeError), (None, TypeError)]
)
def test_a_number_of_connections_that_will_not_do_is_refused(value, error):
    with pytest.raises(error, match='"max_concurrency" must be a whole number of at least 1'):
        ConcurrentBertClient(max_concurrency=value)


def test_a_number_of_connections_can_be_text(server, connect):
    assert connect(server, ConcurrentBertClient, max_concurrency='3').max_concurrency == 3


def test_a_timeout_that_is_set_later_is_read_as_well(client, pool):
    for each in (client, pool):
        each.timeout = '1500'
        assert each.timeout == 1500
        each.timeout = None
        assert each.timeout == -1
        each.timeout = 0.5
        assert each.timeout == 0.5
        with pytest.raises(ValueError, match='"timeout" must be'):
            each.timeout = 'later'


@pytest.mark.parametrize('identity', [None, '', b''])
def test_no_identity_is_a_random_one(server, connect, identity):
    assert len(connect(server, identity=identity).identity) == 36
