# -*- coding: utf-8 -*-
"""The examples of docs/client.md run, and print what the page says."""

from __future__ import print_function

import io
import os
import re
import sys

import numpy as np
import pytest

from support.scripted_server import tokens_of

PAGE = os.path.join(os.path.dirname(__file__), '..', '..', 'docs', 'client.md')


@pytest.mark.filterwarnings('ignore:cannot show progress without tqdm:UserWarning')  # which is optional
def test_the_examples_print_what_the_page_says(make_server):
    with io.open(PAGE, encoding='utf-8') as page:
        blocks = re.findall(r'```python\n(.*?)```', page.read(), flags=re.DOTALL)
    code = '\n'.join(block for block in blocks if sys.version_info >= (3, 8) or 'AsyncBertClient' not in block)
    server = make_server(max_batch_size=256, extensions=['options', 'token_ids', 'cancel'], model={'dimensions': 384})

    def answer(request):
        counts = {'token_counts': [len(row) for row in tokens_of(request.texts)]} if request.options else {}
        return [server.result(request, np.zeros((request.rows, 384), dtype=np.float32), **counts)]

    server.script = answer
    printed = []
    expected = []
    for line in code.split('\n'):
        if '# -> ' in line:  # once for each time round, and there is one loop, of three
            expected += [line.split('# -> ')[1]] * (3 if line.startswith('    print(embedding.shape)') else 1)
    code = code.replace('5555', str(server.port)).replace('5556', str(server.port_out))
    names = {'print': lambda value: printed.append(str(value).replace("u'", "'"))}  # 2.7 marks its text
    exec(compile('from __future__ import print_function\n' + code, PAGE, 'exec'), names)
    assert len(expected) > 15
    assert printed == expected
