"""The sound of clips: read from the video in an opening of its own, encoded anew or copied."""

import contextlib
import io
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from itertools import chain, islice

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

from transforms.core import media

RATE = 48_000
#: What mp4 holds and players play.
_COPIED_CODECS = frozenset(("aac", "mp2", "mp3", "ac3", "eac3", "opus", "flac", "alac"))
#: Packets so long before a copied range go with it, hidden by the edit list: a decoder needs what was before.
_LEAD_SECONDS = 0.1
_JITTER_SECONDS = 2e-3
#: So many packets may be damaged at the start of a copied range.
_TRIED_PACKETS = 16


class SoundSource:
    """The sound of a video. It is opened once, when it is first wanted, and sought through for every clip."""

    def __init__(self, path: str, container: av.container.InputContainer) -> None:
        """Takes the best sound of an opened container, which is not touched."""
        stream = container.streams.best("audio")
        self.exists = isinstance(stream, AudioStream)
        self._index = stream.index if stream is not None else 0
        # FFmpeg does not know every codec
        self._is_known = isinstance(stream, AudioStream) and stream.codec_context is not None
        self._path = path
        self._stack = ExitStack()
        self._opened: av.container.InputContainer | None = None

    def close(self) -> None:
        """Closes the file."""
        self._stack.close()

    def encode(self, output: av.container.OutputContainer, start: float, seconds: float) -> list[Packet] | None:
        """Adds a stream to an output and encodes the sound of [start, start + seconds) for it; gaps become silence.

        Args:
          output: Nothing was written to it so far.
          start: In seconds of the container.
          seconds: The duration.

        Returns:
          The packets, to be written among those of the picture, or None, and no stream, where nothing can be decoded.
        """
        if not self._is_known:
            return None
        container, stream = self._open()
        layout = "mono" if stream.codec_context.channels == 1 else "stereo"
        blocks = _blocks(_decoded(container, stream, layout, start), round(seconds * RATE))
        first = next(blocks, None)
        if first is None:
            return None
        target = output.add_stream("aac", rate=RATE, layout=layout)
        packets, written = target.encode(_frame(first, layout, 0)), first.shape[1]
        for block in blocks:
            packets += target.encode(_frame(block, layout, written))
            written += block.shape[1]
        return packets + target.encode(None)

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
        container, stream = self._open()
        if stream.codec_context.codec.canonical_name not in _COPIED_CODECS:
            return None
        packets = _packets(container, stream, start, end)
        first = list(islice(packets, _TRIED_PACKETS))
        if not _is_sound([packet for _, packet in first], _fresh_decoder(stream)):
            return None
        target = output.add_stream_from_template(stream)
        rate = stream.codec_context.sample_rate
        target.time_base = Fraction(1, rate)
        return max(0.0, first[0][0] - start), _moved(chain(first, packets), stream, target, start), rate

    def _open(self) -> tuple[av.container.InputContainer, AudioStream]:
        if self._opened is None:
            self._opened = self._stack.enter_context(media.opened(self._path))
            for stream in self._opened.streams:
                if stream.index != self._index:
                    stream.discard = Discard.all
        stream = self._opened.streams[self._index]
        assert isinstance(stream, AudioStream)
        return self._opened, stream


def _decoded(
    container: av.container.InputContainer, stream: AudioStream, layout: str, start: float
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields sample offsets from `start` with float32[channels, n]; stops at damage."""
    resampler = AudioResampler(format="fltp", layout=layout, rate=RATE)
    try:
        _go_before(container, start)
        for frame in _frames(container, stream, _fresh_decoder(stream)):
            for piece in resampler.resample(frame):
                if piece.pts is None or piece.time_base is None:
                    return
                offset = round((float(piece.pts * piece.time_base) - start) * RATE)
                samples = piece.to_ndarray()
                if offset + samples.shape[1] > 0:
                    yield max(offset, 0), samples[:, max(0, -offset) :]
    except MemoryError:
        raise
    except media.DAMAGE:
        return


def _fresh_decoder(stream: AudioStream) -> AudioCodecContext:
    """Returns a decoder for a stream that has decoded nothing so far.

    Decoders keep some state over a seek: that of the noise that AAC and AC-3 fill gaps with. A clip would not have the
    same bytes whatever was cut before. Only an output has a way to a second context with all settings of a stream.
    """
    try:
        with av.open(io.BytesIO(), "w", format="nut") as nowhere:
            decoder = nowhere.add_stream_from_template(stream, opaque=True).codec_context
    except ValueError:  # it holds most codecs, not all
        return stream.codec_context
    decoder.flags2 |= Flags2.skip_manual  # it would lose the times where it skipped what comes before the first sample
    return decoder


def _frames(
    container: av.container.InputContainer, stream: AudioStream, decoder: AudioCodecContext
) -> Iterator[AudioFrame]:
    """Yields the frames of a stream; a packet that cannot be decoded (the first after a seek, often) is left out."""
    for packet in container.demux(stream):
        try:
            yield from decoder.decode(packet)
        except av.error.InvalidDataError:
            continue


def _blocks(decoded: Iterator[tuple[int, np.ndarray]], total: int) -> Iterator[np.ndarray]:
    """Yields float32[channels, n] that follow each other without a gap, up to `total` samples at most."""
    written = 0
    for offset, samples in decoded:
        samples = samples[:, max(0, written - offset) :]
        offset = max(offset, written)
        if offset >= total:
            return
        silence = np.zeros((samples.shape[0], offset - written), np.float32)
        block = np.concatenate([silence, samples[:, : total - offset]], axis=1)
        if block.shape[1]:
            yield block
        written += block.shape[1]


def _frame(block: np.ndarray, layout: str, position: int) -> AudioFrame:
    frame = AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = RATE, position, Fraction(1, RATE)
    return frame


def _packets(
    container: av.container.InputContainer, stream: AudioStream, start: float, end: float
) -> Iterator[tuple[float, Packet]]:
    """Yields the packets of [start, end), and those shortly before, with their times in seconds of the container."""
    tick_seconds = float(stream.time_base or 0)
    try:
        _go_before(container, start)
        for packet in container.demux(stream):
            stamp = packet.dts if packet.pts is None else packet.pts
            if stamp is None:
                continue
            if stamp * tick_seconds >= end:
                return
            if stamp * tick_seconds >= start - _LEAD_SECONDS:
                yield stamp * tick_seconds, packet
    except MemoryError:
        raise
    except media.DAMAGE:
        return


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
        place = round((seconds - start) * rate)
        if expected is not None and abs(place - expected) <= jitter:
            place = expected
        length = round((packet.duration or 0) * samples_per_tick)
        length = frame if abs(length - frame) <= jitter else length
        packet.stream, packet.time_base = target, base
        packet.pts = packet.dts = place
        packet.duration = length
        expected = place + length
        yield packet


def _go_before(container: av.container.InputContainer, seconds: float) -> None:
    """Seeks to a second before a time of the container: decoders need what was before."""
    container.seek(max(0, int((seconds - 1) * 1_000_000)), backward=True)
