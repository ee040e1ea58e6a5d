"""Exports made in the tests' own process, for servers that then find them.

A server makes its graph in a process that imports TensorFlow for it, which takes more time than the graph of a small
model. Here, TensorFlow is imported once for all graphs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial

from bert_serving.server import BertServer
from bert_serving.server.console.progress import ignore_progress
from bert_serving.server.graph.export_cache import ExportCache
from bert_serving.server.graph.exporter import find_or_make, make_export, spec_of
from bert_serving.server.helper import get_args_parser
from bert_serving.server.options.settings import Settings
from bert_serving.server.parent.export_folder import export_folder
from bert_serving.server.parent.folders import server_folders
from bert_serving.server.parent.plan import make_plan

from .serving import serve


@contextlib.contextmanager
def serve_exported(*words: str) -> Iterator[BertServer]:
    """Serve as `serving.serve` does, from a graph that this process exports first."""
    plan = make_plan(Settings.from_args(get_args_parser().parse_args([*words, '-cpu'])))
    spec = spec_of(plan.settings, plan.model, on_gpu=False)
    with server_folders(None, export_folder(plan.settings.export_cache)) as folders:
        assert folders.cache is not None, 'the tests keep exports in a folder of their own'
        cache = ExportCache(folders.cache.folder, folders.cache.work)
        make = partial(make_export, spec, folders.graph, ignore_progress)
        assert 'entry' in find_or_make(cache, folders.cache.folder, spec, make, ignore_progress)
    with serve(*words) as server:
        yield server


ServeExported = Callable[..., BertServer]
"""Returns a server with these options: the running one if it has them, or else a new one, which replaces it."""


@contextlib.contextmanager
def one_exported() -> Iterator[ServeExported]:
    """Keep one server at a time, which consecutive tests with the same options share."""
    with contextlib.ExitStack() as stack:
        running: dict[tuple[str, ...], BertServer] = {}

        def serve_as(*words: str) -> BertServer:
            if words not in running:
                running.clear()
                stack.close()
                running[words] = stack.enter_context(serve_exported(*words))
            return running[words]

        yield serve_as
