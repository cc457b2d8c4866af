"""Local servers for tests, all on 127.0.0.1: files over HTTP, Google's metadata server, and a stand-in for gs://."""

import contextlib
import http.server
import json
import mimetypes
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from urllib.parse import unquote, urlsplit


@contextlib.contextmanager
def serving(handler):
    """Runs an HTTP server with the handler class on a free port of 127.0.0.1; gives the port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class QuietHandler(http.server.BaseHTTPRequestHandler):
    """A handler that logs nothing and gives whole answers."""

    def give(self, status, kind, body, **headers):
        """Sends an answer; a HEAD request gets no body."""
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(ConnectionError):
                self.wfile.write(body)

    def log_message(self, *_):
        pass


class FileServer:
    """What an HTTP server offers and what was asked of it.

    Attributes:
      pages: Path to (status, content type, body).
      requests: (method, path) of every request so far.
      url: Address without a slash at the end.
    """

    def __init__(self):
        self.pages, self.requests, self.url = {}, [], ""

    def hits(self, path):
        """Returns how often the path was requested."""
        return sum(asked == path for _, asked in self.requests)


@contextlib.contextmanager
def file_server():
    """Runs a FileServer."""
    files = FileServer()

    class Handler(QuietHandler):
        def do_GET(self):
            files.requests.append((self.command, self.path))
            self.give(*files.pages.get(self.path, (404, "text/plain", b"not here")))

        def do_HEAD(self):
            self.do_GET()

    with serving(Handler) as port:
        files.url = f"http://127.0.0.1:{port}"
        yield files


class _FolderHandler(QuietHandler):
    """Gives the files below a folder, whole or the range of bytes that a player asks for when it seeks."""

    folder = None

    def do_GET(self):
        name = unquote(urlsplit(self.path).path).lstrip("/")
        path = (self.folder / name).resolve()
        path = path / "index.html" if path.is_dir() else path
        if path.is_relative_to(self.folder) and path.is_file():
            kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
            self.give_range(kind, path.read_bytes())
        elif name == "favicon.ico":  # asked for by browsers, not by pages
            self.give(204, "image/x-icon", b"")
        else:
            self.give(404, "text/plain", b"not here")

    def do_HEAD(self):
        self.do_GET()

    def give_range(self, kind, body):
        """Sends the range that is asked for; all of it where none is, or one that is written otherwise."""
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)|bytes=-(\d+)", self.headers.get("Range", ""))
        if asked is None:
            self.give(200, kind, body, **{"Accept-Ranges": "bytes"})
            return
        first = max(0, len(body) - int(asked[3])) if asked[3] else int(asked[1])
        end = min(len(body), int(asked[2]) + 1) if asked[2] else len(body)
        if first >= end:
            self.give(416, "text/plain", b"no such range", **{"Content-Range": f"bytes */{len(body)}"})
        else:
            place = f"bytes {first}-{end - 1}/{len(body)}"
            self.give(206, kind, body[first:end], **{"Accept-Ranges": "bytes", "Content-Range": place})


@contextlib.contextmanager
def folder_server(folder):
    """Serves the files below a folder; gives the address without a slash at the end."""
    with serving(type("Handler", (_FolderHandler,), {"folder": folder.resolve()})) as port:
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def metadata_server():
    """Runs what a Google client asks for credentials on a cloud machine; gives the environment that leads there."""

    class Handler(QuietHandler):
        def do_GET(self):
            account = {"email": "fake", "scopes": ["https://www.googleapis.com/auth/cloud-platform"], "aliases": []}
            token = {"access_token": "fake", "expires_in": 3600, "token_type": "Bearer"}
            path = self.path.partition("?")[0].rstrip("/")
            answers = {
                "": "",
                "/computeMetadata/v1/project/project-id": "clipscout",
                "/computeMetadata/v1/instance/service-accounts/default": json.dumps(account),
                "/computeMetadata/v1/instance/service-accounts/default/token": json.dumps(token),
                "/computeMetadata/v1/instance/service-accounts/fake/token": json.dumps(token),
            }
            body = answers.get(path, "not here").encode()
            kind = "application/json" if body.startswith(b"{") else "text/plain"
            self.give(200 if path in answers else 404, kind, body, **{"Metadata-Flavor": "Google"})

    with serving(Handler) as port:
        yield {"GCE_METADATA_HOST": f"127.0.0.1:{port}", "GCE_METADATA_IP": f"127.0.0.1:{port}"}


@contextlib.contextmanager
def storage_emulator(bucket):
    """Runs gcp-storage-emulator as its own process with one bucket; gives the environment that leads there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "gcp_storage_emulator", "start", "--quiet", "--in-memory"]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port), "--default-bucket", bucket],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_it_answers(f"{url}/storage/v1/b/{bucket}", process)
        yield {"STORAGE_EMULATOR_HOST": url, "GOOGLE_CLOUD_PROJECT": "clipscout"}
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until_it_answers(url, process, seconds=20):
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            assert process.poll() is None, f"the server ended with status {process.returncode}"
            assert time.monotonic() < end, f"no answer from {url} within {seconds} s"
            time.sleep(0.05)
