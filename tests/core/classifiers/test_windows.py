"""Windows of samples for video models."""

import itertools

import numpy as np
import pytest

from clipscout.transforms.core.classifiers.specs import Window
from clipscout.transforms.core.classifiers.windows import Windows, margin_seconds
from clipscout.transforms.core.video.sampling import Sampling


def frame(number, size=2):
    return np.full((size, size, 3), number % 256, np.uint8)


def run(times, window, sampling, start=0.0, end=None, margin=0.0, reached_end=True):
    """Feeds the samples of a segment and its margin; returns (centre, index, first number of each frame)."""
    windows = Windows(window, sampling, start, end)
    found = []
    for index, time in enumerate(times):
        if start - margin <= time < (np.inf if end is None else end + margin):
            found += windows.add(time, index, frame(index))
    if reached_end:
        found += windows.finish()
    return [(centre, index, frames[:, 0, 0, 0].tolist()) for centre, index, frames in found]


def test_windows_hold_consecutive_samples_and_the_time_of_their_centre():
    times = [number / 10 for number in range(10)]
    found = run(times, Window(4, 10, 2), Sampling(fps=10))
    assert [frames for _, _, frames in found] == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7], [6, 7, 8, 9]]
    np.testing.assert_allclose([centre for centre, _, _ in found], [0.15, 0.35, 0.55, 0.75])
    assert [index for _, index, _ in found] == [2, 4, 6, 8]


def test_the_last_window_ends_with_the_video():
    found = run([n / 10 for n in range(9)], Window(4, 10, 2), Sampling(fps=10))
    assert found[-1][2] == [5, 6, 7, 8]
    assert len(found) == 4


def test_a_video_shorter_than_a_window_repeats_its_last_frame():
    ((centre, _, frames),) = run([0.0, 0.1], Window(4, 10, 2), Sampling(fps=10))
    assert frames == [0, 1, 1, 1]
    assert centre == pytest.approx(0.05)


def test_a_frame_stands_for_every_tick_it_answers():
    times = [0.0, 0.1, 0.4, 0.5]  # nothing between 0.1 and 0.4
    found = run(times, Window(3, 10, 1), Sampling(fps=10))
    assert [frames for _, _, frames in found][:4] == [[0, 1, 2], [1, 2, 2], [2, 2, 2], [2, 2, 3]]


def test_a_gap_longer_than_a_window_is_not_bridged():
    times = [n / 10 for n in (*range(5), *range(50, 56))]
    for _, _, frames in run(times, Window(4, 10, 2), Sampling(fps=10)):
        assert max(frames) - min(frames) == 3


def test_every_nth_frame_counts_by_its_index():
    windows = Windows(Window(2, 15, 2), Sampling(frame_stride=3), 0, None)
    found = [placed for index in range(0, 12, 3) for placed in windows.add(index / 30, index, frame(index))]
    assert [frames[:, 0, 0, 0].tolist() for _, _, frames in found] == [[0, 3], [6, 9]]


@pytest.mark.parametrize("step", [1, 3, 5, 8])
@pytest.mark.parametrize("length", [1.0, 2.7, 4.05])
@pytest.mark.parametrize("jitter", [0.0, 0.03])
def test_segments_give_the_windows_of_the_whole(step, length, jitter):
    rng = np.random.default_rng(step)
    times = [float(n / 10 + rng.uniform(0, jitter)) for n in range(97)]
    window, sampling = Window(5, 10, step), Sampling(fps=10)
    whole = run(times, window, sampling)
    margin = margin_seconds(window, sampling, 10)
    edges = [*np.arange(0, 9.7, length)]
    split = []
    for start, end in zip(edges, [*edges[1:], None], strict=True):
        reached = end is None or end + margin > times[-1]
        split += run(times, window, sampling, start, end, margin if start or end else 0, reached)
    assert [frames for _, _, frames in split] == [frames for _, _, frames in whole]
    np.testing.assert_allclose([c for c, _, _ in split], [c for c, _, _ in whole])
    assert all(later > earlier for (earlier, _, _), (later, _, _) in itertools.pairwise(whole))


def test_pictures_of_another_size_do_not_share_a_window():
    windows = Windows(Window(2, 10, 1), Sampling(fps=10), 0, None)
    found = [*windows.add(0.0, 0, frame(0)), *windows.add(0.1, 1, frame(1)), *windows.add(0.2, 2, frame(2, size=4))]
    found += [*windows.add(0.3, 3, frame(3, size=4)), *windows.finish()]
    assert [frames.shape[1] for _, _, frames in found] == [2, 4]


@pytest.mark.parametrize("fields", [(0, 15, 1), (16, 0, 8), (16, 15, 0), (2.5, 15, 1), (True, 15, 1)])
def test_windows_need_numbers_that_make_sense(fields):
    with pytest.raises(ValueError, match="window_"):
        Window(*fields)
