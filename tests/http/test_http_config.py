"""The options of the HTTP proxy: keys, origins, names, and the packages that it needs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from bert_serving.server.errors import UsageError
from bert_serving.server.helper import get_args_parser, get_http_parser
from bert_serving.server.http.config import HttpConfig, check_installed, read_keys, read_origins
from bert_serving.server.options.settings import Settings


def config(*words: str, **environ: str) -> HttpConfig:
    parser = get_args_parser()
    parser.environ = environ
    return HttpConfig.from_settings(Settings.from_args(parser.parse_args(words)))


def test_the_defaults() -> None:
    assert config() == HttpConfig()
    assert config().host == '0.0.0.0', 'as in 1.10'
    assert config().is_open_to_all


def test_a_local_address_or_a_key_closes_it_to_others() -> None:
    assert not config('-http_host', '127.0.0.1').is_open_to_all
    assert not config('-http_api_key', 'k').is_open_to_all
    assert config('-http_host', '192.0.2.1').is_open_to_all


def test_a_key_comes_from_the_command_line_the_environment_or_a_file(tmp_path: Path) -> None:
    path = tmp_path / 'keys'
    path.write_text('\ufeff# who: what for\nfirst\n\n  second  \n')
    assert config('-http_api_key', 'one').api_keys == ('one',)
    assert config(BERT_SERVING_HTTP_API_KEY='two').api_keys == ('two',)
    assert config('-http_api_key_file', str(path), '-http_api_key', 'three').api_keys == ('first', 'second', 'three')


def test_keys_are_shown_nowhere() -> None:
    settings = Settings(http_api_key='my-own-key')
    assert 'my-own-key' not in settings.to_table()
    assert 'my-own-key' not in str(settings.to_status())
    assert 'my-own-key' not in repr(HttpConfig.from_settings(settings))


@pytest.mark.parametrize('key', ['', ' ', 'two words ', 'naïve', 'a\nb'])
def test_a_key_that_no_header_can_bring_is_refused(key: str) -> None:
    with pytest.raises(UsageError, match='printable ASCII') as caught:
        HttpConfig.from_settings(Settings(http_api_key=key))
    assert key.strip() == '' or key not in str(caught.value)


def test_a_file_without_keys_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'keys'
    with pytest.raises(UsageError, match='No such file'):
        read_keys(str(path))
    path.write_text('# none\n')
    with pytest.raises(UsageError, match='no key'):
        read_keys(str(path))
    path.write_bytes(b'\xff\xfe')
    with pytest.raises(UsageError, match='not UTF-8'):
        read_keys(str(path))


def test_origins() -> None:
    assert read_origins('*') == ('*',)
    assert read_origins('https://a.example, http://localhost:3000') == ('https://a.example', 'http://localhost:3000')
    assert read_origins('http://[::1]:3000') == ('http://[::1]:3000',)
    for wrong in (
        'https://*.example.org',
        'https://a.example$',
        'https://(a|b)',
        'a.example',
        'https://a.example/',
        'https://a.example/path',
        'ftp://a',
    ):
        with pytest.raises(UsageError, match='is not a valid origin'):
            read_origins(wrong)


def test_names() -> None:
    assert config('-http_model_name', 'a,b/c, d').model_names == ('a', 'b/c', 'd')


def test_the_command_of_the_proxy_has_its_own_options_and_the_place_of_the_server() -> None:
    parser = get_http_parser()
    parser.environ = {'BERT_SERVING_IP': 'example.org', 'BERT_SERVING_HTTP_MAX_CONNECT': '3'}
    args = parser.parse_args(['-port', '1', '-port_out', '2'])
    settings = Settings.from_args(args)
    assert (args.ip, settings.port, settings.port_out, settings.http_port) == ('example.org', 1, 2, 8125)
    assert settings.http_max_connect == 3
    with pytest.raises(SystemExit):
        parser.parse_args(['-num_worker', '2'])


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    check_installed()
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None if name == 'waitress' else find(name))
    with pytest.raises(UsageError, match=r"waitress is not installed: pip install 'bert-serving-server\[http\]>=2'"):
        check_installed()
