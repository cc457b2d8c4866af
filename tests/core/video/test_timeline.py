"""One timeline per file: clocks that jump, wrap, start late or lie, and lengths that headers invent."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.clips import cut, onset, stamps
from tests.decoded import Decoded, near, probe
from tests.media_maker import make_video

WRAP_SECONDS = 2**33 / 90_000


def remuxed(source, path, moved):
    """Copies the packets of a video; `moved(kind, number, pts, dts)`, in seconds, says where each is put."""
    with av.open(str(source)) as original, av.open(str(path), "w") as output:
        targets = {stream.index: output.add_stream_from_template(stream) for stream in original.streams}
        counts = dict.fromkeys(targets, 0)
        for packet in original.demux():
            if not packet.size:
                continue
            place = packet.stream.type, counts[packet.stream_index]
            seconds = moved(*place, float(packet.pts * packet.time_base), float(packet.dts * packet.time_base))
            counts[packet.stream_index] += 1
            packet.pts, packet.dts = (round(one / packet.time_base) for one in seconds)
            packet.stream = targets[packet.stream_index]
            output.mux(packet)
    return str(path)


def joined(path, *parts):
    path.write_bytes(b"".join(Path(part).read_bytes() for part in parts))
    return str(path)


def two_recordings(folder, first=100, second=100):
    """Joins two transport streams of stamped frames; the tone of the second begins a second after its start."""
    before = make_video(folder / "before.ts", first, audio=True, tone_at=1e6)
    after = make_video(folder / "after.ts", second, audio=True, tone_at=1.0)
    return joined(folder / "a.ts", before, after)


def test_a_second_recording_follows_the_first_one(tmp_path):
    path = two_recordings(tmp_path)
    decoded = Decoded(path)
    assert decoded.stamps == [*range(100), *range(100)]
    assert decoded.times[:100] == near(index / 25 for index in range(100))
    begin = decoded.times[100]
    assert begin == pytest.approx(4.0, abs=0.05)
    assert decoded.times[100:] == near(begin + index / 25 for index in range(100))
    assert decoded.report["flags"] == ["time_jumps"]
    assert probe(path)["duration_seconds"] == pytest.approx(decoded.report["decoded_seconds"], abs=0.002)
    assert decoded.report["decoded_seconds"] == pytest.approx(8.0, abs=0.05)


def test_picture_and_sound_stay_together_over_a_jump(tmp_path):
    path = two_recordings(tmp_path)
    over, behind = cut(path, tmp_path, (3, 6), (4.5, 7), in_order=True)
    for clip in (over, behind):
        assert (clip["has_audio"], clip["flags"]) == (True, [])
        heard = clip["start_seconds"] + onset(clip["path"])[0]
        seen = Decoded(path).times[100] + 1.0
        assert heard == pytest.approx(seen, abs=0.03)
    assert stamps(over) == [*range(75, 100), *range(50)]


def test_a_jump_of_the_clock_is_not_copied(tmp_path):
    (clip,) = cut(two_recordings(tmp_path), tmp_path, (1, 2), mode="copy", in_order=True)
    assert clip["message"] == "the clock of the video jumps, which a copy cannot mend; --cut=exact can"


def test_the_clock_of_a_transport_stream_wraps_near_its_start(tmp_path):
    whole = make_video(tmp_path / "whole.ts", 150, audio=True, tone_at=3.0)
    start = WRAP_SECONDS - 3.4
    path = remuxed(whole, tmp_path / "a.ts", lambda kind, number, pts, dts: (pts + start, dts + start))
    decoded = Decoded(path)
    assert decoded.stamps == list(range(150))
    assert decoded.times == near(index / 25 for index in range(150))
    assert decoded.report["flags"] == []
    clips = cut(path, tmp_path, (0, 1), (1, 4), (2.8, 4), (5, 6))
    for clip, (first, last) in zip(clips, [(0, 25), (25, 100), (70, 100), (125, 150)], strict=True):
        assert (clip["has_audio"], clip["flags"]) == (True, [])
        assert stamps(clip) == list(range(first, last))
    for clip in clips[1:3]:
        assert clip["start_seconds"] + onset(clip["path"])[0] == pytest.approx(3.0, abs=0.03)


def test_the_clock_of_a_transport_stream_wraps_late(tmp_path):
    """FFmpeg undoes a wrap in the first minute alone; to it a later one is a jump."""
    whole = make_video(tmp_path / "whole.ts", 100, audio=True, tone_at=1e6)
    before = remuxed(whole, tmp_path / "before.ts", lambda kind, number, pts, dts: (pts + 95_300, dts + 95_300))
    decoded = Decoded(joined(tmp_path / "a.ts", before, make_video(tmp_path / "after.ts", 100, audio=True)))
    assert decoded.stamps == [*range(100), *range(100)]
    assert decoded.times[-1] == pytest.approx(199 / 25, abs=0.05)
    assert decoded.report["flags"] == ["time_jumps"]


@pytest.mark.parametrize("name", ["a.mkv", "a.ts", "a.mp4"])
@pytest.mark.parametrize("place", [90, 92], ids=["key frame", "in the middle"])
def test_a_picture_that_is_stamped_far_ahead_is_shown_where_it_was_due(tmp_path, name, place):
    whole = make_video(tmp_path / "whole.mkv", 200, bframes=0, gop=30, audio=True, tone_at=4.0)

    def moved(kind, number, pts, dts):
        return (pts + 3600 if (kind, number) == ("video", place) else pts, dts)

    path = remuxed(whole, tmp_path / name, moved)
    decoded = Decoded(path)
    assert decoded.stamps == list(range(200))
    assert decoded.times == near(index / 25 for index in range(200))
    assert "times_repaired" in decoded.report["flags"]
    assert probe(path)["duration_seconds"] == pytest.approx(8.0, abs=0.05)
    (clip,) = cut(path, tmp_path, (3, 6))
    assert stamps(clip) == list(range(75, 150))
    assert clip["start_seconds"] + onset(clip["path"])[0] == pytest.approx(4.0, abs=0.05)


@pytest.mark.parametrize("stamp", [0, 7_200_000], ids=["before", "ahead"])
@pytest.mark.parametrize("kind", [8, 9], ids=["sound", "picture"])
def test_any_packet_of_which_both_stamps_are_wrong_is_put_where_it_was_due(tmp_path, kind, stamp):
    """Of sound too, which a clip would lose from there on; written by hand, because no muxer goes back."""
    whole = make_video(tmp_path / "whole.mkv", 200, bframes=0, gop=25, audio=True, tone_at=4.0)
    path = remuxed(whole, tmp_path / "a.flv", lambda kind, number, pts, dts: (pts + 3600, dts + 3600))
    content, place, number = bytearray(Path(path).read_bytes()), 13, 0
    while place < len(content):
        number += content[place] == kind
        if content[place] == kind and number == 101:
            content[place + 4 : place + 8] = (stamp & 0xFFFFFF).to_bytes(3, "big") + bytes([stamp >> 24])
        place += 15 + int.from_bytes(content[place + 1 : place + 4], "big")
    Path(path).write_bytes(content)
    decoded = Decoded(path)
    assert decoded.stamps == list(range(200))
    assert decoded.times == near(index / 25 for index in range(200))
    assert probe(path)["duration_seconds"] == pytest.approx(8.0, abs=0.05)
    (clip,) = cut(path, tmp_path, (3, 6))
    assert stamps(clip) == list(range(75, 150))
    assert (clip["has_audio"], clip["flags"]) == (True, [])
    assert clip["start_seconds"] + onset(clip["path"])[0] == pytest.approx(4.0, abs=0.05)


def test_a_recording_that_begins_at_ten_hours_is_as_long_as_it_is(tmp_path):
    whole = make_video(tmp_path / "whole.mp4", 400, audio=True, tone_at=4.0)
    path = remuxed(whole, tmp_path / "a.flv", lambda kind, number, pts, dts: (pts + 36_004, dts + 36_004))
    assert probe(path)["duration_seconds"] == pytest.approx(16.0, abs=0.05)
    decoded = Decoded(path)
    assert decoded.stamps == list(range(400))
    assert (decoded.report["decoded_seconds"], decoded.report["flags"]) == (pytest.approx(16.0, abs=0.01), [])


def with_sound(path, picture, sound, codec="libx264", audio_codec="aac"):
    """Writes a video whose picture and sound cover [start, end) seconds each."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 96, 54, "yuv420p", 400_000
        heard = output.add_stream(audio_codec, rate=48_000, layout="stereo")
        heard.bit_rate = 96_000
        packets = []
        for index in range(round((picture[1] - picture[0]) * 25)):
            frame = av.VideoFrame.from_ndarray(np.full((54, 96, 3), index % 200, np.uint8), format="rgb24")
            frame.pts, frame.time_base = round(picture[0] * 25) + index, Fraction(1, 25)
            packets += stream.encode(frame)
        size = heard.codec_context.frame_size or 1024
        for place in range(round(sound[0] * 48_000), round(sound[1] * 48_000) - size + 1, size):
            tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(place, place + size) / 48_000).astype(np.float32)
            piece = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
            piece.sample_rate, piece.pts, piece.time_base = 48_000, place, Fraction(1, 48_000)
            fits = av.AudioResampler(format=heard.codec_context.format, layout="stereo", rate=48_000)
            packets += [packet for part in fits.resample(piece) for packet in heard.encode(part)]
        packets += [*stream.encode(None), *heard.encode(None)]
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            output.mux(packet)
    return str(path)


