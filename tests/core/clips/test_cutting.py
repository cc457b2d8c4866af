"""Cutting: first and last frame right, whatever the container, the times and the order of the spans."""

from fractions import Fraction
from pathlib import Path

import pytest

from clipscout.transforms.core.child.supervisor import Child, Limits
from clipscout.transforms.core.clips import cutting
from demo.footage import FOOTAGE
from tests.clips import UNEVEN, cut, stamps, times
from tests.decoded import Decoded
from tests.media_maker import QUICK_VPX, make_video, read_video, stamp_of

SOURCES = {
    "mp4": ("a.mp4", {}),
    "mp4 one key frame": ("a.mp4", {"gop": 1000}),
    "mp4 many B-frames": ("a.mp4", {"bframes": 8, "options": {"b-adapt": "0"}, "gop": 60}),
    "mp4 late start": ("a.mp4", {"times": [5 + index / 25 for index in range(100)]}),
    "mkv": ("a.mkv", {}),
    "mkv one key frame": ("a.mkv", {"gop": 1000}),
    "mkv late start": ("a.mkv", {"times": [5 + index / 25 for index in range(100)]}),
    "webm": ("a.webm", {"codec": "libvpx", "gop": 100, "options": QUICK_VPX}),
    "mpegts": ("a.ts", {}),
    "mpegts one key frame": ("a.ts", {"gop": 1000}),
    "mpegts late start": ("a.ts", {"times": [22954 + index / 25 for index in range(100)], "gop": 1000}),
    "mpegts mpeg2": ("a.ts", {"codec": "mpeg2video"}),
    "mpeg program stream": ("a.mpg", {"codec": "mpeg1video", "container": "mpeg"}),
    "flv": ("a.flv", {"gop": 100}),
    "wmv": ("a.wmv", {"codec": "wmv2", "bframes": 0}),
    "avi": ("a.avi", {"codec": "mpeg4", "bframes": 0, "gop": 100}),
}


@pytest.mark.parametrize(("name", "how"), SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("audio", [False, True], ids=["silent", "sound"])
def test_first_and_last_frame_are_right(tmp_path, name, how, audio):
    if audio and name.endswith((".webm", ".mpg", ".wmv", ".avi", ".flv")):
        codecs = {".webm": "libopus", ".mpg": "mp2", ".wmv": "wmav2", ".avi": "pcm_s16le", ".flv": "aac"}
        how = {**how, "audio_codec": codecs[name[1:]]}
    source = make_video(tmp_path / name, 100, audio=audio, **how)
    spans = [(0, 0.6), (0.04, 0.5), (2.4, 3.41), (2.41, 3.4), (3.5, 4)]
    expected = [(0, 14), (1, 12), (60, 85), (61, 84), (88, 99)]
    clips = cut(source, tmp_path, *spans)
    for clip, (first, last) in zip(clips, expected, strict=True):
        assert stamps(clip) == list(range(first, last + 1))
        assert times(clip) == pytest.approx([place / 25 for place in range(last + 1 - first)], abs=0.0011)
        assert clip["frames"] == last + 1 - first
        assert clip["duration_seconds"] == pytest.approx((last + 1 - first) / 25, abs=0.002)
        assert (clip["width"], clip["height"], clip["has_audio"], clip["flags"]) == (192, 108, audio, [])


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_avi_with_b_frames_is_cut_where_it_was_scored(tmp_path, codec):
    source = make_video(tmp_path / "a.avi", 150, codec=codec, gop=100)
    spans = [(0, 1), (2.4, 4.4), (5.5, 6)]
    clips = cut(source, tmp_path, *spans)
    scored = Decoded(source)
    samples = list(zip(scored.times, scored.stamps, strict=True))
    for clip, (start, end) in zip(clips, spans, strict=True):
        assert stamps(clip) == [stamp for time, stamp in samples if start <= time + 1e-4 < end]


@pytest.mark.parametrize("gop", [8, 1000], ids=["short", "one key frame"])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_variable_frame_rate_keeps_its_times(tmp_path, name, gop):
    source = make_video(tmp_path / name, len(UNEVEN), times=UNEVEN, gop=gop)
    shown = [time - UNEVEN[0] for time in UNEVEN]
    spans = [(0, 1.01), (1.01, 3.01), (2.555, 4.055), (shown[30], shown[40])]
    for clip, (start, end) in zip(cut(source, tmp_path, *spans), spans, strict=True):
        inside = [place for place, time in enumerate(shown) if start - 1e-4 <= time < end - 1e-4]
        zero = first = shown[inside[0]]
        if first > start + 0.1:  # the frame before is still shown, for long
            inside.insert(0, inside[0] - 1)
            zero = start
        assert stamps(clip) == inside
        assert times(clip) == pytest.approx([max(0, shown[place] - zero) for place in inside], abs=0.0015)
        after = shown[inside[-1] + 1]
        until = after if after < end + 0.1 else end
        assert (clip["start_seconds"], clip["end_seconds"]) == pytest.approx((zero, until), abs=0.0015)
        assert clip["duration_seconds"] == pytest.approx(until - zero, abs=0.0015)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi"])
def test_a_span_beyond_the_end_fails_alone(tmp_path, name):
    source = make_video(tmp_path / name, 50, bframes=0)
    before, beyond, after = cut(source, tmp_path, (0.4, 1), (50, 60), (0.4, 1))
    assert (beyond["code"], beyond["message"]) == ("cut_failed", "no frame between 50.000 s and 60.000 s")
    assert before["frames"] == after["frames"] == 15
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["clip0.mp4", "clip2.mp4", name])


