"""Decoding: samples of a video with their presentation times, in batches, as a stream.

Times are `pts * time_base - stream start` (never index / rate) and ascend. The frames of a video never exist all at
once: a batch leaves as soon as it is full.
"""

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import av.container
import av.error
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from transforms.core import geometry, media
from transforms.core.geometry import FrameRule
from transforms.core.sampling import Sampling
from transforms.core.tasks import Item, TaskError

#: Decoded frames held back so that times can be put in order: containers such as AVI store none, and FFmpeg's guesses
#: for their B-frames are permuted (1, 4, 3, 5, ...) while the pictures come in the right order.
_REORDER_FRAMES = 16
_REORDER_BYTES = 64 << 20
_SIGN_OF_LIFE_FRAMES = 500
_TRUNCATED_SECONDS = 1.0
_SCALERS = {"bilinear": Interpolation.BILINEAR, "bicubic": Interpolation.BICUBIC}


@dataclass
class Report:
    """What is known of a decoding so far."""

    frames_decoded: int = 0
    decoded_seconds: float = 0.0
    flags: set[str] = field(default_factory=set)

    def facts(self) -> dict[str, Any]:
        """Returns the report as JSON-able fields."""
        return {
            "frames_decoded": self.frames_decoded,
            "decoded_seconds": self.decoded_seconds,
            "flags": sorted(self.flags),
        }


def samples(request: dict[str, Any]) -> Iterator[Item]:
    """Child task: yields batches of samples, and at the end a report.

    Args:
      request: `path`; `sampling` and `frame_rule`, the fields of those classes; `batch_frames`, the largest
        batch; optional `max_pixels` and `max_frames`.

    Yields:
      `{"times": [...], "frame_indices": [...], "shape": [n, h, w, 3]}` with the RGB bytes; now and then `{}` as a sign
      of life; last `{"report": {...}}`.

    Raises:
      TaskError: `unreadable_video`, `no_video` or `no_frames`.
    """
    rule = FrameRule(**request["frame_rule"])
    chooser = Sampling(**request["sampling"]).chooser()
    report = Report()
    with media.opened(request["path"]) as container:
        stream = media.video_stream(container, request.get("max_pixels", media.MAX_PIXELS))
        batch = _Batch(request["batch_frames"], rule, stream)
        for index, (frame, time_seconds) in enumerate(
            ordered_frames(container, stream, report, request.get("max_frames"))
        ):
            if chooser.takes(index, time_seconds):
                yield from batch.add(frame, index, time_seconds)
            elif index % _SIGN_OF_LIFE_FRAMES == _SIGN_OF_LIFE_FRAMES - 1:
                yield {}, None
        yield from batch.take()
        if not report.frames_decoded:
            raise TaskError("no_frames", "not one frame could be decoded")
        claimed = media.claimed_seconds(container, stream)
        if claimed is not None and claimed - report.decoded_seconds > _TRUNCATED_SECONDS:
            report.flags.add("truncated")
    yield {"report": report.facts()}, None


def ordered_frames(
    container: av.container.InputContainer, stream: VideoStream, report: Report, max_frames: int | None = None
) -> Iterator[tuple[VideoFrame, float]]:
    """Yields the frames of a stream with strictly ascending times in seconds from the stream's start.

    A damaged file gives the frames before the damage and the flag `damaged`; frames without timestamps get times from
    the stream's rate and the flag `no_timestamps`. `report` is kept up to date on the way.
    """
    rate = stream.average_rate or stream.guessed_rate or 25
    base = float(stream.time_base or 1 / 90_000)
    ticks_per_frame = max(1, round(1 / (float(rate) * base)))
    start = stream.start_time
    held: deque[VideoFrame] = deque()
    stamps: list[int] = []
    last: float | None = None

    def release() -> tuple[VideoFrame, float]:
        nonlocal last
        frame = held.popleft()
        time_seconds = heapq.heappop(stamps) * base
        if last is not None and time_seconds <= last:
            report.flags.add("times_repaired")
            time_seconds = last + 1e-3
        last = time_seconds
        report.frames_decoded += 1
        report.decoded_seconds = time_seconds + (frame.duration or ticks_per_frame) * base
        return frame, time_seconds

    stamp = -ticks_per_frame
    for frame in _tolerant(container, stream, report):
        if frame.pts is None:
            report.flags.add("no_timestamps")
            stamp += ticks_per_frame
        else:
            if start is None:
                start = frame.pts
            stamp = frame.pts - start
        held.append(frame)
        heapq.heappush(stamps, stamp)
        if len(held) > _reorder_depth(frame):
            yield release()
        if max_frames is not None and report.frames_decoded + len(held) >= max_frames:
            report.flags.add("frame_cap")
            break
    while held:
        yield release()


def _tolerant(container: av.container.InputContainer, stream: VideoStream, report: Report) -> Iterator[VideoFrame]:
    try:
        for frame in container.decode(stream):
            if frame.width and frame.height:
                yield frame
    except MemoryError:
        raise
    except (av.error.FFmpegError, ValueError, OSError):
        report.flags.update(("damaged", "truncated"))


def _reorder_depth(frame: VideoFrame) -> int:
    frame_bytes = max(1, frame.width * frame.height * 3 // 2)
    return max(4, min(_REORDER_FRAMES, _REORDER_BYTES // frame_bytes))


class _Batch:
    """Collects converted samples; all frames of a batch have one size."""

    def __init__(self, capacity: int, rule: FrameRule, stream: VideoStream) -> None:
        self._capacity, self._rule = capacity, rule
        self._aspect = media.sample_aspect(stream)
        # one scaler for the stream: frame.reformat would build its tables again for every frame
        self._scaler = VideoReformatter()
        self._frames: np.ndarray | None = None
        self._times: list[float] = []
        self._indices: list[int] = []

    def add(self, frame: VideoFrame, index: int, time_seconds: float) -> Iterator[Item]:
        """Converts one sample; yields the batch once it is full, or before a sample of another size."""
        picture = self._convert(frame)
        if self._frames is not None and self._frames.shape[1:] != picture.shape:
            yield from self.take()
        if self._frames is None:
            self._frames = np.empty((self._capacity, *picture.shape), np.uint8)
        self._frames[len(self._times)] = picture
        self._times.append(time_seconds)
        self._indices.append(index)
        if len(self._times) == self._capacity:
            yield from self.take()

    def take(self) -> Iterator[Item]:
        """Yields what is there and starts anew."""
        if self._frames is None:
            return
        frames = self._frames[: len(self._times)]
        yield {"times": self._times, "frame_indices": self._indices, "shape": list(frames.shape)}, frames.data.cast("B")
        self._frames, self._times, self._indices = None, [], []

    def _convert(self, frame: VideoFrame) -> np.ndarray:
        turns = geometry.quarter_turns(frame.rotation)
        width, height = self._rule.scaled_size(frame.width, frame.height, self._aspect, turns)
        scaled = self._scaler.reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            interpolation=_SCALERS[self._rule.interpolation],
            threads=1,
        )
        return self._rule.finish(scaled.to_ndarray(), turns)
