"""Run a script by sh in place of this process, as Docker runs the entrypoint: `python -m docker.enter SCRIPT`."""

from __future__ import annotations

import os
import sys

if __name__ == '__main__':
    os.execvp('sh', ['sh', *sys.argv[1:]])
