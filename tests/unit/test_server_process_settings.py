"""The settings of a server in its own process are those of the command, even if the model decides."""

from __future__ import annotations

import json

import pytest

from bert_serving.server.helper import get_args_parser
from bert_serving.server.options.settings import Settings
from bert_serving.server.parent.server_process import pack_settings, unpack_settings


@pytest.mark.parametrize('words', ['', '-max_seq_len 12', '-pooling_layer -2 -pooling_strategy CLS_TOKEN'])
def test_a_server_process_leaves_to_the_model_what_the_user_left_to_it(words: str) -> None:
    settings = Settings.from_args(get_args_parser().parse_args(words.split()))
    again = unpack_settings(json.loads(json.dumps(pack_settings(settings))))
    assert again == settings
    assert again.left_to_model == settings.left_to_model
