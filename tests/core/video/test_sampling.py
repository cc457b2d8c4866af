"""Which frames become samples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipscout.transforms.core.video.sampling import Sampling

#: Distinct ascending times in milliseconds, as containers store them.
ascending_ms = st.lists(st.integers(0, 20_000), min_size=1, max_size=60, unique=True).map(sorted)


def chosen(sampling, times):
    """Returns the indices of the frames that are taken."""
    chooser = sampling.chooser()
    return [index for index, time in enumerate(times) if chooser.takes(index, time)]


@pytest.mark.parametrize(
    ("stride", "count", "expected"),
    [(1, 4, [0, 1, 2, 3]), (2, 5, [0, 2, 4]), (3, 7, [0, 3, 6]), (10, 4, [0]), (2, 0, [])],
)
def test_stride_counts_frames_not_time(stride, count, expected):
    assert chosen(Sampling(frame_stride=stride), [index * index for index in range(count)]) == expected


@pytest.mark.parametrize(
    ("fps", "times", "expected"),
    [
        (5, [index / 25 for index in range(25)], [0, 5, 10, 15, 20]),
        (10, [index / 25 for index in range(10)], [0, 3, 5, 8]),
        (1, [0.0, 0.4, 0.9, 1.1, 1.2, 4.5, 4.9, 5.0], [0, 3, 5, 7]),
        (25, [index / 10 for index in range(5)], [0, 1, 2, 3, 4]),
        (2, [3.3, 3.4, 3.6], [0, 2]),
        (0.5, [float(index) for index in range(7)], [0, 2, 4, 6]),
        (3, [1 / 3 * index for index in range(30)], list(range(30))),
        (30000 / 1001, [1001 / 30000 * index for index in range(300)], list(range(300))),
    ],
    ids=["divides", "does not divide", "gap", "faster than the video", "late start", "slow", "thirds", "ntsc"],
)
def test_fps_takes_the_first_frame_at_or_after_each_tick(fps, times, expected):
    assert chosen(Sampling(fps=fps), times) == expected


@given(ascending_ms, st.sampled_from([0.5, 1, 2, 4, 8, 25]))
def test_fps_answers_each_tick_with_its_first_frame(times_ms, fps):
    times = [time / 1000 for time in times_ms]
    # by the definition: tick k belongs to the first frame at or after k / fps, and a frame is taken once
    period_us = round(1_000_000 / fps)
    ticks = range(times_ms[-1] * 1000 // period_us + 1)
    expected = {next(i for i, time in enumerate(times_ms) if time * 1000 >= tick * period_us) for tick in ticks}
    assert chosen(Sampling(fps=fps), times) == sorted(expected)


def test_choosers_do_not_share_state():
    sampling = Sampling(fps=1)
    assert chosen(sampling, [0.0, 0.5, 1.0]) == chosen(sampling, [0.0, 0.5, 1.0]) == [0, 2]


@pytest.mark.parametrize("fields", [{}, {"frame_stride": 2, "fps": 1.0}], ids=["none", "both"])
def test_exactly_one_rule(fields):
    with pytest.raises(ValueError, match="exactly one of frame_stride"):
        Sampling(**fields)
