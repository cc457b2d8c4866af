"""The sound of clips: read from the video in an opening of its own, encoded anew or copied."""

import contextlib
import io
import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain, islice
from typing import NamedTuple

import av
import av.container
import av.error
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.codec.context import Flags2
from av.packet import Packet
from av.stream import Discard
from av.video.stream import VideoStream

from clipscout.transforms.core.video import containers, frames

RATE = 48_000
#: What mp4 holds and players play.
_COPIED_CODECS = frozenset(("aac", "mp2", "mp3", "ac3", "eac3", "opus", "flac", "alac"))
#: Packets so long before a copied range go with it, hidden by the edit list: a decoder needs what was before.
_LEAD_SECONDS = 0.1
#: Encoded sound is decoded from so long before a range.
_BEFORE_SECONDS = 1.0
_JITTER_SECONDS = 2e-3
#: Samples follow each other; only where the stamps of packets are so far off is there a gap, or an overlap.
_GAP_SECONDS = 0.04
#: What ends earlier before a range is left out with its stamp: after a seek some formats misplace the first ones.
_ANCHOR_SECONDS = 0.2
#: So many packets may be damaged at the start of a copied range.
_TRIED_PACKETS = 16


class Encoded(NamedTuple):
    """The sound of a clip, encoded.

    Attributes:
      packets: To be written among those of the picture.
      missing_seconds: For how long there is silence because the video has no sound there, or none that can be decoded.
    """

    packets: list[Packet]
    missing_seconds: float


