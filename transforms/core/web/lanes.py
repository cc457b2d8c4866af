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
      blocked_limit: A host is left alone after so many refusals in a row.
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
    """A request was not made: the host is left alone, or the lanes are to end. The message says which.

    Attributes:
      code: The failure code of what is left of the host.
    """

    def __init__(self, message: str, code: str = "blocked") -> None:
        super().__init__(message)
        self.code = code


#: What says that a host refuses: to let this machine see anything, or one file, which several in a row may mean too.
_REFUSALS = ("blocked", "forbidden")
#: What says that a host, or the way to it, is down.
_SILENCES = ("network", "network_timeout", "server_error", "proxy_failed")
#: What says that there is no way to any host.
_NO_WAY = ("network", "proxy_failed")
#: A host is down after as many tries in a row without an answer as so many videos have; all are, after those of more.
_DOWN_VIDEOS, _ALL_DOWN_VIDEOS = 3, 10


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
        self._lock = threading.Lock()
        self._refused: Counter[str] = Counter()
        self._silent: Counter[str] = Counter()
        self._no_way = 0
        self._code_of_silence = "network"

    @contextmanager
    def turn(self, host: str, stopped: threading.Event) -> Iterator[None]:
        """Waits for a free lane and until its next start is polite, and holds the lane for a request.

        Raises:
          NotTriedError: Meanwhile the host is left alone, or the lanes are to end.
        """
        last_start = self._wait_for_lane(stopped)
        try:
            stopped.wait(max(0.0, last_start + self._politeness.interval_seconds - time.monotonic()))
            if stopped.is_set():
                raise NotTriedError("not tried: the job is stopped")
            if code := self.closed(host):
                raise NotTriedError(f"not tried: {_WHY[code].format(host=host)} before", code)
            last_start = time.monotonic()
            yield
        finally:
            self._free.put(last_start)

    def _wait_for_lane(self, stopped: threading.Event) -> float:
        while not stopped.is_set():
            with contextlib.suppress(queue.Empty):
                return self._free.get(timeout=_LOOK_SECONDS)
        raise NotTriedError("not tried: the job is stopped")

    def closed(self, host: str) -> str:
        """Returns the code of what is left of a host that is not asked any more; empty while it may be asked."""
        tries = self._politeness.attempts
        with self._lock:
            if self._refused[host] >= self._politeness.blocked_limit:
                return "blocked"
            down = self._silent[host] >= _DOWN_VIDEOS * tries or self._no_way >= _ALL_DOWN_VIDEOS * tries
            return self._code_of_silence if down else ""

    def note(self, host: str, code: str) -> None:
        """Notes how a try ended; an empty code is success. A host that answers after all is asked again."""
        with self._lock:
            self._refused[host] = self._refused[host] + 1 if code in _REFUSALS else 0
            self._silent[host] = self._silent[host] + 1 if code in _SILENCES else 0
            self._no_way = self._no_way + 1 if code in _NO_WAY else 0
            if code in _SILENCES:
                self._code_of_silence = "proxy_failed" if code == "proxy_failed" else "network"


#: Why a host is left alone, by the code of what is left of it.
_WHY = {"blocked": "{host} refused", "network": "{host} did not answer", "proxy_failed": "the proxy did not answer"}
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
