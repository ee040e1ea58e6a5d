# -*- coding: utf-8 -*-
"""What is packed: one module that stands alone, its types, and one version."""

import ast
import io
import os
import shutil
import subprocess
import sys

import bert_serving.client

CLIENT = os.path.join(os.path.dirname(__file__), '..', '..', 'client')


def test_the_version_of_the_package_is_that_of_the_module():
    with io.open(os.path.join(CLIENT, 'setup.cfg'), encoding='utf-8') as config:
        assert 'version = %s\n' % bert_serving.client.__version__ in config.read()


def test_types_are_packed_with_it():
    folder = os.path.dirname(bert_serving.client.__file__)
    assert {'py.typed', '__init__.pyi'} <= set(os.listdir(folder))


def test_the_module_can_be_copied_into_another_project(tmpdir, server):
    source = bert_serving.client.__file__.replace('.pyc', '.py')
    shutil.copy(source, str(tmpdir.join('copied.py')))
    code = 'import copied; print(copied.BertClient(ip="127.0.0.1", port=%d, port_out=%d).encode(["a"]).shape)'
    output = subprocess.check_output([sys.executable, '-c', code % (server.port, server.port_out)], cwd=str(tmpdir))
    assert output.decode('ascii').strip() == '(1, 5)'


def test_it_imports_numpy_pyzmq_and_the_standard_library_alone():
    with io.open(bert_serving.client.__file__.replace('.pyc', '.py'), encoding='utf-8') as source:
        tree = ast.parse(source.read().encode('utf-8'))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported.update(alias.name.split('.')[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module.split('.')[0])
    standard = {
        '__future__',
        'collections',
        'contextlib',
        'itertools',
        'json',
        'logging',
        'math',
        'os',
        'random',
        'socket',
        'sys',
        'threading',
        'time',
        'uuid',
        'warnings',
    }
    # the last two only when a progress bar is asked for, or keys are given
    assert imported - standard == {'numpy', 'zmq', 'tqdm', 'bert_serving'}
