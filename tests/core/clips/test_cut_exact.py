"""Exact cuts of many spans in one call: opened once, decoded once, each right to the frame."""

from pathlib import Path

import av
import numpy as np
import pytest

from clipscout.transforms.core.clips import cutting, encoder, outcomes, reencoding
from clipscout.transforms.core.video import frames, seeking
from tests.clips import cut, onset, stamps, times
from tests.media_maker import QUICK_VPX, corner, make_video, turn

FRAMES = 600


@pytest.fixture(scope="module")
def long_video(tmp_path_factory):
    """24 s with sound, a key frame a second."""
    return make_video(tmp_path_factory.mktemp("long") / "a.mp4", FRAMES, gop=25, audio=True)


@pytest.fixture
def decoded(monkeypatch):
    """The times of all frames that were decoded, while they are really decoded."""
    ordered, seconds = frames.ordered_frames, []

    def counting(*arguments, **options):
        for timed in ordered(*arguments, **options):
            seconds.append(timed.seconds)
            yield timed

    monkeypatch.setattr(frames, "ordered_frames", counting)
    return seconds


def seen(clip):
    """Returns what a clip holds and what is told of it."""
    told = ("start_seconds", "end_seconds", "duration_seconds", "frames", "has_audio", "flags")
    return {"stamps": stamps(clip), "times": times(clip), **{name: clip[name] for name in told}}


def span_of_long_video(start, end):
    """Returns what `seen` gives of a clip of `long_video` that is right."""
    inside = [index for index in range(FRAMES) if start - 1e-4 <= index / 25 < end - 1e-4]
    return {
        "stamps": inside,
        "times": pytest.approx([place / 25 for place in range(len(inside))], abs=0.0011),
        "start_seconds": pytest.approx(inside[0] / 25, abs=1e-6),
        "end_seconds": pytest.approx((inside[-1] + 1) / 25, abs=1e-6),
        "duration_seconds": pytest.approx(len(inside) / 25, abs=1e-3),
        "frames": len(inside),
        "has_audio": True,
        "flags": [],
    }


SPANS = [(0, 1), (0.4, 2), (0.4, 2), (1.5, 6), (2, 2.04), (2.9, 5.1), (11, 12.5), (12, 13), (12.4, 12.6), (22.5, 24)]


@pytest.mark.parametrize("most", [1, 2, 100])
def test_many_spans_are_right_and_the_video_is_opened_once(long_video, tmp_path, openings, monkeypatch, most):
    monkeypatch.setattr(reencoding, "_most_encoders", lambda _: most)
    clips = cut(long_video, tmp_path, *SPANS)
    assert openings == [long_video] * 2  # pictures, and sound
    for clip, span in zip(clips, SPANS, strict=True):
        assert seen(clip) == span_of_long_video(*span)


@pytest.mark.parametrize("name", ["a.mkv", "a.ts", "a.avi", "a.webm", "a.gif"])
@pytest.mark.parametrize("most", [1, 100])
def test_other_containers(tmp_path, monkeypatch, openings, name, most):
    codecs = {"avi": "mpeg4", "webm": "libvpx", "gif": "gif"}
    kind = name.split(".")[1]
    how = {"options": QUICK_VPX} if kind == "webm" else {}
    if kind == "gif":
        how = {"pixel_format": "rgb8", "rate": 20}
    source = make_video(tmp_path / name, 160, codec=codecs.get(kind, "libx264"), bframes=0, gop=40, **how)
    rate = 20 if kind == "gif" else 25
    monkeypatch.setattr(reencoding, "_most_encoders", lambda _: most)
    spans = [(4.2, 4.8), (0.2, 1), (0.6, 5), (0.6, 4.4), (5, 6.2), (70, 80)]
    *clips, beyond = cut(source, tmp_path, *spans)
    assert beyond["code"] == "cut_failed"
    for clip, (start, end) in zip(clips, spans, strict=False):
        assert stamps(clip) == [index for index in range(160) if start - 1e-4 <= index / rate < end - 1e-4]
    assert openings == [source]


def test_overlapping_spans_are_decoded_once(tmp_path, decoded):
    source = make_video(tmp_path / "a.mp4", 100, gop=1000)
    clips = cut(source, tmp_path, (0, 3), (1, 3), (1.5, 4), (2, 4))
    assert [clip["frames"] for clip in clips] == [75, 50, 62, 50]
    assert len(decoded) == 100


