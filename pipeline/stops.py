"""Signals that end the program: Ctrl-C, SIGTERM, and SIGHUP of a terminal that closes.

The first one unwinds the job, so that temporary files and children go; a second one, or an unwinding that takes too
long, ends the program and all that it started at once. What is complete is on storage already.
"""

import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GRACE_SECONDS = 1.2


class Stopped(KeyboardInterrupt):
    """A signal asks the program to end; wherever Ctrl-C unwinds the others do too."""


class Stops:
    """Watches for signals from entering the context to its end. Does nothing outside the main thread.

    Attributes:
      words: What is said when the program is stopped; it follows what the program has done.
      gentle: Whether there is something to unwind; else a signal ends the program at once.
      on_end: Called before the program ends at once, e.g. to mend the terminal.
      scratch: A folder that goes when the program ends at once; empty for none.
      grace_seconds: How long unwinding may take.
      number: The first signal that came; 0 for none.
    """

    def __init__(self) -> None:
        self.words = "stopped before anything was run"
        self.gentle = True
        self.on_end: Callable[[], None] = _nothing
        self.scratch = ""
        self.grace_seconds = _GRACE_SECONDS
        self.number = 0
        self._unwinding = False
        self._said = threading.Lock()
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> "Stops":
        if threading.current_thread() is threading.main_thread():
            # the interpreter handles a signal once it is back from a call of C, which may take long; the thread is told
            reader, writer = map(self._closing.enter_context, socket.socketpair())
            writer.setblocking(False)
            watcher = threading.Thread(target=self._watch, args=(reader,), name="clipscout-stops", daemon=True)
            watcher.start()
            self._closing.callback(_hang_up, writer, watcher)
            earlier = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
            self._closing.callback(signal.set_wakeup_fd, earlier)
            for number in SIGNALS:
                before = signal.getsignal(number)
                if before != signal.SIG_IGN:  # nohup, or a job in the background of a script
                    self._closing.callback(signal.signal, number, before)
                    signal.signal(number, self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    @property
    def status(self) -> int:
        """The exit status, as shells tell of a signal."""
        return 128 + (self.number or signal.SIGINT)

    def say(self) -> None:
        """Says once that the program is stopped, where somebody can still read it."""
        if self._said.acquire(blocking=False):
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write(f"clipscout: {self.words}\n")
                sys.stderr.flush()

    def end(self, status: int | None = None) -> NoReturn:
        """Ends this program and all that it started, now, with a status or the signal's; nothing is unwound."""
        threading.excepthook = _nothing  # of threads whose workers vanish, where no signal came
        self.on_end()
        if self._said.acquire(blocking=False):
            with contextlib.suppress(OSError):
                os.write(2, f"clipscout: {self.words}\n".encode())  # whoever holds the stream's lock may hang
        self._exit(self.status if status is None else status)

    def end_after(self, seconds: float, status: int) -> None:
        """Ends this program after a while as `end` does, unless the context ends before."""
        timer = threading.Timer(seconds, self.end, [status])
        timer.daemon = True
        self._closing.callback(timer.cancel)
        timer.start()

    def leave(self, status: int) -> NoReturn:
        """Ends the program, once there is nothing left to watch; a stopped one waits for no thread of anybody."""
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        if self.number:
            self._exit(self.status)
        sys.exit(status)

    def _exit(self, status: int) -> NoReturn:
        _kill_all_below(os.getpid())
        if self.scratch:
            shutil.rmtree(self.scratch, ignore_errors=True)
        os._exit(status)

    def _stop(self, number: int, _: FrameType | None) -> None:
        self.number = self.number or number
        if not self.gentle:
            self.end()
        if not self._unwinding:  # the watcher ends what is asked twice
            self._unwinding = True
            raise Stopped(signal.Signals(number).name)

    def _watch(self, reader: socket.socket) -> None:
        first = reader.recv(1)
        while first and first[0] not in SIGNALS:
            first = reader.recv(1)
        if not first:  # the context ended without a signal
            return
        self.number = first[0]
        logging.disable(logging.CRITICAL)  # what breaks from here on is no news
        threading.excepthook = _nothing  # to the end: what Beam started goes after the context
        try:
            if not self.gentle:
                self.end()
            reader.settimeout(self.grace_seconds)
            with contextlib.suppress(TimeoutError):
                if not reader.recv(1):
                    return
            self.end()
        finally:
            logging.disable(logging.NOTSET)


def _nothing(*_: Any) -> None:
    pass


def _hang_up(writer: socket.socket, watcher: threading.Thread) -> None:
    writer.shutdown(socket.SHUT_WR)
    watcher.join()


def _kill_all_below(pid: int) -> None:
    """Kills the descendants of a process; where their list cannot be had they end when their parent is gone."""
    children: dict[int, list[int]] = {}
    for child, parent in _processes():
        children.setdefault(parent, []).append(child)
    found = [pid]
    for one in found:
        found += children.get(one, [])
    for one in found[1:]:
        with contextlib.suppress(OSError):
            os.kill(one, signal.SIGKILL)


def _processes() -> Iterator[tuple[int, int]]:
    """Yields (process, parent) pairs, as Linux tells of them."""
    with contextlib.suppress(FileNotFoundError):
        for name in filter(str.isdecimal, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                # the second field is a name in brackets that may hold anything
                yield int(name), int(file.read().rpartition(b")")[2].split()[1])
