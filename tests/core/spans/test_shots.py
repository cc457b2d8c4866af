"""Spans moved off shot boundaries, and their edges rounded."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipscout.transforms.core.spans.shots import crossed, fit, to_milliseconds


@pytest.mark.parametrize(
    ("span", "boundaries", "expected"),
    [((2, 5), [], 0), ((2, 5), [2, 5], 0), ((2, 5), [1, 2, 3, 4, 5, 6], 2), ((2, 5), [1, 6], 0)],
    ids=["none", "at the edges", "two inside", "outside"],
)
def test_crossed(span, boundaries, expected):
    assert crossed(*span, boundaries) == expected


@pytest.mark.parametrize(
    ("span", "peak", "boundaries", "avoid", "trim"),
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
def test_place(span, peak, boundaries, avoid, trim):
    def placed(mode):
        return fit(span, peak, boundaries, mode, min_seconds=2, limits=(0, 30))

    assert placed("avoid") == avoid
    assert placed("trim") == trim
    assert placed("ignore") == span


def test_a_span_moves_only_inside_its_limits():
    assert fit((10, 20), 15, [12], "avoid", 2, limits=(8, 21)) == (12, 21)
    assert fit((10, 20), 15, [17], "avoid", 2, limits=(8, 21)) == (8, 17)
    assert fit((10, 20), 15, [12], "avoid", 9.5, limits=(8, 21)) == (10, 20)


@st.composite
def placings(draw):
    start, before, after, tail = (draw(st.floats(0, 20)) for _ in range(4))
    boundaries = sorted(draw(st.lists(st.floats(0, 80), max_size=8)))
    peak = start + before
    end = peak + after + 0.01
    limits = draw(st.floats(0, start)), end + tail
    return (
        (start, end),
        peak,
        boundaries,
        draw(st.sampled_from(["avoid", "trim", "ignore"])),
        draw(st.floats(0, 20)),
        limits,
    )


@given(placings())
def test_a_placed_span_is_in_its_limits_holds_its_peak_and_crosses_no_cut_without_need(placing):
    (start, end), peak, boundaries, mode, least, (low, high) = placing
    placed = fit(*placing)
    assert low <= placed[0] <= peak < placed[1] <= high
    assert placed[1] - placed[0] <= end - start + 1e-9
    if mode == "trim":
        assert start <= placed[0]
        assert placed[1] <= end
    if placed != (start, end):
        assert placed[1] - placed[0] >= min(least, end - start) - 1e-6
        assert crossed(*placed, boundaries) == 0
    if mode == "avoid":
        shot_start = max([low, *(cut for cut in boundaries if cut <= peak)])
        shot_end = min([high, *(cut for cut in boundaries if cut > peak)])
        if shot_end - shot_start >= min(least, end - start) + 1e-6:
            assert crossed(*placed, boundaries) == 0
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
