"""Scores and messages of a summary: right for few, bounded for many, the same in any order."""

import pickle
import random
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipscout.transforms.core.results import highlights


def total(values, parts=1):
    """Adds up values as workers do: in parts, which are sent and merged."""
    shares = [values[part::parts] for part in range(parts)]
    totals = []
    for share in shares:
        one = None
        for value in share:
            one = highlights.added(one, value)
        totals.append(pickle.loads(pickle.dumps(one)))
    return highlights.merged(totals)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.integers(1, 7))
def test_best_and_median_are_those_of_the_scores(scores, parts):
    found = total(scores, parts)
    assert len(found) == len(scores)
    assert found.best == max(scores)
    assert found.quantile(0.5) == pytest.approx(statistics.median_low(scores), rel=1.01e-2, abs=1e-300)
    assert found.quantile(1) == highlights.cut_off(max(scores))


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=40), st.integers(1, 999))
def test_how_many_reach_a_threshold_of_three_digits_is_exact(scores, thousandths):
    threshold = thousandths / 1000
    reached = np.array(scores, np.float32) >= threshold  # as a job compares
    assert total(scores, 3).at_least(threshold) == np.count_nonzero(reached)


@pytest.mark.parametrize(
    ("score", "expected"),
    [(0.24963, 0.249), (0.25, 0.25), (0.0999999, 0.0999), (np.float32(0.7), 0.7), (0.0, 0.0), (12345.0, 12300.0)],
)
def test_scores_are_cut_off_and_not_rounded(score, expected):
    assert highlights.cut_off(float(score)) == expected


def test_a_million_scores_take_a_few_thousand_numbers():
    chance = random.Random(0)
    scores = highlights.Scores()
    for _ in range(200_000):
        scores.add(chance.random())
    assert len(scores._counts) < 5_000
    assert scores.quantile(0.5) == pytest.approx(0.5, abs=0.01)


@given(st.permutations([((str(place),), f"message {place}") for place in range(8)]), st.integers(1, 4))
def test_the_first_messages_are_the_same_in_any_order(placed, parts):
    assert total(placed, parts).first() == ["message 0", "message 1", "message 2"]


def test_the_same_message_is_kept_once():
    assert total([(("b",), "x"), (("a",), "x"), (("c",), "y")]).first() == ["x", "y"]


def test_numbers_are_summed():
    assert total([1, 2, 3], parts=2) == 6
    assert highlights.merged([None, None]) is None
