"""For all tests: one folder of kept exports, no GPU, and an order of files that keeps the cores busy.

Each graph is exported once in a test run, and the folder of the user is not touched. Where no process must see a GPU,
each imports less of TensorFlow. The client's tests read this file too, on Python 2.7.
"""

import os
import shutil
import tempfile

import pytest  # noqa: F401  the type comments name it

CACHES = 'XDG_CACHE_HOME'
"""The server's children and pytest-xdist's processes inherit it."""

ENVIRONMENTS = 'BERT_SERVING_INTEROP_ENVIRONMENTS'
"""The folder with the environments of real clients. If it is set, test runs share them; otherwise each makes them."""

LONGEST = """
    golden/test_golden golden/test_published_answers dashboard/test_dashboard_page examples/test_examples
    http/test_http_openapi system/test_start_and_stop system/test_many_clients faults/test_garbage system/test_hub
    system/test_standard_streams faults/test_chaos system/test_long_texts faults/test_flood_and_gone
    faults/test_boot_loop faults/test_poison_and_memory http/test_http_frontend http/test_http_supervised
    http/test_http_live http/test_http_backend http/test_http_upstreams http/test_http_proxy system/test_supervisor
    system/test_child system/test_keys faults/test_crash_and_hang system/test_ipv6 graph/test_published_graph
    graph/test_export interop/test_interop graph/test_runtime system/test_benchmark http/test_http_model
    system/test_odd_paths docs/test_blocks system/test_not_finite system/test_terminal_of_a_start
""".split()
"""The files that take longest, the longest first. A process that began one of them last would end long after others.

They also have most of the waiting, which costs nothing as long as the tests with coverage run next to them.
"""

COMPUTING = 'graph/'
"""The folder whose tests do not wait. At the end, when nothing else runs, they keep all cores busy."""

made = []  # type: list[str]


def pytest_configure():
    # type: () -> None
    if 'PYTEST_XDIST_WORKER' not in os.environ:
        os.environ.setdefault('CUDA_VISIBLE_DEVICES', '-1')
        os.environ[CACHES] = tempfile.mkdtemp(prefix='bert-cache-')
        made.append(os.environ[CACHES])
        os.environ.setdefault(ENVIRONMENTS, os.path.join(os.environ[CACHES], 'environments'))


def pytest_collection_modifyitems(items):
    # type: (list[pytest.Item]) -> None
    def place(item):
        # type: (pytest.Item) -> int
        name = '/'.join(item.nodeid.partition('.py')[0].split('/')[-2:])
        return LONGEST.index(name) if name in LONGEST else len(LONGEST) + name.startswith(COMPUTING)

    items.sort(key=place)


def pytest_unconfigure():
    # type: () -> None
    for folder in made:
        shutil.rmtree(folder, ignore_errors=True)
