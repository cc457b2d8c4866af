"""Politeness: N lanes ask side by side; each asks one thing at a time and waits in between; who says no is left alone.

Lanes are threads of one step, not keys of a shuffle: a runner may work keys off one after the other, and then there is
one lane whatever the option says. They give results as these come, so that what follows goes on beside them.
"""

import contextlib
import itertools
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

from transforms.failures import CODES

#: Where there are several workers, so many lanes at most are threads of one of them.
LANES_PER_GROUP = 32
_STOP_SECONDS, _LOOK_SECONDS = 2.0, 0.1
#: So long a result is waited for before it counts as not ready.
_READY_SECONDS = 0.2


@dataclass(frozen=True)
class Politeness:
    """How a job treats the sites that it asks.

    Attributes:
      lanes: Most requests under way at once over the whole job.
      interval_seconds: Least time between two starts within a lane.
      blocked_limit: A host is left alone after so many blocked answers in a row.
      attempts: Tries per item where the failure is transient.
      retry_wait_seconds: Wait before the second try; it doubles, with jitter.
    """

    lanes: int = 2
    interval_seconds: float = 1.0
    blocked_limit: int = 3
    attempts: int = 3
    retry_wait_seconds: float = 2.0

    def groups(self) -> int:
        """Returns how many groups of lanes there are; a worker runs the lanes of a group."""
        return -(-self.lanes // LANES_PER_GROUP)

    def share(self, group: int) -> int:
        """Returns how many lanes a group has; all shares together are `lanes`."""
        return len(range(group, self.lanes, self.groups()))


class NotTriedError(Exception):
    """A request was not made: the host refuses, or the lanes are to end. The message says which."""


class Gate:
    """The turns that all lanes of a worker share, and which hosts refuse. Thread-safe.

    Args:
      politeness: How sites are treated.
      lanes: How many of the job's lanes these are: so many requests are under way at once.
    """

    def __init__(self, politeness: Politeness, lanes: int) -> None:
        self.lanes = lanes
        self._politeness = politeness
        #: When the last request of each free lane started.
        self._free: queue.SimpleQueue[float] = queue.SimpleQueue()
        for _ in range(lanes):
            self._free.put(-float("inf"))
        self._blocked_in_a_row: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def turn(self, host: str, stopped: threading.Event) -> Iterator[None]:
        """Waits for a free lane and until its next start is polite, and holds the lane for a request.

        Raises:
          NotTriedError: Meanwhile the host refused, or the lanes are to end.
        """
        last_start = self._wait_for_lane(stopped)
        try:
            stopped.wait(max(0.0, last_start + self._politeness.interval_seconds - time.monotonic()))
            if stopped.is_set():
                raise NotTriedError("not tried: the job is stopped")
            if self.refuses(host):
                raise NotTriedError(f"not tried: {host} refused before")
            last_start = time.monotonic()
            yield
        finally:
            self._free.put(last_start)

    def _wait_for_lane(self, stopped: threading.Event) -> float:
        while not stopped.is_set():
            with contextlib.suppress(queue.Empty):
                return self._free.get(timeout=_LOOK_SECONDS)
        raise NotTriedError("not tried: the job is stopped")

    def refuses(self, host: str) -> bool:
        """Tells whether a host was blocked too often in a row to be asked again."""
        with self._lock:
            return self._blocked_in_a_row[host] >= self._politeness.blocked_limit

    def note(self, host: str, code: str) -> None:
        """Notes how a request ended; an empty code is success."""
        blocked = bool(code) and CODES[code][0] == "blocked"
        with self._lock:
            self._blocked_in_a_row[host] = self._blocked_in_a_row[host] + 1 if blocked else 0


_Item_contra = TypeVar("_Item_contra", contravariant=True)
_Result_co = TypeVar("_Result_co", covariant=True)
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Worker(Protocol[_Item_contra, _Result_co]):
    """What does the work of one lane, in the lane's thread."""

    def work(self, item: _Item_contra, stopped: threading.Event) -> _Result_co:
        """Returns the result of one item, soon where the lanes are stopped."""

    def kill(self) -> None:
        """Makes `work` end soon; called from another thread."""

    def close(self) -> None:
        """Frees what the worker holds."""


class Lanes(Generic[_Item, _Result]):
    """Threads that work items off in the order in which they were put in. A context manager: leaving it ends them.

    The threads are daemons, and do not keep a program alive that was stopped.

    Args:
      count: Most threads; they start as there is work for them.
      make_worker: Makes what does the work of one lane.
      most_ahead: Most items that were put in and whose results were not taken yet.
    """

    def __init__(self, count: int, make_worker: Callable[[], Worker[_Item, _Result]], most_ahead: int) -> None:
        self._count, self._make_worker, self._most_ahead = count, make_worker, most_ahead
        self.ahead = 0
        self._results: queue.SimpleQueue[tuple[Lanes[_Item, _Result], _Result | BaseException]] = queue.SimpleQueue()
        self._items: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._workers: list[Worker[_Item, _Result]] = []
        self._stopped = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def full(self) -> bool:
        """Whether a result has to be taken before another item is put in."""
        return self.ahead >= self._most_ahead

    def empty(self) -> bool:
        """Tells whether `take` would wait."""
        return self._results.empty()

    def put(self, item: _Item) -> None:
        """Gives an item to the next free lane."""
        self.ahead += 1
        self._items.put(item)
        if len(self._threads) < self._count:
            thread = threading.Thread(target=self._run, name=f"lane-{len(self._threads) + 1}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def beside(self, other: "Lanes[_Item, _Result]") -> Self:
        """Lets results come where those of other lanes come; `worked_off` takes both."""
        self._results = other._results
        return self

    def take(self, timeout_seconds: float | None = None) -> _Result:
        """Returns the next result, of whatever item.

        Raises:
          queue.Empty: None came in time.
          BaseException: What a worker raised: a bug, or a fault of this machine.
        """
        lanes, result = self._results.get(timeout=timeout_seconds)
        lanes.ahead -= 1
        if isinstance(result, BaseException):
            raise result
        return result

    def close(self) -> None:
        """Ends all lanes, whatever they wait for, within two seconds."""
        self._stopped.set()
        for _ in self._threads:
            self._items.put(None)
        deadline = time.monotonic() + _STOP_SECONDS
        for thread in self._threads:
            while thread.is_alive() and time.monotonic() < deadline:
                for worker in list(self._workers):  # again: it may have begun a request meanwhile
                    worker.kill()
                thread.join(_LOOK_SECONDS)

    def _run(self) -> None:
        worker: Worker[_Item, _Result] | None = None
        try:
            while (item := self._items.get()) is not None and not self._stopped.is_set():
                result: _Result | BaseException
                try:
                    if worker is None:
                        worker = self._make_worker()
                        self._workers.append(worker)
                    result = worker.work(item, self._stopped)
                except BaseException as error:  # noqa: BLE001 - who takes the results raises it
                    result = error
                self._results.put((self, result))
        finally:
            if worker is not None:
                self._workers.remove(worker)
                worker.close()


def worked_off(*work: tuple[Lanes[_Item, _Result], Iterable[_Item]]) -> Iterator[_Result | None]:
    """Puts items into lanes and yields the results as they come; None as often as for a moment there is none.

    Args:
      work: Lanes, the first one's `beside` the others, with the items for each, in order.

    Raises:
      BaseException: What a worker raised.
    """
    waiting = [(lanes, deque(items)) for lanes, items in work]
    while True:
        for lanes, items in waiting:
            while items and not lanes.full:
                lanes.put(items.popleft())
        if not any(lanes.ahead for lanes, _ in waiting):
            return
        try:
            yield waiting[0][0].take(_READY_SECONDS)
        except queue.Empty:
            yield None


def batched(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Yields the items in lists of a size (`itertools.batched` came with Python 3.12)."""
    iterator = iter(items)
    while some := list(itertools.islice(iterator, size)):
        yield some
