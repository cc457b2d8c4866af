"""Stretches that belong together are one."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from clipscout.transforms.core.intervals import joined

intervals = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda ends: tuple(sorted(ends))))


@given(intervals, st.integers(0, 5))
def test_all_that_was_covered_is_and_what_is_left_lies_apart(given_ones, gap):
    found = joined(given_ones, gap)
    assert all(any(start <= low and high <= end for start, end in found) for low, high in given_ones)
    assert all(before[1] + gap < after[0] for before, after in itertools.pairwise(found))
    assert {start for start, _ in found} <= {low for low, _ in given_ones}
    assert {end for _, end in found} <= {high for _, high in given_ones}
