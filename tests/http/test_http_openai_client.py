"""OpenAI's own Python client against the frontend: it judges whether `/v1` behaves as it expects."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import openai
import pytest

from bert_serving.server.http.errors import HTTPError
from bert_serving.server.http.frontend import Frontend
from support.fake_backend import FakeBackend

KEY = 'sk-of-a-test'
StartFrontend = Callable[..., Frontend]
Connect = Callable[..., openai.OpenAI]


@pytest.fixture
def connect(start_frontend: StartFrontend) -> Iterator[Connect]:
    frontend = start_frontend(api_keys=(KEY,), max_connect=2, token_ids=True)
    clients = []

    def make(**options: object) -> openai.OpenAI:
        options = {'api_key': KEY, 'max_retries': 0, 'timeout': 20, **options}
        clients.append(openai.OpenAI(base_url='http://127.0.0.1:%d/v1' % frontend.port, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def test_the_model_is_found(connect: Connect) -> None:
    client = connect()
    assert [model.id for model in client.models.list()] == ['tiny']
    assert client.models.retrieve('tiny').owned_by == 'bert-as-service'
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve('gpt')


def test_a_name_with_a_slash_as_on_the_hub(connect: Connect, backend: FakeBackend) -> None:
    name = 'sentence-transformers/all-MiniLM-L6-v2'
    backend.status = {**(backend.status or {}), 'model': {'name': name}}
    client = connect()
    assert [model.id for model in client.models.list()] == [name]
    assert client.models.retrieve(name).id == name
    assert client.embeddings.create(model=name, input='a b').model == name


def test_a_batch_comes_back_in_its_order(connect: Connect, backend: FakeBackend) -> None:
    texts = ['text number %d' % number for number in range(300)]
    answer = connect().embeddings.create(model='tiny', input=texts)  # the client asks for base64 by itself
    assert [item.index for item in answer.data] == list(range(300))
    assert answer.data[7].embedding == [5, 21, 7]
    assert (answer.model, answer.usage.prompt_tokens, answer.usage.total_tokens) == ('tiny', 1500, 1500)


@pytest.mark.parametrize('value', ['one text', ['a', 'b'], [101, 102], [[101], [102, 103]]])
def test_each_kind_of_input(connect: Connect, value: object) -> None:
    answer = connect().embeddings.create(model='tiny', input=value)
    assert len(answer.data[0].embedding) == 3


def test_both_formats_are_the_same_numbers(connect: Connect) -> None:
    client = connect()
    floats = client.embeddings.create(model='tiny', input=['a b c'], encoding_format='float')
    base64 = client.embeddings.create(model='tiny', input=['a b c'], encoding_format='base64')
    assert isinstance(base64.data[0].embedding, str), 'asked for in words, it is left as it came'
    assert floats.data[0].embedding == client.embeddings.create(model='tiny', input=['a b c']).data[0].embedding


def test_dimensions(connect: Connect) -> None:
    vector = connect().embeddings.create(model='tiny', input='a b', dimensions=2).data[0].embedding
    np.testing.assert_allclose(np.linalg.norm(vector), 1, rtol=1e-6)
    with pytest.raises(openai.BadRequestError) as caught:
        connect().embeddings.create(model='tiny', input='a b', dimensions=4)
    assert (caught.value.param, caught.value.code, caught.value.type) == (
        'dimensions',
        'invalid_request',
        'invalid_request_error',
    )


def test_errors_are_the_exceptions_that_the_client_has_for_them(connect: Connect, backend: FakeBackend) -> None:
    client = connect()
    with pytest.raises(openai.AuthenticationError) as caught:
        connect(api_key='wrong').embeddings.create(model='tiny', input='a')
    assert caught.value.code == 'invalid_api_key'
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model='gpt', input='a')
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model='tiny', input='')
    for name, exception in (
        ('Busy', openai.RateLimitError),
        ('InternalError', openai.InternalServerError),
        ('ShuttingDown', openai.InternalServerError),
        ('TooLarge', openai.APIStatusError),
    ):
        backend.error = HTTPError(name, 'why')
        with pytest.raises(exception) as refused:
            client.embeddings.create(model='tiny', input='a')
        assert refused.value.request_id, 'ours is the header that it looks for'
        assert 'why' in str(refused.value)


@pytest.mark.slow
def test_it_tries_again_when_it_was_too_much(connect: Connect, backend: FakeBackend) -> None:
    backend.error = HTTPError('Busy', 'too much')
    client = connect(max_retries=3)
    answered = backend.encode

    def encode(*arguments: object, **more: object) -> object:
        if len(backend.asked) == 1:
            backend.error = None
        return answered(*arguments, **more)  # type: ignore[arg-type]

    backend.encode = encode  # type: ignore[assignment, method-assign]
    assert client.embeddings.create(model='tiny', input='a').data[0].embedding == [3, 11, 0]
    assert len(backend.asked) == 2
