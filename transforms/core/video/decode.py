"""Decoding: samples of a video with their presentation times, in batches, as a stream.

Times are `pts * time_base - stream start` (never index / rate) and ascend. The frames of a video never exist all at
once: a batch leaves as soon as it is full.
"""

import math
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av.container
import av.error
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream

from clipscout.transforms.core.child.protocol import SIGN_OF_LIFE, Item, TaskError
from clipscout.transforms.core.video import containers, fragments, lengths
from clipscout.transforms.core.video.colours import Converter
from clipscout.transforms.core.video.frames import Crop, Passed, Report, Timed, needed_frames, shown
from clipscout.transforms.core.video.gaps import Gaps, is_broken
from clipscout.transforms.core.video.geometry import FrameSettings
from clipscout.transforms.core.video.sampling import Sampling
from clipscout.transforms.core.video.shot_frames import ShotFinder
from clipscout.transforms.core.video.skipping import Skipping, may_skip

_SIGN_OF_LIFE_FRAMES = 500
#: A segment is decoded from a key frame so long before it: the chooser needs the frame before the first, and the shot
#: finder what lies within its reach (0.95 s).
_LEAD_SECONDS = 1.0
_UNKNOWN_INDEX = -(1 << 40)
_TRUNCATED_SECONDS = 1.0
_SCALERS = {"bilinear": Interpolation.BILINEAR, "bicubic": Interpolation.BICUBIC}


