"""Looking into a file before anything is made of it."""

from collections.abc import Iterator
from typing import Any

from clipscout.transforms.core.child.protocol import Item, TaskError
from clipscout.transforms.core.video import containers, frames, geometry, lengths, packets

#: A file that ends so long before its promised end lacks a part.
_TRUNCATED_SECONDS = 1.0


def probe(request: dict[str, Any]) -> Iterator[Item]:
    """Child task: yields the facts of the file `request["path"]`, after one frame was really decoded.

    Yields:
      Signs of life; last `{"duration_seconds", "width", "height", "frame_rate", "container",
      "codec", "has_audio", "picture"}`. The duration is that of the picture as its packets tell it, or what the header
      promises where they do not; `picture` is its digest, the same in another container, empty where it is not known.

    Raises:
      TaskError: `unreadable_video`, `no_video` or `no_frames`.
    """
    max_pixels = request.get("max_pixels", containers.MAX_PIXELS)
    with containers.opened(request["path"]) as container:  # reading on may change what FFmpeg says of the start
        stream = containers.video_stream(container, max_pixels)
        promised = lengths.promised_seconds(container, stream)
        measured = yield from lengths.measured_seconds(container, stream)
    with containers.opened(request["path"]) as container:
        stream = containers.video_stream(container, max_pixels)
        picture = next(frames.decoded(container, stream, frames.Report()), None)
        if picture is None:
            containers.check_memory(stream)
            raise TaskError("no_frames", "not one frame could be decoded")
        turns, mirrored = containers.orientation(picture.frame)
        width, height = geometry.displayed_size(picture.frame.width, picture.frame.height, picture.aspect, turns)
        rate = stream.average_rate or stream.guessed_rate
        facts = {
            "duration_seconds": promised if measured is None else measured,
            "width": width,
            "height": height,
            "frame_rate": float(rate) if rate else 0.0,
            "container": container.format.name,
            "codec": stream.codec_context.name,
            "has_audio": containers.sound_stream(container, stream) is not None,
        }
        frame, crop = picture.frame, containers.cropping(container, stream)
        colours = frame.format.name, int(frame.colorspace), int(frame.color_range)
        shaping = width, height, turns, mirrored, crop, *colours
    digest = ""
    if promised is None or measured is None or promised - measured <= _TRUNCATED_SECONDS:
        with containers.opened(request["path"]) as container:
            stream = containers.video_stream(container, max_pixels)
            digest = yield from packets.picture_digest(container, stream, *shaping)
    yield {**facts, "picture": digest}, None