class SoundSource:
    """The sound of a video. It is opened once, when it is first wanted, and sought through for every clip.

    Args:
      path: The video.
      container: It, opened; it is not touched.
      picture: The stream whose programme the sound belongs to.
      in_order: Whether the clock of the file jumps, so that it has to be read from its beginning.
    """

    def __init__(
        self, path: str, container: av.container.InputContainer, picture: VideoStream, in_order: bool = False
    ) -> None:
        stream = containers.sound_stream(container, picture)
        self.exists = stream is not None
        # FFmpeg does not know every codec
        self._is_known = stream is not None and stream.codec_context is not None
        self._layout = containers.channel_layout(container, stream) if stream is not None and self._is_known else ""
        self._index, self._picture_index = stream.index if stream is not None else 0, picture.index
        self._path, self._in_order = path, in_order
        self._stack = contextlib.ExitStack()
        self._opened: av.container.InputContainer | None = None

    def close(self) -> None:
        """Closes the file."""
        self._stack.close()

    def encode(self, output: av.container.OutputContainer, start: float, seconds: float) -> Encoded | None:
        """Adds a stream to an output and encodes the sound of [start, start + seconds) for it; gaps become silence.

        Args:
          output: Nothing was written to it so far.
          start: In seconds of the container.
          seconds: The duration.

        Returns:
          The sound, or None, and no stream, where nothing can be decoded.
        """
        if not self._is_known:
            return None
        layout = "mono" if self._layout in ("mono", "1 channels") else "stereo"
        total = round(seconds * RATE)
        blocks = _blocks(_placed(self._decoded(start), layout, start), total)
        try:
            first = next(blocks, None)
        except MemoryError:
            raise
        except containers.DAMAGE:  # a kind of sound that cannot be converted
            first = None
        if first is None:
            return None
        target = output.add_stream("aac", rate=RATE, layout=layout)
        packets: list[Packet] = []
        written, sounding = 0, 0
        for silence, block in chain([first], blocks):
            packets += target.encode(_frame(block, layout, written))
            written += block.shape[1]
            sounding += block.shape[1] - silence
        return Encoded(packets + target.encode(None), (total - sounding) / RATE)

    def copy(
        self, output: av.container.OutputContainer, start: float, end: float
    ) -> tuple[float, Iterator[Packet], int] | None:
        """Adds a stream to an output and copies the packets of [start, end) for it.

        Args:
          output: Nothing was written to it so far.
          start: In seconds of the container.
          end: In seconds of the container.

        Returns:
          When the sound begins, in seconds from `start` (0 where it begins before); the packets, with times from
          `start` on in samples, which have to be taken before the next call; and the samples per second. None, and no
          stream, where there are no packets, they cannot be decoded, or mp4 does not hold such ones.
        """
        if not self._is_known:
            return None
        _, stream = self._open()
        if stream.codec_context.codec.canonical_name not in _COPIED_CODECS:
            return None
        packets = self._timed(start, end)
        first = list(islice(packets, _TRIED_PACKETS))
        _, stream = self._open()  # where no seek led there, it was opened again
        if not _is_sound([packet for _, packet in first], self._fresh_decoder(stream)):
            return None
        target = output.add_stream_from_template(stream)
        rate = stream.codec_context.sample_rate
        target.time_base = Fraction(1, rate)
        return max(0.0, first[0][0] - start), _moved(chain(first, packets), stream, target, start), rate

    def _open(self) -> tuple[av.container.InputContainer, AudioStream]:
        if self._opened is None:
            self._opened = self._stack.enter_context(containers.opened(self._path))
            needed = {self._index, self._picture_index} if self._in_order else {self._index}
            for stream in self._opened.streams:
                if stream.index not in needed:
                    stream.discard = Discard.all
        stream = self._opened.streams[self._index]
        assert isinstance(stream, AudioStream)
        return self._opened, stream

    def _packets(self, start: float) -> Iterator[Packet]:
        """Yields the packets from some before a time on; where no seek leads there, from the beginning."""
        packets = None if self._in_order else self._sought(start)
        if packets is None:
            self.close()
            self._opened = None
            container, _ = self._open()
            read = [stream for stream in container.streams if stream.discard != Discard.all]
            packets = frames.packets(container, read, set())
        yield from (packet for packet in packets if packet.stream_index == self._index and packet.size)

    def _sought(self, start: float) -> Iterator[Packet] | None:
        """Returns the packets after a seek to some before a time; None where it leads nowhere, or behind it."""
        container, stream = self._open()
        base = float(stream.time_base or 1)
        try:
            container.seek(int((start - _BEFORE_SECONDS) / base), stream=stream, backward=True)
        except MemoryError:
            raise
        except containers.DAMAGE:
            return None
        packets = frames.packets(container, [stream], set())
        first = next(packets, None)
        if first is None:
            return None
        begin = stream.start_time or 0
        stamp = first.dts if first.pts is None else first.pts
        is_behind = stamp is None or stamp * base > max(start, begin * base + _GAP_SECONDS)
        return None if is_behind else chain([first], packets)

    def _decoded(self, start: float) -> Iterator[AudioFrame]:
        """Yields the frames from some before a time on; what cannot be decoded (the first one, often) is left out."""
        decoder = None
        for packet in self._packets(start):
            if decoder is None:
                decoder = self._fresh_decoder(self._open()[1])
            try:
                yield from decoder.decode(packet)
            except MemoryError:
                raise
            except containers.DAMAGE:
                continue

    def _timed(self, start: float, end: float) -> Iterator[tuple[float, Packet]]:
        """Yields the packets of [start, end), and those shortly before, with their times in seconds."""
        for packet in self._packets(start):
            stamp = packet.dts if packet.pts is None else packet.pts
            if stamp is None:
                continue
            seconds = float(stamp * packet.time_base)
            if seconds >= end:
                return
            if seconds >= start - _LEAD_SECONDS:
                yield seconds, packet

    def _fresh_decoder(self, stream: AudioStream) -> AudioCodecContext:
        """Returns a decoder for a stream that has decoded nothing so far.

        Decoders keep some state over a seek: that of the noise that AAC and AC-3 fill gaps with. A clip would not have
        the same bytes whatever was cut before. Only an output has a way to a second context with all settings.
        """
        try:
            with av.open(io.BytesIO(), "w", format="nut") as nowhere:
                decoder = nowhere.add_stream_from_template(stream, opaque=True).codec_context
        except ValueError:  # it holds most codecs, not all
            decoder = stream.codec_context
        else:
            # it would lose the times where it skipped what comes before the first sample
            decoder.flags2 |= Flags2.skip_manual
        if several := re.match(r"(\d+) channels \(", self._layout):  # an order of its own, which PyAV frees twice
            decoder.options = {**decoder.options, "ch_layout": f"{several[1]}c"}
        return decoder


