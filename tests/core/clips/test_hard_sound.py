"""Sound of clips from files whose stamps are rounded, whose sound changes, comes late or has an order of its own."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from clipscout.transforms.core.video import containers
from tests.clips import cut, onset
from tests.media_maker import make_video

TONE = 440


def tone(seconds, rate, layout, frequency=TONE, start=0.0):
    """Returns float32[channels, n] of a sine over [start, start + seconds)."""
    channels = av.AudioLayout(layout).nb_channels
    times = start + np.arange(round(seconds * rate)) / rate
    return np.tile((0.3 * np.sin(2 * np.pi * frequency * times)).astype(np.float32), (channels, 1))


def heard_video(path, codec="aac", rate=44_100, layout="mono", seconds=10, sound_start=0.0, **how):
    """Writes ten seconds of grey with a tone from `sound_start` on."""
    with av.open(str(path), "w") as output:
        picture = output.add_stream(how.get("picture_codec", "libx264"), rate=25)
        picture.width, picture.height, picture.pix_fmt = 96, 54, "yuv420p"
        picture.bit_rate = 200_000
        sound = output.add_stream(codec, rate=rate, layout=layout)
        sound.bit_rate = how.get("bit_rate", 128_000)
        packets = []
        for index in range(seconds * 25):
            frame = av.VideoFrame.from_ndarray(np.full((54, 96, 3), 80 + index % 50, np.uint8), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            packets += picture.encode(frame)
        samples = tone(seconds - sound_start, rate, layout, how.get("frequency", TONE), sound_start)
        size = sound.codec_context.frame_size or 1024
        fits = av.AudioResampler(format=sound.codec_context.format, layout=layout, rate=rate)
        for place in range(0, samples.shape[1] - size + 1, size):
            packed = samples[:, place : place + size].T.reshape(1, -1)
            piece = av.AudioFrame.from_ndarray(np.ascontiguousarray(packed), format="flt", layout=layout)
            piece.sample_rate, piece.time_base = rate, Fraction(1, rate)
            piece.pts = round(sound_start * rate) + place
            packets += [packet for part in fits.resample(piece) for packet in sound.encode(part)]
        packets += [*picture.encode(None), *sound.encode(None)]
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            output.mux(packet)
    return str(path)


def sound_of(path):
    """Returns the first channel of a clip's sound, float32[n] at 48 kHz."""
    with av.open(path) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def clicks(samples, frequency=TONE):
    """Returns how many samples of a tone are off the sine that fits best around them, edges aside."""
    samples = samples[4800:-4800].astype(np.float64)
    turn = 2 * np.cos(2 * np.pi * frequency / 48_000)  # of a sine each sample follows from the two before
    return int((np.abs(samples[2:] - turn * samples[1:-1] + samples[:-2]) > 0.01).sum())


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a.mkv", {}),
        ("a.flv", {}),
        ("a.ts", {}),
        ("a.mp4", {}),
        ("a.mkv", {"codec": "ac3", "rate": 32_000}),
        ("a.flv", {"codec": "libmp3lame"}),
        ("a.webm", {"codec": "libopus", "rate": 48_000, "picture_codec": "libvpx"}),
        ("a.wmv", {"codec": "wmav2", "picture_codec": "wmv2", "layout": "stereo"}),
        ("a.avi", {"codec": "libmp3lame", "picture_codec": "mpeg4"}),
    ],
    ids=lambda value: value if isinstance(value, str) else value.get("codec", "aac"),
)
def test_rounded_stamps_make_no_clicks(tmp_path, name, how):
    """Containers round times to milliseconds: samples follow each other by their number."""
    source = heard_video(tmp_path / name, **how)
    for clip in cut(source, tmp_path, (0, 3), (2.5, 7.5), (6, 10)):
        assert clip["has_audio"]
        assert clicks(sound_of(clip["path"])) == 0


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a.mkv", {}),
        ("a.mkv", {"codec": "pcm_s16le"}),
        ("a.ts", {"codec": "ac3", "rate": 48_000}),
        ("a.vob", {"codec": "ac3", "rate": 48_000, "picture_codec": "mpeg2video"}),
        ("a.vob", {"codec": "mp2", "rate": 48_000, "picture_codec": "mpeg2video"}),
    ],
    ids=lambda value: value if isinstance(value, str) else value.get("codec", "aac"),
)
def test_sound_is_where_it_was(tmp_path, name, how):
    """After a seek some formats misplace the first stamps."""
    source = heard_video(tmp_path / name, frequency=50, **how)
    (clip,) = cut(source, tmp_path, (2.5, 7.5))
    samples = sound_of(clip["path"])[4800:-4800]
    times = clip["start_seconds"] + (4800 + np.arange(len(samples))) / 48_000
    waves = np.stack([np.sin(2 * np.pi * 50 * times), np.cos(2 * np.pi * 50 * times)])
    sine, cosine = waves @ samples * 2 / len(samples)
    late_seconds = -np.arctan2(cosine, sine) / (2 * np.pi * 50)
    assert abs(late_seconds) < 1.5e-3  # Matroska rounds the picture and the sound


