"""Joining the picture and the sound of a video that a site keeps in two files; nothing is re-encoded.

Both are hostile: they are joined in a child that has no network, not in the one that fetched them.
"""

import heapq
import os
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any

import av

from clipscout.transforms.core.child.protocol import SIGN_OF_LIFE, Item, TaskError
from clipscout.transforms.core.storage.errors import disk_full_message
from clipscout.transforms.core.video.containers import DAMAGE, opened, reason, video_stream

#: What MP4 may hold; it keeps times exactly, where Matroska rounds them to milliseconds.
_MP4_PICTURES = frozenset(("h264", "hevc", "av1", "vp9", "mpeg4"))
_MP4_SOUNDS = frozenset(("aac", "mp3", "opus", "ac3", "eac3", "alac", "flac"))
_SIGN_OF_LIFE_PACKETS = 1000


def join(request: dict[str, Any]) -> Iterator[Item]:
    """Child task: makes a file with the picture of one file and the sound of another, at the times that both say.

    Args:
      request: `picture`, a video file, whose own sound is left out; `sound`, a file with sound, whose own picture is
        left out; `folder`, where the file is made.

    Yields:
      `{}` now and then as a sign of life, and last `{"path"}`.

    Raises:
      TaskError: `unreadable_video` where one of them cannot be read or joined, `no_video` where one holds no picture.
    """
    with opened(request["picture"]) as seen, opened(request["sound"]) as heard:
        video, audio = video_stream(seen), heard.streams.best("audio")
        if audio is None:
            raise TaskError("unreadable_video", "the file of the sound holds none")
        fits = video.codec_context.name in _MP4_PICTURES and audio.codec_context.name in _MP4_SOUNDS
        target = os.path.join(request["folder"], "joined.mp4" if fits else "joined.mkv")
        sources = [(video, _packets(seen, video)), (audio, _packets(heard, audio))]
        yield from copied(sources, target, "picture and sound cannot be joined")
    yield {"path": target}, None


def copied(sources: Sequence[tuple[Any, Iterator[tuple[float, Any]]]], target: str, fault: str) -> Iterator[Item]:
    """Writes streams to a file as they are, by their times of decoding; yields signs of life meanwhile.

    Args:
      sources: Each stream, of a file of its own, with its packets and their times of decoding in seconds.
      target: The file.
      fault: What is said where that cannot be.

    Raises:
      TaskError: `unreadable_video`.
    """
    try:
        with av.open(target, "w") as output:
            copies = [output.add_stream_from_template(stream) for stream, _ in sources]
            packets = [_for(copy, packets) for copy, (_, packets) in zip(copies, sources, strict=True)]
            for number, (_, packet) in enumerate(heapq.merge(*packets, key=itemgetter(0))):
                if number % _SIGN_OF_LIFE_PACKETS == 0:
                    yield SIGN_OF_LIFE
                output.mux(packet)
    except MemoryError:
        raise
    except DAMAGE as error:
        if disk_full_message(error, ""):
            raise
        raise TaskError("unreadable_video", f"{fault}: {reason(error)}") from error


def _for(copy: Any, packets: Iterator[tuple[float, Any]]) -> Iterator[tuple[float, Any]]:
    for seconds, packet in packets:
        packet.stream = copy
        yield seconds, packet


def _packets(container: Any, stream: Any) -> Iterator[tuple[float, Any]]:
    """Yields the packets of a stream, each with its time of decoding in seconds."""
    seconds = 0.0
    for packet in container.demux(stream):
        if not packet.size:  # the end of the stream
            continue
        if packet.dts is not None:
            seconds = float(packet.dts * packet.time_base)
        yield seconds, packet
