"""Copied cuts: they cover the span from key frame to key frame, and the frames are those of the source."""

import hashlib
from itertools import pairwise
from pathlib import Path

import av
import pytest

from clipscout.transforms.core.clips import copying, cutting, outcomes, sound
from tests.clips import UNEVEN, boxes, cut, onset, stamps
from tests.media_maker import QUICK_VPX, corner, cut_short, make_resized, make_video, patch, remux, turn

FRAMES = 150
GOP = 24
OPEN = {"x264-params": f"open-gop=1:keyint={GOP}:min-keyint={GOP}:b-adapt=0:bframes=3"}
OPEN_265 = {
    "preset": "ultrafast",
    "x265-params": f"log-level=none:open-gop=1:keyint={GOP}:min-keyint={GOP}:b-adapt=0:bframes=3",
}


def copy(source, folder, *spans):
    """Copies spans and returns the facts of each, with its path."""
    return cut(source, folder, *spans, mode="copy")


def frames_of(path):
    """Returns times from the start of the stream, and digests of the pictures as the decoder gives them."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        origin = stream.start_time * stream.time_base
        frames = [(frame.pts * stream.time_base - origin, frame.to_ndarray()) for frame in container.decode(stream)]
    return [(float(time), (picture.shape, hashlib.sha256(picture.tobytes()).hexdigest())) for time, picture in frames]


def key_times(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        origin = stream.start_time or 0
        packets = [packet for packet in container.demux(stream) if packet.is_keyframe and packet.pts is not None]
        return [float((packet.pts - origin) * stream.time_base) for packet in packets]


def seen(clip, span):
    """Returns what a clip holds and what is told of it and its span."""
    assert "code" not in clip, clip
    frames, order = frames_of(clip["path"]), boxes(clip["path"])
    with av.open(clip["path"]) as container:
        packets = [packet for packet in container.demux(container.streams.video[0]) if packet.size]
    return {
        "times": [time for time, _ in frames],
        "pictures": [picture for _, picture in frames],
        **{name: clip[name] for name in ("start_seconds", "duration_seconds", "frames")},
        "covers the end of the span": clip["end_seconds"] >= span[1] - 1e-3,
        "begins with a key frame": packets[0].is_keyframe,
        "begins at": packets[0].pts,
        "is in the order of decoding": all(before.dts < after.dts for before, after in pairwise(packets)),
        "plays at once": order.index("moov") < order.index("mdat"),
    }


def copied(clip, span, source_frames, keys):
    """Returns what `seen` gives of a right copy, from the last key frame before the span to where the clip ends."""
    start, end = clip["start_seconds"], clip["end_seconds"]
    inside = [(time, picture) for time, picture in source_frames if start - 1e-4 <= time < end - 1e-4]
    return {
        "times": pytest.approx([time - start for time, _ in inside], abs=1e-5),
        "pictures": [picture for _, picture in inside],
        "start_seconds": pytest.approx(max(key for key in keys if key <= span[0] + 1e-3), abs=1e-6),
        "duration_seconds": pytest.approx(end - start, abs=1e-3),
        "frames": len(inside),
        "covers the end of the span": True,
        "begins with a key frame": True,
        "begins at": 0,
        "is in the order of decoding": True,
        "plays at once": True,
    }


SOURCES = {
    "mp4": ("a.mp4", {}),
    "mp4 no B-frames": ("a.mp4", {"bframes": 0}),
    "mp4 many B-frames": ("a.mp4", {"bframes": 8, "options": {"b-adapt": "0"}}),
    "mp4 late start": ("a.mp4", {"times": [5 + index / 25 for index in range(FRAMES)]}),
    "mp4 open": ("a.mp4", {"options": OPEN, "bframes": 3}),
    "mp4 hevc open": ("a.mp4", {"codec": "libx265", "options": OPEN_265}),
    "mp4 mpeg4": ("a.mp4", {"codec": "mpeg4"}),
    "mkv": ("a.mkv", {}),
    "mkv open": ("a.mkv", {"options": OPEN, "bframes": 3}),
    "mkv hevc open": ("a.mkv", {"codec": "libx265", "options": OPEN_265}),
    "mkv late start": ("a.mkv", {"times": [5 + index / 25 for index in range(FRAMES)]}),
    "webm vp9": ("a.webm", {"codec": "libvpx-vp9", "options": QUICK_VPX}),
    "mpegts": ("a.ts", {}),
    "mpegts open": ("a.ts", {"options": OPEN, "bframes": 3}),
    "mpegts hevc open": ("a.ts", {"codec": "libx265", "options": OPEN_265}),
    "mpegts late start": ("a.ts", {"times": [22954 + index / 25 for index in range(FRAMES)]}),
    "flv": ("a.flv", {}),
    "avi no B-frames": ("a.avi", {"codec": "mpeg4", "bframes": 0}),
}
SPANS = [(0, 0.5), (0.9, 1.2), (0.96, 1.92), (2.5, 3.9), (5, 6)]


@pytest.mark.parametrize(("name", "how"), SOURCES.values(), ids=SOURCES)
def test_frames_are_those_of_the_source(tmp_path, name, how):
    source = make_video(tmp_path / name, FRAMES, gop=GOP, **how)
    frames, keys = frames_of(source), key_times(source)
    assert len(frames) == FRAMES
    for clip, span in zip(copy(source, tmp_path, *SPANS), SPANS, strict=True):
        assert seen(clip, span) == copied(clip, span, frames, keys)
        assert (clip["width"], clip["height"], clip["has_audio"], clip["flags"]) == (192, 108, False, [])


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_the_end_is_the_next_key_frame(tmp_path, name):
    source = make_video(tmp_path / name, FRAMES, gop=GOP)
    spans = [(0, 0.96), (0, 0.97), (1, 1.5), (2.88, 2.9)]
    ends = [clip["end_seconds"] for clip in copy(source, tmp_path, *spans)]
    assert ends == pytest.approx([0.96, 1.92, 1.92, 3.84])


def test_an_open_group_that_the_span_needs_is_copied_whole(tmp_path):
    """Frames 21 to 23 are shown before key frame 24 and need it."""
    source = make_video(tmp_path / "a.mp4", FRAMES, gop=GOP, options=OPEN, bframes=3)
    before, over = copy(source, tmp_path, (0, 21 / 25), (0, 22 / 25))
    assert (before["frames"], before["end_seconds"]) == (21, pytest.approx(21 / 25))
    assert (over["frames"], over["end_seconds"]) == (45, pytest.approx(45 / 25))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_frames_of_a_variable_rate_are_those_of_the_source(tmp_path, name):
    source = make_video(tmp_path / name, len(UNEVEN), times=UNEVEN, gop=8)
    frames, keys = frames_of(source), key_times(source)
    spans = [(0, 1), (1.3, 2.9), (2.555, 4.055)]
    for clip, span in zip(copy(source, tmp_path, *spans), spans, strict=True):
        assert seen(clip, span) == copied(clip, span, frames, keys)


def test_the_stamps_can_be_read(tmp_path):
    source = make_video(tmp_path / "a.mkv", FRAMES, gop=GOP)
    (clip,) = copy(source, tmp_path, (2, 2.5))
    assert stamps(clip) == list(range(48, 72))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi"])
def test_the_ends_of_the_video(tmp_path, name):
    codec = "mpeg4" if name == "a.avi" else "libx264"
    source = make_video(tmp_path / name, 50, gop=GOP, codec=codec, bframes=0)
    over, beyond, whole = copy(source, tmp_path, (1.5, 9), (50, 60), (0, 9))
    assert (over["frames"], over["end_seconds"]) == (26, pytest.approx(2, abs=0.041))
    assert (beyond["code"], beyond["message"]) == ("cut_failed", "no frame between 50.000 s and 60.000 s")
    assert whole["frames"] == 50
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["clip0.mp4", "clip2.mp4", name])


def test_the_video_is_opened_once(tmp_path, openings):
    source = make_video(tmp_path / "a.mp4", FRAMES, gop=GOP, audio=True)
    clips = copy(source, tmp_path, (4, 5), (0, 1), (0.5, 3), (0.5, 3))
    assert openings == [source] * 2  # pictures, and sound
    assert Path(clips[2]["path"]).read_bytes() == Path(clips[3]["path"]).read_bytes()


def test_an_edit_list_hides_frames_before_the_start(tmp_path):
    """What the file itself hides before its first frame goes with it, and stays hidden."""
    whole = make_video(tmp_path / "whole.mp4", FRAMES, gop=GOP)
    with av.open(whole) as original, av.open(str(tmp_path / "a.mp4"), "w") as output:
        target = output.add_stream_from_template(original.streams.video[0])
        for packet in original.demux():
            if packet.size:
                shift = round(0.4 / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, target
                output.mux(packet)
    frames, keys = frames_of(tmp_path / "a.mp4"), key_times(tmp_path / "a.mp4")
    first, second = copy(tmp_path / "a.mp4", tmp_path, (0, 0.5), (1, 1.5))
    assert first["start_seconds"] == 0
    assert first["frames"] == 14
    assert stamps(first) == list(range(10, 24))
    assert seen(second, (1, 1.5)) == copied(second, (1, 1.5), frames, keys)


def test_a_copy_ends_where_an_edit_list_hides_the_rest(tmp_path):
    path = Path(make_video(tmp_path / "a.mp4", 100, gop=GOP))
    content = bytearray(path.read_bytes())
    at = content.index(b"elst") + 12  # version and flags, the number of entries, and then the duration
    assert int.from_bytes(content[at : at + 4], "big") == 4000
    content[at : at + 4] = (2200).to_bytes(4, "big")
    path.write_bytes(content)
    assert len(frames_of(path)) == 55
    (clip,) = copy(path, tmp_path, (1.5, 4))
    first = stamps(clip)[0]
    assert stamps(clip) == list(range(first, first + clip["frames"]))
    assert 52 <= first + clip["frames"] <= 55  # frames that need hidden ones are left out with those
    assert clip["end_seconds"] == pytest.approx((first + clip["frames"]) / 25)


SOUNDS = {
    "mp4 aac": ("a.mp4", {}),
    "mp4 late start": ("a.mp4", {"times": [5 + index / 25 for index in range(FRAMES)]}),
    "mp4 mp3": ("a.mp4", {"audio_codec": "libmp3lame"}),
    "mkv opus": ("a.mkv", {"audio_codec": "libopus"}),
    "mkv ac3": ("a.mkv", {"audio_codec": "ac3"}),
    "mkv flac": ("a.mkv", {"audio_codec": "flac"}),
    "webm opus": ("a.webm", {"codec": "libvpx-vp9", "audio_codec": "libopus", "options": QUICK_VPX}),
    "mpegts aac": ("a.ts", {}),
    "mpegts mp2": ("a.ts", {"audio_codec": "mp2"}),
    "mpegts late start": ("a.ts", {"times": [1000 + index / 25 for index in range(FRAMES)]}),
    "flv aac": ("a.flv", {}),
    "avi mp3": ("a.avi", {"codec": "mpeg4", "bframes": 0, "audio_codec": "libmp3lame"}),
}


@pytest.mark.parametrize(("name", "how"), SOUNDS.values(), ids=SOUNDS)
def test_sound_is_copied_in_sync(tmp_path, name, how):
    source = make_video(tmp_path / name, FRAMES, gop=GOP, audio=True, tone_at=3.0, **how)
    with av.open(source) as container:
        stream, codec = container.streams.video[0], container.streams.audio[0].codec_context.name
        heard = onset(source)[0] - float(stream.start_time * stream.time_base)
    for clip in copy(source, tmp_path, (0, 5), (2, 4), (2.9, 3.4)):
        assert (clip["has_audio"], clip["flags"]) == (True, [])
        begins, seconds = onset(clip["path"])
        assert begins + clip["start_seconds"] == pytest.approx(heard, abs=0.025)
        assert seconds == pytest.approx(clip["duration_seconds"], abs=0.06)
        with av.open(clip["path"]) as container:
            heard_in = container.streams.audio[0]
            assert heard_in.codec_context.name == ("mp3float" if codec == "mp2" else codec)  # one name for both
            assert abs(heard_in.start_time * heard_in.time_base) <= 0.025


@pytest.mark.parametrize("codec", ["pcm_s16le", "adpcm_ms"])
def test_sound_that_mp4_does_not_hold_is_dropped_and_flagged(tmp_path, codec):
    source = make_video(tmp_path / "a.avi", FRAMES, gop=GOP, codec="mpeg4", bframes=0, audio=True, audio_codec=codec)
    (clip,) = copy(source, tmp_path, (1, 2))
    assert (clip["has_audio"], clip["flags"]) == (False, ["audio_dropped"])
    assert clip["frames"] == 48


def test_sound_that_nobody_knows_is_dropped_and_flagged(tmp_path):
    source = patch(make_video(tmp_path / "w.mkv", 50, audio=True), tmp_path / "a.mkv", b"A_AAC", b"A_XYZ")
    (clip,) = copy(source, tmp_path, (1, 2))
    assert (clip["has_audio"], clip["flags"]) == (False, ["audio_dropped"])


def test_sound_that_cannot_be_decoded_is_dropped_and_flagged(tmp_path):
    source = remux(make_video(tmp_path / "whole.mp4", FRAMES, audio=True), tmp_path / "a.mp4", damage="audio")
    (clip,) = copy(source, tmp_path, (1, 2))
    assert (clip["has_audio"], clip["flags"]) == (False, ["audio_dropped"])


def test_sound_that_mp4_refuses_all_the_same_is_dropped_and_flagged(tmp_path, monkeypatch):
    """The codec is one that mp4 holds, the packets are such that it does not."""
    source = make_video(tmp_path / "a.mp4", FRAMES, audio=True)

    def backwards(packets, *arguments):
        yield from reversed(list(moved(packets, *arguments)))

    moved = sound._moved
    monkeypatch.setattr(sound, "_moved", backwards)
    (clip,) = copy(source, tmp_path, (1, 2))
    assert (clip["has_audio"], clip["flags"]) == (False, ["audio_dropped"])


def test_sound_that_begins_late_stays_late(tmp_path):
    pictures = make_video(tmp_path / "v.mkv", FRAMES, gop=GOP, bframes=0)
    tones = make_video(tmp_path / "s.mkv", FRAMES, audio=True)
    with av.open(pictures) as picture, av.open(tones) as tone, av.open(str(tmp_path / "a.mkv"), "w") as output:
        sources = picture.streams.video[0], tone.streams.audio[0]
        copies = [output.add_stream_from_template(stream) for stream in sources]
        for part, stream, target, late in ((picture, sources[0], copies[0], 0), (tone, sources[1], copies[1], 1500)):
            for packet in part.demux(stream):
                if packet.size:
                    packet.pts, packet.dts, packet.stream = packet.pts + late, packet.pts + late, target
                    output.mux(packet)
    (clip,) = copy(tmp_path / "a.mkv", tmp_path, (1, 2.5))
    assert clip["start_seconds"] == pytest.approx(0.96)
    assert onset(clip["path"])[0] == pytest.approx(1.5 - 0.96, abs=0.045)


@pytest.mark.parametrize(
    ("name", "how", "message"),
    [
        (
            "a.webm",
            {"codec": "libvpx", "options": QUICK_VPX},
            "vp8 is not copied into mp4; --cut=exact encodes it anew",
        ),
        ("a.ts", {"codec": "mpeg2video"}, "mpeg2video is not copied into mp4; --cut=exact encodes it anew"),
        ("a.gif", {"codec": "gif", "pixel_format": "rgb8", "rate": 20}, "gif is not copied into mp4; --cut=exact"),
        ("a.avi", {"codec": "mpeg4"}, "avi does not tell when B-frames are shown; --cut=exact finds out"),
        ("a.avi", {"codec": "libx264"}, "avi does not tell when B-frames are shown; --cut=exact finds out"),
    ],
    ids=["vp8", "mpeg2", "gif", "avi mpeg4", "avi h264"],
)
def test_what_cannot_be_copied_fails(tmp_path, name, how, message):
    source = make_video(tmp_path / name, 40, **how)
    for clip in copy(source, tmp_path, (0, 1), (1, 1.5)):
        assert clip["code"] == "cut_failed"
        assert clip["message"].startswith(message)


def test_an_unreadable_source_fails_every_span(tmp_path):
    (tmp_path / "a.mp4").write_text("<html></html>")
    assert [clip["code"] for clip in copy(tmp_path / "a.mp4", tmp_path, (0, 1), (1, 2))] == ["unreadable_video"] * 2


def test_a_faulty_target_fails_alone(tmp_path):
    source = make_video(tmp_path / "a.mp4", 50)
    spans = [
        {"start_seconds": 0, "end_seconds": 1, "path": str(tmp_path / "missing" / "clip.mp4")},
        {"start_seconds": 0, "end_seconds": 1, "path": str(tmp_path / "clip.mp4")},
    ]
    items = [facts for facts, _ in cutting.cut({"path": source, "mode": "copy", "spans": spans}) if facts]
    assert [facts.get("code") for facts in items] == ["cut_failed", None]


@pytest.mark.parametrize("name", ["a.mkv", "a.ts"])
def test_a_video_that_was_cut_short_is_copied_as_far_as_it_goes(tmp_path, name):
    source = cut_short(make_video(tmp_path / f"whole{name}", FRAMES, gop=GOP), tmp_path / name, 0.6)
    (clip,) = copy(source, tmp_path, (0.5, 6))
    assert 60 < clip["frames"] < 140
    assert clip["end_seconds"] == pytest.approx(clip["frames"] / 25, abs=0.1)


def test_clips_stay_turned(tmp_path):
    source = turn(make_video(tmp_path / "a.mp4", 30, picture=corner), (0, 1, -1, 0))
    (clip,) = copy(source, tmp_path, (0, 0.4))
    assert (clip["width"], clip["height"]) == (108, 192)
    with av.open(clip["path"]) as container:
        assert next(container.decode(video=0)).rotation in (-90, 90, 270)


def test_noise_in_the_place_of_pictures_fails(tmp_path):
    source = remux(make_video(tmp_path / "whole.mp4", 50), tmp_path / "a.mp4", damage="video")
    (clip,) = copy(source, tmp_path, (0, 1))
    assert clip["code"] == "cut_failed"


def test_sizes_may_change_mid_stream(tmp_path):
    source = make_resized(tmp_path / "a.ts", 50)
    (clip,) = copy(source, tmp_path, (0, 3))
    assert stamps(clip) == list(range(100))


def test_a_packet_that_is_not_written_is_found_by_reading_the_clip_back(tmp_path, monkeypatch):
    source = make_video(tmp_path / "a.mp4", 50, gop=GOP)
    moved = copying._moved
    monkeypatch.setattr(copying, "_moved", lambda *arguments: list(moved(*arguments))[:-1])
    (clip,) = copy(source, tmp_path, (0, 0.5))
    assert clip["message"] == "the clip is not what was put into it: 23 frames, expected 24"
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_what_was_written_is_told(tmp_path):
    source = make_video(tmp_path / "a.mp4", 50, gop=GOP, audio=True)
    (clip,) = copy(source, tmp_path, (1, 1.5))
    assert clip == {
        "index": 0,
        "start_seconds": pytest.approx(0.96),
        "end_seconds": pytest.approx(1.92),
        "duration_seconds": pytest.approx(0.96),
        "frames": 24,
        "width": 192,
        "height": 108,
        "has_audio": True,
        "audio_missing_seconds": 0.0,
        "poster": False,
        "flags": [],
        "path": str(tmp_path / "clip0.mp4"),
    }
    assert outcomes.describe(clip["path"])["frames"] == 24
