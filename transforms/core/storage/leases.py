"""A lease on an output: two runs at once in one folder would mix their results.

It is a small file that the run renews. It expires, since a run that is killed, or whose machine is gone, cannot give it
back; on the machine of that run it is seen at once that the process is gone. Clocks of machines may differ by seconds.
"""

import contextlib
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from clipscout.transforms.core.storage import filesystem, kept, strict_json, updates

_NAME = ".clipscout-run.json"
_LASTS_SECONDS = 90.0
_RENEW_SECONDS = 20.0


_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("run", "host", "machine", "process"), str),
    "pid": int,
    **dict.fromkeys(("since", "expires"), (int, float)),
}


class HeldError(Exception):
    """Another run has the lease; the message, one line, tells which and what to do."""


@dataclass(frozen=True)
class _Record:
    """What the file tells of the run that holds it.

    Attributes:
      run: A name of its own.
      host: The machine, for a person.
      machine: The machine since its last start, and where its process numbers count.
      pid, process: The process, and when it began.
      since, expires: Seconds since 1970.
    """

    run: str
    host: str
    machine: str
    pid: int
    process: str
    since: float
    expires: float

    def is_over(self) -> bool:
        """Tells whether the run cannot be writing any more."""
        return time.time() >= self.expires or (self.machine == _machine() and _process(self.pid) != self.process)

    def description(self, output: str) -> str:
        """Returns who holds it, in a line."""
        minutes = max(0, round((time.time() - self.since) / 60))
        elsewhere = "" if self.machine == _machine() else f"; a killed one is forgotten after {_LASTS_SECONDS:.0f} s"
        return (
            f"another run writes to {output!r} (process {self.pid} on {self.host}, for {minutes} min); let it end, or "
            f"give another folder{elsewhere}"
        )


@lru_cache(maxsize=1)
def _machine() -> str:
    parts = [platform.node()]
    with contextlib.suppress(OSError):  # only Linux has these
        parts += [Path("/proc/sys/kernel/random/boot_id").read_text().strip(), os.readlink("/proc/self/ns/pid")]
    return " ".join(parts)


def _process(pid: int) -> str:
    """Returns when a process began, in the system's words; empty where there is no such process any more."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):  # or a number that no process can have
        return ""
    except PermissionError:
        pass
    try:
        # the second field is a name in brackets that may hold anything
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state == "Z" else fields[18]
    except OSError:
        return "there"


def _read(data: bytes | None) -> _Record | None:
    try:
        return _Record(**kept.fields(strict_json.loads(data), _TYPES)) if data else None
    except kept.DAMAGE:  # or of another version: it holds nobody
        return None


def holder(output: str) -> str:
    """Returns in a line which run writes to an output; nothing where none does.

    Raises:
      StorageError: The storage did not answer.
    """
    try:
        record = _read(filesystem.read_bytes(filesystem.join(output, _NAME)))
    except filesystem.StorageError as error:
        if error.code == "not_found":
            return ""
        raise
    return record.description(output) if record and not record.is_over() else ""


class Lease:
    """Holds the lease on an output from entering the context to its end.

    Args:
      output: The output folder, local or gs://.
      on_lost: Called, in a thread, if another run has taken it: this one slept for longer than it lasts.
    """

    def __init__(self, output: str, on_lost: Callable[[], None]) -> None:
        self._output, self._uri, self._on_lost = output, filesystem.join(output, _NAME), on_lost
        pid, now = os.getpid(), time.time()
        self._record = _Record(uuid.uuid4().hex, platform.node(), _machine(), pid, _process(pid), now, now)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="clipscout-lease", daemon=True)

    def __enter__(self) -> "Lease":
        """Takes the lease.

        Raises:
          HeldError: Another run has it.
          StorageError: It cannot be written.
        """
        updates.update(self._uri, self._taken)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        with contextlib.suppress(filesystem.StorageError, filesystem.DiskFullError):  # then it expires
            updates.update(self._uri, self._given_back)

    def _taken(self, data: bytes | None) -> bytes:
        there = _read(data)
        if there and there.run != self._record.run and not there.is_over():
            raise HeldError(there.description(self._output))
        return strict_json.text({**asdict(self._record), "expires": time.time() + _LASTS_SECONDS}).encode()

    def _given_back(self, data: bytes | None) -> bytes | None:
        there = _read(data)
        return None if there is None or there.run == self._record.run else data

    def _renew(self) -> None:
        while not self._over.wait(_RENEW_SECONDS):
            try:
                updates.update(self._uri, self._taken)
            except HeldError:
                self._on_lost()
                return
            except (filesystem.StorageError, filesystem.DiskFullError):
                continue  # an outage: nobody else can write either
