"""A stranger who asks for the status learns no paths and process ids, and finds every key of 1.10."""

from __future__ import annotations

from bert_serving.server.protocol.status_view import view_of_stranger

STATUS = {
    'client': 'me',
    'model_dir': '/home/somebody/models/mine/',
    'tuned_model_dir': None,
    'graph_tmp_dir': '../graphs',
    'ventilator -> worker': ['ipc:///tmp/bert-serving-abc/worker-0', 'tcp://10.0.0.1:5'],
    'worker -> sink': 'ipc:///tmp/bert-serving-abc/sink-1',
    'python_version': '3.11.7 (main) [GCC 11/x]',
    'pooling_layer': [-2],
    'cors': '*',
    'model': {'name': 'mine', 'prompts': {'query': '/query: '}},
    'workers': [{'worker': 0, 'pid': 4711, 'state': 'ready'}],
    'upstreams': [{'name': 'a', 'address': '10.0.0.7:5555'}],
    'statistic': {'num_data_request': 3, 'num_worker_restart': 0},
}


def test_a_stranger_gets_the_names_without_their_paths() -> None:
    assert view_of_stranger(STATUS) == {
        'client': 'me',
        'model_dir': 'mine',
        'tuned_model_dir': None,
        'graph_tmp_dir': 'graphs',
        'ventilator -> worker': ['ipc://worker-0', 'tcp://10.0.0.1:5'],
        'worker -> sink': 'ipc://sink-1',
        'python_version': '3.11.7 (main) [GCC 11/x]',
        'pooling_layer': [-2],
        'cors': '*',
        'model': {'name': 'mine', 'prompts': {'query': '/query: '}},
        'workers': [{'worker': 0, 'state': 'ready'}],
        'upstreams': [{'name': 'a'}],
        'statistic': {'num_data_request': 3, 'num_worker_restart': 0},
    }