@pytest.mark.parametrize("end", [2.0, 2.01, 9.0])
def test_a_span_over_the_end_gives_what_is_there(tmp_path, end):
    (clip,) = cut(make_video(tmp_path / "a.mp4", 50), tmp_path, (1.6, end))
    assert stamps(clip) == list(range(40, 50))
    assert clip["duration_seconds"] == pytest.approx(0.4, abs=0.002)


def test_overlapping_spans_in_any_order(tmp_path):
    source = make_video(tmp_path / "a.mp4", 100, audio=True, gop=1000)
    clips = cut(source, tmp_path, (2, 4), (0, 3), (1, 2), (1, 2), (1.96, 2.04))
    assert [(stamps(clip)[0], stamps(clip)[-1]) for clip in clips] == [(50, 99), (0, 74), (25, 49), (25, 49), (49, 50)]


def test_equal_spans_have_equal_bytes(tmp_path):
    """In a child: in a process that has used its memory, the encoder reads some that it never wrote."""
    source = make_video(tmp_path / "a.mp4", 100, audio=True, gop=1000)
    spans = [
        {"start_seconds": start, "end_seconds": end, "path": str(tmp_path / f"{place}.mp4")}
        for place, (start, end) in enumerate([(2, 4), (0, 3), (1, 2), (1, 2)])
    ]
    child = Child(Limits(), str(tmp_path))
    assert (
        sum("index" in message.fields for message in child.call("clips.cutting:cut", {"path": source, "spans": spans}))
        == 4
    )
    child.close()
    assert Path(spans[2]["path"]).read_bytes() == Path(spans[3]["path"]).read_bytes()


def test_neighbouring_spans_share_no_frame(tmp_path):
    source = make_video(tmp_path / "a.mkv", 60, rate=Fraction(30000, 1001))
    first, second, third = cut(source, tmp_path, (0, 0.667), (0.667, 1.335), (1.335, 2.1))
    assert stamps(first) + stamps(second) + stamps(third) == list(range(60))


def test_a_target_that_cannot_be_written_fails_alone(tmp_path):
    source = make_video(tmp_path / "a.mp4", 50)
    spans = [
        {"start_seconds": 0, "end_seconds": 1, "path": str(tmp_path / "missing" / "clip.mp4")},
        {"start_seconds": 0, "end_seconds": 1, "path": str(tmp_path / "clip.mp4")},
    ]
    bad, good = (facts for facts, _ in cutting.cut({"path": source, "spans": spans}) if facts)
    assert bad["code"] == "cut_failed"
    assert good["frames"] == 25


def test_an_unreadable_source_fails_every_span(tmp_path):
    (tmp_path / "a.mp4").write_text("<html></html>")
    clips = cut(tmp_path / "a.mp4", tmp_path, (0, 1), (1, 2))
    assert [clip["code"] for clip in clips] == ["unreadable_video"] * 2


def test_the_same_cut_gives_the_same_bytes(tmp_path):
    source = make_video(tmp_path / "a.mp4", 50, audio=True)
    first, second = cut(source, tmp_path, (0.4, 1.6), (0.4, 1.6))
    assert Path(first["path"]).read_bytes() == Path(second["path"]).read_bytes()


def test_real_footage_gives_the_same_bytes_each_time(tmp_path):
    """What is moved by hand and lit by day: on it the encoder's own thread for looking ahead ran a race."""
    (writer,) = (one.path for one in FOOTAGE if one.name == "writer.mp4")
    spans = [{"start_seconds": 0, "end_seconds": 4, "path": str(tmp_path / f"{place}.mp4")} for place in range(4)]
    child = Child(Limits(), str(tmp_path))  # glibc hands out zeroes there
    for span in spans:
        list(child.call("clips.cutting:cut", {"path": str(writer), "spans": [span]}))
    child.close()
    assert len({Path(span["path"]).read_bytes() for span in spans}) == 1


def test_the_child_cuts(tmp_path):
    source = make_video(tmp_path / "a.mp4", 50, audio=True)
    spans = [{"start_seconds": 0.4, "end_seconds": 1.6, "path": str(tmp_path / "clip.mp4")}]
    child = Child(Limits(), str(tmp_path))
    (message,) = (one for one in child.call("clips.cutting:cut", {"path": source, "spans": spans}) if one.fields)
    child.close()
    assert message.fields == {
        "index": 0,
        "start_seconds": pytest.approx(0.4),
        "end_seconds": pytest.approx(1.6),
        "duration_seconds": pytest.approx(1.2, abs=0.002),
        "frames": 30,
        "width": 192,
        "height": 108,
        "has_audio": True,
        "audio_missing_seconds": 0.0,
        "poster": False,
        "flags": [],
    }
    assert [stamp_of(picture) for _, picture in read_video(tmp_path / "clip.mp4")] == list(range(10, 40))