def test_long_gaps_are_sought_over(long_video, tmp_path, decoded):
    (clip,) = cut(long_video, tmp_path, (20, 21))
    assert seen(clip) == span_of_long_video(20, 21)
    alone = len(decoded)
    assert alone < 60
    decoded.clear()
    first, second, third = cut(long_video, tmp_path, (1, 2), (11.3, 12), (20, 21))
    assert seen(first) == span_of_long_video(1, 2)
    assert seen(second) == span_of_long_video(11.3, 12)
    assert seen(third) == span_of_long_video(20, 21)
    assert len(decoded) < 5 * alone


def test_a_video_with_one_key_frame_is_not_decoded_for_each_span(tmp_path, decoded):
    source = make_video(tmp_path / "a.mp4", 400, gop=1000)
    clips = cut(source, tmp_path, *((start, start + 0.4) for start in (3, 6, 9, 12, 15)))
    assert [stamps(clip)[0] for clip in clips] == [75, 150, 225, 300, 375]
    assert len(decoded) < 2 * 400


def test_facts_come_in_the_order_of_the_request(long_video, tmp_path):
    spans = [(12, 13), (0, 8), (5, 6), (90, 91), (2, 3)]
    clips = cut(long_video, tmp_path, *spans)  # asserts the order
    assert [clip.get("frames") for clip in clips] == [25, 200, 25, None, 25]


def test_signs_of_life_come_while_spans_wait(long_video, tmp_path):
    spans = [
        {"start_seconds": start, "end_seconds": end, "path": str(tmp_path / f"{end}.mp4")}
        for start, end in ((0, 10), (1, 2), (15, 16))
    ]
    items = [facts for facts, _ in cutting.cut({"path": long_video, "spans": spans})]
    assert items.count({}) >= 10
    assert [facts["index"] for facts in items if facts] == [0, 1, 2]


def test_a_faulty_span_among_overlapping_ones_fails_alone(long_video, tmp_path):
    spans = [
        {"start_seconds": 1, "end_seconds": 3, "path": str(tmp_path / "a.mp4")},
        {"start_seconds": 1.5, "end_seconds": 2, "path": str(tmp_path / "missing" / "b.mp4")},
        {"start_seconds": 2, "end_seconds": 4, "path": str(tmp_path / "c.mp4")},
    ]
    first, bad, third = (facts for facts, _ in cutting.cut({"path": long_video, "spans": spans}) if facts)
    assert bad["code"] == "cut_failed"
    assert "No such file" in bad["message"]
    assert seen({**first, "path": spans[0]["path"]}) == span_of_long_video(1, 3)
    assert seen({**third, "path": spans[2]["path"]}) == span_of_long_video(2, 4)


def test_spans_on_both_sides_of_damage(tmp_path):
    """What is decoded before the damage is kept, and so is what lies behind it, in one clip as in others."""
    whole = make_video(tmp_path / "whole.mp4", 500, gop=25)
    noise = np.random.default_rng(0)
    with av.open(whole) as original, av.open(str(tmp_path / "a.mp4"), "w") as output:
        copy = output.add_stream_from_template(original.streams.video[0])
        for packet in original.demux():
            if packet.size:
                times = {name: getattr(packet, name) for name in ("pts", "dts", "duration", "time_base", "is_keyframe")}
                if 8 <= packet.pts * packet.time_base < 9:
                    packet = av.Packet(noise.bytes(packet.size))
                    for name, value in times.items():
                        setattr(packet, name, value)
                packet.stream = copy
                output.mux(packet)
    before, over, behind = cut(tmp_path / "a.mp4", tmp_path, (1, 2), (7, 10), (15, 16))
    assert stamps(before) == list(range(25, 50))
    assert stamps(over) == [*range(175, 200), *range(225, 250)]
    assert over["end_seconds"] == 10
    assert stamps(behind) == list(range(375, 400))


def test_a_video_that_cannot_be_sought_is_read_from_the_beginning(long_video, tmp_path, monkeypatch):
    """No key frame is found wherever the seek leads, as in an index that lies."""

    def no_way(*_):
        raise seeking.NoWayError

    monkeypatch.setattr(seeking, "key_frame_before", no_way)
    first, second = cut(long_video, tmp_path, (8, 9), (20, 21))
    assert seen(first) == span_of_long_video(8, 9)
    assert seen(second) == span_of_long_video(20, 21)


