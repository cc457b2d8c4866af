"""Copied cuts: the packets of a video from key frame to key frame, without encoding anew."""

import contextlib
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from heapq import merge
from itertools import pairwise
from operator import itemgetter

import av
import av.container
from av.packet import Packet
from av.video.stream import VideoStream

from clipscout.transforms.core.child.protocol import TaskError
from clipscout.transforms.core.clips import posters
from clipscout.transforms.core.clips.outcomes import Outcome, Span, Wish, Written
from clipscout.transforms.core.clips.sound import SoundSource
from clipscout.transforms.core.video import containers, seeking

_COPIED_CODECS = frozenset(("h264", "hevc", "mpeg4", "av1", "vp9"))
_SIGN_OF_LIFE_PACKETS = 1000


@dataclass(frozen=True)
class Extent:
    """What of a video is copied for a span; times in ticks of the stream.

    Attributes:
      stamps: Presentation times of the packets, in the order of decoding; the first is that of a key frame, and the
        earliest.
      zero: When the first frame is shown: that of the key frame, unless the file hides some by an edit list.
      end: When the last frame ends.
      key: The way to the first packet; None from the beginning.
    """

    stamps: list[int]
    zero: int
    end: int
    key: seeking.KeyFrame | None

    def __post_init__(self) -> None:
        if len(set(self.stamps)) < len(self.stamps):
            raise TaskError("cut_failed", "two frames have one time, which a copy cannot mend; --cut=exact can")


def copy(path: str, spans: list[Span], wish: Wish) -> Iterator[Outcome | None]:
    """Copies spans out of one video, from the last key frame at or before each to the next one at or after its end.

    The video is opened once, and once more for its sound.

    Args:
      path: The video.
      spans: What to copy.
      wish: How they are cut; `height` has no meaning here.

    Yields:
      How each span ended, in order of time; None as a sign of life.

    Raises:
      TaskError: `unreadable_video`, `no_video`, or `cut_failed`: the video cannot be copied into mp4.
    """
    with containers.opened(path) as container:
        stream = containers.video_stream(container)
        _check_fitness(container, stream)
        if wish.in_order:
            raise TaskError("cut_failed", "the clock of the video jumps, which a copy cannot mend; --cut=exact can")
        with contextlib.closing(SoundSource(path, container, stream)) as sound:
            for span in sorted(spans, key=lambda span: (span.start_seconds, span.end_seconds, span.index)):
                yield None
                try:
                    yield from _copy_one(container, stream, sound, span, wish)
                except MemoryError:
                    raise
                except (TaskError, *containers.DAMAGE) as error:
                    yield Outcome(span, error)


def _check_fitness(container: av.container.InputContainer, stream: VideoStream) -> None:
    name = stream.codec_context.codec.canonical_name
    if name not in _COPIED_CODECS:
        raise TaskError("cut_failed", f"{name} is not copied into mp4; --cut=exact encodes it anew")
    if not seeking.can_seek(container, stream) and stream.codec_context.has_b_frames:
        raise TaskError(
            "cut_failed", f"{container.format.name} does not tell when B-frames are shown; --cut=exact finds out"
        )


def _copy_one(
    container: av.container.InputContainer, stream: VideoStream, sound: SoundSource, span: Span, wish: Wish
) -> Iterator[Outcome | None]:
    extent = _extent(container, stream, span)
    wants_sound = sound.exists and wish.sound and not wish.sound_kills
    try:
        sound_seconds = yield from _write(container, stream, extent, span.path, sound if wants_sound else None)
    except MemoryError:
        raise
    except containers.DAMAGE:
        if not wants_sound:
            raise
        sound_seconds = yield from _write(container, stream, extent, span.path, None)  # mp4 may refuse what it names
    base, origin = stream.time_base or Fraction(1), stream.start_time or 0
    start, end = float((extent.zero - origin) * base), float((extent.end - origin) * base)
    is_dropped = sound.exists and wish.sound and sound_seconds is None
    written = Written(
        start,
        end,
        sum(stamp >= extent.zero for stamp in extent.stamps),
        sound_seconds,
        poster=wish.posters and posters.write_from_clip(span.path, span.peak_seconds - start, span.poster_path),
        flags=("audio_dropped",) if is_dropped else (),
        missing_seconds=end - start if is_dropped else 0.0,
    )
    yield Outcome(span, written)


def _write(
    container: av.container.InputContainer, stream: VideoStream, extent: Extent, path: str, sound: SoundSource | None
) -> Generator[None, None, float | None]:
    """Writes a clip; returns when its sound begins, in seconds, or None where it has none."""
    base, sound_seconds = stream.time_base or Fraction(1), None
    with av.open(path, "w", format="mp4", options={"movflags": "+faststart"}) as output:
        packets = _video_packets(container, stream, extent, output)
        copied = sound.copy(output, float(extent.zero * base), float(extent.end * base)) if sound is not None else None
        if copied is not None:
            sound_seconds = copied[0]
            packets = _side_by_side((packets, float(base)), (copied[1], 1 / copied[2]))
        for number, packet in enumerate(packets):
            output.mux(packet)
            if number % _SIGN_OF_LIFE_PACKETS == 0:
                yield None
    return sound_seconds


def _side_by_side(*streams: tuple[Iterator[Packet], float]) -> Iterator[Packet]:
    """Yields the packets of streams, given with the seconds of their ticks, in the order of their decoding times."""

    def with_seconds(packets: Iterator[Packet], tick_seconds: float) -> Iterator[tuple[float, Packet]]:
        return (((packet.dts or 0) * tick_seconds, packet) for packet in packets)

    return (packet for _, packet in merge(*(with_seconds(*stream) for stream in streams), key=itemgetter(0)))


