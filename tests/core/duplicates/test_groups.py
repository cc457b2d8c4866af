"""Which clips are tied, and which one of a group is kept."""

from collections import Counter

import pytest

from clipscout.transforms.core.duplicates.groups import Choice, kept_of, tied
from clipscout.transforms.feature_blocks import Block, bins_of, pairs_of

CHAIN = [("b", "c"), ("a", "b"), ("d", "c"), ("x", "y")]
SCORES = {"a": 0.1, "b": 0.3, "c": 0.3, "d": 0.2, "x": 0.5, "y": 0.6}


def test_chains_tie_their_ends():
    assert tied(CHAIN) == [["a", "b", "c", "d"], ["x", "y"]]
    assert tied([]) == []


@pytest.mark.parametrize("turn", range(4))
def test_the_strongest_is_kept_and_of_equal_ones_the_first(turn):
    edges = CHAIN[turn:] + [pair[::-1] for pair in CHAIN[:turn]]
    assert kept_of(edges, SCORES, Choice()) == {**dict.fromkeys("abcd", "b"), "x": "y", "y": "y"}


def test_what_was_seen_ties_others_and_is_not_kept():
    assert kept_of(CHAIN, SCORES, Choice(), {"b", "x", "y"}) == {**dict.fromkeys("abcd", "c"), "x": "y", "y": "y"}


def test_a_draw_depends_on_its_seed_alone_and_takes_each_as_often():
    clips = list(SCORES.items())
    assert Choice("draw", 7).of(clips) == Choice("draw", 7).of(clips[::-1])
    drawn = Counter(Choice("draw", seed).of(clips) for seed in range(600))
    assert {*drawn} == {*SCORES}
    assert min(drawn.values()) > 60


@pytest.mark.parametrize("count", range(9))
def test_each_two_bins_meet_once(count):
    meetings = Counter()
    longest = []
    for first, *others in pairs_of(list(range(count))):
        longest.append(len(others))
        meetings.update(frozenset((first, other)) for other in (first, *others))
    expected = {frozenset((one, other)) for one in range(count) for other in range(count)}
    assert meetings == dict.fromkeys(expected, 1)
    assert not longest or max(longest) - min(longest) <= 1  # all have as much to do


def test_small_blocks_share_a_bin():
    blocks = [Block("a", f"{place}", 30) for place in range(10)] + [Block("b", "z", 500)]
    bins = bins_of(blocks, 100)
    assert [len(one) for one in bins] == [3, 3, 3, 1, 1]
    assert sorted(uri for one in bins for uri in one) == sorted(block.uri for block in blocks)
