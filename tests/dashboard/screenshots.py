"""Take the pictures of the documentation: the dashboard of a live server under load, with the embedded model.

    python tests/dashboard/screenshots.py [-seconds 360] [-out docs/pictures]

Requests of many sizes come over HTTP, now more and now fewer, some of them unfit; each minute a program sends a few
thousand texts at once. After that time there is the light picture; then a worker is killed, for the dark one; then the
server is stopped, for the last.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import random
import signal
import sys
import tempfile
import threading
import time
from base64 import b64decode
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil
from PIL import Image

from bert_serving.client import BertClient
from dashboard.browsing import Browser, browser_in, post
from support.serving import ServerProcess

ROOT = Path(__file__).resolve().parents[2]
SIZE = (1400, 1000)
WORDS = 'the quick brown fox jumps over a lazy dog while seven wizards brew some very strong tea'.split()
BULK_ROWS = 1500
BULK_EVERY_S = 55


def text(chance: random.Random) -> str:
    return ' '.join(chance.choices(WORDS, k=chance.choice((4, 6, 8, 12, 30))))


def ask(url: str, number: int, end: threading.Event) -> None:
    """Requests over HTTP, whose rate goes up and down in some minutes."""
    chance = random.Random(number)
    while not end.wait(0.25 + 0.2 * math.sin(time.monotonic() / 35 + number)):
        texts = [text(chance) for _ in range(chance.choice((1, 2, 4, 8, 16)))]
        post(url, {'id': number, 'texts': texts if chance.random() > 0.01 else ['']})


def send_bulk(server: ServerProcess, end: threading.Event) -> None:
    """What does not fit into the workers at once."""
    chance = random.Random(0)
    with BertClient(port=server.port, port_out=server.port_out) as client:
        while not end.wait(BULK_EVERY_S):
            client.encode([text(chance) for _ in range(BULK_ROWS)])


def take(browser: Browser, path: Path) -> None:
    """The window as a picture with 256 colors, a third of the bytes; this choice keeps those of the lines."""
    data = browser.driver.execute_cdp_cmd('Page.captureScreenshot', {'format': 'png'})['data']
    image = Image.open(io.BytesIO(b64decode(data))).convert('RGB')
    image.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(path, optimize=True)
    print('%s: %d bytes' % (path, path.stat().st_size))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('-seconds', type=float, default=360, help='how long there is load before the first picture')
    parser.add_argument('-out', type=Path, default=ROOT / 'docs' / 'pictures', help='folder of the pictures')
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    words = ('-num_worker', '2', '-max_seq_len', '64', '-http_host', '127.0.0.1', '-http_port', '0')
    end = threading.Event()
    with (
        tempfile.TemporaryDirectory() as profile,
        ServerProcess(*words) as server,
        browser_in(Path(profile), *SIZE) as browser,
    ):
        server.wait_until_ready()
        url = 'http://127.0.0.1:%d' % server.http_port
        load = [threading.Thread(target=ask, args=(url, number, end)) for number in range(3)]
        load.append(threading.Thread(target=send_bulk, args=(server, end)))
        for thread in load:
            thread.start()
        try:
            browser.prefer('light')
            browser.resize(*SIZE)
            browser.command('Emulation.setScrollbarsHidden', hidden=True)
            browser.open(url + '/dashboard')
            end.wait(args.seconds)
            take(browser, args.out / 'dashboard-light.png')
            browser.prefer('dark')
            workers = [c for c in psutil.Process(server.process.pid).children() if c.cmdline()[-1].endswith('.worker')]
            os.kill(workers[-1].pid, signal.SIGKILL)
            browser.until(lambda: browser.all('[data-worker]:not([data-state="ready"])'), 'a worker is missing')
            take(browser, args.out / 'dashboard-dark.png')
            browser.until(lambda: browser.text('[data-workers-ready]') == '2 of 2 ready', 'another is there')
        finally:
            end.set()
            for thread in load:
                thread.join()
        server.stop()
        browser.prefer('light')
        browser.until(lambda: browser.all('[data-banner="unreachable"]'), 'the server is away')
        browser.until(lambda: browser.number('[data-banner="unreachable"]') >= 20, 'for some while')
        take(browser, args.out / 'dashboard-unreachable.png')


if __name__ == '__main__':
    main()
