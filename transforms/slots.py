"""How much of one kind a process does at once, however many bundles its runner works at."""

import os
import threading
from functools import partial

from apache_beam.utils.shared import Shared


class Slots:
    """A slot for each core: Beam's Prism works at eight bundles at once whatever the machine, and each may decode.

    One that is pickled leads to the same slots everywhere in a process.
    """

    def __init__(self) -> None:
        self._shared = Shared()

    def get(self) -> threading.BoundedSemaphore:
        """Returns what is held while a slot is taken; whoever keeps it keeps the slots."""
        return self._shared.acquire(partial(threading.BoundedSemaphore, os.cpu_count() or 1))
