"""Stretches that a damaged container lost: no packet of them comes, so that no decoder complains."""

import math
from collections.abc import Generator

import av.logging

from clipscout.transforms.core.child.protocol import SIGN_OF_LIFE, Item
from clipscout.transforms.core.video import containers

#: A shorter time without a frame is how videos of uneven rate are.
_SHORTEST_SECONDS = 0.5
_SIGN_OF_LIFE_PACKETS = 2000


class Gaps:
    """How long nothing was shown between the end of a frame and the next one, within a range of a video.

    Args:
      start_seconds, end_seconds: The range, [start, end); of a longer gap this part counts.
    """

    def __init__(self, start_seconds: float = 0.0, end_seconds: float = math.inf) -> None:
        self._start, self._end = start_seconds, end_seconds
        self._ended = start_seconds
        self.seconds = 0.0

    def add(self, time_seconds: float, ends_seconds: float) -> None:
        """Takes the next frame: when it is shown, and until when."""
        if time_seconds - self._ended > _SHORTEST_SECONDS:
            self.seconds += max(0.0, min(time_seconds, self._end) - max(self._ended, self._start))
        self._ended = max(self._ended, ends_seconds)


def is_broken(path: str) -> Generator[Item, None, bool]:
    """Tells whether FFmpeg complains of a file's container, or a packet, while it reads all of it; nothing is decoded.

    Yields:
      Signs of life.

    Raises:
      TaskError: The file cannot be opened any more.
    """
    with containers.opened(path) as container:
        av.logging.set_level(av.logging.ERROR)
        try:
            with av.logging.Capture() as logged:
                for number, packet in enumerate(container.demux()):
                    if number % _SIGN_OF_LIFE_PACKETS == 0:
                        yield SIGN_OF_LIFE
                    if packet.is_corrupt or any(name == container.format.name for _, name, _ in logged):
                        return True
                    logged.clear()
        except MemoryError:
            raise
        except containers.DAMAGE:
            return True
        finally:
            av.logging.set_level(None)
    return False
