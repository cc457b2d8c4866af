"""Cutting: first and last frame right, sound in sync, upright, playable at once."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.media_maker import (
    make_resized,
    make_sound,
    make_video,
    patch,
    read_video,
    remux,
    stamp_of,
    turn,
)
from transforms.core import cutting, decode
from transforms.core.child import Child, Limits

FRAMES = 150
QUICK_VP8 = {"deadline": "realtime", "cpu-used": "8"}


def cut(source, folder, *spans):
    """Cuts spans and returns the facts of each, with its path."""
    wanted = [
        {"start_seconds": start, "end_seconds": end, "path": str(folder / f"clip{place}.mp4")}
        for place, (start, end) in enumerate(spans)
    ]
    items = [facts for facts, _ in cutting.cut({"path": str(source), "spans": wanted}) if facts]
    assert [facts["index"] for facts in items] == list(range(len(spans)))
    return [{**facts, "path": span["path"]} for facts, span in zip(items, wanted, strict=True)]


def stamps(clip):
    assert "code" not in clip, clip
    return [stamp_of(picture) for _, picture in read_video(clip["path"])]


def times(clip):
    return [time for time, _ in read_video(clip["path"])]


def samples_of(path):
    """Returns stamps and times as the scoring sees them."""
    request = {"path": path, "sampling": {"frame_stride": 1}, "frame_rule": {"mode": "native"}, "batch_frames": 64}
    found = []
    for facts, payload in decode.samples(request):
        if "times" in facts:
            pictures = np.frombuffer(payload, np.uint8).reshape(facts["shape"])
            found += zip(facts["times"], (stamp_of(picture) for picture in pictures), strict=True)
    return found


SOURCES = {
    "mp4": ("a.mp4", {}),
    "mp4 one key frame": ("a.mp4", {"gop": 1000}),
    "mp4 many B-frames": ("a.mp4", {"bframes": 8, "options": {"b-adapt": "0"}, "gop": 60}),
    "mp4 late start": ("a.mp4", {"times": [5 + index / 25 for index in range(100)]}),
    "mkv": ("a.mkv", {}),
    "mkv one key frame": ("a.mkv", {"gop": 1000}),
    "mkv late start": ("a.mkv", {"times": [5 + index / 25 for index in range(100)]}),
    "webm": ("a.webm", {"codec": "libvpx", "gop": 100, "options": QUICK_VP8}),
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
    source = make_video(tmp_path / "a.avi", FRAMES, codec=codec, gop=100)
    spans = [(0, 1), (2.4, 4.4), (5.5, 6)]
    clips = cut(source, tmp_path, *spans)
    for clip, (start, end) in zip(clips, spans, strict=True):
        assert stamps(clip) == [stamp for time, stamp in samples_of(source) if start <= time + 1e-4 < end]


#: Irregular, with long gaps.
UNEVEN = np.cumsum(np.random.default_rng(1).choice([0.02, 0.04, 0.1, 0.3], 60)).round(3).tolist()


def nominal_seconds(path):
    """Returns the duration of a frame as the file tells it."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        return 1 / float(stream.average_rate or stream.guessed_rate)


@pytest.mark.parametrize("gop", [8, 1000], ids=["short", "one key frame"])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_variable_frame_rate_keeps_its_times(tmp_path, name, gop):
    source = make_video(tmp_path / name, len(UNEVEN), times=UNEVEN, gop=gop)
    shown = [time - UNEVEN[0] for time in UNEVEN]
    frame = nominal_seconds(source)
    spans = [(0, 1.01), (1.01, 3.01), (2.555, 4.055), (shown[30], shown[40])]
    for clip, (start, end) in zip(cut(source, tmp_path, *spans), spans, strict=True):
        inside = [place for place, time in enumerate(shown) if start - 1e-4 <= time < end - 1e-4]
        before, first = shown[inside[0] - 1], shown[inside[0]]
        zero = first
        if first > start + 1e-4 and first - before > 1.5 * frame:  # the frame before is still shown
            inside.insert(0, inside[0] - 1)
            zero = start
        assert stamps(clip) == inside
        assert times(clip) == pytest.approx([max(0, shown[place] - zero) for place in inside], abs=0.0015)
        last, after = shown[inside[-1]], shown[inside[-1] + 1]
        until = min(after, max(end, last + frame))
        assert (clip["start_seconds"], clip["end_seconds"]) == pytest.approx((zero, until), abs=0.0015)
        assert clip["duration_seconds"] == pytest.approx(until - zero, abs=0.0015)


