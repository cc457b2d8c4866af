"""A program that is watched while it runs: how long it took, and how much memory it and its servers had."""

import contextlib
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.jobs import ROOT
from tests.programs import parents_by_process


class Watched:
    """`clipscout mine` with arguments, and what it was like.

    Args:
      given: The arguments.
      servers: Process ids of what works for it, apart from its own children.

    Attributes:
      seconds: How long it ran.
      peak_bytes: The most memory at once, each page counted once.
      names: Of the programs that were at work.
      status: The exit status.
      told: What it said on stdout and stderr.
    """

    def __init__(self, given, servers=()):
        begin = time.monotonic()
        self.peak_bytes, self.names = 0, set()
        command = [sys.executable, "-m", "clipscout", "mine", *map(str, given)]
        self._running = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._roots = [self._running.pid, *servers]
        watch = threading.Thread(target=self._watch)
        watch.start()
        self.told = self._running.communicate(timeout=500)[0]
        self.seconds, self.status = time.monotonic() - begin, self._running.returncode
        watch.join()

    def _watch(self):
        while self._running.poll() is None:
            pids = below(self._roots)
            self.peak_bytes = max(self.peak_bytes, sum(map(_bytes, pids)))
            for pid in pids:
                with contextlib.suppress(OSError):
                    self.names.add(Path(f"/proc/{pid}/comm").read_text().strip())
            time.sleep(0.3)


def below(roots):
    """Returns the ids of processes and of all that they started."""
    children = {}
    for child, parent in parents_by_process().items():
        children.setdefault(parent, []).append(child)
    found = list(roots)
    for one in found:
        found += children.get(one, [])
    return found


def _bytes(pid):
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return 0
