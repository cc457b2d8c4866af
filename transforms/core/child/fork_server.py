"""A process that starts others by forking itself, with what they need imported.

PyAV takes a third of a second to import, yt-dlp one, and each lane has a child; Beam and torch take several, and each
worker process has them. The server starts no thread (a fork beside threads may deadlock; those that libraries begin
with their import are made for forks), opens no connection, and ends when its program does.
"""

import contextlib
import gc
import importlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Never

_FORK, _WAIT = b"f", b"w"
_MESSAGE = struct.Struct("=cq")
_RUNNING = -(1 << 32)
_SHORTEST_LOOK_SECONDS, _LONGEST_LOOK_SECONDS = 0.005, 0.1


def python_command(module: str, *arguments: str) -> list[str]:
    """Returns the command of a process of ours, which finds modules where this one does.

    `-m` would put the working folder first, where a `statistics.py` of the user's takes the place of Python's own.
    """
    finds_there = os.getcwd() in map(os.path.abspath, sys.path)
    return [sys.executable, *(() if finds_there else ("-P",)), "-m", module, *arguments]


class ForkServer:
    """The program's side. Thread-safe.

    Args:
      main: What a child runs, as `module:function`; it is called with the descriptor that `start` was given.
      modules: What is imported before anything is forked; their functions `warm`, where they have one, are called.
      environment: That of the server and so of its children.
      patience_seconds: How long these imports may take.
    """

    def __init__(
        self, main: str, modules: Sequence[str], environment: Mapping[str, str], patience_seconds: float = 60.0
    ) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        # in memory: the server outlives folders for temporary files
        self._log = open(os.memfd_create("clipscout-fork-server"), "w+b")  # noqa: SIM115 - closed in close()
        self._socket.settimeout(patience_seconds)  # a time-out is an OSError too
        self._popen = subprocess.Popen(
            python_command(__name__, str(theirs.fileno()), main, *modules),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            env=dict(environment),
            start_new_session=True,
        )
        theirs.close()

    def start(self, descriptor: int, log: int) -> "Forked":
        """Starts a child that gets a descriptor, and writes its terminal's output to a file.

        Raises:
          OSError: The server is gone, or does not answer.
        """
        with self._lock:
            socket.send_fds(self._socket, [_MESSAGE.pack(_FORK, 0)], [descriptor, log])
            return Forked(self, self._answer())

    def status(self, pid: int) -> int | None:
        """Returns how a child ended, as Popen tells it; None while it runs."""
        with self._lock:
            self._socket.send(_MESSAGE.pack(_WAIT, pid))
            status = self._answer()
        return None if status == _RUNNING else status

    def last_words(self) -> str:
        """Returns the last line that the server wrote before it ended; empty where there is none, or it lives."""
        with contextlib.suppress(subprocess.TimeoutExpired, OSError, ValueError):
            self._popen.wait(1)
            self._log.seek(0)
            lines = self._log.read()[-2000:].decode(errors="replace").split("\n")
            return next((line.strip() for line in reversed(lines) if line.strip()), "")
        return ""

    def close(self) -> None:
        """Ends the server; its children stay. Safe to call any number of times."""
        self._socket.close()
        self._popen.kill()
        self._popen.wait()
        self._log.close()

    def _answer(self) -> int:
        answer = self._socket.recv(_MESSAGE.size)
        if len(answer) != _MESSAGE.size:
            raise OSError("the process that starts children is gone")
        return int(_MESSAGE.unpack(answer)[1])


class Forked:
    """A child of the server, with what `subprocess.Popen` has for a child of ours."""

    def __init__(self, server: ForkServer, pid: int) -> None:
        self._server, self.pid = server, pid

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the child's end and returns its status.

        Raises:
          subprocess.TimeoutExpired: It did not end in time.
        """
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        pause = _SHORTEST_LOOK_SECONDS
        while True:
            try:
                status = self._server.status(self.pid)
            except OSError:  # with the server went the status
                return -signal.SIGKILL
            if status is not None:
                return status
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("fork server", timeout or 0)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_LOOK_SECONDS)


def _serve(channel: socket.socket, main: str, modules: Sequence[str]) -> None:
    """Forks and tells of ends until the program hangs up."""
    for module in modules:
        getattr(importlib.import_module(module), "warm", bool)()
    module, _, function = main.partition(":")
    run = getattr(importlib.import_module(module), function)
    gc.freeze()  # what is imported stays shared: a collection would write to it
    while True:
        message, descriptors, *_ = socket.recv_fds(channel, _MESSAGE.size, 2)
        if not message:
            return
        task, pid = _MESSAGE.unpack(message)
        if task == _FORK:
            answer = os.fork()
            if not answer:
                channel.close()
                _become_child(run, *descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
        else:
            answer = _status(pid)
        channel.send(_MESSAGE.pack(task, answer))


def _status(pid: int) -> int:
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:  # it was waited for before
        return 0
    return os.waitstatus_to_exitcode(status) if ended else _RUNNING


def _become_child(run: Callable[[int], object], descriptor: int, log: int) -> Never:
    status = 1
    try:
        os.setsid()
        for terminal in (sys.stdout.fileno(), sys.stderr.fileno()):
            os.dup2(log, terminal)
        os.close(log)
        run(descriptor)
        status = 0
    except BaseException:  # noqa: BLE001 - its end tells; what is above belongs to the server
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as its_channel:
        _serve(its_channel, sys.argv[2], sys.argv[3:])
