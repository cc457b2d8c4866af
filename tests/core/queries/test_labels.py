"""From an action to the classifier's labels."""

import pytest

from clipscout.transforms.core.queries.labels import LabelIndex, UnknownLabelError, fold

LABELS = ("crane", "Making_Pizza", "push-up", "crane", "tai chi", "Tai Chi", "été")


@pytest.fixture
def index():
    return LabelIndex(LABELS)


@pytest.mark.parametrize(
    ("action", "classes", "expected"),
    [
        ("crane", (), ("crane",)),
        ("making pizza", (), ("Making_Pizza",)),
        ("MAKING-PIZZA ", (), ("Making_Pizza",)),
        ("push up", (), ("push-up",)),
        ("Tai Chi", (), ("Tai Chi",)),
        ("tai chi", (), ("tai chi",)),
        ("TAI CHI", (), ("tai chi",)),
        ("ÉTÉ", (), ("été",)),
        ("my own word", ("crane", "push_up"), ("crane", "push-up")),
        ("crane", ("push-up",), ("push-up",)),
        ("x", ("push-up", "push up", "crane"), ("push-up", "crane")),
    ],
    ids=[
        "exact", "folded", "case and hyphen", "hyphen", "exact first", "exact of two", "first of two", "accent",
        "classes", "classes win", "once each",
    ],
)  # fmt: skip
def test_match(index, action, classes, expected):
    assert index.match(action, classes) == expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [(("crane",), [0, 3]), (("push-up", "crane"), [0, 2, 3]), ((), []), (("tai chi",), [4])],
    ids=["all places", "several", "none", "not its look-alike"],
)
def test_indices(index, labels, expected):
    assert index.indices(labels) == expected


@pytest.mark.parametrize(
    ("action", "classes", "name"),
    [("making pizzas", (), "making pizzas"), ("crane", ("crane", "tai chis"), "tai chis"), ("", (), "")],
    ids=["action", "one of the classes", "empty"],
)
def test_an_unknown_label_is_named(index, action, classes, name):
    with pytest.raises(UnknownLabelError) as caught:
        index.match(action, classes)
    assert f"no label {name!r}" in str(caught.value)
    assert f"of its {len(LABELS)}" in str(caught.value)


def test_the_five_closest_labels_are_named_best_first():
    index = LabelIndex(["eating cake", "baking cake", "swimming", "eating cakes", "meeting", "zz", "qq", "ww"])
    with pytest.raises(UnknownLabelError) as caught:
        index.match("eating_cak")
    named = str(caught.value).partition(" are ")[2]
    assert named.startswith("'eating cake', 'eating cakes', 'baking cake'")
    assert named.count("'") == 10


def test_a_label_that_shares_a_word_is_closer_than_one_that_shares_letters():
    index = LabelIndex(
        ["dining table", "king snake", "ringneck snake", "mountain bike", "vending machine", "king crab"]
    )
    with pytest.raises(UnknownLabelError, match="are 'mountain bike', "):
        index.match("riding a bike")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Making_Pizza", "making pizza"),
        ("  a - _b\t", "a b"),
        ("Straße", "strasse"),
        ("a/b", "a/b"),
        ("Cafe\u0301", "caf\u00e9"),
    ],
)
def test_fold(text, expected):
    assert fold(text) == expected
