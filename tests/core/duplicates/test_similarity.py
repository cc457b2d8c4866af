"""Exact comparison of features: whatever the size of blocks, what plain float64 says."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipscout.transforms.core.duplicates import groups
from clipscout.transforms.core.duplicates.similarity import Described, Nearest, compare

THRESHOLD, SIZE = 0.95, 32


def near(random, vector, cosine):
    """Returns a vector with a given cosine to another one, in float64."""
    unit = vector / np.linalg.norm(vector)
    away = random.standard_normal(len(vector))
    away -= (away @ unit) * unit
    return unit * cosine + away / np.linalg.norm(away) * np.sqrt(1 - cosine**2)


def planted(count, seed=0):
    """Returns float32 features with chains (neighbours tied, ends far apart) and pairs that just miss the threshold."""
    random = np.random.default_rng(seed)
    found = list(random.standard_normal((count, SIZE)))
    for start in range(0, count - 10, 50):
        for step in range(1, 6):  # a chain
            found[start + step] = near(random, found[start + step - 1], 0.97)
        found[start + 7] = near(random, found[start + 6], THRESHOLD - 3e-6)
        found[start + 9] = near(random, found[start + 8], THRESHOLD + 3e-6)
    order = random.permutation(count)
    return np.array(found, np.float32)[order] * random.uniform(0.1, 10, (count, 1)).astype(np.float32)


def brute(vectors):
    """Returns all cosines in float64, nothing being its own neighbour."""
    unit = vectors.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    products = unit @ unit.T
    np.fill_diagonal(products, -np.inf)
    return products


def names_of(count):
    return [f"{place:06}" for place in range(count)]


def compared(vectors, rows):
    """Returns the groups, and the nearest of each, of features that are compared in blocks."""
    names = names_of(len(vectors))
    blocks = [
        Described(names[start : start + rows], vectors[start : start + rows]) for start in range(0, len(vectors), rows)
    ]
    nearest = [Nearest(len(block)) for block in blocks]
    edges = []
    for one, other in itertools.combinations_with_replacement(range(len(blocks)), 2):
        edges += compare(blocks[one], blocks[other], THRESHOLD, nearest[one], nearest[other])
    found = np.concatenate([one.similarity for one in nearest]), np.concatenate([one.ids for one in nearest])
    return groups.tied(edges), *found


def expected_groups(products):
    """Returns the connected components by a search from each row."""
    left, found = set(range(len(products))), []
    tied = products >= THRESHOLD
    while left:
        waiting = [left.pop()]
        group = set(waiting)
        while waiting:
            following = set(np.flatnonzero(tied[waiting.pop()]).tolist()) - group
            group |= following
            waiting += following
        left -= group
        if len(group) > 1:
            found.append(sorted(f"{place:06}" for place in group))
    return sorted(found)


VECTORS = planted(5000)
PRODUCTS = brute(VECTORS)


@pytest.mark.parametrize("rows", [5000, 4096, 1000, 617])
def test_blocks_of_any_size_give_what_brute_force_gives(rows):
    found, similarities, ids = compared(VECTORS, rows)
    expected = expected_groups(PRODUCTS)
    assert len(expected) > 190
    assert max(map(len, expected)) >= 6
    assert found == expected
    np.testing.assert_allclose(similarities, PRODUCTS.max(axis=1), atol=1e-12)
    assert ids.tolist() == [f"{place:06}" for place in PRODUCTS.argmax(axis=1)]


def test_a_pair_near_the_threshold_is_judged_in_float64(monkeypatch):
    calls = []
    exact = Described.exact
    monkeypatch.setattr(Described, "exact", lambda *given: calls.append(len(given[1])) or exact(*given))
    compared(VECTORS, 5000)
    assert sum(calls) > 5000  # pairs near the threshold besides the nearest of each


@pytest.mark.parametrize("same", [2, 3000])
def test_features_that_are_equal_are_tied_and_named_in_order(same):
    vectors = np.ones((same, SIZE), np.float32)
    found, similarities, ids = compared(vectors, 1100)
    assert found == [names_of(same)]
    assert similarities.min() > 1 - 1e-12
    assert {*ids} <= {"000000", "000001"} or same > 2  # of very many as near as that the first of each block


def test_one_alone_and_one_without_length_are_near_to_nothing():
    assert compared(np.ones((1, SIZE), np.float32), 10)[0] == []
    vectors = np.zeros((3, SIZE), np.float32)
    vectors[2] = 1
    found, similarities, _ = compared(vectors, 2)
    assert found == []
    assert similarities.tolist() == [0, 0, 0]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 1 << 30))
def test_however_a_few_are_divided(count, rows, seed):
    vectors = planted(count + 12, seed)[:count]
    found, similarities, _ = compared(vectors, rows)
    products = brute(vectors)
    assert found == expected_groups(products)
    if count > 1:
        np.testing.assert_allclose(similarities, products.max(axis=1), atol=1e-12)
