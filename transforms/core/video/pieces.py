"""Stretches of an MP4 whose samples are only partly there: which bytes they need, and a file of them alone.

The file is hostile, and comes from a child that has the network: it is read in another one, which has none.
"""

import os
from collections.abc import Iterator
from typing import Any

import av

from clipscout.transforms.core.child.protocol import Item, TaskError
from clipscout.transforms.core.intervals import joined
from clipscout.transforms.core.video.containers import opened
from clipscout.transforms.core.video.muxing import copied

#: Samples that lie closer than this are fetched in one request.
_NEAR_BYTES = 64 << 10

#: Of one stream: the first and the last index entry of each stretch.
_Pieces = list[tuple[int, int]]


def plan(request: dict[str, Any]) -> Iterator[Item]:
    """Child task: finds out which bytes of a file are needed for stretches of it; only its index is read.

    Args:
      request: `path` of an MP4 of which at least the index is there; `seconds`, a list of [start, end], times from the
        start of each stream.

    Yields:
      `{"ranges", "whole"}`: lists of [first byte, byte behind], apart and in order; `whole_seconds` and
      `whole_frame_rate` (0 where it has no picture) of the whole file.

    Raises:
      TaskError: `unreadable_video` where it has no such index.
    """
    with opened(request["path"]) as container:
        needed = (
            (entry.pos, entry.pos + entry.size)
            for stream in _streams(container)
            for first, last in _pieces(stream, request["seconds"])
            for entry in stream.index_entries[first : last + 1]
        )
        video = container.streams.best("video")
        whole = {
            "whole_seconds": (container.duration or 0) / av.time_base,
            "whole_frame_rate": float(video.average_rate or 0) if video is not None else 0.0,
        }
        yield {"ranges": joined(needed, _NEAR_BYTES), "whole": whole}, None


def keep(request: dict[str, Any]) -> Iterator[Item]:
    """Child task: makes a file of stretches of another, at the times that they have there; nothing is encoded anew.

    Args:
      request: As of `plan`, with the bytes there that it names; `folder`, where the file is made.

    Yields:
      `{}` now and then as a sign of life, and last `{"path"}`.

    Raises:
      TaskError: `unreadable_video` where it cannot be read or made.
    """
    target = os.path.join(request["folder"], "pieces.mp4")
    with opened(request["path"]) as seen, opened(request["path"]) as heard:  # each is read at a place of its own
        sources = []
        for container, stream in zip((seen, heard), _streams(seen), strict=False):
            own = container.streams[stream.index]
            sources.append((own, _packets(container, own, _pieces(own, request["seconds"]))))
        yield from copied(sources, target, "its stretches cannot be kept")
    yield {"path": target}, None


def _streams(container: Any) -> list[Any]:
    """Returns the picture and the sound of a file, what it has of them; the picture first.

    Raises:
      TaskError: It has neither, or no index.
    """
    found = [container.streams.best(kind) for kind in ("video", "audio")]
    streams = [stream for stream in found if stream is not None and len(stream.index_entries)]
    if not streams:
        raise TaskError("unreadable_video", "the file has no index of its samples")
    return streams


def _pieces(stream: Any, seconds: list[list[float]]) -> _Pieces:
    """Returns the index entries of stretches: from a key frame to one behind the end, since a copied clip ends there.

    The first entry is always among them: times count from it. Those that meet are one.
    """
    entries = stream.index_entries
    base, origin = float(stream.time_base), stream.start_time or 0
    keys = [number for number, entry in enumerate(entries) if entry.is_keyframe] or [0]
    times = [(entries[number].timestamp - origin) * base for number in keys]
    found: _Pieces = [(0, 0)]
    for start, end in seconds:
        first = max((key for key, time in zip(keys, times, strict=True) if time <= start), default=0)
        later = (key for key, time in zip(keys, times, strict=True) if time >= end)
        found.append((first, min(later, default=len(entries) - 1)))
    return joined(found, gap=1)


def _packets(container: Any, stream: Any, pieces: _Pieces) -> Iterator[tuple[float, Any]]:
    """Yields the packets of a stream's pieces, each with its time of decoding in seconds."""
    entries, base = stream.index_entries, float(stream.time_base)
    for first, last in pieces:
        wanted = {entries[number].pos for number in range(first, last + 1)}
        container.seek(entries[first].timestamp, stream=stream, backward=True)
        for packet in container.demux(stream):
            place = packet.pos  # which who writes the packet changes
            if packet.size and place in wanted:
                yield (packet.dts or 0) * base, packet
            if place == entries[last].pos:
                break