#: Still for two seconds, moving for one, still for three, and moving to the end.
STILL = [0, *(2 + index / 25 for index in range(25)), *(6 + index / 25 for index in range(25))]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize(
    ("span", "first", "last", "shown_times"),
    [
        ((1, 2.2), 0, 5, [0, *(1 + index / 25 for index in range(5))]),
        ((0.5, 1.5), 0, 0, [0]),
        ((2.8, 5), 21, 25, [index / 25 for index in range(5)]),
        ((3.5, 6.2), 25, 30, [0, *(2.5 + index / 25 for index in range(5))]),
        ((2, 2.2), 1, 5, [index / 25 for index in range(5)]),
        ((2.21, 2.4), 7, 10, [index / 25 for index in range(4)]),
    ],
    ids=["held first", "held alone", "held last", "held after motion", "at a frame", "between close frames"],
)
def test_a_still_picture_is_held_to_the_edges_of_a_span(tmp_path, name, span, first, last, shown_times):
    source = make_video(tmp_path / name, len(STILL), times=STILL)
    (clip,) = cut(source, tmp_path, span)
    assert stamps(clip) == list(range(first, last + 1))
    assert times(clip) == pytest.approx(shown_times, abs=0.0015)
    is_held = first in (0, 25)
    assert clip["start_seconds"] == pytest.approx(span[0] if is_held else STILL[first], abs=0.0015)
    after = STILL[last + 1]
    until = after if after < span[1] + 0.1 else span[1]
    assert clip["end_seconds"] == pytest.approx(until, abs=0.0015)
    assert clip["duration_seconds"] == pytest.approx(clip["end_seconds"] - clip["start_seconds"], abs=0.0015)


@pytest.mark.parametrize("seed", range(6))
def test_a_clip_lasts_as_long_as_its_frames_are_shown(tmp_path, seed):
    """B-frames, a varying rate: the durations that the container stores are those of decoding."""
    chance = np.random.default_rng(seed)
    gaps = np.cumsum(chance.choice([0.02, 0.04, 0.1, 0.3, 1.5], 60, p=[0.3, 0.3, 0.2, 0.15, 0.05])).round(3)
    shown = (gaps - gaps[0]).tolist()
    source = make_video(tmp_path / "a.mkv", 60, times=gaps.tolist())
    spans = sorted(tuple(sorted(chance.uniform(0, shown[-1], 2))) for _ in range(6))
    for clip in cut(source, tmp_path, *spans):
        if "code" not in clip:  # of a span so short that no frame begins in it
            length = clip["end_seconds"] - clip["start_seconds"]
            assert clip["duration_seconds"] == pytest.approx(length, abs=0.0015)
            with av.open(clip["path"]) as container:
                assert container.duration / 1e6 == pytest.approx(length, abs=0.0015)


@pytest.mark.parametrize(
    ("size", "height", "expected"),
    [
        ((192, 108), 54, (96, 54)),
        ((192, 108), 108, (192, 108)),
        ((192, 108), 720, (192, 108)),
        ((193, 109), 72, (128, 72)),
        ((240, 100), 90, (216, 90)),
    ],
    ids=["half", "the same", "not enlarged", "odd", "uneven"],
)
def test_height(tmp_path, size, height, expected):
    source = make_video(tmp_path / "a.mkv", 30, size=size, codec="ffv1", pixel_format="yuv444p", bframes=0)
    (clip,) = cut(source, tmp_path, (0.2, 0.8), height=height)
    assert (clip["width"], clip["height"]) == expected
    assert stamps(clip) == list(range(5, 20))


def test_height_is_that_of_the_picture_as_shown(tmp_path):
    source = turn(make_video(tmp_path / "a.mp4", 20, picture=corner), (0, 1, -1, 0))
    (clip,) = cut(source, tmp_path, (0, 0.4), height=96)
    assert (clip["width"], clip["height"]) == (54, 96)


def test_sound_begins_with_the_picture(tmp_path):
    """To within 25 ms, as the source has it."""
    source = make_video(tmp_path / "a.mp4", 200, audio=True, tone_at=5.0, gop=200)
    heard, _ = onset(source)
    spans = [(0, 6), (1.23, 7), (4.5, 5.5), (4.5, 5.51)]
    for clip in cut(source, tmp_path, *spans):
        begins, _ = onset(clip["path"])
        assert begins + clip["start_seconds"] == pytest.approx(heard, abs=0.025)


@pytest.mark.parametrize("codec", ["aac", "ac3", "alac", "pcm_s16le", "libopus"])
def test_sound_does_not_depend_on_what_was_cut_before(tmp_path, codec):
    """Decoders keep state over a seek."""
    source = make_video(tmp_path / "a.mkv", 200, audio=True, audio_codec=codec)
    (alone,) = cut(source, tmp_path, (4, 6))
    content = Path(alone["path"]).read_bytes()
    _, _, together = cut(source, tmp_path, (0, 5), (3, 4), (4, 6))
    assert alone["has_audio"]
    assert Path(together["path"]).read_bytes() == content


