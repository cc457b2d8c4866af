"""The one supervised child process: decoding, cutting and downloading of hostile input run in it.

The child is forked from a light interpreter without Beam or torch, which has what it needs imported (`fork_server`). It
lives as long as its DoFn, works on one request at a time and answers with a stream of messages. The parent bounds its
memory, watches its signs of life, and replaces it after a crash, a hang or an overrun: those reach the caller as
ChildError.
"""

import atexit
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.connection import Connection, Pipe
from typing import Any

from clipscout.transforms.core.child.fork_server import Forked, ForkServer
from clipscout.transforms.core.storage import filesystem
from clipscout.transforms.core.storage.errors import DISK_FULL

_STARTUP_SECONDS = 60.0
_LONGEST_HEADER_BYTES = 64 << 20
_LONGEST_PAYLOAD_BYTES = 1 << 30
#: Of the environment: where things are, how text is written, Python's settings and ours, authorities' certificates.
_KEPT = ("PATH", "HOME", "TMPDIR", "TZ", "LANG", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")
_KEPT_PREFIXES = ("LC_", "PYTHON", "CLIPSCOUT_")
_FORKING = threading.Lock()


#: How often a child may die of one request: a crash may be the machine's, two are the file's.
MOST_ATTEMPTS = 2


class ChildError(Exception):
    """A request that the child did not finish.

    Attributes:
      kind: `crashed`, `timeout` or `memory` where the child itself failed; otherwise the task's own code.
      fatal: Whether the child itself failed, so that one more try in a new child makes sense.
      attempts: How often it was tried.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.fatal = kind in ("crashed", "timeout", "memory")
        self.attempts = 1

    def code(self, work: str) -> str:
        """Returns the failure code: how the child died at a work (`decode`, `cut`, `fetch`), or the task's own."""
        return f"{work}_{self.kind}" if self.fatal else self.kind


class ChildStartError(Exception):
    """A child ended before it was given anything: no item's failure but the installation's, so the job ends."""


@dataclass(frozen=True)
class Message:
    """One answer of a task: `fields` from JSON, and raw bytes where it has any."""

    fields: dict[str, Any]
    payload: bytearray


@dataclass(frozen=True)
class Limits:
    """What a child may use.

    Attributes:
      stall_seconds: Longest silence while the parent waits.
      total_seconds: Longest time that the parent waits in all for one request; None is no bound.
      memory_bytes: Cap on the child's private memory.
      requests: After so many requests the child is replaced, against slow leaks.
    """

    stall_seconds: float = 60.0
    total_seconds: float | None = None
    memory_bytes: int = 2 << 30
    requests: int = 200


#: What children have imported before they are forked: those that look into files, and those that ask the web, which
#: need yt-dlp (a second).
_MEDIA = tuple(f"clipscout.transforms.core.{name}" for name in ("video.decode", "video.probing", "clips.cutting"))
_WEB = tuple(f"clipscout.transforms.core.web.{name}" for name in ("downloader", "fetch_tasks"))


def _environment() -> dict[str, str]:
    """Returns what a child is told of this process's environment: not the keys and tokens that may stand there."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    own = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    # x264 reads memory that it never wrote: unless glibc hands out zeroes (255 is their complement), a clip's bytes
    # depend on what was cut before it
    return {**kept, **own, "MALLOC_PERTURB_": "255"}


@lru_cache(maxsize=2)
def _server(modules: tuple[str, ...], environment: tuple[tuple[str, str], ...]) -> ForkServer:
    server = ForkServer("clipscout.transforms.core.child.entry:main", modules, dict(environment))
    atexit.register(server.close)  # as long as the program lives its next job has no second to wait for it
    return server


def _fork(modules: tuple[str, ...], descriptor: int, log: int) -> Forked:
    """Starts a child with a connection and a file for what it prints.

    Raises:
      ChildStartError: There is none to be had.
    """
    environment = tuple(sorted(_environment().items()))
    with _FORKING:  # one server for all who begin at once
        for _ in range(MOST_ATTEMPTS):  # it was killed, or ran out of memory: one more try with a new one
            server = _server(modules, environment)
            try:
                return server.start(descriptor, log)
            except OSError as error:
                why = server.last_words() or str(error)
                server.close()
                _server.cache_clear()
        raise ChildStartError(f"child processes do not start: {why}")


def start_ahead() -> None:
    """Lets what children of this process need be imported, so that none of them waits for it."""
    with _FORKING:
        _server(_MEDIA, tuple(sorted(_environment().items())))


class _Process:
    """A child's process, its end of the connection, and what it wrote to its terminal."""

    def __init__(self, modules: tuple[str, ...]) -> None:
        self.connection, theirs = Pipe(duplex=True)
        self.status = 0
        # errors of libraries go to a file that only a post-mortem reads, so that a chatty child never blocks
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        with theirs:
            try:
                self._forked = _fork(modules, theirs.fileno(), self._log.fileno())
            except ChildStartError:
                self.connection.close()
                self._log.close()
                raise

    def begin(self, limits: Limits, folder: str | None) -> None:
        """Sets the limits, and where it may write, and waits until the child is ready.

        Raises:
          ChildStartError: It ended by itself.
          ChildError: It was killed, or took too long.
        """
        with socket.socket(fileno=os.dup(self.connection.fileno())) as channel:  # reads that began and do not end
            longest = struct.pack("ll", max(1, round(limits.stall_seconds)), 0)
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, longest)
        try:
            rule = {"memory_bytes": limits.memory_bytes, "folder": folder}
            self.connection.send_bytes(json.dumps(rule).encode())
            if not self.connection.poll(_STARTUP_SECONDS):
                raise ChildError("timeout", f"the child did not start within {_STARTUP_SECONDS:.0f} s")
            self.connection.recv_bytes()
        except (EOFError, OSError) as error:
            end = self.post_mortem()
            if self.status > 0 and end.kind == "crashed":  # by itself, before it was given anything
                raise ChildStartError(f"child processes do not start: {end}") from error
            raise end from error

    def post_mortem(self) -> ChildError:
        """Returns why the child is gone."""
        try:
            status = self.status = self._forked.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return ChildError("crashed", "the child closed its connection")
        self._log.seek(0)
        lines = self._log.read()[-2000:].decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        kind = "memory" if "MemoryError" in last or "bad_alloc" in last else "crashed"
        return ChildError(kind, f"the child ended with {how}{': ' + last if last else ''}")

    def close(self) -> None:
        """Ends the child and everything it started."""
        self.connection.close()
        self.kill()
        self._forked.wait()
        self._log.close()

    def kill(self) -> None:
        """Kills the child and everything it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._forked.pid, signal.SIGKILL)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._forked.pid


class Child:
    """A supervised child process. Not thread-safe; make it in `setup`, close it in `teardown`.

    Args:
      limits: What it may use.
      folder: The only place that it may write to, empty for none; it has no network then. None lets it do both.
      web: Whether it asks the web, and so has yt-dlp imported; else it looks into files.
    """

    def __init__(self, limits: Limits, folder: str | None = "", *, web: bool = False) -> None:
        self._modules, self._folder = _WEB if web else _MEDIA, folder
        self._limits = self._timing = limits
        self._process: _Process | None = None
        self._served = 0
        self._sent: tuple[str, dict[str, Any]] | None = None

    def send_ahead(self, task: str, request: dict[str, Any]) -> None:
        """Sends a request now, so that the child works on it; the next call, of the same request, reads the answer.

        What goes wrong the call says.
        """
        with contextlib.suppress(ChildError, ChildStartError, OSError):
            self._send(task, request)
            self._sent = task, request

    def call_again(self, task: str, request: dict[str, Any], limits: Limits | None = None) -> Iterator[Message]:
        """Does what `call` does; after a death of the child another one gets a try, and what came before is left out.

        Raises: See `call`.
        """
        seen = 0
        for attempt in range(1, MOST_ATTEMPTS + 1):
            try:
                for position, message in enumerate(self.call(task, request, limits), 1):
                    if position > seen:
                        seen = position
                        yield message
                return
            except ChildError as error:
                error.attempts = attempt
                if not error.fatal or attempt == MOST_ATTEMPTS:
                    raise

    def call(self, task: str, request: dict[str, Any], limits: Limits | None = None) -> Iterator[Message]:
        """Runs a task in the child and yields its messages as they come.

        Args:
          task: `module:function` below `transforms.core`, a generator function that takes the request.
          request: JSON-able arguments.
          limits: Times that hold for this request alone; the child's own otherwise.

        Raises:
          ChildError: The task refused the input, or the child crashed, hung or overran its memory.
          ChildStartError: There is no child: the installation is at fault.
          DiskFullError: There was no space for what it writes.
        """
        if self._sent != (task, request):
            self._send(task, request)
        self._sent, self._timing = None, limits or self._limits
        assert self._process is not None
        process, finished = self._process, False
        try:
            waited = 0.0
            while True:
                before = time.monotonic()
                header = json.loads(self._receive(waited))
                payload = self._receive_payload(header.pop("payload"), waited)
                waited += time.monotonic() - before
                kind = header.pop("is")
                if kind == "item":
                    yield Message(header["fields"], payload)
                    continue
                finished = kind != "memory"
                if kind == "done":
                    return
                if header["code"] == DISK_FULL:
                    raise filesystem.DiskFullError(header["message"])
                raise ChildError(header["code"], header["message"])
        except BlockingIOError as error:
            raise ChildError("timeout", "the child froze while it sent an answer") from error
        except (EOFError, OSError) as error:
            raise process.post_mortem() from error
        finally:
            if not finished:  # also when the caller stops early: the rest of the answer is not wanted
                self.close()

    def _receive(self, waited: float) -> bytes:
        return self._ready(waited).recv_bytes(_LONGEST_HEADER_BYTES)

    def _receive_payload(self, size: int, waited: float) -> bytearray:
        if size > _LONGEST_PAYLOAD_BYTES:
            raise ChildError("crashed", f"the child announced {size} bytes")
        payload = bytearray(size)  # writable: arrays are made over it
        if size:
            self._ready(waited).recv_bytes_into(payload)
        return payload

    def _ready(self, waited: float) -> Connection:
        assert self._process is not None
        connection = self._process.connection
        allowed = self._timing.stall_seconds
        if self._timing.total_seconds is not None:
            allowed = min(allowed, max(0.0, self._timing.total_seconds - waited))
        if not connection.poll(allowed):
            raise ChildError("timeout", f"no answer within {allowed:.1f} s ({waited:.1f} s waited before)")
        return connection

    def _send(self, task: str, request: dict[str, Any]) -> None:
        if self._process is None or self._served >= self._limits.requests or self._sent is not None:
            self._start()
        assert self._process is not None
        self._served += 1
        try:
            self._process.connection.send_bytes(json.dumps({"task": task, "request": request}).encode())
        except OSError as error:
            end = self._process.post_mortem()
            self.close()
            raise end from error

    def _start(self) -> None:
        self.close()
        self._process, self._served = _Process(self._modules), 0
        try:
            self._process.begin(self._limits, self._folder)
        except (ChildError, ChildStartError):
            self.close()
            raise

    def kill(self) -> None:
        """Kills the child, from any thread: who waits for its answer gets a ChildError."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """Ends the child and everything it started. Safe to call at any time, any number of times."""
        if self._process is not None:
            self._process.close()
        self._process = self._sent = None
