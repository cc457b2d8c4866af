"""Earlier clips are removed where they may go; a storage that refuses is told, and not asked for each of them."""

import pytest

from clipscout.transforms.cleaning import _Clean
from clipscout.transforms.core.results import highlights
from clipscout.transforms.core.storage.stale import FAILED, NOT_ASKED, REPLACED, Leftover


@pytest.fixture
def cleaned(tmp_path):
    """Cleans leftovers in one bundle and returns their totals, and the files that are left."""
    for name in ("a", "b", "c"):
        for ending in ("mp4", "jpg"):
            (tmp_path / f"{name}.{ending}").touch()

    def cleaned(*leftovers, remove=True, totals=None):
        clean, sums = _Clean(str(tmp_path), remove), {}
        clean.start_bundle()
        for leftover in leftovers:
            for name, value in clean.process(leftover, totals or {}, ()):
                sums[name] = highlights.added(sums.get(name), value)
        return sums, {path.name for path in tmp_path.iterdir()}

    return cleaned


EVERY = {f"{name}.{ending}" for name in "abc" for ending in ("mp4", "jpg")}


def test_what_may_go_goes_and_the_rest_is_counted(cleaned):
    leftovers = (
        Leftover(("a.mp4", "a.jpg"), REPLACED),
        Leftover(("b.mp4", "b.jpg"), FAILED),
        Leftover(("c.jpg",), REPLACED),  # a poster that is not wanted any more
    )
    assert cleaned(*leftovers) == ({"removed": 1, "kept": 1, "waiting": 1}, EVERY - {"a.mp4", "a.jpg", "c.jpg"})


def test_unless_it_is_asked_for_nothing_goes(cleaned):
    leftovers = Leftover(("a.mp4", "a.jpg"), REPLACED), Leftover(("b.mp4", "b.jpg"), FAILED)
    assert cleaned(*leftovers, remove=False) == ({"kept": 2, "waiting": 1}, EVERY)


@pytest.mark.parametrize(("code", "gone"), [("no_match", False), ("excluded", True)])
def test_what_no_row_asks_for_stays_while_a_row_fails(cleaned, code, gone):
    totals, left = cleaned(Leftover(("a.mp4", "a.jpg"), NOT_ASKED), totals={f"failure.FindVideos.{code}": 1})
    assert totals == ({"removed": 1} if gone else {"kept": 1, "waiting": 1})
    assert ("a.mp4" not in left) is gone


def test_a_storage_that_refuses_is_told_and_not_asked_again(cleaned):
    totals, left = cleaned(Leftover(("a.jpg/below.mp4",), REPLACED), Leftover(("b.mp4", "b.jpg"), REPLACED))
    (error,) = totals.pop("error").first()
    assert "a.jpg/below.mp4" in error
    assert totals == {"kept": 2}
    assert left == EVERY
