"""The real program as a process, also on a terminal of its own, and what it leaves behind."""

import contextlib
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

from tests.jobs import ROOT

_MARK = "CLIPSCOUT_TEST_PROGRAM"
#: Takes the terminal that is its stdin as its own, as a shell's job has it, and becomes the program.
_ON_TERMINAL = (
    "import fcntl, os, sys, termios\n"
    "fcntl.ioctl(0, termios.TIOCSWINSZ, b'\\x1e\\0\\x64\\0' + bytes(4))\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "os.execv(sys.executable, [sys.executable, '-m', 'pipeline', *sys.argv[1:]])\n"
)


def hang_up_ends_it():
    """Lets a closing terminal end a program that is started, also where nohup shields the tests."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Program:
    """`python -m pipeline` with its own folder for temporary files.

    Args:
      scratch: That folder.
      given: The arguments.
      terminal: Whether it runs on a terminal; else its outputs are pipes.
      environment: What its environment has besides.
    """

    def __init__(self, scratch, given, terminal=False, environment=()):
        self.scratch = scratch
        scratch.mkdir()
        self._mark = uuid.uuid4().hex
        own = {_MARK: self._mark, "TMPDIR": str(scratch), "TERM": "xterm-256color", **dict(environment)}
        settings = {"cwd": ROOT, "env": {**os.environ, **own}, "start_new_session": True}
        settings["preexec_fn"] = hang_up_ends_it
        given = list(map(str, given))
        self._master = None
        if terminal:
            self._master, slave = pty.openpty()
            command = [sys.executable, "-c", _ON_TERMINAL, *given]
            self._popen = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, **settings)
            os.close(slave)
        else:
            command = [sys.executable, "-m", "pipeline", *given]
            self._popen = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings
            )
        self.shown = ""
        self._closed = threading.Event()
        self._reader = threading.Thread(target=self._read)
        if terminal:
            self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._popen.wait()
        if self._master is not None:
            self._reader.join()
            os.close(self._master)

    def _read(self):
        shown = b""
        with contextlib.suppress(OSError):  # the last process has closed the terminal
            while not self._closed.is_set() and (
                self._popen.poll() is None or select.select([self._master], [], [], 0)[0]
            ):
                if select.select([self._master], [], [], 0.05)[0]:
                    shown += os.read(self._master, 1 << 16)
                    self.shown = shown.decode(errors="replace")

    def send(self, number):
        """Sends a signal to the program alone."""
        self._popen.send_signal(number)

    def press_ctrl_c(self, times=1):
        """Lets the terminal interrupt the program and its workers, as a person does."""
        os.write(self._master, b"\x03" * times)

    def close_terminal(self):
        """Takes the terminal away, as a window that is closed does."""
        self._closed.set()
        self._reader.join()
        os.close(self._master)
        self._master = None

    def wait(self):
        """Returns the exit status."""
        status = self._popen.wait(timeout=60)
        if self._master is not None:
            self._reader.join()
        return status

    @property
    def stderr(self):
        """The stream of a program on pipes."""
        return self._popen.stderr

    def outputs(self):
        """Waits for the end; returns (stdout, stderr) of a program on pipes."""
        return self._popen.communicate(timeout=90)

    def processes(self):
        """Returns the ids of all processes that the program is, or started, in whichever session."""
        found = []
        for place in filter(Path.is_dir, Path("/proc").glob("[0-9]*")):
            with contextlib.suppress(OSError):
                if f"{_MARK}={self._mark}".encode() in (place / "environ").read_bytes().split(b"\0"):
                    found.append(int(place.name))
        return found


def parents_by_process():
    """Returns the parent of each process of this machine."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            parents[int(path.parent.name)] = int(path.read_text().rpartition(") ")[2].split()[1])
    return parents


def is_worker(pid):
    """Tells whether a process is a worker of a local job."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text() == "clipscout-work\n"
    return False


@contextlib.contextmanager
def silent_site():
    """Gives a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server


def url_on(server):
    """Returns the address of a video on a silent site."""
    return f"http://127.0.0.1:{server.getsockname()[1]}/video.mp4"


def until(holds, seconds=30):
    """Waits until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)
