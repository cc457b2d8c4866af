"""Beam counters and distributions under one naming rule: namespace = the class, names with units."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from apache_beam.metrics import Metrics


class StageMetrics:
    """Counters of one stage. Cheap to make; safe to keep in a DoFn, also through pickling."""

    def __init__(self, stage: str) -> None:
        self._stage = stage

    def count(self, name: str, amount: int = 1) -> None:
        """Adds `amount` to the counter `name`, e.g. `out-spans` or `failed-no_match`."""
        Metrics.counter(self._stage, name).inc(amount)

    def observe(self, name: str, value: int) -> None:
        """Adds one value to the distribution `name`, e.g. `decode-msec`."""
        Metrics.distribution(self._stage, name).update(value)

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Observes the milliseconds that the block takes in the distribution `name`."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.observe(name, round((time.monotonic() - start) * 1000))