def samples(request: dict[str, Any]) -> Iterator[Item]:
    """Child task: yields batches of samples, and at the end a report.

    Args:
      request: `path`; `sampling` and `frame_settings`, the fields of those classes; `batch_frames`, the largest
        batch; optional `start_seconds` and `end_seconds` of a segment, `margin_seconds` around it from which samples
        are wanted too, `max_pixels`, `max_frames` and `threads`; `all_frames` decodes those too that nothing needs;
        `find_shots` false looks for no shot boundaries.

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
    with containers.opened(request["path"]) as container:
        limits = request.get("max_pixels", containers.MAX_PIXELS), request.get("threads", 1)
        stream = containers.video_stream(container, *limits)
        if sampling.keyframes:
            stream.codec_context.skip_frame = "NONKEY"
        batch = _Batch(request["batch_frames"], FrameSettings(**request["frame_settings"]), report)
        first_index, first_stamp = _go_to(container, stream, first, sampling) if first else (0, None)
        skipping = None
        if may_skip(container, stream, sampling) and not request.get("all_frames"):
            skipping = Skipping(stream, sampling, report.flags, first_index, first_stamp)
        again = _SecondLook(skipping, Crop.of(container, stream), report.flags)
        frames = needed_frames(container, stream, report, skipping, request.get("max_frames"), first_stamp)
        finds_shots = not sampling.keyframes and request.get("find_shots", True)
        shots = ShotFinder(report.flags, finds_shots, again.frames_between)
        boundaries, gaps, is_doubtful = list[float](), Gaps(start, stop), False
        report.reached_end = True
        for index, entry in enumerate(frames, start=first_index):
            time_seconds = entry.seconds
            gaps.add(time_seconds, report.decoded_seconds)
            taken = chooser.takes(index, time_seconds)
            if isinstance(entry, Timed):
                is_doubtful |= entry.frame.is_corrupt
                boundaries += shots.add(entry.frame, time_seconds)
            else:
                shots.pass_by()
            if not start <= time_seconds < stop:
                report.frames_decoded -= 1  # another segment counts it
            if time_seconds >= last:
                report.reached_end = False
                if shots.settled(stop):
                    break
            elif taken and time_seconds >= first:
                known = index >= 0 and not sampling.keyframes
                for sample in again.whole(entry):
                    yield from batch.add(sample, index if known else -1)
            elif index % _SIGN_OF_LIFE_FRAMES == 0:
                yield SIGN_OF_LIFE
        yield from batch.take()
        boundaries += shots.finish()
        report.shot_boundaries = [boundary for boundary in boundaries if start <= boundary < stop]
        yield from _note_lost(request["path"], stream, report, gaps, is_doubtful, all_frames=not sampling.keyframes)
        if end is None:
            yield from _check_end(report, container, stream, whole=not start, all_frames=not sampling.keyframes)
    report.cpu_msec = round((time.process_time() - cpu_seconds) * 1000)
    yield {"report": report.fields()}, None


def _check_end(
    report: Report, container: av.container.InputContainer, stream: VideoStream, whole: bool, all_frames: bool
) -> Iterator[Item]:
    """Notes whether the file ends before its time; yields signs of life."""
    if whole and not report.frames_decoded:
        containers.check_memory(stream)
        raise TaskError("no_frames", "not one frame could be decoded")
    promised = lengths.promised_seconds(container, stream)
    if promised is None or "frame_cap" in report.flags:
        return
    if not all_frames:  # the last key frame is not the end
        measured = yield from lengths.measured_seconds(container, stream)
        report.decoded_seconds = max(report.decoded_seconds, measured or 0.0)
    if promised - report.decoded_seconds > _TRUNCATED_SECONDS:
        there = yield from lengths.is_all_there(container, stream, promised)
        report.flags.update([] if there else ["truncated"])


def _note_lost(
    path: str, stream: VideoStream, report: Report, gaps: Gaps, is_doubtful: bool, all_frames: bool
) -> Iterator[Item]:
    """Notes how long nothing was shown because of damage; yields signs of life."""
    if report.reached_end or gaps.seconds:
        is_doubtful |= _has_hidden_damage(path, stream, report, gaps)
    if gaps.seconds <= report.lost_seconds or not all_frames:
        return
    if is_doubtful or "damaged" in report.flags or (yield from is_broken(path)):
        report.flags.add("damaged")
        report.lost_seconds = gaps.seconds


def _has_hidden_damage(path: str, stream: VideoStream, report: Report, gaps: Gaps) -> bool:
    """Tells whether boxes of a fragmented MP4 are damaged; what lies behind the last frame then counts as a gap."""
    hidden = fragments.look(path, stream.id)
    if hidden is None or not hidden.broken:
        return False
    if report.reached_end and hidden.last_start is not None and stream.time_base:
        start = float((hidden.last_start - (stream.start_time or 0)) * stream.time_base)
        gaps.add(start, start)
    report.flags.add("damaged")
    return True


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


class _SecondLook:
    """Decodes frames after all that were passed."""

    def __init__(self, skipping: Skipping | None, crop: Crop | None, flags: set[str]) -> None:
        self._skipping, self._crop, self._flags = skipping, crop, flags
        self._aspect = 1.0

    def whole(self, entry: Timed | Passed) -> Iterator[Timed]:
        """Yields a sample with its picture, which it lacks only if the frames before it were not those of packets."""
        if isinstance(entry, Timed):
            self._aspect = entry.aspect
            yield entry
        elif self._skipping is not None:
            for frame in self._skipping.frame_at(entry.seconds):
                yield Timed(shown(frame, self._crop, self._flags), self._aspect, entry.seconds)

    def frames_between(self, first_seconds: float, last_seconds: float) -> Iterator[tuple[VideoFrame, float]]:
        """Yields all frames between two times, with their times."""
        if self._skipping is not None:
            for frame, seconds in self._skipping.frames_between(first_seconds, last_seconds):
                yield shown(frame, self._crop, self._flags), seconds


class _Batch:
    """Collects converted samples; all frames of a batch have one size."""

    def __init__(self, capacity: int, settings: FrameSettings, report: Report) -> None:
        self._capacity, self._settings, self._report = capacity, settings, report
        self._converter = Converter("rgb24")
        self._frames: np.ndarray | None = None
        self._times: list[float] = []
        self._indices: list[int] = []
        self._is_empty = True

    def add(self, sample: Timed, index: int) -> Iterator[Item]:
        """Converts one sample; yields the batch once it is full, or before a sample of another size.

        Raises:
          TaskError: `no_frames`: not even the first sample can be converted.
        """
        try:
            picture = self._convert(sample.frame, sample.aspect)
        except MemoryError:
            raise
        except containers.DAMAGE as error:
            if self._is_empty:
                raise TaskError("no_frames", f"pictures cannot be converted: {containers.reason(error)}") from error
            self._report.flags.add("damaged")
            return
        self._is_empty = False
        if self._frames is not None and self._frames.shape[1:] != picture.shape:
            yield from self.take()
        if self._frames is None:
            self._frames = np.empty((self._capacity, *picture.shape), np.uint8)
        self._frames[len(self._times)] = picture
        self._times.append(sample.seconds)
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

    def _convert(self, frame: VideoFrame, aspect: float) -> np.ndarray:
        turns, mirrored = containers.orientation(frame)
        width, height = self._settings.scaled_size(frame.width, frame.height, aspect, turns)
        scaled = self._converter.convert(frame, width, height, _SCALERS[self._settings.interpolation])
        return self._settings.finish(scaled.to_ndarray(), turns, mirrored)