def _extent(container: av.container.InputContainer, stream: VideoStream, span: Span) -> Extent:
    """Returns what to copy for a span.

    Raises:
      TaskError: `cut_failed`: nothing of the span is there.
    """
    key = None
    if seeking.can_seek(container, stream):
        with contextlib.suppress(seeking.NoWayError):
            key = seeking.key_frame_before(container, stream, span.start_seconds)
    starts_by = seeking.last_tick(stream, span.start_seconds)
    covers = seeking.first_tick(stream, span.end_seconds)
    stamps, zero, end = _chosen(_read(container, stream, key), starts_by, covers)
    if end is None:
        end = max(stamps, default=0) + _last_duration(stream, stamps)
    if not stamps or stamps[0] >= covers or end <= starts_by:
        raise TaskError("cut_failed", f"no frame between {span.start_seconds:.3f} s and {span.end_seconds:.3f} s")
    return Extent(stamps, zero, end, key)


def _last_duration(stream: VideoStream, stamps: list[int]) -> int:
    """Returns how long the last picture is shown, in ticks, where nothing tells: as long as the one before."""
    shown = sorted(stamps)
    if len(shown) > 1:
        return shown[-1] - shown[-2]
    return max(1, round(1 / ((stream.average_rate or stream.guessed_rate or 25) * (stream.time_base or 1))))


def _read(
    container: av.container.InputContainer, stream: VideoStream, key: seeking.KeyFrame | None
) -> Iterator[Packet]:
    """Yields the packets from some before a key frame on, or from the beginning; stops at damage."""
    if key is None:
        seeking.rewind(container)
    else:
        seeking.go_to(container, stream, key)
    try:
        yield from (packet for packet in container.demux(stream) if packet.size)
    except MemoryError:
        raise
    except containers.DAMAGE:
        return


def _chosen(packets: Iterable[Packet], starts_by: int, covers: int) -> tuple[list[int], int, int | None]:
    """Chooses packets in the order of decoding: from the last key frame at or before a time to one after another.

    In an open group of pictures some frames are decoded after a key frame and shown before it. They need what is on
    both sides: at the beginning they are left out, and where the span needs them the end is the next key frame but one.
    Frames that an edit list hides before the first shown one go with it, as hidden ones; at those behind the last one
    the copy ends.

    Args:
      packets: Of the video, in the order of decoding.
      starts_by: The latest beginning, if there is any so early.
      covers: The earliest end.

    Returns:
      The presentation times of the chosen packets, that of the first shown one, and the end; None where that of the
      last packet is not told.

    Raises:
      TaskError: `cut_failed`: a packet has no presentation time.
    """
    chosen: list[int] = []
    pending: list[int] = []  # a key frame that may be the end, and frames that are shown before it
    latest = 0, 0  # presentation time and duration
    shown: list[int] = []
    for packet in packets:
        if packet.pts is None:
            raise TaskError("cut_failed", "the video does not tell when each frame is shown; --cut=exact finds out")
        if packet.is_discard and shown and packet.pts > max(shown):
            break
        if not packet.is_discard:
            shown = [packet.pts] if not shown else [min(shown[0], packet.pts), max(shown[-1], packet.pts)]
        if packet.is_keyframe and (packet.pts <= starts_by or not chosen):
            chosen, pending, latest = [packet.pts], [], (0, 0)
        elif chosen and packet.pts > chosen[0]:
            if pending and (packet.is_keyframe or packet.pts > pending[0]):
                if min(pending) >= covers:
                    return chosen, max(chosen[0], shown[0]), min(pending)
                chosen, pending = chosen + pending, []
            is_end = packet.is_keyframe and packet.pts >= covers
            (pending if pending or is_end else chosen).append(packet.pts)
        latest = max(latest, (packet.pts, packet.duration or 0))
    zero = max(chosen[:1] + shown[:1], default=0)
    if pending and min(pending) >= covers:
        return chosen, zero, min(pending)
    return chosen + pending, zero, sum(latest) if latest[1] else None


def _video_packets(
    container: av.container.InputContainer,
    stream: VideoStream,
    extent: Extent,
    output: av.container.OutputContainer,
) -> Iterator[Packet]:
    """Adds a stream to an output, and returns the packets for it, with times from 0 on."""
    target = output.add_stream_from_template(stream, opaque=True)
    if stream.codec_context.codec.canonical_name == "hevc":
        target.codec_context.codec_tag = "hvc1"  # some players know no other
    return _moved(_read(container, stream, extent.key), target, extent)


def _moved(packets: Iterator[Packet], target: VideoStream, extent: Extent) -> Iterator[Packet]:
    """Yields the packets of an extent for another stream, with times from 0 on; hidden ones lie before that.

    Decoding times are the presentation times in order, shifted: many containers store none, and so a track lasts as
    long as its frames are shown.
    """
    first, zero = extent.stamps[0], extent.zero
    shown = sorted(extent.stamps)
    durations = {stamp: after - stamp for stamp, after in pairwise([*shown, extent.end])}
    delay = max(due - stamp for due, stamp in zip(shown, extent.stamps, strict=True))
    places = iter(zip(extent.stamps, shown, strict=True))
    stamp, due = next(places)
    for packet in packets:
        if packet.pts != stamp or (stamp == first and not packet.is_keyframe):
            continue
        packet.pts, packet.dts, packet.duration = stamp - zero, due - delay - zero, durations[stamp]
        packet.stream = target
        following = next(places, None)
        if following is None:  # the last one decoded makes the track as long as it should be
            packet.duration = extent.end - shown[-1]
            yield packet
            return
        yield packet
        stamp, due = following
