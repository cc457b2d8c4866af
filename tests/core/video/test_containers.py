"""Containers of cameras, broadcasters and recorders: every frame at its time, and clips that begin and end right."""

from fractions import Fraction

import av
import pytest

from tests.clips import cut, stamps
from tests.decoded import Decoded, near, probe
from tests.media_maker import make_video, stamped

FRAMES = 60


def make_dv(path):
    """Writes raw DV: its packets, one after the other."""
    encoder = av.CodecContext.create("dvvideo", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 720, 576, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    with open(path, "wb") as file:
        for index in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(stamped(index, 720, 576), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            for packet in encoder.encode(frame):
                file.write(bytes(packet))
    return str(path)


MADE = {
    "mxf, MPEG-2": ("a.mxf", {"codec": "mpeg2video", "audio": True, "audio_codec": "pcm_s16le"}),
    "mxf, H.264": ("a.mxf", {"audio": True, "audio_codec": "pcm_s16le"}),
    "ivf": ("a.ivf", {"codec": "libvpx"}),
    "nut": ("a.nut", {"audio": True}),
    "wtv": ("a.wtv", {"codec": "mpeg2video", "audio": True, "audio_codec": "mp2"}),
    "raw H.264": ("a.h264", {}),
    "raw HEVC": ("a.hevc", {"codec": "libx265", "options": {"x265-params": "log-level=none"}}),
    "dv": ("a.dv", None),
}


@pytest.mark.parametrize("kind", MADE)
def test_every_frame_has_its_time_and_clips_are_right(tmp_path, kind):
    name, settings = MADE[kind]
    path = make_dv(tmp_path / name) if settings is None else make_video(tmp_path / name, FRAMES, **settings)
    facts = probe(path)
    assert facts["container"] == name.partition(".")[2]
    assert facts["has_audio"] == bool(settings and settings.get("audio"))
    decoded = Decoded(path)
    assert decoded.stamps == list(range(FRAMES))
    assert decoded.times == near(index / 25 for index in range(FRAMES))
    assert decoded.report["decoded_seconds"] == pytest.approx(FRAMES / 25, abs=0.001)
    assert decoded.report["flags"] == (["no_timestamps"] if kind.startswith("raw") else [])
    late, early = cut(path, tmp_path, (1.6, 2.0), (0.4, 0.8))
    assert (stamps(late), stamps(early)) == (list(range(40, 50)), list(range(10, 20)))
    assert late["has_audio"] == facts["has_audio"]
    assert late["flags"] == []