def test_a_gap_is_silence_and_told(tmp_path):
    """The sound stops for two seconds: what follows is still where it was."""
    whole = heard_video(tmp_path / "whole.mkv")
    with av.open(whole) as original, av.open(str(tmp_path / "a.mkv"), "w") as output:
        targets = {stream.index: output.add_stream_from_template(stream) for stream in original.streams}
        for packet in original.demux():
            at = float((packet.dts or 0) * packet.time_base)
            if packet.size and not (packet.stream.type == "audio" and 4 <= at < 6):
                packet.stream = targets[packet.stream_index]
                output.mux(packet)
    (clip,) = cut(tmp_path / "a.mkv", tmp_path, (3, 8))
    samples = sound_of(clip["path"])
    assert np.abs(samples[round(1.1 * 48_000) : round(2.9 * 48_000)]).max() < 0.02
    assert np.abs(samples[round(3.2 * 48_000) : round(4.8 * 48_000)]).max() > 0.2
    assert clip["audio_missing_seconds"] == pytest.approx(2.0, abs=0.1)
    assert clip["flags"] == ["audio_incomplete"]


@pytest.mark.parametrize(
    ("after", "frequency"), [(("ac3", 48_000, "5.1"), 880), (("ac3", 44_100, "stereo"), 880)], ids=["layout", "rate"]
)
def test_sound_that_changes_on_the_way_goes_on(tmp_path, after, frequency):
    first = heard_video(tmp_path / "first.ts", "ac3", 48_000, "stereo")
    second = heard_video(tmp_path / "second.ts", *after, frequency=frequency)
    (tmp_path / "a.ts").write_bytes(Path(first).read_bytes() + Path(second).read_bytes())
    before, over, behind = cut(tmp_path / "a.ts", tmp_path, (5, 8), (8, 13), (13, 17), in_order=True)
    for clip in (before, over, behind):
        assert (clip["has_audio"], clip["flags"]) == (True, [])
        assert clip["audio_missing_seconds"] < 0.1
    assert clicks(sound_of(before["path"])) == 0
    assert clicks(sound_of(behind["path"]), 880) == 0
    assert np.abs(sound_of(over["path"])[-48_000:-4800]).max() > 0.05


@pytest.mark.parametrize(
    ("name", "how"),
    [("a.flv", {"codec": "libmp3lame"}), ("a.mkv", {"sound_start": 5.0}), ("a.flv", {"sound_start": 5.0})],
    ids=["flv mp3", "mkv late", "flv late"],
)
def test_where_no_seek_leads_to_the_sound_it_is_read_from_the_beginning(tmp_path, name, how):
    source = heard_video(tmp_path / name, **how)
    start = how.get("sound_start", 0.0)
    first, second = cut(source, tmp_path, (0, 6), (7, 9))
    assert first["has_audio"]
    assert second["has_audio"]
    assert onset(first["path"])[0] + first["start_seconds"] == pytest.approx(start, abs=0.05)
    assert first["audio_missing_seconds"] == pytest.approx(start, abs=0.1)
    assert second["audio_missing_seconds"] == 0


@pytest.mark.parametrize("layout", ["7.1", "6.1", "5.1"])
@pytest.mark.parametrize("name", ["a.mov", "a.wav.mkv"])
def test_channels_in_an_order_of_their_own_are_heard(tmp_path, name, layout):
    """QuickTime has orders that PyAV frees twice; the process dies of it as soon as one is looked at."""
    source = heard_video(tmp_path / name, "pcm_s16le", 48_000, layout)
    (clip,) = cut(source, tmp_path, (2, 5))
    assert (clip["has_audio"], clip["flags"]) == (True, [])
    assert clicks(sound_of(clip["path"])) == 0


