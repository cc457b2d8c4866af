"""The one supervised child process: decoding, cutting and downloading of hostile input run in it.

The child is a fresh, light interpreter (`python -m clipscout.transforms.core.child.entry`) without Beam or torch. It
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

from clipscout.transforms.core.child.fork_server import Forked, ForkServer, python_command
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


#: What forked children have imported: to fetch, and to look into what was fetched.
_FORKED = (
    "clipscout.transforms.core.web.downloader",
    "clipscout.transforms.core.web.fetch_tasks",
    "clipscout.transforms.core.video.probing",
)


def _environment() -> dict[str, str]:
    """Returns what a child is told of this process's environment: not the keys and tokens that may stand there."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    own = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    # x264 reads memory that it never wrote: unless glibc hands out zeroes (255 is their complement), a clip's bytes
    # depend on what was cut before it
    return {**kept, **own, "MALLOC_PERTURB_": "255"}


@lru_cache(maxsize=1)
def _fork_server(environment: tuple[tuple[str, str], ...]) -> ForkServer:
    server = ForkServer("clipscout.transforms.core.child.entry:main", _FORKED, dict(environment))
    atexit.register(server.close)  # as long as the program lives its next job has no second to wait for it
    return server


def _spawn(descriptor: int, log: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        python_command("clipscout.transforms.core.child.entry", str(descriptor)),
        pass_fds=[descriptor],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=_environment(),
        start_new_session=True,
    )


def _fork(descriptor: int, log: int) -> Forked:
    environment = tuple(sorted(_environment().items()))
    with _FORKING:  # one server for all who begin at once
        try:
            return _fork_server(environment).start(descriptor, log)
        except OSError:  # it was killed, or ran out of memory: one more try with a new one
            _fork_server(environment).close()
            _fork_server.cache_clear()
            return _fork_server(environment).start(descriptor, log)


class _Process:
    """A child's process, its end of the connection, and what it wrote to its terminal."""

    def __init__(self, *, forked: bool = False) -> None:
        self.connection, theirs = Pipe(duplex=True)
        self.status = 0
        # errors of libraries go to a file that only a post-mortem reads, so that a chatty child never blocks
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        start = _fork if forked else _spawn
        with theirs:
            self._popen: subprocess.Popen[bytes] | Forked = start(theirs.fileno(), self._log.fileno())

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
            status = self.status = self._popen.wait(timeout=5)
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
        self._popen.wait()
        self._log.close()

    def kill(self) -> None:
        """Kills the child and everything it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._popen.pid


#: Children that were started before they are needed.
_ahead: list[_Process] = []


def start_ahead(count: int) -> None:
    """Starts children that the next `Child`s of this process take over, so that none of them waits for its start."""
    while len(_ahead) < count:
        _ahead.append(_Process())


def close_ahead() -> None:
    """Ends the children that nobody took."""
    while _ahead:
        _ahead.pop().close()


def _next_process() -> _Process:
    with contextlib.suppress(IndexError):  # taken without a look before, since threads of a worker take at once
        return _ahead.pop(0)
    return _Process()


class Child:
    """A supervised child process. Not thread-safe; make it in `setup`, close it in `teardown`.

    Args:
      limits: What it may use.
      folder: The only place that it may write to, empty for none; it has no network then. None lets it do both.
      forked: Whether it comes from a server that has yt-dlp imported; there may be one for each of many lanes.
    """

    def __init__(self, limits: Limits, folder: str | None = "", *, forked: bool = False) -> None:
        self._forked, self._folder = forked, folder
        self._limits = self._timing = limits
        self._process: _Process | None = None
        self._served = 0

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
        if self._process is None or self._served >= self._limits.requests:
            self._start()
        self._served += 1
        self._timing = limits or self._limits
        assert self._process is not None
        process, connection = self._process, self._process.connection
        finished = False
        try:
            connection.send_bytes(json.dumps({"task": task, "request": request}).encode())
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

    def _start(self) -> None:
        self.close()
        self._process, self._served = _Process(forked=True) if self._forked else _next_process(), 0
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
        self._process = None
