"""Scores and messages of a summary: right for few, bounded for many, the same in any order."""

import pickle
import random
import statistics

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
    rounded = statistics.median(float(f"{score:.3g}") for score in scores)
    assert found.median() == pytest.approx(rounded, rel=5e-3, abs=1e-300)


def test_a_million_scores_take_a_few_thousand_numbers():
    chance = random.Random(0)
    scores = highlights.Scores()
    for _ in range(200_000):
        scores.add(chance.random())
    assert len(scores._counts) < 5_000
    assert scores.median() == pytest.approx(0.5, abs=0.01)


@given(st.permutations([((str(place),), f"message {place}") for place in range(8)]), st.integers(1, 4))
def test_the_first_messages_are_the_same_in_any_order(placed, parts):
    assert total(placed, parts).first() == ["message 0", "message 1", "message 2"]


def test_the_same_message_is_kept_once():
    assert total([(("b",), "x"), (("a",), "x"), (("c",), "y")]).first() == ["x", "y"]


def test_numbers_are_summed():
    assert total([1, 2, 3], parts=2) == 6
    assert highlights.merged([None, None]) is None
