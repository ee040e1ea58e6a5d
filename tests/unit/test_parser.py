"""The parsers of all commands: help that fits the terminal, errors that say what was meant."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bert_serving.server.helper import get_args_parser, get_benchmark_parser, get_http_parser, get_shutdown_parser
from bert_serving.server.options.option import GROUPS, OTHER
from bert_serving.server.options.parser import EnvironmentParser
from bert_serving.server.options.settings import OPTIONS

MakeParser = Callable[[], EnvironmentParser]
PARSERS = (get_args_parser, get_benchmark_parser, get_http_parser, get_shutdown_parser)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def help_of(make_parser: MakeParser, columns: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv('COLUMNS', str(columns))
    return make_parser().format_help()


@pytest.mark.parametrize('make_parser', PARSERS)
@pytest.mark.parametrize(('columns', 'most'), [(60, 60), (80, 80), (200, 120)])
def test_no_line_of_a_help_is_wider_than_the_terminal(
    make_parser: MakeParser, columns: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = help_of(make_parser, columns, monkeypatch).splitlines()
    assert max(map(len, lines)) <= most
    if make_parser is not get_shutdown_parser:  # which has not much to say
        assert max(map(len, lines)) > most * 0.9, 'and it uses the room that there is'


def test_a_help_is_told_in_a_form_of_its_own_on_every_python(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = help_of(get_args_parser, 80, monkeypatch).splitlines()
    assert lines[0] == 'usage: bert-serving-start [options]'
    assert lines[4:7] == [
        'Model: the model to serve; without these options, the embedded default model',
        '  -model_dir DIR            folder of the pre-trained model, in the layout of',
        '                            Google (bert_config.json, bert_model.ckpt.*,',
    ]
    at = lines.index('  -port, -port_in, -port_data PORT')
    assert lines[at + 1 : at + 3] == [
        '                            port for requests; 0 picks a free one (default:',
        '                            5555)',
    ]


def test_a_help_has_every_option_with_its_default_in_the_group_of_its_subject(monkeypatch: pytest.MonkeyPatch) -> None:
    text = help_of(get_args_parser, 80, monkeypatch)
    paragraphs = {paragraph.partition(':')[0]: ' '.join(paragraph.split()) for paragraph in text.split('\n\n')}
    for option in OPTIONS.values():
        assert ' -' + option.name in paragraphs[option.group]
    assert [title for title in paragraphs if title in GROUPS] == list(GROUPS), 'in this order'
    for name in ('-verbose', '-h, -help, --help', '-version, --version'):
        assert name in paragraphs[OTHER]
    num_worker = '-num_worker N number of worker processes, each with its own copy of the model (default: 1)'
    assert num_worker in paragraphs['Serving']
    assert '-pooling_layer LAYER ...' in paragraphs['BERT parameters']
    assert 'options' not in paragraphs


def test_a_help_ends_with_the_environment_examples_and_where_to_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    text = help_of(get_args_parser, 80, monkeypatch)
    assert 'such as BERT_SERVING_MODEL_DIR for -model_dir' in ' '.join(text.split())
    assert '\nExamples:\n  bert-serving-start -cpu\n' in text
    assert text.rstrip().splitlines()[-1].startswith('Documentation: ')


@pytest.mark.parametrize('make_parser', PARSERS)
def test_the_page_to_read_on_is_there(make_parser: MakeParser) -> None:
    assert (Path(__file__).parents[2] / make_parser().guide).is_file()


@pytest.mark.parametrize('make_parser', PARSERS)
def test_every_example_is_a_command_line_that_is_understood(make_parser: MakeParser) -> None:
    parser = make_parser()
    parser.environ = {}
    for example in parser.examples:
        command, *words = example.split()
        assert command == parser.prog
        parser.parse_args(words)


def test_the_usage_is_one_line_without_the_help() -> None:
    assert get_shutdown_parser().format_usage() == 'usage: bert-serving-terminate -port PORT [options]\n'


def test_what_must_be_given_is_in_the_usage_and_no_default_is_said_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    text = help_of(get_shutdown_parser, 80, monkeypatch)
    assert text.startswith('usage: bert-serving-terminate -port PORT [options]\n')
    assert 'request port of the server (required)' in text
    assert text.count('default: localhost') == 1
    assert 'Environment' not in text, 'its options are not there'


def test_titles_are_bold_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('NO_COLOR', raising=False)
    monkeypatch.setenv('TERM', 'xterm')
    screen, file = Terminal(), io.StringIO()
    for stream in (screen, file):
        get_args_parser().print_help(stream)
    for title in (*GROUPS, 'Environment', 'Examples', 'Documentation'):
        assert '\x1b[1m%s\x1b[0m:' % title in screen.getvalue()
    assert screen.getvalue().replace('\x1b[1m', '').replace('\x1b[0m', '') == file.getvalue()
    assert '\x1b' not in file.getvalue()


def test_options_of_a_program_that_takes_a_parser_of_ours_are_in_its_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('COLUMNS', '80')
    parser = EnvironmentParser(prog='mine', epilog='And so on.')
    parser.add_argument('files', nargs='*', metavar='FILE')
    parser.add_argument('-depth', help='how deep, in %(prog)s', type=int, default=3)
    parser.add_argument('-pair', nargs=2, metavar=('A', 'B'), help='two')
    parser.add_argument('-hidden', help=argparse.SUPPRESS)
    parser.add_argument_group('Nothing', 'in it')
    assert parser.format_help().splitlines() == [
        'usage: mine [options] FILE ...',
        '',
        'positional arguments:',
        '  FILE ...',
        '',
        'options:',
        '  -depth DEPTH              how deep, in mine (default: 3)',
        '  -pair PAIR ...            two',
        '',
        'And so on.',
        '',
        'Documentation: README.md and docs/server.md in the repository',
    ]


@pytest.mark.parametrize(
    ('words', 'says'),
    [
        (['-http_prt', '8125'], 'unknown option -http_prt: did you mean -http_port?'),
        (['--max-seq-len=40'], 'unknown option --max-seq-len: did you mean -max_seq_len?'),
        (['-cpu', 'true'], "-cpu takes no value, got 'true': the option alone turns it on"),
        (['-port', '5555', '-cpu', '5555'], "-cpu takes no value, got '5555': the option alone turns it on"),
        (['serve'], "expected an option, which begins with a dash, got 'serve'"),
        (['-max_seq_len', '40', '50'], "expected an option, which begins with a dash, got '50'"),
        (['-pooling_strategy', 'reduce_mean'], 'SEP_TOKEN: did you mean REDUCE_MEAN?'),
        (['-num_worker'], 'argument -num_worker: expected one argument'),
    ],
)
def test_a_mistake_is_one_line_that_says_what_was_meant(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        get_args_parser().parse_args(words)
    assert exit_.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert line.startswith('bert-serving-start: error: ')


def test_an_experiment_that_does_not_exist_leads_to_the_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        get_benchmark_parser().parse_args(['-experiments', 'target'])
    assert ': did you mean targets?' in capsys.readouterr().err


def test_negative_numbers_are_values_and_a_name_may_be_cut_short_as_in_1_10(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ['-device_map', '0', '-1', '-pooling_layer', '-4', '-3', '-max_seq', '40']
    monkeypatch.setattr(sys, 'argv', ['bert-serving-start', *words])
    args = get_args_parser().parse_args()
    assert (args.device_map, args.pooling_layer, args.max_seq_len) == ([0, -1], [-4, -3], 40)


def test_what_is_not_ours_can_be_left_to_somebody_else() -> None:
    args, rest = get_args_parser().parse_known_args(['-cpu', '--theirs'])
    assert args.cpu is True
    assert rest == ['--theirs']


def test_an_option_that_is_given_several_times_can_add_up() -> None:
    words = '-upstream a=one:5555,5556 -upstream b=two:1,2 b=three:3,4'
    upstreams = get_http_parser().parse_args(words.split()).upstream
    assert [(each.name, each.host) for each in upstreams] == [('a', 'one'), ('b', 'two'), ('b', 'three')]
