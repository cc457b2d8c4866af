"""Politeness: a lane asks one thing at a time, waits in between, and stops when the site says no."""

import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from transforms.failures import CODES


@dataclass(frozen=True)
class Politeness:
    """How a job treats the sites that it asks.

    Attributes:
      lanes: Most requests under way at once over the whole job.
      interval_seconds: Least time between two starts within a lane.
      blocked_limit: A lane stops after so many blocked answers in a row.
      attempts: Tries per item where the failure is transient.
      retry_wait_seconds: Wait before the second try; it doubles, with jitter.
    """

    lanes: int = 2
    interval_seconds: float = 1.0
    blocked_limit: int = 3
    attempts: int = 3
    retry_wait_seconds: float = 2.0

    def lane_of(self, name: str) -> int:
        """Returns the lane of an item, the same on every worker."""
        return zlib.crc32(name.encode("utf-8", "surrogatepass")) % self.lanes


@dataclass
class Lane:
    """The state of one lane while it is worked through."""

    politeness: Politeness
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _last_start: float | None = field(default=None, init=False)
    _blocked_in_a_row: int = field(default=0, init=False)

    @property
    def stopped(self) -> bool:
        """Whether the lane was blocked too often to go on."""
        return self._blocked_in_a_row >= self.politeness.blocked_limit

    def wait_turn(self) -> None:
        """Waits until the next start is polite."""
        if self._last_start is not None:
            self.sleep(max(0.0, self._last_start + self.politeness.interval_seconds - self.clock()))
        self._last_start = self.clock()

    def note(self, code: str) -> None:
        """Notes how a request ended; an empty code is success."""
        if code and CODES[code][0] == "blocked":
            self._blocked_in_a_row += 1
        else:
            self._blocked_in_a_row = 0
