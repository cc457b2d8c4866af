"""How a decoded picture becomes the classifier's input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipscout.transforms.core.video.geometry import FrameSettings, displayed_size, quarter_turns

SQUASH = FrameSettings("squash", 128, 96)
CROP = FrameSettings("crop", 224, 224, 256)
NATIVE = FrameSettings("native")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"mode": "stretch", "width": 1, "height": 1}, "stretch"),
        ({"mode": "squash"}, "0 x 0"),
        ({"mode": "squash", "width": 10, "height": -1}, "10 x -1"),
        ({"mode": "crop", "shorter_side": 10}, "0 x 0"),
        ({"mode": "crop", "width": 10, "height": 12, "shorter_side": 11}, "shorter_side is 11"),
    ],
    ids=["mode", "no size", "negative", "crop without size", "crop beyond the picture"],
)
def test_a_rule_that_cannot_be_is_refused(fields, reason):
    with pytest.raises(ValueError, match=reason):
        FrameSettings(**fields)


@pytest.mark.parametrize(
    ("rule", "coded", "aspect", "turns", "expected"),
    [
        (SQUASH, (640, 360), 1.0, 0, (128, 96)),
        (SQUASH, (640, 360), 2.0, 0, (128, 96)),
        (SQUASH, (640, 360), 1.0, 1, (96, 128)),
        (SQUASH, (640, 360), 1.0, 2, (128, 96)),
        (CROP, (640, 320), 1.0, 0, (512, 256)),
        (CROP, (320, 640), 1.0, 0, (256, 512)),
        (CROP, (640, 320), 1.0, 1, (512, 256)),
        (CROP, (640, 320), 1.0, 3, (512, 256)),
        (CROP, (320, 320), 2.0, 0, (512, 256)),
        (CROP, (320, 320), 2.0, 1, (512, 256)),
        (CROP, (320, 320), 0.5, 0, (256, 512)),
        (CROP, (10, 10), 1.0, 0, (256, 256)),
        (NATIVE, (641, 359), 2.0, 1, (641, 359)),
    ],
    ids=[
        "squash", "squash pixels", "squash turned", "squash half turn", "crop wide", "crop high", "crop turned",
        "crop turned back", "crop wide pixels", "crop wide pixels turned", "crop high pixels", "crop grows", "native",
    ],
)  # fmt: skip
def test_scaled_size(rule, coded, aspect, turns, expected):
    assert rule.scaled_size(*coded, aspect, turns) == expected


sides = st.integers(1, 4000)


@given(sides, sides, st.sampled_from([0.5, 0.9, 1.0, 4 / 3, 2.0]), st.integers(0, 3))
def test_every_picture_can_be_finished_to_the_rule(width, height, aspect, turns):
    for rule in (SQUASH, CROP):
        scaled_width, scaled_height = rule.scaled_size(width, height, aspect, turns)
        picture = np.broadcast_to(np.uint8(0), (scaled_height, scaled_width, 3))
        assert rule.finish(picture, turns).shape == (rule.height, rule.width, 3)


@given(st.integers(100, 4000), st.integers(100, 4000), st.integers(0, 3))
def test_crop_keeps_the_shape_of_the_picture(width, height, turns):
    scaled_width, scaled_height = CROP.scaled_size(width, height, 1.0, turns)
    assert min(scaled_width, scaled_height) == CROP.shorter_side
    assert scaled_width / scaled_height == pytest.approx(width / height, rel=0.5 / CROP.shorter_side + 1e-9)


def test_crop_takes_the_centre():
    rule = FrameSettings("crop", 2, 2, 4)
    picture = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    assert np.array_equal(rule.finish(picture, 0), picture[1:3, 2:4])


@pytest.mark.parametrize(
    ("turns", "corner"), [(0, (0, 0)), (1, (1, 0)), (2, (1, 2)), (3, (0, 2))], ids=["0", "90", "180", "270"]
)
def test_turns_are_counter_clockwise(turns, corner):
    wide = turns % 2 == 0
    picture = np.zeros((2, 3, 3) if wide else (3, 2, 3), np.uint8)
    picture[0, 0] = 255
    turned = FrameSettings("squash", 3, 2).finish(picture, turns)
    assert turned.shape == (2, 3, 3)
    assert [tuple(place) for place in np.argwhere(turned[..., 0])] == [corner]


def test_native_is_untouched():
    picture = np.zeros((5, 7, 3), np.uint8)
    assert NATIVE.finish(picture, 1) is picture


@pytest.mark.parametrize(
    ("coded", "aspect", "turns", "expected"),
    [
        ((720, 576), 16 / 15, 0, (768, 576)),
        ((720, 576), 16 / 15, 1, (576, 768)),
        ((640, 360), 1.0, 2, (640, 360)),
        ((1, 9), 0.125, 0, (1, 9)),
    ],
    ids=["pixels", "pixels turned", "half turn", "never 0"],
)
def test_displayed_size(coded, aspect, turns, expected):
    assert displayed_size(*coded, aspect, turns) == expected


@pytest.mark.parametrize(
    ("degrees", "expected"), [(0, 0), (90, 1), (180, 2), (-180, 2), (-90, 3), (270, 3), (360, 0), (89, 1), (2, 0)]
)
def test_quarter_turns(degrees, expected):
    assert quarter_turns(degrees) == expected
