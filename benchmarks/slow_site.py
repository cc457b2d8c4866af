"""A loopback site that is slow on purpose: `python -m benchmarks.slow_site FOLDER LATENCY SECONDS` prints its port.

It serves the files of FOLDER: each begins after LATENCY seconds and takes SECONDS to come. `/told` returns what was
asked since it was asked last: the most requests that were under way at once, how often each file was asked, and when
the first one was, by the machine's monotonic clock.
"""

import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

_PIECES = 20


class _Log:
    """What was asked so far."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.first: float | None = None
        self.requests: Counter[str] = Counter()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder = Path()
    latency_seconds = file_seconds = 0.0
    log = _Log()
    lock = threading.Lock()

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.path == "/told":
            self._tell()
            return
        with self.lock:
            log = self.log
            log.requests[self.path] += 1
            log.first = log.first or time.monotonic()
            log.now += 1
            log.most = max(log.most, log.now)
        try:
            time.sleep(self.latency_seconds)
            self._send((self.folder / self.path.strip("/")).read_bytes(), "video/mp4")
        finally:
            with self.lock:
                log.now -= 1

    def _tell(self) -> None:
        with self.lock:
            log, _Handler.log = self.log, _Log()
        told = {"most": log.most, "first": log.first, "requests": log.requests}
        self._send(json.dumps(told).encode(), "application/json")

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if kind != "video/mp4" or not self.file_seconds:
            self.wfile.write(body)
            return
        size = -(-len(body) // _PIECES)
        for start in range(0, len(body), size):
            time.sleep(self.file_seconds / _PIECES)
            self.wfile.write(body[start : start + size])


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # of 32 that come at once none is to wait for a second SYN

    def handle_error(self, *_: object) -> None:
        pass  # a job that is stopped hangs up


class Site:
    """The site as a process of its own; a context manager."""

    def __init__(self, folder: Path, latency_seconds: float = 0.0, file_seconds: float = 0.0) -> None:
        self._arguments = [str(folder), str(latency_seconds), str(file_seconds)]

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "benchmarks.slow_site", *self._arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def told(self) -> dict[str, Any]:
        """Returns `most`, `first` and `requests`, and begins anew."""
        with urllib.request.urlopen(f"{self.url}/told") as answer:
            return json.load(answer)


def _serve(folder: str, latency_seconds: str, file_seconds: str) -> None:
    _Handler.folder = Path(folder)
    _Handler.latency_seconds, _Handler.file_seconds = float(latency_seconds), float(file_seconds)
    server = _Server(("127.0.0.1", 0), _Handler)
    print(server.server_port, flush=True)
    # it ends with who started it
    threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    _serve(*sys.argv[1:])
