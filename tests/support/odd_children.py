"""Children that do one thing each, for `tests/system/test_child.py` and `test_supervisor.py`."""

from __future__ import annotations

import os
import signal
import time

from bert_serving.server.errors import ModelError
from bert_serving.server.process.child_process import ChildProcess
from bert_serving.server.process.reports import ChildConfig, Reporter


def main(config: ChildConfig, report_ready: Reporter) -> None:
    match config['what']:
        case 'work':
            report_ready({'number': config['number'] + 1})
        case 'read a lot':
            for done in range(1001):
                report_ready.progress('read', done, 1000)
            report_ready.progress('freeze', 0, 0)
            report_ready({})
        case 'model error':
            raise ModelError('the model is\nnot there')
        case 'crash':
            1 / 0  # noqa: B018
        case 'exit':
            report_ready({})
            os._exit(config['code'])
        case 'tell umask':
            umask = os.umask(0)
            os.umask(umask)
            report_ready({'umask': umask})
        case 'print':
            print('a word', flush=True)
        case 'sleep':
            report_ready({})
            time.sleep(60)
        case 'never ready':
            time.sleep(60)
        case 'stop while starting':
            os.kill(os.getpid(), signal.SIGSTOP)
        case 'stop':
            report_ready({})
            os.kill(os.getpid(), signal.SIGSTOP)
        case 'be busy':
            report_ready({}, lambda: {'busy_s': config['busy_s']})
            time.sleep(60)
        case 'die when told':
            report_ready({'pid': os.getpid()})
            while not os.path.exists(config['path']):
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)


def be_a_parent(leftover: str) -> None:
    """Start a child that sleeps, print its pid and wait to be killed."""
    about = {'context': 'ODD', 'verbose': False, 'temp_dirs': [leftover], 'what': 'sleep'}
    child = ChildProcess('support.odd_children', 'ODD', about)
    child.start()
    child.read_reports()
    print(child.pid, flush=True)
    time.sleep(60)
