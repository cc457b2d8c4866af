"""The funnel: its numbers add up, and it says so where they do not."""

import pytest

from transforms.core import funnel

BALANCED = {
    "rows.read": 10,
    "rows.failed": 2,
    "rows.matched": 8,
    "candidates.found": 20,
    "requests.unique": 15,
    "requests.failed": 5,
    "requests.fetched": 10,
    "videos.failed": 1,
    "videos.scored": 9,
    "videos.without_span": 3,
    "videos.with_spans": 6,
    "spans.proposed": 12,
    "spans.failed": 1,
    "spans.not_cut": 0,
    "clips.written": 11,
    "failure.ReadQueries.bad_row": 2,
    "failure.DownloadVideos.not_found": 3,
    "failure.DownloadVideos.no_video": 2,
}


def test_balanced_counts_add_up():
    summary = funnel.assemble(BALANCED)
    assert summary["adds_up"] is True
    assert summary["funnel"]["rows"] == {"read": 10, "failed": 2, "matched": 8}
    assert summary["funnel"]["candidates"] == {"found": 20, "merged": 5}
    assert summary["funnel"]["clips"] == {"written": 11}
    assert summary["failures"] == {
        "DownloadVideos": {"no_video": 2, "not_found": 3},
        "ReadQueries": {"bad_row": 2},
    }


def test_nothing_adds_up_to_nothing():
    summary = funnel.assemble({})
    assert summary["adds_up"] is True
    assert summary["failures"] == {}
    assert {number for verbs in summary["funnel"].values() for number in verbs.values()} == {0}


@pytest.mark.parametrize(
    "name", [name for name in BALANCED if not name.startswith(("failure.", "candidates.")) and BALANCED[name]]
)
def test_one_lost_item_is_noticed(name):
    assert funnel.assemble({**BALANCED, name: BALANCED[name] - 1})["adds_up"] is False


def test_every_stage_of_the_funnel_is_in_the_summary():
    shown = {f"{noun}.{verb}" for noun, verbs in funnel.assemble({})["funnel"].items() for verb in verbs}
    assert shown == {name for entry, exits in funnel.EQUATIONS.items() for name in (entry, *exits)}


def test_imbalances_name_the_numbers():
    numbers = {name: 0 for entry, exits in funnel.EQUATIONS.items() for name in (entry, *exits)}
    assert funnel.imbalances(numbers) == []
    assert funnel.imbalances({**numbers, "rows.read": 3, "rows.failed": 1}) == [
        "rows.read is 3, but rows.failed + rows.matched is 1"
    ]


def test_lines_tell_numbers_and_failures():
    text = "\n".join(funnel.lines(funnel.assemble(BALANCED)))
    assert "10 read, 2 failed, 8 matched" in text
    assert "3 without span" in text
    assert "DownloadVideos: 2 no_video, 3 not_found" in text
    assert "do not add up" not in text


def test_lines_tell_that_numbers_do_not_add_up():
    assert "do not add up" in funnel.lines(funnel.assemble({**BALANCED, "rows.read": 11}))[-1]


@pytest.mark.parametrize(
    ("ratio", "allowed", "told"),
    [
        (1 / 3_000_000, 0.0, "3.33333e-05% of its rows, videos or spans did, 0% are allowed"),
        (1 / 3, 0.333333, "33.3333% of its rows, videos or spans did, 33.3333% are allowed"),
        (2 / 3, 2 / 3, ""),
        (0.0, 0.0, ""),
    ],
)
def test_a_ratio_is_compared_as_it_is(ratio, allowed, told):
    assert funnel.too_many_failures({"failure_ratio": ratio}, allowed) == told
