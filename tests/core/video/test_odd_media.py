"""What breaks decoders in the wild, beside test_decode_hostile: encryption, damage in the middle, missing times."""

import subprocess
import sys
from itertools import pairwise

import av
import pytest

from clipscout.transforms.core.child.protocol import TaskError
from clipscout.transforms.core.video import decode
from tests.media_maker import make_video, stamp_of

RULE = {"mode": "squash", "width": 192, "height": 108}


def samples(path, **more):
    """Returns times, stamps and the report of every frame."""
    request = {"path": str(path), "sampling": {"frame_stride": 1}, "frame_settings": RULE, "batch_frames": 16, **more}
    times, stamps, report = [], [], {}
    for facts, payload in decode.samples(request):
        if "times" in facts:
            times += facts["times"]
            frames = memoryview(payload).cast("B", facts["shape"])
            stamps += [stamp_of(picture) for picture in decode.np.asarray(frames)]
        report = facts.get("report", report)
    return times, stamps, report


def test_an_encrypted_video_is_a_failure_or_flagged_and_never_a_crash(tmp_path):
    plain = make_video(tmp_path / "plain.mp4", 50)
    key = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "11" * 16, "encryption_kid": "22" * 16}
    with av.open(plain) as source, av.open(str(tmp_path / "locked.mp4"), "w", options=key) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    try:
        outcome = samples(tmp_path / "locked.mp4")[2]["flags"]
    except TaskError as error:
        outcome = [error.code]
    assert set(outcome) & {"no_frames", "unreadable_video", "damaged", "truncated"}


def test_zeroed_bytes_change_pictures_not_times(tmp_path):
    path = make_video(tmp_path / "a.mp4", 50)
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200)
    (tmp_path / "a.mp4").write_bytes(data)
    times, _, report = samples(path)
    assert times == sorted(times)
    assert report["frames_decoded"] >= 25


def test_damage_in_the_middle_costs_what_is_damaged(tmp_path):
    path = make_video(tmp_path / "a.mp4", 100, gop=10, bframes=0)
    with av.open(path) as container:
        packet = [packet for packet in container.demux(video=0) if packet.pts is not None][60]
        place, size = packet.pos, packet.size
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    data[place : place + size] = b"\xff" * size  # a length that no unit can have
    (tmp_path / "a.mp4").write_bytes(data)
    _, stamps, report = samples(path)
    assert stamps[:60] == list(range(60))
    assert stamps[-30:] == list(range(70, 100))  # from the next key frame on
    assert report["flags"] == ["damaged"]
    assert report["lost_seconds"] == pytest.approx(1 / 25)
    assert report["decoded_seconds"] == pytest.approx(4.0)


def test_frames_without_timestamps_get_times_from_the_rate_and_a_flag(tmp_path):
    path = make_video(tmp_path / "a.m4v", 50, codec="mpeg4", container="avi", bframes=0)
    raw = tmp_path / "raw.mpg"
    make_video(raw, 50, codec="mpeg1video", container="mpeg")
    times, stamps, _ = samples(raw)
    assert stamps == list(range(50))
    assert all(after - before == pytest.approx(1 / 25, abs=2e-3) for before, after in pairwise(times))
    assert samples(path)[1] == list(range(50))


def test_an_edit_list_moves_the_beginning(tmp_path):
    """A clip cut without re-encoding begins before its first shown frame; the edit list hides what is before."""
    whole = make_video(tmp_path / "whole.mp4", 100, gop=100, bframes=2, audio=True)
    shown = tmp_path / "shown.mp4"
    with av.open(whole) as source, av.open(str(shown), "w", options={"movflags": "+faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.pts -= round(1 / packet.time_base)  # a second of frames before zero
                packet.dts -= round(1 / packet.time_base)
                packet.stream = stream
                target.mux(packet)
    times, stamps, _ = samples(shown)
    assert times[0] == pytest.approx(0, abs=1e-6)
    assert stamps == list(range(stamps[0], 100))
    assert all(
        time == pytest.approx((stamp - stamps[0]) / 25, abs=1e-3) for time, stamp in zip(times, stamps, strict=True)
    )


def test_keyframes_alone_are_scored_with_their_times(tmp_path):
    path = make_video(tmp_path / "a.mp4", 100, gop=20, options={"sc_threshold": "0"})
    times, stamps, report = samples(path, sampling={"keyframes": True})
    assert stamps == [0, 20, 40, 60, 80]
    assert times == pytest.approx([0, 0.8, 1.6, 2.4, 3.2])
    assert report["frames_decoded"] == 5
    assert "truncated" not in report["flags"]


def test_a_child_needs_neither_torch_nor_beam():
    program = "import sys, transforms.core.child.entry, transforms.core.video.decode; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
