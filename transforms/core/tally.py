"""The running tally: what this process has counted and what it is busy with, for whoever shows a job's progress.

A program that wants to show progress names a folder in the environment. Every process of its job then keeps one small
file there (`<pid>.json`) that a thread renews while something changes; the reader adds the files up. Without the folder
nothing is kept. Counts go up only; an activity is there for as long as it lasts.
"""

import contextlib
import itertools
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

#: Names the folder, in the environment of the program and of all its processes.
FOLDER = "CLIPSCOUT_PROGRESS"
#: An activity is worth telling once it has lasted so long, unless it says otherwise.
SLOW_SECONDS = 2.0
_RENEW_SECONDS = 0.5


@dataclass(frozen=True)
class Activity:
    """Something that a process is busy with.

    Attributes:
      what: For a person, e.g. `loading the classifier`.
      since: When it began, by the machine's monotonic clock.
      slow_seconds: How long it may last before it is worth telling.
      times: How often the same is done at once.
    """

    what: str
    since: float
    slow_seconds: float = SLOW_SECONDS
    times: int = 1

    def seconds(self, now: float) -> float:
        """Returns how long it has lasted."""
        return max(0.0, now - self.since)


@dataclass(frozen=True)
class Totals:
    """What all processes of a job have said so far.

    Attributes:
      counts: Sums by "Stage/name".
      doing: What is being done, each text once, the oldest first.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    doing: tuple[Activity, ...] = ()


class Tally:
    """The tally of one process; safe to use from any thread. Without a folder it keeps nothing."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._doing: dict[int, Activity] = {}
        self._numbers = itertools.count()
        self._changed = False
        self._over = threading.Event()
        self._writer: threading.Thread | None = None

    def add(self, name: str, amount: int) -> None:
        """Adds to the count `name`, "Stage/counter"."""
        if not self._folder:
            return
        with self._lock:
            self._counts[name] = self._counts.get(name, 0) + amount
            self._note()

    @contextlib.contextmanager
    def doing(self, what: str, slow_seconds: float = SLOW_SECONDS) -> Iterator[None]:
        """Says for the length of the block what is being done, or waited for."""
        if not self._folder:
            yield
            return
        number = next(self._numbers)
        with self._lock:
            self._doing[number] = Activity(what, time.monotonic(), slow_seconds)
            self._note()
        try:
            yield
        finally:
            with self._lock:
                self._doing.pop(number, None)
                self._note()

    def close(self) -> None:
        """Writes what is left and ends the thread."""
        self._over.set()
        if self._writer is not None:
            self._writer.join()

    def _note(self) -> None:
        self._changed = True
        if self._writer is None:  # with the first word, so that a process that has nothing to say has no thread
            self._writer = threading.Thread(target=self._renew, name="clipscout-tally", daemon=True)
            self._writer.start()

    def _renew(self) -> None:
        path = os.path.join(self._folder, f"{os.getpid()}.json")
        over = False
        while not over:
            over = self._over.wait(_RENEW_SECONDS)
            try:
                self._write(path)
            except FileNotFoundError:  # the folder is gone: nobody looks any more
                return
            except OSError:  # a disk that is full, for now
                continue

    def _write(self, path: str) -> None:
        with self._lock:
            if not self._changed:
                return
            self._changed = False
            doing = [[one.what, one.since, one.slow_seconds] for one in self._doing.values()]
            record = {"counts": dict(self._counts), "doing": doing}
        temporary = f"{path}.new"
        with open(temporary, "w") as file:
            json.dump(record, file)
        os.replace(temporary, path)


@lru_cache(maxsize=1)
def _tally() -> Tally:
    return Tally(os.environ.get(FOLDER, ""))


def add(name: str, amount: int = 1) -> None:
    """Adds to a count of this process; see `Tally.add`."""
    _tally().add(name, amount)


def doing(what: str, slow_seconds: float = SLOW_SECONDS) -> contextlib.AbstractContextManager[None]:
    """Says for the length of a block what this process is busy with, or what it waits for.

    Args:
      what: For a person: `loading the classifier`, `waiting for example.org`. Told only once it lasts.
      slow_seconds: How long it may last before it is worth telling.
    """
    return _tally().doing(what, slow_seconds)


@contextlib.contextmanager
def kept_in(folder: str) -> Iterator[None]:
    """Keeps the tally of this process, and of all that it starts, in a folder for the length of the block."""
    before = os.environ.get(FOLDER)
    os.environ[FOLDER] = folder
    _tally.cache_clear()
    try:
        yield
    finally:
        _tally().close()
        _tally.cache_clear()
        if before is None:
            os.environ.pop(FOLDER, None)
        else:
            os.environ[FOLDER] = before


def read(folder: str) -> Totals:
    """Returns the sum of what all processes have written to a folder.

    Of a process that is gone the counts stay, since its work is done, and what it was doing does not.
    """
    counts: dict[str, int] = {}
    doing: dict[str, Activity] = {}
    for name in sorted(os.listdir(folder)):
        pid, ending = os.path.splitext(name)
        if ending != ".json":
            continue
        try:
            with open(os.path.join(folder, name)) as file:
                record: dict[str, Any] = json.load(file)
        except (OSError, ValueError):  # a disk that is full
            continue
        for counted, amount in record["counts"].items():
            counts[counted] = counts.get(counted, 0) + amount
        for what, since, slow_seconds in record["doing"] if _runs(int(pid)) else ():
            same = doing.get(what, Activity(what, since, slow_seconds, times=0))
            doing[what] = Activity(what, min(same.since, since), slow_seconds, same.times + 1)
    return Totals(counts, tuple(sorted(doing.values(), key=_since)))


def _since(activity: Activity) -> float:
    return activity.since


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
