"""Drives headless Chromium by WebDriver, over HTTP: see the W3C's WebDriver."""

from __future__ import annotations

import atexit
import http.client
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
FLAGS = (
    *(
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-dev-shm-usage",
    ),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"),
)
PATIENCE_S = 20.0
_shared: list[tuple[Browser, ExitStack]] = []
"""The browser of ``logged_in_browser``, if there is one, and what ends it."""


class Browser:
    """A window of Chromium."""

    def __init__(self, port: int, folder: Path) -> None:
        self._port = port
        flags = [*FLAGS, f"--user-data-dir={folder}"]
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": flags},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        answer = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{answer['sessionId']}"

    def open(self, address: str) -> None:
        """Load a page."""
        self._ask("POST", "/url", {"url": address})

    def add_window(self) -> str:
        """Open another window of the same browser, and go on in it; returns its name."""
        name = str(self._ask("POST", "/window/new", {"type": "window"})["handle"])
        self.show_window(name)
        return name

    def show_window(self, name: str) -> None:
        """Go on in the window of that name."""
        self._ask("POST", "/window", {"handle": name})

    def go_back(self) -> None:
        """Press the back button."""
        self._ask("POST", "/back", {})

    @property
    def text(self) -> str:
        """The text of the page, as it is seen."""
        return str(self.run("return document.body.innerText"))

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page; returns what it returns."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def run_until_done(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page that calls ``done`` with what is returned."""
        begun = f"const done = arguments[arguments.length - 1]; {script}"
        return self._ask("POST", "/execute/async", {"script": begun, "args": list(arguments)})

    def violations(self, axe: str) -> list[str]:
        """The rules of accessibility that the page violates, and where, by the script of axe-core."""
        self.run(axe)
        found = self.run_until_done(
            "axe.run({resultTypes: ['violations']}).then((found) => done(found.violations))"
        )
        return [
            f"{rule['id']}: {node['html'][:200]} {node['any'][:1]}" for rule in found for node in rule["nodes"]
        ]

    def prefer(self, theme: str) -> None:
        """Let the system's theme be ``light`` or ``dark``."""
        self.devtools(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        )

    def resize(self, width: int, height: int) -> None:
        """Let the page be so large, in pixels: by its own protocol, as a window has a least width."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)

    def devtools(self, command: str, parameters: dict[str, Any]) -> Any:
        """Send a command of Chromium's own protocol."""
        return self._ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def type(self, selector: str, keys: str) -> None:
        """Type into an element."""
        found = self._ask("POST", "/element", {"using": "css selector", "value": selector})
        self._ask("POST", f"/element/{found[ELEMENT]}/value", {"text": keys})

    def click(self, selector: str) -> None:
        """Click an element."""
        found = self._ask("POST", "/element", {"using": "css selector", "value": selector})
        self._ask("POST", f"/element/{found[ELEMENT]}/click", {})

    def log_in(self, base: str, token: str) -> None:
        """Log in to the dashboard at ``base``, and wait for the page that follows: to leave earlier undoes it."""
        self.open(f"{base}login")
        self.type("#token", token)
        self.click("button.go")
        self.until(lambda: "Log out" in self.text, "it is logged in")

    def press(self, keys: str) -> None:
        """Press keys, wherever the focus is."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._ask("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def complaints(self) -> list[str]:
        """What the browser has complained about since the last call: violated policies, errors of scripts."""
        found = self._ask("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in found if entry["level"] in ("SEVERE", "WARNING")]

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait until ``condition`` is true; returns its value."""
        deadline = time.monotonic() + PATIENCE_S
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} did not come true; the page says: {self.text[:2000]}")
            time.sleep(0.05)
        return value

    def forget(self) -> None:
        """Be as after the start: one empty window, no session, nothing kept, nothing complained about."""
        windows = self._ask("GET", "/window/handles")
        new = self.add_window()
        for window in windows:
            self.show_window(window)
            self._ask("DELETE", "/window")
        self.show_window(new)
        self.devtools("Network.clearBrowserCookies", {})
        self.devtools("Network.clearBrowserCache", {})
        self.complaints()

    def close(self) -> None:
        """Close all windows."""
        self._ask("DELETE", "")

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        return self._call(method, f"{self._session}{path}", body)

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=40)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        if isinstance(answer, dict) and "error" in answer:
            raise AssertionError(f"{answer['error']}: {answer['message'].splitlines()[0]}")
        return answer


@contextmanager
def driver() -> Iterator[int]:
    """Chromium's driver; yields its port."""
    with subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = (re.search(r"successfully on port (\d+)", line) for line in process.stdout)
            yield int(next(match for match in found if match)[1])
        finally:
            process.terminate()


@contextmanager
def logged_in_browser(base: str, folder: Path, token: str) -> Iterator[Browser]:
    """A browser that is logged in to the dashboard at ``base``; it knows nothing of the tests before.

    All tests of this process share one, since its start takes 0.7 s of CPU; its ``folder`` is that of the first.
    After a test that fails there is a new one.
    """
    if not _shared:
        ending = ExitStack()
        atexit.register(ending.close)
        browser = Browser(ending.enter_context(driver()), folder)
        ending.callback(browser.close)
        _shared.append((browser, ending))
    browser, ending = _shared[0]
    try:
        browser.forget()
        browser.log_in(base, token)
        yield browser
    except BaseException:
        _shared.clear()
        ending.close()
        raise