def _placed(decoded: Iterator[AudioFrame], layout: str, start: float) -> Iterator[tuple[int, np.ndarray]]:
    """Yields sample offsets from `start` with float32[channels, n].

    Stamps are rounded in many containers, to milliseconds for instance: samples follow each other by their number, and
    stamps are believed only where they are far off. Channels and rate may change on the way.
    """
    resampler: AudioResampler | None = None
    kind, due, position = None, 0.0, 0
    for frame in chain(decoded, [None]):
        seconds = due if frame is None or frame.time is None else frame.time - start
        if frame is not None and seconds + frame.samples / frame.sample_rate < -_ANCHOR_SECONDS:
            continue
        is_new = frame is None or kind != _kind(frame) or abs(seconds - due) > _GAP_SECONDS
        if resampler is not None and is_new:
            for samples in _resampled(resampler, None):
                yield position, samples
                position += samples.shape[1]
        if frame is None:
            return
        if resampler is None or is_new:
            resampler, kind = AudioResampler(format="fltp", layout=layout, rate=RATE), _kind(frame)
            position, due = round(seconds * RATE), seconds
        due += frame.samples / frame.sample_rate
        for samples in _resampled(resampler, frame):
            yield position, samples
            position += samples.shape[1]


def _kind(frame: AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _resampled(resampler: AudioResampler, frame: AudioFrame | None) -> list[np.ndarray]:
    return [piece.to_ndarray() for piece in resampler.resample(frame)]


def _blocks(placed: Iterator[tuple[int, np.ndarray]], total: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yields float32[channels, n] that follow each other without a gap, up to `total` samples at most.

    Beside each comes how many of its samples, the first ones, are silence for a gap.
    """
    written = 0
    for offset, samples in placed:
        samples = samples[:, max(0, written - offset) :]
        offset = max(offset, written)
        if offset >= total:
            return
        silence = np.zeros((samples.shape[0], offset - written), np.float32)
        block = np.concatenate([silence, samples[:, : total - offset]], axis=1)
        if samples.shape[1]:
            yield silence.shape[1], block
            written += block.shape[1]


def _frame(block: np.ndarray, layout: str, position: int) -> AudioFrame:
    frame = AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = RATE, position, Fraction(1, RATE)
    return frame


def _is_sound(packets: list[Packet], decoder: AudioCodecContext) -> bool:
    """Tells whether any of the packets can be decoded."""
    for packet in packets:
        with contextlib.suppress(av.error.InvalidDataError):
            if decoder.decode(packet):
                return True
    return False


def _moved(
    packets: Iterable[tuple[float, Packet]], source: AudioStream, target: AudioStream, start: float
) -> Iterator[Packet]:
    """Gives packets to another stream, with times from `start` on, in samples: containers round to milliseconds."""
    rate, frame = source.codec_context.sample_rate, source.codec_context.frame_size
    samples_per_tick, jitter = float(source.time_base or 0) * rate, _JITTER_SECONDS * rate
    base, expected = Fraction(1, rate), None
    for seconds, packet in packets:
        position = round((seconds - start) * rate)
        if expected is not None and abs(position - expected) <= jitter:
            position = expected
        length = round((packet.duration or 0) * samples_per_tick)
        length = frame if abs(length - frame) <= jitter else length
        packet.stream, packet.time_base = target, base
        packet.pts = packet.dts = position
        packet.duration = length
        expected = position + length
        yield packet
