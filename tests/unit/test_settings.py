"""The option table: the command line of 1.10, the environment, the status, the table that a start prints."""

from __future__ import annotations

import argparse
import json
from typing import Any

import pytest

from bert_serving.server.errors import UsageError
from bert_serving.server.helper import get_args_parser, get_shutdown_parser
from bert_serving.server.model.pooling import PoolingStrategy
from bert_serving.server.options.engines import describe_engine
from bert_serving.server.options.option import Option
from bert_serving.server.options.settings import OPTIONS, Settings


def parse(*words: str, **environ: str) -> Settings:
    parser = get_args_parser()
    parser.environ = environ
    return Settings.from_args(parser.parse_args(words))


def test_the_defaults_are_those_of_1_10() -> None:
    status = parse().to_status()
    expected = {
        'ckpt_name': 'bert_model.ckpt',
        'config_name': 'bert_config.json',
        'cors': '*',
        'cpu': False,
        'device_map': [],
        'do_lower_case': True,
        'fixed_embed_length': False,
        'fp16': False,
        'gpu_memory_fraction': 0.5,
        'graph_tmp_dir': None,
        'http_max_connect': 10,
        'http_port': None,
        'mask_cls_sep': False,
        'max_batch_size': 256,
        'max_seq_len': 25,
        'model_dir': None,
        'no_position_embeddings': False,
        'no_special_token': False,
        'num_labels': 2,
        'num_worker': 1,
        'pooling_layer': [-2],
        'pooling_strategy': 2,
        'port': 5555,
        'port_out': 5556,
        'prefetch_size': 10,
        'priority_batch_size': 16,
        'show_tokens_to_client': False,
        'tuned_model_dir': None,
        'verbose': False,
        'xla': False,
    }
    assert {key: status[key] for key in expected} == expected
    ours = {name for name in set(status) - set(expected) if not name.startswith('http_')}
    assert ours == {
        'allow_remote_terminate',
        'audit_file',
        'bf16',
        'cache_rows',
        'curve_clients',
        'curve_key_file',
        'engine',
        'export_cache',
        'host',
        'int8',
        'log_format',
        'max_batch_tokens',
        'max_memory_bytes',
        'max_message_bytes',
        'max_queue_rows',
        'max_reply_bytes',
        'max_request_rows',
        'max_unread_bytes',
        'no_terminate',
        'principals',
        'ray',
        'ray_address_of_server',
        'ray_cpus',
        'ray_gpus',
        'ray_num_worker',
        'shutdown_timeout',
        'worker_timeout',
    }, 'options of our own'


@pytest.mark.parametrize(
    ('words', 'dest', 'value'),
    [
        ('-max_seq_len 40', 'max_seq_len', 40),
        ('-max_seq_len NONE', 'max_seq_len', None),
        ('-max_seq_len none', 'max_seq_len', None),
        ('-num_worker=4', 'num_worker', 4),
        ('-cased_tokenization', 'do_lower_case', False),
        ('-pooling_layer -4 -3 -2 -1', 'pooling_layer', (-4, -3, -2, -1)),
        ('-pooling_strategy CLS_TOKEN', 'pooling_strategy', PoolingStrategy.FIRST_TOKEN),
        ('-pooling_strategy REGRESSION', 'pooling_strategy', PoolingStrategy.REGRESSION),
        ('-port_in 1 ', 'port', 1),
        ('-port_data 2', 'port', 2),
        ('-port_result 3', 'port_out', 3),
        ('-device_map 0 -1', 'device_map', (0, -1)),
        ('-gpu_memory_fraction 0.25', 'gpu_memory_fraction', 0.25),
        ('-cpu', 'cpu', True),
        ('-engine onnxruntime', 'engine', 'onnxruntime'),
        ('-log_format json', 'log_format', 'json'),
        ('-export_cache /exports', 'export_cache', '/exports'),
        ('-export_cache none', 'export_cache', 'NONE'),
    ],
)
def test_an_option_of_the_command_line(words: str, dest: str, value: object) -> None:
    assert getattr(parse(*words.split()), dest) == value