@pytest.mark.parametrize(
    ("name", "codecs"),
    [
        ("a.mkv", {}),
        ("a.mp4", {}),
        ("a.ts", {}),
        ("a.flv", {}),
        ("a.webm", {"codec": "libvpx", "audio_codec": "libopus"}),
        ("a.mpg", {"codec": "mpeg1video", "audio_codec": "mp2"}),
        ("a.wmv", {"codec": "wmv2", "audio_codec": "wmav2"}),
    ],
)
@pytest.mark.parametrize(
    ("picture", "sound"),
    [((0, 8), (0, 40)), ((5, 13), (0, 13)), ((0, 8), (0, 3))],
    ids=["longer", "earlier", "shorter"],
)
def test_the_length_of_a_video_is_that_of_its_picture(tmp_path, name, codecs, picture, sound):
    path = with_sound(tmp_path / name, picture, sound, **codecs)
    length = picture[1] - picture[0]
    assert probe(path)["duration_seconds"] == pytest.approx(length, abs=0.05)
    decoded = Decoded(path)
    assert len(decoded.times) == length * 25
    assert decoded.report["decoded_seconds"] == pytest.approx(length, abs=0.05)
    assert not set(decoded.report["flags"]) & {"truncated", "damaged", "time_jumps"}


def test_a_piece_of_a_fragmented_file_is_as_long_as_it_is(tmp_path):
    """A DASH segment with its header says when it ends, not how long it is."""
    whole = make_video(tmp_path / "whole.mkv", 300, gop=50, bframes=0)
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    with av.open(whole) as original, av.open(str(tmp_path / "whole.mp4"), "w", options=options) as output:
        target = output.add_stream_from_template(original.streams.video[0])
        for packet in original.demux():
            if packet.size:
                packet.stream = target
                output.mux(packet)
    content = (tmp_path / "whole.mp4").read_bytes()
    boxes, place = [], 0
    while place < len(content):
        size = int.from_bytes(content[place : place + 4], "big")
        boxes.append((content[place + 4 : place + 8], content[place : place + size]))
        place += size
    header = b"".join(box for kind, box in boxes if kind in (b"ftyp", b"moov"))
    pieces = b"".join(box for kind, box in boxes if kind in (b"moof", b"mdat"))
    half = sum(len(box) for _, box in [one for one in boxes if one[0] in (b"moof", b"mdat")][:8])
    (tmp_path / "a.mp4").write_bytes(header + pieces[half:])
    decoded = Decoded(tmp_path / "a.mp4")
    assert decoded.stamps == list(range(200, 300))
    assert probe(tmp_path / "a.mp4")["duration_seconds"] == pytest.approx(4.0, abs=0.05)
    assert decoded.report["flags"] == []