def onset(path):
    """Returns the second at which the tone begins, and the seconds of sound."""
    with av.open(path) as container:
        frames = list(container.decode(audio=0))
        start = frames[0].time
        sound = np.concatenate([frame.to_ndarray()[0] for frame in frames])
        return start + np.argmax(np.abs(sound) > 0.1) / 48_000, len(sound) / 48_000


SOUNDS = {
    "mp4": ("a.mp4", {}),
    "mp4 late start": ("a.mp4", {"times": [5 + index / 25 for index in range(FRAMES)]}),
    "mkv flac": ("a.mkv", {"audio_codec": "flac"}),
    "mkv late start": ("a.mkv", {"times": [5 + index / 25 for index in range(FRAMES)]}),
    "webm opus": ("a.webm", {"codec": "libvpx", "audio_codec": "libopus", "options": QUICK_VP8}),
    "mpegts": ("a.ts", {}),
    "mpegts late start": ("a.ts", {"times": [1000 + index / 25 for index in range(FRAMES)]}),
    "avi mp3": ("a.avi", {"codec": "mpeg4", "bframes": 0, "audio_codec": "libmp3lame"}),
    "avi pcm": ("a.avi", {"codec": "mpeg4", "bframes": 0, "audio_codec": "pcm_s16le"}),
}


@pytest.mark.parametrize(("name", "how"), SOUNDS.values(), ids=SOUNDS)
def test_sound_stays_in_sync(tmp_path, name, how):
    source = make_video(tmp_path / name, FRAMES, audio=True, tone_at=3.0, **how)
    first, second, third = cut(source, tmp_path, (0, 5), (2, 5), (2.6, 3.4))
    for clip, start, length in ((first, 0, 5), (second, 2, 3), (third, 2.6, 0.8)):
        assert clip["has_audio"]
        begins, seconds = onset(clip["path"])
        assert begins == pytest.approx(3 - start, abs=0.045)
        assert seconds == pytest.approx(length, abs=0.06)


def test_sound_is_that_of_the_span(tmp_path):
    source = make_video(tmp_path / "a.mp4", FRAMES, audio=True, tone_at=3.0)
    (before, after) = cut(source, tmp_path, (0, 2.5), (3.5, 5))
    for clip, loudness in ((before, 0.0), (after, 0.3 / 2**0.5)):
        with av.open(clip["path"]) as container:
            assert container.streams.audio[0].codec_context.name == "aac"
            sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
        assert np.sqrt((sound[4800:-4800] ** 2).mean()) == pytest.approx(loudness, abs=0.02)


def test_a_span_without_sound_is_cut_all_the_same(tmp_path):
    """The sound of the file ends before the span."""
    pictures, sounds = make_video(tmp_path / "v.mkv", FRAMES), make_sound(tmp_path / "s.mkv")
    with av.open(pictures) as picture, av.open(sounds) as sound, av.open(str(tmp_path / "a.mkv"), "w") as output:
        copies = [output.add_stream_from_template(part.streams[0]) for part in (picture, sound)]
        for part, copy in zip((picture, sound), copies, strict=True):
            for packet in part.demux():
                if packet.size:
                    packet.stream = copy
                    output.mux(packet)
    whole, end = cut(tmp_path / "a.mkv", tmp_path, (1, 3), (4, 5))
    assert stamps(whole) == list(range(25, 75))
    assert whole["has_audio"]
    assert stamps(end) == list(range(100, 125))
    assert not end["has_audio"]


