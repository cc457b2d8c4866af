"""Exact cuts: spans encoded anew, so that first and last frame are right; every frame is decoded once for all spans."""

import contextlib
import resource
from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import count

import av
import av.container
from av.packet import Packet
from av.video.stream import VideoStream

from clipscout.transforms.core.child.protocol import TaskError
from clipscout.transforms.core.clips import encoder, posters
from clipscout.transforms.core.clips.frame_walk import FrameWalk, Shown
from clipscout.transforms.core.clips.outcomes import Outcome, Span, Wish, Written
from clipscout.transforms.core.clips.sound import RATE, SoundSource
from clipscout.transforms.core.video import colours, containers
from clipscout.transforms.core.video.seeking import EPSILON_SECONDS

_SIGN_OF_LIFE_FRAMES = 20
#: A frame that stays longer is held: a clip begins with the picture that is on screen at the start of its span and ends
#: with the span. Others are shown in full where they begin inside.
_HELD_SECONDS = 0.1
_SHORTEST_SECONDS = 1e-3
#: So much silence for want of sound is told.
_MISSED_SECONDS = 0.1
#: What encoders may take, of which an encoder takes so much (measured: 200 MB at 1280x720, 790 MB at 3840x2160).
_MOST_ENCODER_BYTES = 1 << 30
_ENCODER_BYTES, _ENCODER_BYTES_PER_PIXEL = 110 << 20, 90


def recode(path: str, spans: list[Span], wish: Wish) -> Iterator[Outcome | None]:
    """Cuts spans out of one video, encoded anew.

    The video is opened once, and once more for its sound. Spans that overlap are cut side by side, as many at a time as
    memory allows; a long gap before the next span is sought over.

    Args:
      path: The video.
      spans: What to cut.
      wish: How they are cut.

    Yields:
      How each span ended, in the order of their ends; None as a sign of life.

    Raises:
      TaskError: `unreadable_video` or `no_video`.
    """
    with containers.opened(path) as container:
        stream = containers.video_stream(container)
        walk = FrameWalk(container, stream, wish.in_order)
        with contextlib.closing(SoundSource(path, container, stream, wish.in_order)) as sound:
            studio = _Studio(stream, sound, wish)
            for group in _groups(spans, _most_encoders(stream)):
                yield from _cut_group(walk, studio, deque(group))


def _groups(spans: list[Span], most: int) -> list[list[Span]]:
    """Divides spans into lists sorted by time, in each of which at most so many overlap."""
    groups: list[list[Span]] = []
    for span in sorted(spans, key=lambda span: (span.start_seconds, span.end_seconds, span.index)):
        for group in groups:
            if sum(other.end_seconds > span.start_seconds for other in group) < most:
                group.append(span)
                break
        else:
            groups.append([span])
    return groups


