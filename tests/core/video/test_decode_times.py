"""Decoding: the right frames with the right times, whatever the container and the sampling."""

import io
from fractions import Fraction

import numpy as np
import pytest

from clipscout.transforms.core.video import decode
from tests.decoded import NATIVE, Decoded, near, probe
from tests.media_maker import make_video, remux

#: Irregular, with a long gap; starts late.
UNEVEN = [2.0, 2.04, 2.2, 2.21, 3.0, 3.5, 3.52, 7.0, 7.04, 7.3, 7.301, 9.0]

REGULAR = {
    "mp4": ("a.mp4", {}),
    "mp4 without B-frames": ("a.mp4", {"bframes": 0}),
    "mp4 with many B-frames": ("a.mp4", {"bframes": 8, "options": {"b-adapt": "0", "b-pyramid": "normal"}, "gop": 60}),
    "mp4 one key frame": ("a.mp4", {"gop": 1000}),
    "mp4 mpeg4": ("a.mp4", {"codec": "mpeg4"}),
    "mp4 ntsc": ("a.mp4", {"rate": Fraction(30000, 1001)}),
    "mov": ("a.mov", {}),
    "mkv": ("a.mkv", {}),
    "mkv ffv1": ("a.mkv", {"codec": "ffv1"}),
    "webm vp8": ("a.webm", {"codec": "libvpx"}),
    "webm vp9": ("a.webm", {"codec": "libvpx-vp9"}),
    "mpegts": ("a.ts", {}),
    "mpegts mpeg2": ("a.ts", {"codec": "mpeg2video"}),
    "mpeg program stream": ("a.mpg", {"codec": "mpeg1video", "container": "mpeg"}),
    "flv": ("a.flv", {}),
    "wmv": ("a.wmv", {"codec": "wmv2", "bframes": 0}),
    "avi without B-frames": ("a.avi", {"codec": "mpeg4", "bframes": 0}),
    "sound beside it": ("a.mp4", {"audio": True}),
}


@pytest.mark.parametrize(("name", "how"), REGULAR.values(), ids=REGULAR)
def test_regular_videos_have_the_times_of_their_frames(tmp_path, name, how):
    decoded = Decoded(make_video(tmp_path / name, 60, **how))
    assert decoded.stamps == decoded.indices == list(range(60))
    assert decoded.times == near(index / how.get("rate", 25) for index in range(60))
    assert decoded.report["frames_decoded"] == 60
    assert decoded.report["decoded_seconds"] == pytest.approx(60 / how.get("rate", 25), abs=0.002)
    assert decoded.report["flags"] == []


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.flv"])
def test_uneven_times_are_kept(tmp_path, name):
    decoded = Decoded(make_video(tmp_path / name, len(UNEVEN), times=UNEVEN))
    assert decoded.stamps == list(range(len(UNEVEN)))
    assert decoded.times == near(time - UNEVEN[0] for time in UNEVEN)
    assert decoded.report["flags"] == []


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_times_count_from_the_start_of_the_stream(tmp_path, name):
    start = 22954.0
    decoded = Decoded(make_video(tmp_path / name, 30, times=[start + index / 25 for index in range(30)]))
    assert decoded.times == near(index / 25 for index in range(30))
    assert decoded.stamps == list(range(30))
    assert decoded.report["flags"] == []
    assert probe(str(tmp_path / name))["duration_seconds"] == pytest.approx(1.2, abs=0.05)


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_avi_with_b_frames_ascends_in_the_right_order(tmp_path, codec):
    """AVI stores no presentation times: FFmpeg's guesses for B-frames are permuted."""
    decoded = Decoded(make_video(tmp_path / "a.avi", 60, codec=codec, bframes=2))
    assert decoded.stamps == list(range(60))
    assert (np.diff(decoded.times) > 0).all()
    assert np.diff(decoded.times) == near([1 / 25] * 59)
    assert 0 <= decoded.times[0] <= 2 / 25


def test_a_video_without_duration_is_no_truncated_one(tmp_path):
    class Pipe(io.RawIOBase):
        """Takes bytes and cannot go back."""

        def __init__(self):
            super().__init__()
            self.content = bytearray()

        def writable(self):
            return True

        def write(self, data):
            self.content += data
            return len(data)

    pipe = Pipe()
    remux(make_video(tmp_path / "whole.mkv", 60), pipe, "matroska")
    (tmp_path / "a.mkv").write_bytes(pipe.content)
    assert probe(str(tmp_path / "a.mkv"))["duration_seconds"] == pytest.approx(2.4)
    decoded = Decoded(str(tmp_path / "a.mkv"))
    assert decoded.stamps == list(range(60))
    assert (decoded.report["frames_decoded"], decoded.report["flags"]) == (60, [])
    assert decoded.report["decoded_seconds"] == pytest.approx(2.4, abs=0.001)


@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.mkv"])
@pytest.mark.parametrize("stride", [1, 2, 7])
def test_stride(tmp_path, name, stride):
    decoded = Decoded(make_video(tmp_path / name, 50), {"frame_stride": stride})
    assert decoded.stamps == decoded.indices == list(range(0, 50, stride))
    assert decoded.times == near(index / 25 for index in range(0, 50, stride))
    assert decoded.report["frames_decoded"] == 50


@pytest.mark.parametrize(
    ("fps", "times", "expected"),
    [
        (5, None, list(range(0, 50, 5))),
        (10, None, [0, 3, 5, 8, 10, 13, 15, 18, 20, 23, 25, 28, 30, 33, 35, 38, 40, 43, 45, 48]),
        (1, UNEVEN, [0, 4, 7, 11]),
        (100, UNEVEN, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11]),
    ],
    ids=["divides", "does not divide", "gaps", "nearly every frame"],
)
@pytest.mark.parametrize("name", ["a.mp4", "a.ts"])
def test_fps(tmp_path, name, fps, times, expected):
    count = len(times) if times else 50
    decoded = Decoded(make_video(tmp_path / name, count, times=times), {"fps": fps})
    assert decoded.stamps == decoded.indices == expected
    start = times[0] if times else 0
    assert decoded.times == near((times[i] - start if times else i / 25) for i in expected)


@pytest.mark.parametrize(("batch_frames", "expected"), [(1, [1] * 7), (3, [3, 3, 1]), (7, [7]), (64, [7])])
def test_batches_are_full_and_never_larger(tmp_path, batch_frames, expected):
    assert Decoded(make_video(tmp_path / "a.mp4", 7), batch_frames=batch_frames).batches == expected


def test_signs_of_life_come_without_samples(tmp_path):
    path = make_video(tmp_path / "a.mp4", 1100, size=(48, 32), options={"preset": "ultrafast"})
    request = {"path": path, "sampling": {"frame_stride": 2000}, "frame_settings": NATIVE, "batch_frames": 4}
    items = [facts for facts, _ in decode.samples(request)]
    assert items.count({}) == 2