def boxes(path):
    """Returns the names of an mp4's top-level boxes in order."""
    content = Path(path).read_bytes()
    found, place = [], 0
    while place < len(content):
        found.append(content[place + 4 : place + 8].decode())
        place += int.from_bytes(content[place : place + 4], "big")
    return found


def test_clips_play_at_once_everywhere(tmp_path):
    source = make_video(tmp_path / "a.webm", 60, codec="libvpx", audio=True, audio_codec="libopus")
    (clip,) = cut(source, tmp_path, (0.5, 2))
    order = boxes(clip["path"])
    assert order.index("moov") < order.index("mdat")
    with av.open(clip["path"]) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (sound.codec_context.name, sound.codec_context.sample_rate) == ("aac", 48_000)
        assert video.start_time == 0


@pytest.mark.parametrize(
    ("codec", "pixel_format", "name", "size", "expected"),
    [
        ("ffv1", "yuv444p", "a.mkv", (193, 109), (192, 108)),
        ("libvpx", "yuv420p", "a.webm", (193, 108), (192, 108)),
        ("libx264", "yuv444p", "a.mp4", (192, 109), (192, 108)),
        ("libx264", "yuv420p10le", "a.mp4", (192, 108), (192, 108)),
        ("gif", "rgb8", "a.gif", (193, 109), (192, 108)),
        ("ffv1", "gray", "a.mkv", (192, 108), (192, 108)),
    ],
    ids=["both odd", "odd width", "odd height", "10 bit", "gif", "grey"],
)
def test_every_size_and_pixel_format_becomes_playable(tmp_path, codec, pixel_format, name, size, expected):
    source = make_video(tmp_path / name, 20, size=size, codec=codec, pixel_format=pixel_format, bframes=0, rate=20)
    (clip,) = cut(source, tmp_path, (0.2, 0.8))
    assert (clip["width"], clip["height"]) == expected
    assert stamps(clip) == list(range(4, 16))


def test_one_pixel_high_is_made_two(tmp_path):
    source = make_video(
        tmp_path / "a.mkv", 5, size=(16, 1), codec="ffv1", pixel_format="yuv444p", bframes=0,
        picture=lambda index: np.full((1, 16, 3), 90, np.uint8),
    )  # fmt: skip
    (clip,) = cut(source, tmp_path, (0, 0.2))
    assert (clip["width"], clip["height"], clip["frames"]) == (16, 2, 5)


def test_pixels_become_square(tmp_path):
    def set_aspect(_, stream):
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    source = make_video(tmp_path / "a.mp4", 25, configure=set_aspect)
    (clip,) = cut(source, tmp_path, (0, 1))
    assert (clip["width"], clip["height"]) == (256, 108)
    with av.open(clip["path"]) as container:
        assert container.streams.video[0].sample_aspect_ratio in (None, 1)
    assert stamps(clip) == list(range(25))


