"""Shot changes: found to the frame in decoded pictures, the same in a segment as in the whole; spans moved off them."""

import av
import numpy as np
import pytest
from av.video.reformatter import Interpolation, VideoReformatter
from hypothesis import given
from hypothesis import strategies as st

from tests.media_maker import make_video
from transforms.core import shots
from transforms.core.shots import CutFinder, crossed, place, stands_out, to_milliseconds

RATE = 25
#: YUV with a quarter of the colours, as the decoder makes it.
THUMBNAIL_BYTES = shots.THUMBNAIL_WIDTH * shots.THUMBNAIL_HEIGHT * 3 // 2


def texture(seed, width=192, height=108):
    """Returns float[h, w, 3]: soft blobs of colour, another picture for each seed."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (7, 1 + width // 24, 3))
    rows, columns = np.linspace(0, 6, height), np.linspace(0, coarse.shape[1] - 1, width)
    tall = np.stack([np.interp(rows, range(7), coarse[:, x, c]) for x in range(coarse.shape[1]) for c in range(3)])
    tall = tall.reshape(coarse.shape[1], 3, height)
    return np.stack(
        [[np.interp(columns, range(len(tall)), tall[:, c, y]) for y in range(height)] for c in range(3)], axis=-1
    )


def shown(picture):
    return np.clip(picture, 0, 255).astype(np.uint8)


def thumbnails(path):
    """Yields time and thumbnail of each frame of a file, as the decoder makes them."""
    scaler = VideoReformatter()
    with av.open(path) as container:
        for frame in container.decode(video=0):
            small = scaler.reformat(
                frame,
                width=shots.THUMBNAIL_WIDTH,
                height=shots.THUMBNAIL_HEIGHT,
                format=shots.THUMBNAIL_FORMAT,
                interpolation=Interpolation.FAST_BILINEAR,
            )
            yield frame.time, small.to_ndarray()


def cuts_of(path, since=0.0):
    finder = CutFinder()
    return [time for time, thumbnail in thumbnails(path) if time >= since and finder.add(time, thumbnail)]


def find_cuts(times, differences):
    """Returns the times of the frames that begin a new shot, of pictures with such mean differences.

    Args:
      times: float64[n] seconds, ascending.
      differences: float64[n], of each frame from the one before, 0..255; the first one counts for nothing.
    """
    finder, cuts = CutFinder(), []
    thumbnail = np.zeros(THUMBNAIL_BYTES, np.uint8)
    for time, difference in zip(times, differences, strict=True):
        least, more = divmod(round(difference * THUMBNAIL_BYTES), THUMBNAIL_BYTES)
        change = least + (np.arange(THUMBNAIL_BYTES) < more)
        thumbnail = np.where(thumbnail + change > 255, thumbnail - change, thumbnail + change).astype(np.uint8)
        if finder.add(time, thumbnail):
            cuts.append(time)
    return cuts


SCENES = [texture(seed) for seed in range(5)]
SCENE_STARTS = (0, 37, 61, 90, 96)


def scene(index):
    """Five shots, the shortest of six frames, with something that moves through all of them."""
    picture = SCENES[sum(index >= start for start in SCENE_STARTS) - 1].copy()
    picture[40:70, index : index + 30] = 255 - picture[40:70, index : index + 30]
    return shown(picture)


def test_hard_cuts_are_found_to_the_frame(tmp_path):
    path = make_video(tmp_path / "cuts.mp4", frames=125, picture=scene, rate=RATE)
    assert cuts_of(path) == pytest.approx([start / RATE for start in SCENE_STARTS[1:]])


def test_cuts_have_the_times_of_their_frames_where_the_rate_varies(tmp_path):
    gaps = np.random.default_rng(1).choice([3000, 3753, 6000, 9000], 125) / 90_000
    times = [0.0, *np.cumsum(gaps)[:-1].tolist()]
    path = make_video(tmp_path / "cuts.mkv", frames=125, picture=scene, times=times)
    assert cuts_of(path) == pytest.approx([times[start] for start in SCENE_STARTS[1:]], abs=1e-3)


def test_a_segment_with_a_second_of_lead_finds_the_cuts_of_the_whole(tmp_path):
    path = make_video(tmp_path / "cuts.mp4", frames=125, picture=scene, rate=RATE)
    whole = cuts_of(path)
    for start in (1.0, 1.48, 2.4, 3.6, 3.84, 4.0):
        assert [cut for cut in cuts_of(path, since=start - 1) if cut >= start] == [cut for cut in whole if cut >= start]


WIDE = texture(9, width=2400)


@pytest.mark.parametrize(
    "place_of",
    [
        lambda index: 8 * index,
        lambda index: 24 * min(index, 90),
        lambda index: int(0.5 * index**2) if index < 60 else 1800 + index,
        lambda index: 30 * (index // 2),
        lambda index: 48 * (index // 3),
        lambda index: index % 2,
        lambda index: 0,
    ],
    ids=["pan", "fast pan, stopped", "whip, stopped", "every frame twice", "every frame thrice", "shaking", "still"],
)
def test_motion_is_no_cut(tmp_path, place_of):
    def picture(index):
        left = place_of(index) % (WIDE.shape[1] - 192)
        return shown(WIDE[:, left : left + 192])

    frames = 70
    assert cuts_of(make_video(tmp_path / "pan.mp4", frames=frames, picture=picture, rate=RATE)) == []


def test_a_cut_amid_fast_motion_is_found(tmp_path):
    def picture(index):
        left = 5 * index
        return shown(WIDE[:, left : left + 192] if index < 40 else 255 - WIDE[:, left : left + 192])

    assert cuts_of(make_video(tmp_path / "pan.mp4", frames=80, picture=picture, rate=RATE)) == [40 / RATE]


def test_a_dissolve_is_no_cut(tmp_path):
    def picture(index):
        share = np.clip((index - 20) / 25, 0, 1)
        return shown(SCENES[0] * (1 - share) + SCENES[1] * share)

    assert cuts_of(make_video(tmp_path / "dissolve.mp4", frames=70, picture=picture, rate=RATE)) == []


def test_a_flash_counts_once_and_a_new_picture_at_once_after_the_first_frame_not_at_all(tmp_path):
    def picture(index):
        return shown(SCENES[0] + 120 * (index in (30, 31))) if index else shown(SCENES[1])

    assert cuts_of(make_video(tmp_path / "flash.mp4", frames=60, picture=picture, rate=RATE)) == [30 / RATE]


@pytest.mark.parametrize(
    ("difference", "recent", "expected"),
    [
        (9.9, [], False),
        (10, [], True),
        (40, [2, 2, 2, 2, 2], True),
        (40, [30, 28, 33, 31, 29], False),
        (15.9, [3, 3, 3], False),
        (16, [3, 3, 3], True),
        (40, [0.1, 20, 0.1, 20, 0.1, 20], False),
        (40, [0.1, 0.1, 50, 0.1], True),
        (40, [2, 2, 50, 2, 2], True),
        (99, [33, 33, 33], True),
        (98, [33, 33, 33], False),
    ],
    ids=[
        "weak", "at the threshold", "cut", "motion", "weak amid motion", "above motion", "repeats", "after a cut in a "
        "still scene", "after a cut", "at the ratio", "below the ratio",
    ],
)  # fmt: skip
def test_stands_out(difference, recent, expected):
    assert stands_out(difference, recent) is expected


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ([5], [5]),
        ([5, 6], [5]),
        ([5, 10], [5, 10]),
        ([5, 8, 11], [5]),
        ([2], []),
        ([0, 5], [5]),
        ([], []),
    ],
    ids=["one", "flash", "just apart", "flicker", "at the beginning", "first frame", "none"],
)
def test_find_cuts_at_25_frames_a_second(at, expected):
    differences = np.where(np.isin(np.arange(40), at), 60.0, 0.5)
    assert find_cuts(np.arange(40) / RATE, differences) == pytest.approx([place / RATE for place in expected])


@pytest.mark.parametrize(("gap", "expected"), [(0.25, [1.25]), (1 / 3, [])], ids=["four a second", "three a second"])
def test_frames_far_apart_tell_nothing(gap, expected):
    assert find_cuts(np.arange(10) * gap, np.where(np.arange(10) == 5, 60.0, 0.5)) == expected


def test_no_frames_have_no_cuts():
    assert find_cuts(np.zeros(0), np.zeros(0)) == []


gaps = st.sampled_from([1 / 240, 1 / 60, 1 / 30, 0.04, 0.1, 0.21, 0.29, 0.5, 1.3])
levels = st.sampled_from([0.0, 0.4, 1.0, 3.0, 6.0, 8.0, 13.0, 20.0, 45.0, 90.0])


@given(st.lists(st.tuples(gaps, levels), min_size=2, max_size=150), st.data())
def test_what_was_more_than_a_second_ago_does_not_matter(steps, data):
    times = np.cumsum([gap for gap, _ in steps])
    differences = np.array([level for _, level in steps])
    differences[0] = 0
    start = times[data.draw(st.integers(0, len(steps) - 1))]
    lead = max(0, int(np.searchsorted(times, start - 1.0, "right")) - 1)  # the last frame that long before, or earlier
    whole = find_cuts(times, differences)
    segment = find_cuts(times[lead:], differences[lead:])
    assert [cut for cut in segment if cut >= start] == [cut for cut in whole if cut >= start]


@given(st.lists(st.tuples(gaps, levels), max_size=100))
def test_cuts_are_frames_apart_and_strong(steps):
    times, differences = np.cumsum([gap for gap, _ in steps]), np.array([level for _, level in steps])
    cuts = find_cuts(times, differences)
    strong = dict(zip(times.tolist(), differences.tolist(), strict=True))
    assert all(strong[cut] >= shots.CUT_THRESHOLD for cut in cuts)
    assert (np.diff(cuts) >= shots.MIN_SHOT_SECONDS - 1e-6).all()


def test_only_the_mean_difference_of_pictures_counts(tmp_path):
    path = make_video(tmp_path / "cuts.mp4", frames=125, picture=scene, rate=RATE)
    times, pictures = zip(*thumbnails(path), strict=True)
    stack = np.stack(pictures).astype(float)
    differences = np.concatenate(([0], np.abs(np.diff(stack, axis=0)).mean(axis=(1, 2))))
    assert find_cuts(np.array(times), differences) == cuts_of(path)


def test_a_thumbnail_may_be_written_over_but_not_change_its_shape():
    finder, buffer = CutFinder(), np.zeros((27, 32), np.uint8)
    assert not finder.add(0.0, buffer)
    buffer[:] = 200
    assert finder.add(0.25, buffer)
    with pytest.raises(ValueError, match=r"\(18, 32\).*\(27, 32\)"):
        finder.add(0.5, buffer[:18])


@pytest.mark.parametrize(
    ("span", "cuts", "expected"),
    [((2, 5), [], 0), ((2, 5), [2, 5], 0), ((2, 5), [1, 2, 3, 4, 5, 6], 2), ((2, 5), [1, 6], 0)],
    ids=["none", "at the edges", "two inside", "outside"],
)
def test_crossed(span, cuts, expected):
    assert crossed(*span, cuts) == expected


@pytest.mark.parametrize(
    ("span", "peak", "cuts", "avoid", "trim"),
    [
        ((10, 20), 15, [], (10, 20), (10, 20)),
        ((10, 20), 15, [10, 20], (10, 20), (10, 20)),
        ((10, 20), 15, [12], (12, 22), (12, 20)),
        ((10, 20), 15, [17], (7, 17), (10, 17)),
        ((10, 20), 15, [12, 22], (12, 22), (12, 20)),
        ((10, 20), 15, [12, 18], (12, 18), (12, 18)),
        ((10, 20), 15, [12, 21], (12, 21), (12, 20)),
        ((10, 20), 15, [15], (15, 25), (15, 20)),
        ((10, 20), 15, [14, 15.5], (10, 20), (10, 20)),
        ((10, 20), 15, [11, 12, 13, 18, 19], (13, 18), (13, 18)),
        ((0, 10), 2, [3], (0, 3), (0, 3)),
        ((20, 30), 29, [27], (27, 30), (27, 30)),
        ((20, 30), 29.5, [29], (20, 30), (20, 30)),
        ((10, 11), 10.5, [10.25], (10.25, 11.25), (10, 11)),
    ],
    ids=[
        "no cuts", "cuts at the edges", "shift on", "shift back", "shift, just fits", "short shot", "shorter by a bit",
        "cut at the peak", "shot below the least length", "many cuts", "video's start", "video's end",
        "video's end, below the least length", "span below the least length",
    ],
)  # fmt: skip
def test_place(span, peak, cuts, avoid, trim):
    def placed(mode):
        return place(span, peak, cuts, mode, min_seconds=2, limits=(0, 30))

    assert placed("avoid") == avoid
    assert placed("trim") == trim
    assert placed("ignore") == span


def test_a_span_moves_only_inside_its_limits():
    assert place((10, 20), 15, [12], "avoid", 2, limits=(8, 21)) == (12, 21)
    assert place((10, 20), 15, [17], "avoid", 2, limits=(8, 21)) == (8, 17)
    assert place((10, 20), 15, [12], "avoid", 9.5, limits=(8, 21)) == (10, 20)


@st.composite
def placings(draw):
    start, before, after, tail = (draw(st.floats(0, 20)) for _ in range(4))
    cuts = sorted(draw(st.lists(st.floats(0, 80), max_size=8)))
    peak = start + before
    end = peak + after + 0.01
    limits = draw(st.floats(0, start)), end + tail
    return (start, end), peak, cuts, draw(st.sampled_from(["avoid", "trim", "ignore"])), draw(st.floats(0, 20)), limits


@given(placings())
def test_a_placed_span_is_in_its_limits_holds_its_peak_and_crosses_no_cut_without_need(placing):
    (start, end), peak, cuts, mode, least, (low, high) = placing
    placed = place(*placing)
    assert low <= placed[0] <= peak < placed[1] <= high
    assert placed[1] - placed[0] <= end - start + 1e-9
    if mode == "trim":
        assert start <= placed[0]
        assert placed[1] <= end
    if placed != (start, end):
        assert placed[1] - placed[0] >= min(least, end - start) - 1e-6
        assert crossed(*placed, cuts) == 0
    if mode == "avoid":
        shot_start = max([low, *(cut for cut in cuts if cut <= peak)])
        shot_end = min([high, *(cut for cut in cuts if cut > peak)])
        if shot_end - shot_start >= min(least, end - start) + 1e-6:
            assert crossed(*placed, cuts) == 0
            assert placed[1] - placed[0] == pytest.approx(min(end - start, shot_end - shot_start))


@pytest.mark.parametrize(
    ("edge", "fixed", "expected"),
    [
        (5.33349, [], 5.333),
        (16 / 3, [16 / 3], 16 / 3),
        (17 / 3, [17 / 3], 17 / 3),
        (5.3334, [5.3332], 5.3334),
        (5.3334, [5.3335], 5.333),
        (5.3336, [5.3338], 5.3336),
        (5.25, [5.25], 5.25),
    ],
    ids=["free", "at a cut, down", "at a cut, up", "across, down", "away from it", "across, up", "whole"],
)
def test_an_edge_is_rounded_but_not_across_a_cut(edge, fixed, expected):
    assert to_milliseconds(edge, fixed) == expected


@given(st.lists(st.floats(0, 0.02), max_size=5), st.lists(st.floats(0, 0.02), min_size=2, max_size=2))
def test_rounding_keeps_the_order_of_edges_and_cuts(fixed, edges):
    fixed, (first, last) = sorted(fixed), sorted(edges)
    assert to_milliseconds(first, fixed) <= to_milliseconds(last, fixed)
    for edge in edges:
        rounded = to_milliseconds(edge, fixed)
        assert abs(rounded - edge) <= 0.0005 + 1e-12
        assert [np.sign(cut - rounded) for cut in fixed] == [np.sign(cut - edge) for cut in fixed]
