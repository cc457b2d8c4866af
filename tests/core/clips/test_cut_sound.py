"""Sound of clips: in sync, that of the span, and left out where the source has none that can be decoded."""

import av
import numpy as np
import pytest

from tests.clips import cut, onset, stamps
from tests.media_maker import QUICK_VPX, make_sound, make_video, patch, remux

FRAMES = 150
SOUNDS = {
    "mp4": ("a.mp4", {}),
    "mp4 late start": ("a.mp4", {"times": [5 + index / 25 for index in range(FRAMES)]}),
    "mkv flac": ("a.mkv", {"audio_codec": "flac"}),
    "mkv late start": ("a.mkv", {"times": [5 + index / 25 for index in range(FRAMES)]}),
    "webm opus": ("a.webm", {"codec": "libvpx", "audio_codec": "libopus", "options": QUICK_VPX}),
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
