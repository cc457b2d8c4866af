"""Chromium driven by Playwright: what a page does when it is opened, what it looks like, and who can use it.

The browser is the system's own, which the Makefile's `chromium` sets up, or the one that CLIPSCOUT_BROWSER names;
Playwright downloads none. All that would leave the machine is sent to a proxy that does not exist, for the guard of
`egress` does not see what chromium does. The fixtures are `browser` and `open_page` of `conftest.py`.
"""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parent.parent
AXE = Path(__file__).parent / "vendor/axe.min.js"
#: What the reason begins with of every test that is skipped for want of a browser; the summary counts them by it.
NO_CHROMIUM = "no chromium"
#: No browser asks loopback addresses of a proxy, and nothing listens on the port for what is to be discarded.
_NO_WAY_OUT = ("--proxy-server=http://127.0.0.1:9", "--force-webrtc-ip-handling-policy=disable_non_proxied_udp")
#: How contexts are on every machine, unless a test says otherwise.
_CONTEXT = {"locale": "en-GB", "timezone_id": "UTC"}
#: The browser's home; its reporter of crashes ends after it, and may still write.
_HOME = {"prefix": "clipscout-browser-", "ignore_cleanup_errors": True}
_FAULTS_THAT_SHUT_OUT = ("serious", "critical")


def chromium_path():
    """Returns where the browser is, or None where there is none."""
    named = os.environ.get("CLIPSCOUT_BROWSER")
    found = shutil.which(named or "chromium")
    assert found or not named, f"CLIPSCOUT_BROWSER is {named!r}, which is no program"
    return found


@contextlib.contextmanager
def running_chromium():
    """Runs the browser without a window; gives Playwright's object for it. Skips the test where there is none."""
    path = chromium_path()
    if path is None:
        pytest.skip(f"{NO_CHROMIUM}: `make test` installs it with apt, CLIPSCOUT_BROWSER names another")
    from playwright.sync_api import sync_playwright

    arguments = [*_NO_WAY_OUT, *(["--no-sandbox"] if os.geteuid() == 0 else [])]  # root has no sandbox
    with tempfile.TemporaryDirectory(**_HOME) as home, sync_playwright() as playwright:
        own = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
        running = playwright.chromium.launch(executable_path=path, args=arguments, env={**own, "HOME": home})
        try:
            yield running
        finally:
            running.close()


class Opened:
    """A page in a context of its own, and what it did so far.

    Args:
      context: Playwright's context; closed by who made it.
      address: A file's path, or a URL.

    Attributes:
      page: Playwright's page.
      requests: Every URL that was asked for, in order, those of web sockets too.
    """

    def __init__(self, context, address):
        self.requests, self._errors = [], []
        context.on("request", lambda request: self.requests.append(request.url))
        context.on("requestfailed", self._on_failed_request)
        context.on("console", self._on_console)
        context.on("weberror", lambda error: self._errors.append(f"uncaught: {error.error}"))
        self.page = context.new_page()
        self.page.on("websocket", lambda socket: self.requests.append(socket.url))
        url = address.absolute().as_uri() if isinstance(address, Path) else address
        parts = urlsplit(url)
        self._origin = f"{parts.scheme}://{parts.netloc}/"  # of a file: any file
        self.page.goto(url)

    def _on_console(self, message):
        if message.type == "error":
            self._errors.append(f"console: {message.text} ({message.location['url']})")

    def _on_failed_request(self, request):
        # a player ends a request when it has enough for now
        if not (request.resource_type == "media" and request.failure == "net::ERR_ABORTED"):
            self._errors.append(f"request: {request.failure} ({request.url})")

    @property
    def errors(self):
        """All errors on the console, uncaught exceptions and failed requests, in order."""
        self.page.evaluate("0")  # with the answer comes all that happened before it
        return list(self._errors)

    def external(self, *origins):
        """Returns the requests that reach beyond the page's own files or server, and beyond those origins."""
        self.page.evaluate("0")
        within = ("data:", "blob:", "about:", self._origin, *(f"{origin.rstrip('/')}/" for origin in origins))
        return [url for url in self.requests if not url.startswith(within)]

    def screenshot(self, name, **options):
        """Stores a picture of the page among the artefacts, by default of all of it, and returns its path."""
        folder = Path(os.environ.get("CLIPSCOUT_ARTEFACTS") or ROOT / "build/screenshots")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.png"
        self.page.screenshot(**{"path": path, "full_page": True, "animations": "disabled", **options})
        return path


@contextlib.contextmanager
def opening(browser):
    """Gives a function that opens an address, with options of Playwright's `new_context`; closes what it opened."""
    with contextlib.ExitStack() as contexts:

        def open_page(address, **options):
            context = browser.new_context(**{**_CONTEXT, **options})
            contexts.callback(context.close)
            return Opened(context, address)

        yield open_page


def axe_violations(page):
    """Returns a line for each element with which a page shuts people out, as axe-core judges it as it is now."""
    page.evaluate(AXE.read_text())  # no element of the page, so that its Content-Security-Policy has no say
    found = page.evaluate("axe.run({resultTypes: ['violations']}).then(result => result.violations)")
    return [
        f"{rule['id']} ({rule['impact']}): {' '.join(map(str, node['target']))}: {node['html']}"
        for rule in found
        if rule["impact"] in _FAULTS_THAT_SHUT_OUT
        for node in rule["nodes"]
    ]