def corner(index, width=192, height=108):
    """Grey, with a red top left corner."""
    picture = np.full((height, width, 3), 90, np.uint8)
    picture[: height // 3, : width // 3] = (200, 30, 30)
    return picture


TURNS = {
    "0": ((1, 0, 0, 1), (192, 108), "top left"),
    "90": ((0, 1, -1, 0), (108, 192), "top right"),
    "180": ((-1, 0, 0, -1), (192, 108), "bottom right"),
    "270": ((0, -1, 1, 0), (108, 192), "bottom left"),
    "mirrored": ((-1, 0, 0, 1), (192, 108), "top right"),
    "upside down": ((1, 0, 0, -1), (192, 108), "bottom left"),
}


@pytest.mark.parametrize(("matrix", "size", "expected"), TURNS.values(), ids=TURNS)
def test_clips_are_upright(tmp_path, matrix, size, expected):
    source = turn(make_video(tmp_path / "a.mp4", 10, picture=corner), matrix)
    (clip,) = cut(source, tmp_path, (0, 0.4))
    assert (clip["width"], clip["height"], clip["frames"]) == (*size, 10)
    picture = read_video(clip["path"])[5][1].astype(int)
    red = picture[..., 0] > picture[..., 1] + 60
    high, wide = red.shape[0] // 4, red.shape[1] // 4
    found = {
        "top left": red[:high, :wide].mean(),
        "top right": red[:high, -wide:].mean(),
        "bottom left": red[-high:, :wide].mean(),
        "bottom right": red[-high:, -wide:].mean(),
    }
    assert [name for name, share in found.items() if share > 0.9] == [expected]


@pytest.mark.parametrize(
    ("colour_range", "colour_space", "pixel_format"),
    [(1, 1, "yuv420p"), (1, 5, "yuv420p"), (2, 1, "yuvj420p"), (2, 5, "yuvj420p"), (1, 1, "yuv444p")],
    ids=["bt709", "bt601", "bt709 full range", "bt601 full range", "bt709 444"],
)
def test_colours_are_those_of_the_source(tmp_path, colour_range, colour_space, pixel_format):
    """As a player shows both: by the colour space and range that each file tells."""
    wanted = np.array([200, 120, 40])
    with av.open(str(tmp_path / "a.mp4"), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": "8"})
        stream.width, stream.height, stream.pix_fmt = 192, 108, pixel_format
        stream.codec_context.color_range, stream.codec_context.colorspace = colour_range, colour_space
        for index in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((108, 192, 3), wanted, np.uint8), format="rgb24")
            frame = frame.reformat(format=pixel_format, dst_colorspace=colour_space, dst_color_range=colour_range)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    (clip,) = cut(tmp_path / "a.mp4", tmp_path, (0, 0.4))

    def shown(path):
        with av.open(str(path)) as container:
            return next(container.decode(video=0)).to_ndarray(format="rgb24").mean(axis=(0, 1))

    assert shown(tmp_path / "a.mp4") == pytest.approx(wanted, abs=4)  # the source is what it should be
    assert shown(clip["path"]) == pytest.approx(wanted, abs=4)


def test_sizes_may_change_mid_stream(tmp_path):
    source = make_resized(tmp_path / "a.ts", 50)
    (clip,) = cut(source, tmp_path, (0, 3))
    assert stamps(clip) == list(range(75))
    assert (clip["width"], clip["height"]) == (192, 108)


def sound_of_noise(folder):
    return remux(make_video(folder / "whole.mp4", FRAMES, audio=True), folder / "a.mp4", damage="audio")


def sound_of_no_known_codec(folder):
    return patch(make_video(folder / "whole.mkv", FRAMES, audio=True), folder / "a.mkv", b"A_AAC", b"A_XYZ")


@pytest.mark.parametrize("make", [sound_of_noise, sound_of_no_known_codec])
def test_sound_that_cannot_be_decoded_is_dropped_and_flagged(tmp_path, make):
    (clip,) = cut(make(tmp_path), tmp_path, (2, 5))
    assert stamps(clip) == list(range(50, 125))
    assert (clip["has_audio"], clip["flags"]) == (False, ["audio_dropped"])
    with av.open(clip["path"]) as container:
        assert [stream.type for stream in container.streams] == ["video"]


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
    assert Path(clips[2]["path"]).read_bytes() == Path(clips[3]["path"]).read_bytes()


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


def test_the_child_cuts(tmp_path):
    source = make_video(tmp_path / "a.mp4", 50, audio=True)
    spans = [{"start_seconds": 0.4, "end_seconds": 1.6, "path": str(tmp_path / "clip.mp4")}]
    child = Child(Limits())
    (message,) = (one for one in child.call("cutting:cut", {"path": source, "spans": spans}) if one.facts)
    child.close()
    assert message.facts == {
        "index": 0,
        "start_seconds": pytest.approx(0.4),
        "end_seconds": pytest.approx(1.6),
        "duration_seconds": pytest.approx(1.2, abs=0.002),
        "frames": 30,
        "width": 192,
        "height": 108,
        "has_audio": True,
        "poster": False,
        "flags": [],
    }
    assert [stamp_of(picture) for _, picture in read_video(tmp_path / "clip.mp4")] == list(range(10, 40))