def test_sound_lies_beside_the_picture_in_the_file(long_video, tmp_path):
    (clip,) = cut(long_video, tmp_path, (2, 18))
    with av.open(clip["path"]) as container:
        packets = [packet for packet in container.demux() if packet.size]
        order = sorted((packet.pos, packet.stream.type, float(packet.dts * packet.time_base)) for packet in packets)
    latest = {"video": 0.0, "audio": 0.0}
    for _, kind, seconds in order:
        latest[kind] = seconds
        assert abs(latest["video"] - latest["audio"]) < 0.5


@pytest.mark.parametrize("width", [320, 640])
def test_the_same_bytes_come_from_any_number_of_threads_that_are_there(tmp_path, width):
    source = make_video(tmp_path / "a.mp4", 60, size=(width, width * 9 // 16))
    first, second = cut(source, tmp_path, (0.2, 2), (0.2, 2))
    assert Path(first["path"]).read_bytes() == Path(second["path"]).read_bytes()


class Forgetful(encoder.FrameEncoder):
    """Loses the tenth frame."""

    def encode(self, fitted, seconds, until_seconds):
        self.count = getattr(self, "count", 0) + 1
        return iter(()) if self.count == 10 else super().encode(fitted, seconds, until_seconds)


def test_a_lost_frame_is_found_by_reading_the_clip_back(tmp_path, monkeypatch):
    source = make_video(tmp_path / "a.mp4", 50)
    monkeypatch.setattr(encoder, "FrameEncoder", Forgetful)
    (clip,) = cut(source, tmp_path, (0, 1))
    assert clip["code"] == "cut_failed"
    assert clip["message"] == "the clip is not what was put into it: 24 frames, expected 25"
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


RIGHT = {
    "start_seconds": 1.0,
    "end_seconds": 3.0,
    "frames": 50,
    "sound_seconds": 0.0,
    "poster": False,
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, None),
        ({"frames": 51}, "50 frames, expected 51"),
        ({"end_seconds": 3.1}, "2.000 s long, expected 2.100 s"),
        ({"end_seconds": 3.04}, None),
        ({"sound_seconds": None}, "streams ['video', 'audio'], expected ['video']"),
        ({"sound_seconds": 0.03}, "the sound begins at 0.000 s, expected 0.030 s"),
        ({"frames": 1, "end_seconds": 9.0}, "50 frames, expected 1; 2.000 s long, expected 8.000 s"),
    ],
)
def test_what_differs_is_told(long_video, tmp_path, change, message):
    (clip,) = cut(long_video, tmp_path, (1, 3))
    span = outcomes.Span(0, 1.0, 3.0, clip["path"], 2.0)
    facts = outcomes.fields_of(outcomes.Outcome(span, outcomes.Written(**{**RIGHT, **change})))
    if message is None:
        assert facts["frames"] == 50
    else:
        assert facts == {
            "index": 0,
            "code": "cut_failed",
            "message": f"the clip is not what was put into it: {message}",
        }


def test_a_clip_that_does_not_begin_with_a_key_frame_is_refused(long_video, tmp_path):
    (clip,) = cut(long_video, tmp_path, (1, 3))
    with av.open(clip["path"]) as original, av.open(str(tmp_path / "late.mp4"), "w") as output:
        copy = output.add_stream_from_template(original.streams.video[0], opaque=True)
        for packet in [packet for packet in original.demux(video=0) if packet.size][1:]:
            packet.stream = copy
            output.mux(packet)
    span = outcomes.Span(0, 1.0, 3.0, str(tmp_path / "late.mp4"), 2.0)
    facts = outcomes.fields_of(outcomes.Outcome(span, outcomes.Written(**{**RIGHT, "sound_seconds": None})))
    assert facts["code"] == "cut_failed"
    assert "first frame cannot be decoded" in facts["message"] or "key frame" in facts["message"]


def test_what_is_no_clip_is_refused(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"nothing")
    span = outcomes.Span(3, 1.0, 3.0, str(tmp_path / "a.mp4"), 2.0)
    facts = outcomes.fields_of(outcomes.Outcome(span, outcomes.Written(**RIGHT)))
    assert (facts["index"], facts["code"]) == (3, "cut_failed")


def test_an_unknown_mode_is_a_bug(long_video, tmp_path):
    with pytest.raises(ValueError, match="mode is 'fast', expected exact or copy"):
        list(cutting.cut({"path": long_video, "mode": "fast", "spans": []}))


def test_a_video_without_sound_has_no_flag(tmp_path):
    source = make_video(tmp_path / "a.mkv", 50)
    (clip,) = cut(source, tmp_path, (0, 1))
    assert (clip["has_audio"], clip["flags"]) == (False, [])
