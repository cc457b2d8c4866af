"""A long video in segments gives the samples of the whole, to the pixel."""

from itertools import pairwise

import numpy as np
import pytest

from clipscout.transforms.core.video import decode
from clipscout.transforms.core.video.sampling import can_split, segments
from tests.media_maker import make_video

RULE = {"mode": "squash", "width": 96, "height": 54}
FILES = {
    "mp4 with B-frames": ("a.mp4", {"gop": 12, "bframes": 3}),
    "mp4 with few key frames": ("b.mp4", {"gop": 250}),
    "mp4 of variable rate": ("c.mp4", {"times": [i / 25 + (i // 7) * 0.11 for i in range(200)]}),
    "mkv": ("d.mkv", {}),
    "webm": ("e.webm", {"codec": "libvpx"}),
}
WAYS = {
    "stride": {"frame_stride": 3},
    "2 per second": {"fps": 2},
    "more per second than there are": {"fps": 60},
    "key frames": {"keyframes": True},
}


def all_samples(path, sampling, ranges):
    times, indices, frames, decoded = [], [], [], 0
    for start, end in ranges:
        request = {"path": path, "sampling": sampling, "frame_settings": RULE, "batch_frames": 16}
        for facts, payload in decode.samples({**request, "start_seconds": start, "end_seconds": end}):
            if "times" in facts:
                times += facts["times"]
                indices += facts["frame_indices"]
                frames.append(np.frombuffer(payload, np.uint8).reshape(facts["shape"]).copy())
            elif "report" in facts:
                decoded += facts["report"]["frames_decoded"]
    return np.array(times), np.array(indices), np.concatenate(frames), decoded


# VP8 has packets that are no frames: by index it is not split, which can_split says
CASES = [(kind, way) for kind in FILES for way in WAYS if (kind, way) != ("webm", "stride")]


@pytest.mark.parametrize(("kind", "way"), CASES, ids=[f"{kind}, {way}" for kind, way in CASES])
def test_segments_give_the_samples_of_the_whole(tmp_path, kind, way):
    name, settings = FILES[kind]
    sampling = WAYS[way]
    path = make_video(tmp_path / name, 200, **settings)
    whole = all_samples(path, sampling, [(0.0, None)])
    for length in (1.7, 3.0):
        ranges = segments(10.0, length)
        assert len(ranges) > 3
        split = all_samples(path, sampling, ranges)
        np.testing.assert_array_equal(split[0], whole[0])
        np.testing.assert_array_equal(split[2], whole[2])
        known = split[1] >= 0
        np.testing.assert_array_equal(split[1][known], whole[1][known])
        assert known.all() or way != "stride"
        if way != "key frames":
            assert split[3] == whole[3] == 200


def test_what_is_split():
    assert can_split("mov,mp4,m4a,3gp,3g2,mj2", "h264", by_index=True)
    assert can_split("matroska,webm", "vp8", by_index=False)
    assert not can_split("matroska,webm", "vp8", by_index=True)
    assert not can_split("avi", "mpeg4", by_index=False)


@pytest.mark.parametrize(
    ("duration", "longest", "count"),
    [(None, 60, 1), (0.0, 60, 1), (59.0, 60, 1), (61.0, 60, 2), (36_000.0, 600, 60), (1e12, 600, 1000), (100.0, 0, 1)],
)
def test_segments_cover_the_video(duration, longest, count):
    ranges = segments(duration, longest)
    assert len(ranges) == count
    assert ranges[0][0] == 0
    assert ranges[-1][1] is None
    assert all(before[1] == after[0] for before, after in pairwise(ranges))