def test_a_header_that_promises_an_hour_is_believed_by_nobody(tmp_path):
    """Nor is it hidden: the file ends before its time."""
    path = Path(make_video(tmp_path / "a.mkv", 100))
    content = path.read_bytes()
    at = content.index(b"\x44\x89\x88") + 3  # the duration, in milliseconds
    path.write_bytes(content[:at] + np.array(3_600_000.0, ">f8").tobytes() + content[at + 8 :])
    with av.open(str(path)) as container:
        assert container.duration == 3_600_000_000
    assert probe(path)["duration_seconds"] == pytest.approx(4.0, abs=0.05)
    assert Decoded(path).report["flags"] == ["truncated"]


def test_a_picture_that_is_repeated_is_no_damage():
    """Ogg Theora writes an empty packet for each; ffmpeg made the file, which PyAV has no encoder for."""
    path = str(Path(__file__).parent / "repeated.ogv")
    with av.open(path) as container:
        assert sum(not packet.size and packet.pts is not None for packet in container.demux(video=0)) > 200
    decoded = Decoded(path, {"fps": 2})
    assert decoded.report["flags"] == []
    assert decoded.report["decoded_seconds"] == pytest.approx(12.0, abs=0.5)
    assert len(decoded.times) == 24


SLIDES = [20.0 * index for index in range(20)]
RECORDING = [*(index / 25 for index in range(60)), *(60 + index / 25 for index in range(60))]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize("bframes", [0, 3])
@pytest.mark.parametrize("times", [SLIDES, RECORDING, [*RECORDING[:60], 60.0]], ids=["slides", "pause", "last"])
def test_pictures_that_stay_for_long_are_shown_when_they_say(tmp_path, name, bframes, times):
    """Some that are shown before a long one are stored after it: they are no sign that its stamp is wrong."""
    options = {"x264-params": "b-adapt=0:scenecut=0"}
    path = make_video(tmp_path / name, len(times), times=times, bframes=bframes, gop=250, options=options)
    decoded = Decoded(path)
    assert decoded.times == near(times)
    assert not set(decoded.report["flags"]) & {"times_repaired", "time_jumps", "truncated"}
    assert decoded.stamps == list(range(len(times)))
    assert probe(path)["duration_seconds"] >= times[-1] - 0.001
