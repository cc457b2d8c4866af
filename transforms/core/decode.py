"""Decoding: samples of a video with their presentation times, in batches, as a stream.

Times are `pts * time_base - stream start` (never index / rate) and ascend. The frames of a video never exist all at
once: a batch leaves as soon as it is full.
"""

import heapq
import math
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av.container
import av.error
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from transforms.core import media
from transforms.core.geometry import FrameRule
from transforms.core.sampling import Sampling
from transforms.core.shot_frames import ShotFinder
from transforms.core.tasks import Item, TaskError

#: Decoded frames held back so that times can be put in order: containers such as AVI store none, and FFmpeg's guesses
#: for their B-frames are permuted (1, 4, 3, 5, ...) while the pictures come in the right order.
_REORDER_FRAMES = 16
_REORDER_BYTES = 64 << 20
_SIGN_OF_LIFE_FRAMES = 500
#: A segment is decoded from a key frame so long before it: the chooser needs the frame before the first, and the shot
#: finder what lies within its reach (0.95 s).
_LEAD_SECONDS = 1.0
_UNKNOWN_INDEX = -(1 << 40)
_TRUNCATED_SECONDS = 1.0
_SCALERS = {"bilinear": Interpolation.BILINEAR, "bicubic": Interpolation.BICUBIC}


@dataclass
class Report:
    """What is known of a decoding so far."""

    frames_decoded: int = 0
    decoded_seconds: float = 0.0
    flags: set[str] = field(default_factory=set)
    cpu_msec: int = 0
    reached_end: bool = False
    cuts: list[float] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """Returns the report as JSON-able fields."""
        return {
            "frames_decoded": self.frames_decoded,
            "decoded_seconds": self.decoded_seconds,
            "flags": sorted(self.flags),
            "cpu_msec": self.cpu_msec,
            "reached_end": self.reached_end,
            "cuts": self.cuts,
        }


def samples(request: dict[str, Any]) -> Iterator[Item]:
    """Child task: yields batches of samples, and at the end a report.

    Args:
      request: `path`; `sampling` and `frame_rule`, the fields of those classes; `batch_frames`, the largest
        batch; optional `start_seconds` and `end_seconds` of a segment, `margin_seconds` around it from which samples
        are wanted too, `max_pixels`, `max_frames` and `threads`.

    Yields:
      `{"times": [...], "frame_indices": [...], "shape": [n, h, w, 3]}` with the RGB bytes; now and then `{}` as a sign
      of life; last `{"report": {...}}`. An index is -1 where it cannot be known without decoding from the beginning.

    Raises:
      TaskError: `unreadable_video`, `no_video` or `no_frames`.
    """
    sampling = Sampling(**request["sampling"])
    chooser = sampling.chooser()
    start, end = request.get("start_seconds") or 0.0, request.get("end_seconds")
    margin = request.get("margin_seconds") or 0.0
    stop = math.inf if end is None else end
    first, last = max(0.0, start - margin), stop + margin
    report, cpu_seconds = Report(), time.process_time()
    with media.opened(request["path"]) as container:
        limits = request.get("max_pixels", media.MAX_PIXELS), request.get("threads", 1)
        stream = media.video_stream(container, *limits)
        if sampling.keyframes:
            stream.codec_context.skip_frame = "NONKEY"
        batch = _Batch(request["batch_frames"], FrameRule(**request["frame_rule"]), stream)
        first_index, first_stamp = _go_to(container, stream, first, sampling) if first else (0, None)
        frames = ordered_frames(container, stream, report, request.get("max_frames"), first_stamp)
        shots, cuts = None if sampling.keyframes else ShotFinder(), []
        report.reached_end = True
        for index, (frame, time_seconds) in enumerate(frames, start=first_index):
            taken = chooser.takes(index, time_seconds)
            if shots is None:
                report.flags.add("shots_unknown")
            else:
                cuts += shots.add(frame, time_seconds)
            if not start <= time_seconds < stop:
                report.frames_decoded -= 1  # another segment counts it
            if time_seconds >= last:
                report.reached_end = False
                if shots is None or shots.settled(stop):
                    break
            elif taken and time_seconds >= first:
                known = index >= 0 and not sampling.keyframes
                yield from batch.add(frame, index if known else -1, time_seconds)
            elif index % _SIGN_OF_LIFE_FRAMES == 0:
                yield {}, None
        yield from batch.take()
        cuts += shots.finish() if shots else []
        report.cuts = [cut for cut in cuts if start <= cut < stop]
        if end is None:
            _check_end(report, container, stream, whole=not start, all_frames=not sampling.keyframes)
    report.cpu_msec = round((time.process_time() - cpu_seconds) * 1000)
    yield {"report": report.facts()}, None


def _check_end(
    report: Report, container: av.container.InputContainer, stream: VideoStream, whole: bool, all_frames: bool
) -> None:
    if whole and not report.frames_decoded:
        media.check_memory(stream)
        raise TaskError("no_frames", "not one frame could be decoded")
    claimed = media.claimed_seconds(container, stream)
    if not all_frames:  # the last key frame is not the end
        if claimed is not None and not report.flags & {"damaged", "frame_cap"}:
            report.decoded_seconds = max(report.decoded_seconds, claimed)
        return
    if (
        "frame_cap" not in report.flags
        and claimed is not None
        and claimed - report.decoded_seconds > _TRUNCATED_SECONDS
    ):
        report.flags.add("truncated")


def _go_to(
    container: av.container.InputContainer, stream: VideoStream, start: float, sampling: Sampling
) -> tuple[int, int | None]:
    """Seeks to some frames before a segment; returns index and timestamp of the first frame that then counts.

    The index is negative and the timestamp None where they are not needed.
    """
    base, origin = stream.time_base or Fraction(1, 90_000), stream.start_time or 0
    target = origin + int((start - _LEAD_SECONDS) / base)
    if sampling.frame_stride is None:
        container.seek(max(origin, target), stream=stream, backward=True)
        return _UNKNOWN_INDEX, None
    # every n-th frame of the video: count, by their packets alone, those before the key frame that the seek will find
    stamps = []
    key_stamp = origin
    for packet in container.demux(stream):
        if packet.pts is None or packet.is_discard:
            continue
        if packet.pts > target and packet.is_keyframe:
            break
        stamps.append(packet.pts)
        if packet.is_keyframe:
            key_stamp = packet.pts
    container.seek(key_stamp, stream=stream, backward=True)
    return sum(stamp < key_stamp for stamp in stamps), key_stamp


def ordered_frames(
    container: av.container.InputContainer,
    stream: VideoStream,
    report: Report,
    max_frames: int | None = None,
    first_stamp: int | None = None,
) -> Iterator[tuple[VideoFrame, float]]:
    """Yields the frames of a stream with strictly ascending times in seconds from the stream's start.

    A damaged file gives the frames before the damage and the flag `damaged`; frames without timestamps get times from
    the stream's rate and the flag `no_timestamps`. `report` is kept up to date on the way. Frames before the timestamp
    `first_stamp` are left out: after a seek to it they lack what they depend on.
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
        if first_stamp is not None and frame.pts is not None and frame.pts < first_stamp:
            continue
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
    except media.DAMAGE:
        media.check_memory(stream)
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
        turns, mirrored = media.orientation(frame)
        width, height = self._rule.scaled_size(frame.width, frame.height, self._aspect, turns)
        scaled = self._scaler.reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            interpolation=_SCALERS[self._rule.interpolation],
            threads=1,
        )
        return self._rule.finish(scaled.to_ndarray(), turns, mirrored)
