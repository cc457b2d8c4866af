"""Plots as files: well-formed whatever an action is called, and they draw what they are given."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from clipscout.transforms.core.report import plots

HOSTILE = "</text><script>alert(1)</script> & \u202e"
CURVE = {
    "seconds": 10.0,
    "times": [0.0, 5.0, 10.0],
    "shots": [4.0],
    "responses": {HOSTILE: [0.1, 0.5, None], "other": [0.0, 0.0, 0.0]},
}
EMPTY = {"seconds": 0.0, "times": [], "shots": [], "responses": {}}


@pytest.mark.parametrize(
    "drawn",
    [
        lambda: plots.funnel({"rows": {"read": 3, "failed": 0}}),
        lambda: plots.funnel({}),
        lambda: plots.histogram(HOSTILE, [0.001, 0.5, 0.5], 0.2),
        lambda: plots.histogram("a", []),
        lambda: plots.histogram("logits", [1e6, 0.0, 12.5]),
        lambda: plots.responses(CURVE, [(1.0, 3.0)], 0.3),
        lambda: plots.responses(EMPTY, []),
    ],
    ids=["funnel", "no funnel", "scores", "no scores", "large scores", "responses", "no responses"],
)
def test_every_plot_is_well_formed_and_holds_no_markup_of_others(drawn):
    text = drawn()
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(text).iter()}
    assert tags <= {"svg", "title", "rect", "line", "polyline", "text"}
    assert "NaN" not in text
    assert "nan" not in text


def test_a_histogram_has_every_score():
    text = plots.histogram("a", [0.9] * 20 + [0.001])
    heights = [float(found) for found in re.findall(r'width="11" height="([\d.]+)"', text)]
    assert sum(height > 0 for height in heights) == 2
    assert max(heights) == 150


def test_only_the_named_actions_are_drawn():
    assert plots.responses(CURVE, []).count("<polyline") == 2
    assert plots.responses(CURVE, [], actions=["other"]).count("<polyline") == 1
