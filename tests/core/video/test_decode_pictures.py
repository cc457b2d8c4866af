"""Decoded pictures: shape, cropping, the right way up, and the facts that a probe tells of a file."""

import re

import numpy as np
import pytest

from tests.decoded import Decoded, near, probe
from tests.media_maker import TURNS, corner, make_resized, make_video, red_corners, shape_pixels, stamped, turn


@pytest.mark.parametrize(
    ("rule", "shape"),
    [
        ({"mode": "native"}, (108, 192, 3)),
        ({"mode": "squash", "width": 128, "height": 128}, (128, 128, 3)),
        ({"mode": "squash", "width": 96, "height": 54, "interpolation": "bicubic"}, (54, 96, 3)),
        ({"mode": "crop", "width": 96, "height": 48, "shorter_side": 96}, (48, 96, 3)),
        ({"mode": "crop", "width": 224, "height": 224, "shorter_side": 256}, (224, 224, 3)),
    ],
    ids=["native", "squash", "bicubic", "crop", "enlarging crop"],
)
def test_pictures_have_the_shape_of_the_rule(tmp_path, rule, shape):
    decoded = Decoded(make_video(tmp_path / "a.mp4", 5), frame_settings=rule)
    assert [picture.shape for picture in decoded.pictures] == [shape] * 5


def test_native_pictures_are_exact(tmp_path):
    path = make_video(tmp_path / "a.mkv", 5, codec="ffv1", pixel_format="bgr0")
    for index, picture in enumerate(Decoded(path).pictures):
        assert np.array_equal(picture, stamped(index))


def bars(index, width=192, height=108):
    """Left sixth red, right sixth blue, top and bottom eighth white, the rest grey."""
    picture = np.full((height, width, 3), 90, np.uint8)
    picture[:, : width // 6] = (200, 30, 30)
    picture[:, -width // 6 :] = (30, 30, 200)
    picture[: height // 8] = picture[-height // 8 :] = 235
    return picture


def colour_at(picture, x, y):
    """Names the colour at relative coordinates."""
    height, width = picture.shape[:2]
    red, green, blue = picture[int(y * height), int(x * width)].astype(int)
    if min(red, green, blue) > 180:
        return "white"
    return "red" if red > green + 60 else "blue" if blue > green + 60 else "grey"


def test_squash_keeps_the_whole_picture(tmp_path):
    path = make_video(tmp_path / "a.mp4", 2, picture=bars)
    (picture, _) = Decoded(path, frame_settings={"mode": "squash", "width": 64, "height": 64}).pictures
    assert [colour_at(picture, x, 0.5) for x in (0.03, 0.5, 0.97)] == ["red", "grey", "blue"]
    assert [colour_at(picture, 0.5, y) for y in (0.03, 0.97)] == ["white", "white"]


def test_crop_takes_the_centre_at_full_height(tmp_path):
    path = make_video(tmp_path / "a.mp4", 2, picture=bars)
    (picture, _) = Decoded(
        path, frame_settings={"mode": "crop", "width": 54, "height": 54, "shorter_side": 54}
    ).pictures
    assert [colour_at(picture, x, 0.5) for x in (0.04, 0.5, 0.96)] == ["grey"] * 3
    assert [colour_at(picture, 0.5, y) for y in (0.03, 0.97)] == ["white", "white"]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_pixel_shape_is_applied_in_crop(tmp_path, name):
    """192 x 108 samples of 9:16 are a square picture: a square crop holds its sides."""
    path = make_video(tmp_path / name, 10, picture=bars, configure=shape_pixels(9, 16))
    facts = probe(path)
    assert (facts["width"], facts["height"]) == (108, 108)
    picture = Decoded(path, frame_settings={"mode": "crop", "width": 54, "height": 54, "shorter_side": 54}).pictures[0]
    assert [colour_at(picture, x, 0.5) for x in (0.04, 0.5, 0.96)] == ["red", "grey", "blue"]


@pytest.mark.parametrize(("matrix", "expected"), [(matrix, at) for matrix, _, at in TURNS.values()], ids=TURNS)
@pytest.mark.parametrize(
    "rule",
    [
        {"mode": "crop", "width": 80, "height": 80, "shorter_side": 80},
        {"mode": "squash", "width": 96, "height": 64},
    ],
    ids=["crop", "squash"],
)
def test_pictures_are_shown_the_right_way_up(tmp_path, matrix, expected, rule):
    path = turn(make_video(tmp_path / "a.mp4", 2, size=(108, 108), picture=lambda i: corner(i, 108, 108)), matrix)
    assert red_corners(Decoded(path, frame_settings=rule).pictures[0]) == [expected]


@pytest.mark.parametrize(
    ("matrix", "size"), [((1, 0, 0, 1), (192, 108)), ((0, 1, -1, 0), (108, 192)), ((-1, 0, 0, -1), (192, 108))]
)
def test_probe_tells_the_size_as_shown(tmp_path, matrix, size):
    facts = probe(turn(make_video(tmp_path / "a.mp4", 2), matrix))
    assert (facts["width"], facts["height"]) == size


def test_probe_tells_the_facts(tmp_path):
    facts = probe(make_video(tmp_path / "a.mp4", 50, audio=True))
    assert re.fullmatch("[0-9a-f]{64}", facts.pop("picture"))
    assert facts == {
        "duration_seconds": pytest.approx(2.0),
        "width": 192,
        "height": 108,
        "frame_rate": 25.0,
        "container": "mov,mp4,m4a,3gp,3g2,mj2",
        "codec": "h264",
        "has_audio": True,
    }


def test_size_may_change_mid_stream(tmp_path):
    path = make_resized(tmp_path / "a.ts", 10)
    scaled = Decoded(path, frame_settings={"mode": "squash", "width": 96, "height": 54})
    assert scaled.stamps == scaled.indices == list(range(20))
    assert scaled.times == near(index / 25 for index in range(20))
    native = Decoded(path)
    assert native.batches == [10, 10]
    assert [picture.shape for picture in native.pictures] == [(108, 192, 3)] * 10 + [(54, 96, 3)] * 10
    assert native.stamps == list(range(20))
