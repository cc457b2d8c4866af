"""Beam counters and distributions under one naming rule: namespace = the class, names with units.

What is counted goes to the running tally too, under "Stage/name": progress, counters and the end agree.
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from apache_beam.metrics import Metrics

from clipscout.transforms.core import tally

_Item = TypeVar("_Item")


class StageMetrics:
    """Counters of one stage. Cheap to make; safe to keep in a DoFn, also through pickling."""

    def __init__(self, stage: str) -> None:
        self._stage = stage

    def count(self, name: str, amount: int = 1) -> None:
        """Adds `amount` to the counter `name`, e.g. `out-spans` or `failed-no_match`."""
        Metrics.counter(self._stage, name).inc(amount)
        tally.add(f"{self._stage}/{name}", amount)

    def observe(self, name: str, value: int) -> None:
        """Adds one value to the distribution `name`, e.g. `decode-msec`."""
        Metrics.distribution(self._stage, name).update(value)
        tally.add(f"{self._stage}/{name}", value)

    def doing(self, what: str, slow_seconds: float = tally.SLOW_SECONDS) -> AbstractContextManager[None]:
        """Says for the length of the block what the stage is busy with, or waits for; see `tally.doing`."""
        return tally.doing(what, slow_seconds)

    def waited(self, what: str, items: Iterator[_Item]) -> Iterator[_Item]:
        """Yields the items of an iterator; `what` is told while one of them (a child's message) is long in coming."""
        while True:
            with self.doing(what):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Observes the milliseconds that the block takes in the distribution `name`."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.observe(name, round((time.monotonic() - start) * 1000))
