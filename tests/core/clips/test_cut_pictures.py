"""Pictures of clips: playable everywhere, with square pixels, upright, in the colours of the source."""

import av
import numpy as np
import pytest

from tests.clips import boxes, cut, stamps
from tests.media_maker import (
    TURNS,
    corner,
    make_coloured,
    make_resized,
    make_video,
    read_video,
    red_corners,
    shape_pixels,
    turn,
)


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
    source = make_video(tmp_path / "a.mp4", 25, configure=shape_pixels(4, 3))
    (clip,) = cut(source, tmp_path, (0, 1))
    assert (clip["width"], clip["height"]) == (256, 108)
    with av.open(clip["path"]) as container:
        assert container.streams.video[0].sample_aspect_ratio in (None, 1)
    assert stamps(clip) == list(range(25))


@pytest.mark.parametrize(("matrix", "size", "expected"), TURNS.values(), ids=TURNS)
def test_clips_are_upright(tmp_path, matrix, size, expected):
    source = turn(make_video(tmp_path / "a.mp4", 10, picture=corner), matrix)
    (clip,) = cut(source, tmp_path, (0, 0.4))
    assert (clip["width"], clip["height"], clip["frames"]) == (*size, 10)
    assert red_corners(read_video(clip["path"])[5][1]) == [expected]


@pytest.mark.parametrize(
    ("colour_range", "colour_space", "pixel_format"),
    [(1, 1, "yuv420p"), (1, 5, "yuv420p"), (2, 1, "yuvj420p"), (2, 5, "yuvj420p"), (1, 1, "yuv444p")],
    ids=["bt709", "bt601", "bt709 full range", "bt601 full range", "bt709 444"],
)
def test_colours_are_those_of_the_source(tmp_path, colour_range, colour_space, pixel_format):
    """As a player shows both: by the colour space and range that each file tells."""
    wanted = np.array([200, 120, 40])
    source = make_coloured(tmp_path / "a.mp4", wanted, colour_space, colour_range, pixel_format)
    (clip,) = cut(source, tmp_path, (0, 0.4))

    def shown(path):
        return read_video(path)[0][1].mean(axis=(0, 1))

    assert shown(source) == pytest.approx(wanted, abs=4)  # the source is what it should be
    assert shown(clip["path"]) == pytest.approx(wanted, abs=4)


def test_sizes_may_change_mid_stream(tmp_path):
    source = make_resized(tmp_path / "a.ts", 50)
    (clip,) = cut(source, tmp_path, (0, 3))
    assert stamps(clip) == list(range(75))
    assert (clip["width"], clip["height"]) == (192, 108)