@pytest.mark.parametrize(
    ('words', 'says'),
    [
        ('-max_seq_len 3', 'above 3, or NONE; got 3'),
        ('-max_seq_len some', "above 3, or NONE; got 'some'"),
        ('-num_worker 0', 'at least 1, got 0'),
        ('-num_worker two', "at least 1, got 'two'"),
        ('-port 70000', 'from 0 to 65535, got 70000'),
        ('-pooling_strategy BEST', "'BEST' is none of NONE"),
        ('-pooling_layer last', "expected an integer, got 'last'"),
        ('-engine torch', "expected one of tensorflow, onnxruntime, got 'torch'"),
        ('-log_format jason', "one of auto, plain, time, json; got 'jason': did you mean json?"),
        ('-gpu_memory_fraction 1.5', "got '1.5'"),
        ('-gpu_memory_fraction most', "got 'most'"),
        ('-no_such_option', 'unknown option -no_such_option'),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_2(words: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse(*words.split())
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count('\n') == 1


@pytest.mark.parametrize(
    ('variable', 'text', 'dest', 'value'),
    [
        ('MAX_BATCH_SIZE', '64', 'max_batch_size', 64),
        ('CPU', '1', 'cpu', True),
        ('CPU', 'no', 'cpu', False),
        ('CASED_TOKENIZATION', 'true', 'do_lower_case', False),
        ('CASED_TOKENIZATION', '0', 'do_lower_case', True),
        ('POOLING_LAYER', '-4 -3', 'pooling_layer', (-4, -3)),
        ('POOLING_STRATEGY', 'NONE', 'pooling_strategy', PoolingStrategy.NONE),
        ('MAX_SEQ_LEN', 'NONE', 'max_seq_len', None),
    ],
)
def test_an_option_of_the_environment(variable: str, text: str, dest: str, value: object) -> None:
    assert getattr(parse(**{'BERT_SERVING_' + variable: text}), dest) == value


def test_an_address_is_never_empty(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse('-host', ' ::1 ').host == '::1'
    with pytest.raises(SystemExit):
        parse('-host', ' ')
    assert "expected an address or a name, got ' '" in capsys.readouterr().err


def test_the_command_line_wins_over_the_environment() -> None:
    assert parse('-max_batch_size', '8', BERT_SERVING_MAX_BATCH_SIZE='64').max_batch_size == 8
    assert parse('-pooling_layer', '-1', BERT_SERVING_POOLING_LAYER='-3 -2').pooling_layer == (-1,)


@pytest.mark.parametrize(('variable', 'text'), [('CPU', 'perhaps'), ('NUM_WORKER', 'many')])
def test_a_wrong_variable_is_named(variable: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse(**{'BERT_SERVING_' + variable: text})
    assert exit_.value.code == 2
    assert 'environment variable BERT_SERVING_' + variable in capsys.readouterr().err


def test_a_wrong_variable_does_not_matter_where_the_command_line_has_the_option() -> None:
    assert parse('-num_worker', '3', BERT_SERVING_NUM_WORKER='many').num_worker == 3


def test_an_empty_variable_is_not_set() -> None:
    assert parse(BERT_SERVING_NUM_WORKER='', BERT_SERVING_MODEL_DIR='').num_worker == 1


def test_the_variable_that_kubernetes_sets_for_a_service_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(BERT_SERVING_PORT='tcp://10.0.0.7:5555')
    assert 'enableServiceLinks' in capsys.readouterr().err


def test_the_environment_is_read_each_time() -> None:
    parser = get_args_parser()
    parser.environ = {'BERT_SERVING_NUM_WORKER': '4'}
    assert parser.parse_args([]).num_worker == 4
    parser.environ = {}
    assert parser.parse_args([]).num_worker == 1


@pytest.mark.parametrize('word', ['-h', '-help', '--help'])
def test_help_shows_every_option_in_groups(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse(word)
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    assert all('-' + option.name in text for option in OPTIONS.values())
    for group in ('Model:', 'BERT parameters:', 'Serving:', 'Devices:'):
        assert group in text
    assert '(default: -2)' in text


def test_the_release_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse('-version')
    assert capsys.readouterr().out.strip() == '2.0.0'


def test_a_namespace_of_another_making_is_completed_with_defaults() -> None:
    settings = Settings.from_args(argparse.Namespace(pooling_strategy='REDUCE_MAX', pooling_layer=-1, foreign=1))
    assert settings.pooling_strategy is PoolingStrategy.REDUCE_MAX
    assert settings.pooling_layer == (-1,)
    assert settings.max_seq_len == 25


def test_a_folder_without_a_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse('-export_cache', ' ')
    assert "expected a folder or NONE, got ' '" in capsys.readouterr().err


@pytest.mark.parametrize(
    ('values', 'says'),
    [
        ({'port': 7, 'port_out': 7}, 'both 7'),
        ({'pooling_layer': []}, 'at least one layer'),
        ({'bf16': True, 'fp16': True}, '-bf16 and -fp16'),
        ({'curve_key_file': 'server.key_secret'}, '-curve_key_file and -curve_clients go together'),
        ({'int8': True}, '-int8 needs ONNX Runtime: add -engine onnxruntime'),
        ({'bf16': True, 'engine': 'onnxruntime'}, '-bf16 needs TensorFlow'),
        ({'xla': True, 'engine': 'onnxruntime'}, '-xla needs TensorFlow'),
        ({'device_map': [0, -1], 'engine': 'onnxruntime'}, 'runs on the CPU only: remove it, or remove -device_map'),
        ({'no_terminate': True, 'allow_remote_terminate': True}, '-no_terminate and -allow_remote_terminate'),
    ],
)
def test_options_that_contradict_each_other_are_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Settings.from_dict(values)


@pytest.mark.parametrize(
    ('words', 'line'),
    [
        ('', 'TensorFlow, float32'),
        ('-bf16', 'TensorFlow, bfloat16'),
        ('-engine onnxruntime', 'ONNX Runtime, float32'),
        ('-engine onnxruntime -int8 -fp16', 'ONNX Runtime, int8'),
        ('-engine onnxruntime -device_map -1', 'ONNX Runtime, float32'),
        ('-engine onnxruntime -cpu -device_map 0', 'ONNX Runtime, float32'),
    ],
)
def test_the_log_names_the_engine_and_its_type(words: str, line: str) -> None:
    assert describe_engine(parse(*words.split())) == line


def test_settings_travel_to_a_child_as_json() -> None:
    settings = parse('-pooling_strategy', 'NONE', '-max_seq_len', 'NONE', '-device_map', '0', '-1')
    assert Settings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_the_table_of_a_start_names_every_option() -> None:
    table = parse().to_table()
    assert 'ARG   VALUE' in table
    assert 'pooling_strategy = REDUCE_MEAN' in table
    assert all(dest in table for dest in OPTIONS)


def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Option(('cors',), 'Serving', '', secret=True)
    monkeypatch.setattr('bert_serving.server.options.settings.OPTIONS', {**OPTIONS, 'cors': secret})
    settings = Settings(cors='hunter2')
    assert settings.to_status()['cors'] == '***'
    assert 'hunter2' not in settings.to_table()
    assert settings.to_dict()['cors'] == 'hunter2'


def test_the_shutdown_parser_takes_what_1_10_took() -> None:
    args = get_shutdown_parser().parse_args(['-port_data', '7000', '-ip', '127.0.0.1', '-timeout', '100'])
    assert (args.port, args.ip, args.timeout) == (7000, '127.0.0.1', 100)
    assert get_shutdown_parser().parse_args(['-port', '1']).timeout == 5000


def test_strategies_have_the_numbers_of_1_10() -> None:
    assert [PoolingStrategy[name].value for name in ('NONE', 'REDUCE_MAX', 'REDUCE_MEAN', 'REDUCE_MEAN_MAX')] == [
        0,
        1,
        2,
        3,
    ]
    assert PoolingStrategy['CLS_TOKEN'] is PoolingStrategy['FIRST_TOKEN']
    assert PoolingStrategy['SEP_TOKEN'] is PoolingStrategy['LAST_TOKEN']
    assert [s.name for s in PoolingStrategy if s.uses_pooler] == ['CLS_POOLED', 'CLASSIFICATION', 'REGRESSION']
    assert [s.name for s in PoolingStrategy if s.uses_head] == ['CLASSIFICATION', 'REGRESSION']
    assert str(PoolingStrategy.REDUCE_MEAN) == 'REDUCE_MEAN'