def _most_encoders(stream: VideoStream) -> int:
    cap, _ = resource.getrlimit(resource.RLIMIT_DATA)
    room = _MOST_ENCODER_BYTES if cap == resource.RLIM_INFINITY else min(_MOST_ENCODER_BYTES, cap // 2)
    return max(1, room // (_ENCODER_BYTES + _ENCODER_BYTES_PER_PIXEL * stream.width * stream.height))


def _cut_group(walk: FrameWalk, studio: "_Studio", waiting: deque[Span]) -> Iterator[Outcome | None]:
    """Walks through the video once for spans sorted by time."""
    while waiting:
        left = len(waiting)
        walk.go_to(waiting[0].start_seconds)
        yield from _cut_stretch(walk, studio, waiting)
        if len(waiting) == left:  # the video ends before it
            yield studio.missing(waiting.popleft())


def _cut_stretch(walk: FrameWalk, studio: "_Studio", waiting: deque[Span]) -> Iterator[Outcome | None]:
    """Goes on from frame to frame until there is none, or a long gap follows what was cut."""
    clips: list[_Clip] = []
    left = len(waiting)
    for number in count():
        if number % _SIGN_OF_LIFE_FRAMES == 0:
            yield None
        shown = walk.step()
        if shown is None:
            break
        while waiting and (studio.takes(waiting[0], shown) or _is_over(waiting[0], shown)):
            span = waiting.popleft()
            started = studio.start(span, shown) if studio.takes(span, shown) else studio.missing(span)
            if isinstance(started, Outcome):
                yield started
            else:
                clips.append(started)
        for clip in list(clips):
            outcome = clip.write(shown)
            if outcome is not None:
                clips.remove(clip)
                yield outcome
        if not clips and (not waiting or (len(waiting) < left and walk.is_far(waiting[0].start_seconds))):
            break
    for clip in clips:
        yield clip.finish()


def _is_over(span: Span, shown: Shown) -> bool:
    return shown.seconds >= span.end_seconds - EPSILON_SECONDS


class _Studio:
    """What all clips of a video share."""

    def __init__(self, stream: VideoStream, sound: SoundSource, wish: Wish) -> None:
        self.stream, self.sound, self.wish = stream, sound, wish
        self.rate = wish.frame_rate or stream.average_rate or stream.guessed_rate or Fraction(25)
        #: Of the container, where the stream begins.
        self.origin_seconds = float((stream.start_time or 0) * (stream.time_base or 0))
        self._fitters: dict[tuple[encoder.FrameShape, colours.Tags], encoder.Fitter] = {}

    def takes(self, span: Span, shown: Shown) -> bool:
        """Tells whether a frame belongs to a span: it begins in it, or stays for long after its start."""
        if shown.seconds >= span.start_seconds - EPSILON_SECONDS:
            return not _is_over(span, shown)
        return shown.until_seconds > span.start_seconds + _HELD_SECONDS

    def start(self, span: Span, shown: Shown) -> "_Clip | Outcome":
        """Begins the clip of a span with its first frame, or tells why that cannot be."""
        try:
            return _Clip(self, span, shown)
        except MemoryError:
            raise
        except (TaskError, *containers.DAMAGE) as error:
            return Outcome(span, error)

    def missing(self, span: Span) -> Outcome:
        """Returns the failure of a span without a frame."""
        containers.check_memory(self.stream)
        message = f"no frame between {span.start_seconds:.3f} s and {span.end_seconds:.3f} s"
        return Outcome(span, TaskError("cut_failed", message))

    def fitter(self, shape: encoder.FrameShape, tags: colours.Tags) -> encoder.Fitter:
        """Returns what brings frames into a shape and colours; clips that have the same share it."""
        return self._fitters.setdefault((shape, tags), encoder.Fitter(shape, tags))


class _Clip:
    """A clip that is being written."""

    def __init__(self, studio: _Studio, span: Span, first: Shown) -> None:
        self._studio, self._span = studio, span
        is_held = first.seconds < span.start_seconds - EPSILON_SECONDS
        self._zero = self._until = span.start_seconds if is_held else first.seconds
        self._frames, self._flags = 0, list[str]()
        shape = encoder.shape_of(first.picture, studio.wish.height)
        self._tags = colours.clip_tags(first.frame, studio.wish.keep_hdr)
        self._fitter = studio.fitter(shape, self._tags)
        self._poster = posters.PosterChoice(span.peak_seconds) if studio.wish.posters else None
        self._output = av.open(span.path, "w", format="mp4", options={"movflags": "+faststart"})
        self._encoder = encoder.FrameEncoder(self._output, studio.rate, shape, self._tags)
        self._sound: deque[Packet] = deque()
        self._has_sound, self._missing_seconds = False, 0.0
        if studio.sound.exists and studio.wish.sound:
            self._add_sound(span.end_seconds - self._zero)

    def _add_sound(self, seconds: float) -> None:
        studio = self._studio
        start = studio.origin_seconds + self._zero
        encoded = None if studio.wish.sound_kills else studio.sound.encode(self._output, start, seconds)
        self._has_sound = encoded is not None
        if encoded is None:
            self._flags.append("audio_dropped")
            self._missing_seconds = seconds
            return
        self._sound.extend(encoded.packets)
        self._missing_seconds = encoded.missing_seconds
        if encoded.missing_seconds > _MISSED_SECONDS:
            self._flags.append("audio_incomplete")

    def write(self, shown: Shown) -> Outcome | None:
        """Adds a frame; returns how the clip ended where that was the last one."""
        begin = max(shown.seconds, self._zero)
        is_last = shown.until_seconds >= self._span.end_seconds - EPSILON_SECONDS
        until = shown.until_seconds
        if until > self._span.end_seconds + _HELD_SECONDS:
            until = max(self._span.end_seconds, begin + _SHORTEST_SECONDS)
        try:
            fitted = self._fitter.fit(shown.picture)
            if self._poster is not None:
                self._poster.offer(fitted, begin)
            self._mux(self._encoder.encode(fitted, begin - self._zero, until - self._zero))
        except MemoryError:
            raise
        except containers.DAMAGE as error:
            return self._failed(error)
        self._frames, self._until = self._frames + 1, until
        return self.finish() if is_last else None

    def finish(self) -> Outcome:
        """Completes the file; returns how the clip ended."""
        try:
            self._mux(self._encoder.finish())
            self._mux_sound(self._until - self._zero)
            self._output.close()
        except MemoryError:
            raise
        except containers.DAMAGE as error:
            return self._failed(error)
        has_poster = False
        if self._poster is not None and self._poster.frame is not None:
            has_poster = posters.write(self._poster.frame, self._tags, self._span.poster_path)
        written = Written(
            self._zero,
            self._until,
            self._frames,
            sound_seconds=0.0 if self._has_sound else None,
            poster=has_poster,
            flags=tuple(self._flags),
            missing_seconds=self._missing_seconds,
        )
        return Outcome(self._span, written)

    def _failed(self, error: Exception) -> Outcome:
        with contextlib.suppress(*containers.DAMAGE):
            self._output.close()
        return Outcome(self._span, error)

    def _mux(self, packets: Iterable[Packet]) -> None:
        for packet in packets:
            self._mux_sound((packet.dts or 0) / encoder.TICKS_PER_SECOND)
            self._output.mux(packet)

    def _mux_sound(self, until_seconds: float) -> None:
        """Writes the sound up to a time of the clip, so that both lie side by side in the file."""
        while self._sound and (self._sound[0].pts or 0) < until_seconds * RATE:
            self._output.mux(self._sound.popleft())
