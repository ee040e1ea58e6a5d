"""A look at JSON before it is parsed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_serving.server.protocol import structure
from bert_serving.server.protocol.structure import without_strings


@given(st.lists(st.sampled_from(['"', '\\', '[', ']', ',', 'a', '\\"', '\\\\']), max_size=40).map(''.join))
def test_strings_are_left_out_whatever_they_hold(text: str) -> None:
    texts = [text, 'x', text]
    found = without_strings(json.dumps({'a': texts, 'b': [1, [2]]}).encode())
    assert found.replace(b' ', b'') == b'{:[,,],:[1,[2]]}'


def test_strings_reach_over_the_chunks_in_which_they_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structure, 'CHUNK_BYTES', 3)
    assert without_strings(b'["abc[,d","\\"[", [1, 2], "never ends [,') == b'[,, [1, 2], '
    assert without_strings(b'') == b''