def test_channels_are_described_without_being_looked_at(tmp_path):
    source = heard_video(tmp_path / "a.mov", "pcm_s16le", 48_000, "7.1")
    with containers.opened(source) as container:
        stream = containers.sound_stream(container, container.streams.video[0])
        assert containers.channel_layout(container, stream) in ("7.1", "8 channels (FL+FR+FC+LFE+SL+SR+BL+BR)")


def test_sound_that_has_killed_is_left_alone_and_told(tmp_path):
    source = heard_video(tmp_path / "a.mp4")
    for mode in ("exact", "copy"):
        (clip,) = cut(source, tmp_path, (2, 5), sound_kills=True, mode=mode)
        assert (clip["has_audio"], clip["flags"]) == (False, ["audio_dropped"])
        assert clip["audio_missing_seconds"] == pytest.approx(clip["duration_seconds"], abs=0.05)
        (clip,) = cut(source, tmp_path, (2, 5), sound=False, mode=mode)
        assert (clip["has_audio"], clip["flags"], clip["audio_missing_seconds"]) == (False, [], 0.0)


CRC_POLYNOMIAL = 0x04C11DB7


def crc(content):
    """Returns the checksum of MPEG-2 sections."""
    value = 0xFFFFFFFF
    for byte in content:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (CRC_POLYNOMIAL if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return value.to_bytes(4, "big")


def programme(folder, name, number, frequency, size, bit_rate):
    """Writes a transport stream with one programme and returns its packets."""
    options = {
        "mpegts_service_id": str(number),
        "mpegts_pmt_start_pid": str(0x100 * number),
        "mpegts_start_pid": str(0x100 * number + 0x10),
    }
    plain = heard_video(folder / f"{name}.mp4", frequency=frequency, bit_rate=bit_rate)
    larger = make_video(folder / f"{name}.seen.mp4", 250, size=size)
    with (
        av.open(plain) as heard,
        av.open(larger) as seen,
        av.open(str(folder / f"{name}.ts"), "w", options=options) as output,
    ):
        streams = [(seen, seen.streams.video[0]), (heard, heard.streams.audio[0])]
        targets = [output.add_stream_from_template(stream) for _, stream in streams]
        packets = [
            (packet.dts * packet.time_base, place, packet)
            for place, (container, stream) in enumerate(streams)
            for packet in container.demux(stream)
            if packet.size
        ]
        for _, place, packet in sorted(packets, key=lambda one: one[:2]):
            packet.stream = targets[place]
            output.mux(packet)
    content = (folder / f"{name}.ts").read_bytes()
    return [content[at : at + 188] for at in range(0, len(content), 188)]


def test_the_sound_is_that_of_the_pictures_programme(tmp_path):
    """Of the other programme the sound is better."""
    parts = [programme(tmp_path, "a", 1, 440, (192, 108), 64_000), programme(tmp_path, "b", 2, 880, (96, 54), 256_000)]
    table = b"\x00\xb0\x11\x00\x01\xc1\x00\x00" + b"".join(
        number.to_bytes(2, "big") + (0xE000 | 0x100 * number).to_bytes(2, "big") for number in (1, 2)
    )
    section = b"\x47\x40\x00\x10\x00" + table + crc(table)
    pid = lambda packet: int.from_bytes(packet[1:3], "big") & 0x1FFF  # noqa: E731
    packets = [section.ljust(188, b"\xff")]
    longest = max(len(part) for part in parts)
    for place in range(longest):
        packets += [part[place] for part in parts if place < len(part) and pid(part[place]) != 0]
    (tmp_path / "both.ts").write_bytes(b"".join(packets))
    with av.open(str(tmp_path / "both.ts")) as container:
        assert len(container.streams.video) == len(container.streams.audio) == 2
        picture = container.streams.best("video")
        expected = 440 if picture.width == 192 else 880
        assert container.streams.best("audio") is not containers.sound_stream(container, picture)
    (clip,) = cut(tmp_path / "both.ts", tmp_path, (2, 5))
    assert clip["width"] == (192 if expected == 440 else 96)
    assert clicks(sound_of(clip["path"]), expected) == 0
