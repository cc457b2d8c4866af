"""What features find in real clips: variations of the same, and not what is different; the table is in the docs."""

import numpy as np
import pytest

from benchmarks import meaning
from benchmarks.variations import BASES
from clipscout.transforms.core.classifiers.resolve import resolve
from clipscout.transforms.core.duplicates.thresholds import default_similarity, is_measured

#: A clip of some scenes, and a second one of two of them.
SOME = tuple(base for base in BASES if base.scene in ("pianist", "dancer", "bikes") and base.start_seconds != 45)
FOUND = (
    *("mirrored", "half the frame rate", "a second cut off", "cropped by 10%", "brighter by a quarter"),
    "two thirds of the size",
)
BEYOND = ("without colours", "turned by 90 degrees")


@pytest.fixture(scope="module")
def unit(tmp_path_factory):
    return meaning.unit_features(tmp_path_factory.mktemp("meaning"), "lite0", SOME)


@pytest.mark.parametrize("name", FOUND)
def test_most_variations_of_a_clip_are_found(unit, name):
    near = meaning.of_variation(unit, name, SOME)
    assert (near >= default_similarity(resolve("lite0"))).mean() >= 0.8, near


@pytest.mark.parametrize("name", ["encoded again, badly", "subtitled"])
def test_what_costs_detail_is_near_and_below_the_default_for_some(unit, name):
    near = meaning.of_variation(unit, name, SOME)
    assert near.min() > meaning.of_others(unit, same_scene=False, bases=SOME).max(), near
    assert np.median(near) > 0.85, near


@pytest.mark.parametrize("name", BEYOND)
def test_some_variations_are_beyond_these_features(unit, name):
    assert (meaning.of_variation(unit, name, SOME) < default_similarity(resolve("lite0"))).mean() > 0.5


def test_other_scenes_are_far_away(unit):
    near = meaning.of_others(unit, same_scene=False, bases=SOME)
    assert len(near) == 8
    assert near.max() < 0.7, near


def test_the_default_was_measured():
    assert is_measured(resolve("lite0"))
    assert default_similarity(resolve("torchvision:resnet18")) == 0.97
