"""A headless Chromium with the dashboard in it, and load for the server that it watches."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions, Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from bert_serving.server.http.pages import PAGE
from support.environments import must_run
from support.serving import ServerProcess

CHROMIUM, DRIVER = Path('/usr/bin/chromium'), Path('/usr/bin/chromedriver')  # named, or selenium would download its own
FLAGS = """
    --headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --disable-dev-shm-usage
""".split()
PATIENCE_S = 60

StartServer = Callable[..., tuple[ServerProcess, str]]
"""Starts a server with these options; returns it and the address of its HTTP server."""

FILE = PAGE.as_uri()
"""The page by itself, as a user opens it from a folder."""


def need_chromium() -> None:
    """Skip the test where there is no Chromium, or fail it where it must run."""
    missing = [str(path) for path in (CHROMIUM, DRIVER) if not path.exists()]
    if missing:
        why = 'no %s: apt-get install chromium chromium-driver' % ' and no '.join(missing)
        (pytest.fail if must_run() else pytest.skip)(why)


class Browser:
    """One window with the dashboard, or several, one after another."""

    def __init__(self, profile: Path, width: int = 1400, height: int = 1000) -> None:
        """`profile` is an empty folder for what the browser keeps."""
        options = ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for flag in (*FLAGS, '--user-data-dir=%s' % profile, '--window-size=%d,%d' % (width, height)):
            options.add_argument(flag)
        options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
        self.driver = Chrome(options, Service(str(DRIVER)))
        self.logged: list[dict[str, Any]] = []
        self._size = (width, height)
        self._blank = profile / 'blank.html'
        self._blank.write_text('<!doctype html>')

    def close(self) -> None:
        self.driver.quit()

    @contextlib.contextmanager
    def fresh_window(self) -> Iterator[None]:
        """Show a new window, whose pages find nothing that pages of an earlier window have stored.

        Pages of servers differ by their ports. Pages from folders all share one storage.
        """
        first = self.driver.current_window_handle
        self.driver.switch_to.new_window('window')
        self.driver.set_window_size(*self._size)
        self.open(self._blank.as_uri())
        self.driver.execute_script('localStorage.clear()')
        self.driver.get_log('browser')
        try:
            yield
        finally:
            self.driver.close()
            self.driver.switch_to.window(first)

    def open(self, address: str) -> None:
        self.driver.get(address)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def the(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        """The text of an element, all in one line; '' while there is none."""
        script = 'return (document.querySelector(arguments[0])?.innerText ?? "").replace(/\\s+/g, " ").trim()'
        return str(self.driver.execute_script(script, selector))

    def number(self, selector: str) -> float:
        """The first number in the text of an element; -1 while there is none."""
        match = re.search(r'\d[\d,.]*', self.text(selector))
        return -1 if match is None else float(match[0].replace(',', ''))

    def tile(self, name: str) -> float:
        """The figure of a tile."""
        return self.number('[data-tile="%s"] .value' % name)

    def legend(self, chart: str) -> dict[str, str]:
        """The lines of a chart and their latest values."""
        script = """return [...document.querySelectorAll('[data-chart="' + arguments[0] + '"] .legend button')].map(
            (line) => { const value = line.querySelector('b').innerText
                        return [line.innerText.slice(0, -value.length).trim(), value] })"""
        return dict(self.driver.execute_script(script, chart))

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for it."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, '%s: it never came to be; the page says:\n%s' % (
                what,
                self.text('body'),
            )
            time.sleep(0.1)

    def click(self, selector: str) -> None:
        self.the(selector).click()

    def write(self, selector: str, text: str) -> None:
        """Put a text in a field, in place of what is there."""
        field = self.the(selector)
        field.send_keys(Keys.CONTROL, 'a')
        field.send_keys(text or Keys.DELETE)

    def command(self, name: str, **parameters: object) -> None:
        """One of the DevTools protocol."""
        self.driver.execute_cdp_cmd(name, parameters)

    def prefer(self, scheme: str) -> None:
        """What the system would say of light and dark."""
        self.command('Emulation.setEmulatedMedia', features=[{'name': 'prefers-color-scheme', 'value': scheme}])

    def resize(self, width: int, height: int) -> None:
        self.command(
            'Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    def complaints(self) -> list[str]:
        """What the console has of errors and warnings since the last call, but for answers that could not be had.

        Of those Chromium itself writes a line, each time; whether they were to be expected, a test has to know.
        """
        self.logged = self.driver.get_log('browser')
        return [entry['message'] for entry in self.logged if entry['level'] != 'INFO' and entry['source'] != 'network']


class Load:
    """Requests over HTTP, one after the other in each of some threads, until it is closed; failures are part of it."""

    def __init__(self, url: str, threads: int = 2, key: str | None = None, pause_s: float = 0.02) -> None:
        self._url = url
        self._key = key
        self._pause_s = pause_s
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def _run(self, number: int) -> None:
        rows = 0
        while not self._end.wait(self._pause_s):
            rows = rows % 40 + 1
            # Of different lengths, so that there is padding; every ninth request is not fit.
            texts = ['hello world ' * (1 + (row + number) % 4) for row in range(rows)] if rows % 9 else []
            post(self._url, {'id': rows, 'texts': texts}, self._key)


def post(url: str, query: object, key: str | None = None) -> None:
    """Ask `/encode`, whatever comes of it."""
    headers = {'content-type': 'application/json', **({'authorization': 'Bearer ' + key} if key else {})}
    request = urllib.request.Request(url + '/encode', json.dumps(query).encode(), headers)
    with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        answer.read()


@contextlib.contextmanager
def browser_in(profile: Path, width: int = 1400, height: int = 1000) -> Iterator[Browser]:
    browser = Browser(profile, width, height)
    try:
        yield browser
    finally:
        browser.close()
