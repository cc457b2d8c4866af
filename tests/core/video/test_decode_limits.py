"""Limits of decoding: how many frames, how large pictures; and decoders with threads that are left early."""

import pytest

from clipscout.transforms.core.child.protocol import TaskError
from clipscout.transforms.core.child.supervisor import Child, Limits
from tests.decoded import EVERY_FRAME, NATIVE, Decoded
from tests.media_maker import make_video


def test_the_frame_cap_is_flagged(tmp_path):
    path = make_video(tmp_path / "a.mp4", 100)
    capped = Decoded(path, max_frames=30)
    assert capped.stamps == list(range(30))
    assert capped.report["frames_decoded"] == 30
    assert "frame_cap" in capped.report["flags"]
    assert Decoded(path, max_frames=1000).report["flags"] == []


def test_the_pixel_cap_refuses_larger_pictures(tmp_path):
    path = make_video(tmp_path / "a.mp4", 5, size=(640, 360))
    assert len(Decoded(path, max_pixels=640 * 368).stamps) == 5
    with pytest.raises(TaskError) as caught:
        Decoded(path, max_pixels=640 * 300)
    assert caught.value.code == "no_frames"


def test_decoders_with_threads_can_be_left_early(tmp_path):
    path = make_video(tmp_path / "a.mp4", 60, size=(640, 480))
    request = {"path": path, "sampling": EVERY_FRAME, "frame_settings": NATIVE, "batch_frames": 4}
    child = Child(Limits(stall_seconds=20))
    try:
        for _ in range(60):  # one in about 20 hung while FFmpeg's messages went through PyAV
            *_, last = child.call("video.decode:samples", {**request, "threads": 3, "max_frames": 12})
            assert last.fields["report"]["flags"] == ["frame_cap"]
    finally:
        child.close()
