"""What a damaged container lost costs what it lost: what follows is decoded, and the missing seconds are told."""

import math
import random
from itertools import pairwise

import pytest

from clipscout.transforms.core.video import decode
from clipscout.transforms.core.video.gaps import Gaps
from tests.media_maker import make_video

CASES = [
    ("mkv", "libx264"),
    ("webm", "libvpx"),
    ("webm", "libvpx-vp9"),
    ("ts", "libx264"),
    ("mpg", "mpeg2video"),
    ("flv", "libx264"),
    ("mp4", "libx264"),
]
HARM = {
    "zeroed": lambda content, start, end: content[:start] + bytes(end - start) + content[end:],
    "random": lambda content, start, end: content[:start] + random.Random(1).randbytes(end - start) + content[end:],
    "cut out": lambda content, start, end: content[:start] + content[end:],
}


def decoded(path, **more):
    """Returns times of the samples and the report."""
    frame = {"mode": "squash", "width": 16, "height": 16}
    request = {"path": str(path), "sampling": {"fps": 5}, "frame_settings": frame, "batch_frames": 8, **more}
    found = [fields for fields, _ in decode.samples(request)]
    return [time for fields in found for time in fields.get("times", ())], found[-1]["report"]


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize(("ending", "codec"), CASES, ids=[f"{ending}-{codec}" for ending, codec in CASES])
def test_what_follows_a_damaged_stretch_is_decoded_and_what_is_missing_is_told(ending, codec, harm, tmp_path):
    path = tmp_path / f"a.{ending}"
    make_video(path, 200, rate=10, codec=codec, gop=20)
    whole, report = decoded(path)
    assert (report["flags"], report["lost_seconds"]) == ([], 0)
    content = path.read_bytes()
    if ending == "mp4" and harm == "cut out":
        return  # its index names places that are others now
    path.write_bytes(HARM[harm](content, len(content) * 45 // 100, len(content) * 55 // 100))
    times, report = decoded(path)
    assert "damaged" in report["flags"]
    assert whole[-1] - 1 < times[-1]
    missing = sum(max(0.0, later - time - 0.2) for time, later in pairwise(times))
    assert 1 < missing < 10
    assert report["lost_seconds"] == pytest.approx(missing, abs=0.9)


def test_a_picture_that_stays_is_no_damage(tmp_path):
    times = [index / 10 for index in range(50)] + [9 + index / 10 for index in range(50)]
    for ending in ("mkv", "mp4", "webm", "flv"):
        codec = "libvpx" if ending == "webm" else "libx264"
        make_video(tmp_path / f"a.{ending}", 100, rate=10, times=times, codec=codec)
        _, report = decoded(tmp_path / f"a.{ending}")
        assert (report["flags"], report["lost_seconds"]) == ([], 0), ending


def test_segments_tell_together_what_the_whole_tells(tmp_path):
    path = tmp_path / "a.mkv"
    make_video(path, 200, rate=10, gop=10)
    content = path.read_bytes()
    path.write_bytes(HARM["zeroed"](content, len(content) * 45 // 100, len(content) * 55 // 100))
    _, whole = decoded(path)
    ranges = [(0, 5), (5, 9.5), (9.5, 14), (14, None)]
    parts = [decoded(path, start_seconds=start, end_seconds=end)[1] for start, end in ranges]
    assert sum(part["lost_seconds"] for part in parts) == pytest.approx(whole["lost_seconds"], abs=0.7)
    assert "damaged" in {flag for part in parts for flag in part["flags"]}


def test_key_frames_are_far_from_each_other_and_nothing_is_missing(tmp_path):
    make_video(tmp_path / "a.mkv", 100, rate=10, gop=50)
    _, report = decoded(tmp_path / "a.mkv", sampling={"keyframes": True})
    assert (report["flags"], report["lost_seconds"]) == (["shots_unknown"], 0)


def test_of_a_gap_the_part_within_a_range_counts():
    frames = [(0, 0.1), (1.5, 1.6), (3, 3.1), (3.5, 3.6), (5, 5.1)]
    found = []
    for start, end in [(0, math.inf), (0, 2), (2, 4), (4, math.inf), (5.05, 6)]:
        gaps = Gaps(start, end)
        for frame in frames:
            gaps.add(*frame)
        found.append(gaps.seconds)
    assert found == pytest.approx([4.2, 1.8, 1.4, 1, 0])
