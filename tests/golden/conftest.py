"""Every test starts a server with TensorFlow. Some are asked by the real client of 1.10, too, in its environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support.environments import make_environment
from support.exporting import ServeExported, one_exported
from support.real_client import RealClient
from support.slow import pytest_itemcollected

__all__ = ['long_running_real_client', 'pytest_itemcollected', 'real_client', 'serve_as']


@pytest.fixture(scope='session')
def real_client(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of an environment with `bert-serving-client==1.10.0`; in a lasting folder if one is given."""
    version = '%d.%d' % sys.version_info[:2]
    given = os.environ.get('BERT_SERVING_INTEROP_ENVIRONMENTS')
    folder = Path(given) if given else tmp_path_factory.mktemp('environments')
    return make_environment(folder / ('1.10-' + version), version, 'bert-serving-client==1.10.0')


@pytest.fixture(scope='module')
def long_running_real_client(real_client: str) -> Iterator[RealClient]:
    """One process with the real client, for all servers of a file."""
    with closing(RealClient(real_client)) as client:
        yield client


@pytest.fixture(scope='module')
def serve_as() -> Iterator[ServeExported]:
    """Serve with some options; consecutive tests with the same options share the server."""
    with one_exported() as serve_as:
        yield serve_as
