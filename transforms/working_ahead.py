"""What steps share whose decoder children work ahead: on the next element while the first one's frames are used."""

from collections import deque
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindows

from clipscout.transforms.core.child.supervisor import Child, Limits
from clipscout.transforms.slots import Slots


class WorksAhead(beam.DoFn):
    """Keeps elements in their order, and the children that are free; what has begun holds `copies` and a `child`.

    Args:
      limits: What a child may use.
      children: How many there are.
    """

    def __init__(self, limits: Limits, children: int) -> None:
        self._limits, self._count, self._slots = limits, children, Slots()

    def setup(self) -> None:
        """Prepares the children, which start when they are asked."""
        self._slot = self._slots.get()
        self._free = [Child(self._limits) for _ in range(self._count)]
        self._waiting: deque[Any] = deque()

    def teardown(self) -> None:
        """Ends the children."""
        for waiting in self._waiting:
            if hasattr(waiting, "copies"):
                waiting.copies.close()
                waiting.child.close()
        for child in self._free:
            child.close()

    def finish_bundle(self) -> Iterator[Any]:
        """Yields what belongs to the elements that still wait."""
        while self._waiting:
            for output in self._first():
                yield GlobalWindows.windowed_value_at_end_of_window(output)

    def _first(self) -> Iterator[Any]:
        """Yields what belongs to the element that came first."""
        raise NotImplementedError
