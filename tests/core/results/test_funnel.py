"""The funnel: its numbers add up, and it says so where they do not."""

from dataclasses import replace

import numpy as np
import pytest

from clipscout.transforms.core.results import funnel, highlights
from clipscout.transforms.failures import Failure
from clipscout.transforms.records import (
    ActionQuery,
    Ask,
    CandidateSpan,
    Clip,
    ClipMatch,
    ScoredVideo,
    ScoreTrack,
    Video,
    VideoRequest,
    VideoSpans,
)

BALANCED = {
    "rows.read": 10,
    "rows.failed": 2,
    "rows.matched": 8,
    "candidates.found": 20,
    "candidates.merged": 5,
    "requests.unique": 15,
    "requests.failed": 5,
    "requests.in_place": 4,
    "requests.stored": 6,
    "videos.failed": 1,
    "videos.scored": 9,
    "videos.without_span": 3,
    "videos.with_spans": 6,
    "spans.proposed": 12,
    "spans.failed": 1,
    "spans.not_cut": 0,
    "clips.written": 11,
    "clips.one_per_video": 1,
    "clips.seen": 2,
    "clips.duplicates": 3,
    "clips.kept": 5,
    "failure.ReadQueries.bad_row": 2,
    "failure.DownloadVideos.not_found": 3,
    "failure.DownloadVideos.no_video": 2,
}


def test_balanced_counts_add_up():
    summary = funnel.assemble(BALANCED)
    assert summary["adds_up"] is True
    assert summary["funnel"]["rows"] == {"read": 10, "failed": 2, "matched": 8}
    assert summary["funnel"]["candidates"] == {"found": 20, "merged": 5}
    assert summary["funnel"]["clips"] == {"written": 11, "one_per_video": 1, "seen": 2, "duplicates": 3, "kept": 5}
    assert summary["failures"] == {
        "DownloadVideos": {"no_video": 2, "not_found": 3},
        "ReadQueries": {"bad_row": 2},
    }


def test_nothing_adds_up_to_nothing():
    summary = funnel.assemble({})
    assert summary["adds_up"] is True
    assert summary["failures"] == {}
    assert {number for verbs in summary["funnel"].values() for number in verbs.values()} == {0}


@pytest.mark.parametrize("name", [name for name in BALANCED if not name.startswith("failure.") and BALANCED[name]])
def test_one_lost_item_is_noticed(name):
    assert funnel.assemble({**BALANCED, name: BALANCED[name] - 1})["adds_up"] is False


def test_every_stage_of_the_funnel_is_in_the_summary():
    shown = {f"{noun}.{verb}" for noun, verbs in funnel.assemble({})["funnel"].items() for verb in verbs}
    assert shown == {name for entries, exits in funnel.EQUATIONS for name in (*entries, *exits)}


def test_imbalances_name_the_numbers():
    numbers = dict.fromkeys(funnel.NAMES, 0)
    assert funnel.imbalances(numbers) == []
    assert funnel.imbalances({**numbers, "rows.read": 3, "rows.failed": 1}) == [
        "rows.read is 3, but rows.failed + rows.matched is 1"
    ]
    assert funnel.imbalances(
        {
            **numbers,
            "requests.in_place": 1,
            "requests.stored": 1,
            "requests.unique": 2,
            "candidates.found": 2,
            "candidates.merged": 0,
        }
    )[-1:] == ["requests.in_place + requests.stored is 2, but videos.failed + videos.not_scored + videos.scored is 0"]


def test_lines_tell_numbers_and_failures():
    text = "\n".join(funnel.lines(funnel.assemble(BALANCED)))
    assert "10 read, 2 failed, 8 matched" in text
    assert "5 failed, 4 in place, 6 stored" in text
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


FILE = VideoRequest("file-a", (Ask("red", ("red",), "q.csv:2"),), path="/videos/a.mp4")
PAGE = VideoRequest("site-b", (Ask("red", ("red",), "q.csv:3"),), url="https://site/b")


def video(request, uri, *, reused=False):
    return Video(request.key, uri, request, 1, "sha256:0", 1.0, 2, 2, 1.0, reused=reused)


def span(request, score, action="red"):
    return CandidateSpan(request.key, action, 0.0, 1.0, 0.5, 0, score, 1, action, score)


def clip(request, score, *, reused=False):
    return Clip(span(request, score), "clips/red/a_0_1000.mp4", 1.0, 1, 2, 2, False, "", reused=reused)


def track():
    nothing = np.zeros(0)
    return ScoreTrack(FILE.key, {}, nothing, nothing, np.zeros((0, 0)), (), nothing, 0.0, 0)


#: A job in which everything happens at least once: where a tally is made, and of what.
JOB = [
    *((funnel.row_tallies, ActionQuery("red", f"q:{n}", path="a")) for n in (1, 2)),
    (funnel.row_tallies, Failure("ReadQueries", "bad_row", "m", row="q:3")),
    (funnel.tallies, Failure("ReadQueries", "bad_row", "m", row="q:3")),
    (funnel.tallies, Failure("MatchLabels", "unknown_label", "m", row="q:2")),
    *((list, [pair]) for pair in (("rows.matched", 1), ("candidates.found", 7), ("candidates.merged", 1))),
    *((funnel.tallies, replace(FILE, key=f"file-{n}")) for n in range(6)),
    (funnel.tallies, Failure("FindVideos", "excluded", "m", key="file-0")),
    (funnel.tallies, Failure("FindVideos", "too_long", "m", key="file-1")),
    (funnel.tallies, Failure("DownloadVideos", "blocked", "m", key="file-2")),
    (funnel.tallies, video(FILE, "/videos/a.mp4")),
    *((funnel.tallies, video(FILE, "videos/file-a.mp4")) for _ in range(2)),
    (funnel.tallies, Failure("ScoreVideos", "no_frames", "m", key="file-3")),
    *((funnel.tallies, ScoredVideo(video(FILE, "a"), track())) for _ in range(2)),
    (funnel.proposal_tallies, VideoSpans(video(FILE, "a"), (), 1.0, 2)),
    (funnel.proposal_tallies, VideoSpans(video(FILE, "a"), tuple(span(FILE, n / 10) for n in range(4)), 1.0, 2)),
    (funnel.tallies, VideoSpans(video(FILE, "a"), (span(FILE, 0.5),), 1.0, 2, dropped=(("clips_per_video", 1),))),
    (funnel.tallies, Failure("CutClips", "cut_failed", "m", key="file-a", action="red")),
    (funnel.tallies, span(FILE, 0.5)),
    (funnel.tallies, clip(FILE, 0.5)),
    (funnel.tallies, ClipMatch("file-a", "id", "red", "seen")),
]


@pytest.mark.parametrize("lost", [None, *range(len(JOB))])
def test_every_record_that_is_lost_is_noticed(lost):
    """No side of an equation is made of the other: each of them can fail."""
    kept = [JOB[place] for place in range(len(JOB)) if place != lost]
    totals = {}
    for name, value in (pair for tally, record in kept for pair in tally(record)):
        totals[name] = highlights.added(totals.get(name), value)
    totals.setdefault("asked.red", 1)
    assert funnel.assemble(totals)["adds_up"] is (lost is None)


def summed(*records):
    """Returns what the summary tells of records."""
    totals = {}
    by_kind = (
        (funnel.row_tallies if isinstance(record, ActionQuery) else funnel.tallies)(record) for record in records
    )
    proposed = (funnel.proposal_tallies(record) for record in records if isinstance(record, VideoSpans))
    for name, value in (pair for pairs in (*by_kind, *proposed) for pair in pairs):
        totals[name] = highlights.added(totals.get(name), value)
    return funnel.assemble(totals)


@pytest.mark.parametrize(
    ("one", "expected", "reused"),
    [
        (video(FILE, "/videos/a.mp4"), "in_place", 0),
        (video(FILE, "videos/file-a.mp4"), "stored", 0),
        (video(FILE, "videos/file-a.mp4", reused=True), "stored", 1),
        (video(PAGE, "videos/site-b.mp4"), "stored", 0),
        (video(PAGE, "videos/site-b.mp4", reused=True), "stored", 1),
        (video(FILE, "/videos/a.mp4", reused=True), "in_place", 0),
    ],
    ids=["used", "copied", "copied before", "fetched", "fetched before", "its facts kept"],
)
def test_the_words_fit_how_a_video_came(one, expected, reused):
    summary = summed(one)
    assert {verb for verb, number in summary["funnel"]["requests"].items() if number} == {expected}
    assert summary["reused"] == {"videos": reused, "tracks": 0, "clips": 0}


def test_actions_and_what_was_reused_are_told():
    spans, strongest = (span(FILE, 0.5), span(FILE, 0.25)), (("a.b", 0.0123), ("red", 0.5))
    proposal = VideoSpans(video(FILE, FILE.path), spans, 1.0, 2, reused=True, strongest=strongest)
    scored = ScoredVideo(proposal.video, track(), reused=True)
    queries = [
        ActionQuery("red", "q:1", path="a"),
        ActionQuery("red", "q:2", path="b", min_score=0.2),
        ActionQuery("a.b", "q:3", path="c"),
    ]
    summary = summed(*queries, scored, proposal, clip(FILE, 0.5, reused=True), clip(FILE, 0.25))
    assert summary["actions"] == {
        "a.b": {
            "rows": 1,
            "own_min_scores": 0,
            "spans": 0,
            "clips": 0,
            "kept": 0,
            "best": None,
            "median": None,
            "best_per_video": {"videos": 1, "quantiles": dict.fromkeys(("0.1", "0.25", "0.5", "0.75", "0.9"), 0.0123)},
            "kept_at": {},
        },
        "red": {
            "rows": 2,
            "own_min_scores": 1,
            "spans": 2,
            "clips": 2,
            "kept": 0,
            "best": 0.5,
            "median": 0.25,
            "best_per_video": {"videos": 1, "quantiles": dict.fromkeys(("0.1", "0.25", "0.5", "0.75", "0.9"), 0.5)},
            "kept_at": {
                **dict.fromkeys(("0.01", "0.02", "0.05", "0.1", "0.2"), 2),
                **dict.fromkeys(("0.3", "0.5"), 1),
                **dict.fromkeys(("0.7", "0.9"), 0),
            },
        },
    }
    assert summary["reused"] == {"videos": 0, "tracks": 1, "clips": 1}


def test_the_first_messages_are_those_of_the_manifest():
    failures = [Failure("FindVideos", "no_match", f"m{n}", row=f"q:{n}") for n in (5, 2, 4, 3)]
    failures += [Failure("DownloadVideos", "not_found", "gone", key="k")]
    assert summed(*failures)["messages"] == {"no_match": ["m2", "m3", "m4"], "not_found": ["gone"]}


@pytest.mark.parametrize(
    ("failures", "rows", "told"),
    [
        ([], {"read": 0, "matched": 0}, "its input holds no row"),
        ([], {"read": 2, "matched": 1}, ""),
        (
            ["bad_row"] * 2,
            {"read": 2, "matched": 0},
            "not one of its 2 rows led to a video; 2 ended as bad_row, e.g. m0",
        ),
        (["bad_row"], {"read": 1, "matched": 0}, "not one row led to a video: m0"),
        (
            ["no_match", "bad_row", "no_match"],
            {"read": 3, "matched": 0},
            "not one of its 3 rows led to a video; 2 ended as no_match, e.g. m0",
        ),
        (["excluded"], {"read": 1, "matched": 1}, ""),
    ],
    ids=["no row", "half", "all bad", "one", "the commonest", "refused by a rule"],
)
def test_a_job_of_which_no_row_led_to_a_video_has_failed(failures, rows, told):
    records = [Failure("FindVideos", code, f"m{n}", row=f"q:{n}") for n, code in enumerate(failures)]
    summary = summed(*records)
    summary["funnel"]["rows"] = rows
    summary["failure_ratio"] = 0
    assert funnel.why_failed(summary, 0.0) == told


@pytest.mark.parametrize(
    ("numbers", "failure", "told"),
    [
        (
            {"requests.unique": 2, "requests.failed": 2},
            ("DownloadVideos", "blocked"),
            "not one of its 2 videos could be scored; 2 ended as blocked, e.g. DownloadVideos failed",
        ),
        (
            {"requests.unique": 1, "requests.in_place": 1, "videos.failed": 1},
            ("ScoreVideos", "decode_crashed"),
            "not one video could be scored: ScoreVideos failed",
        ),
        (
            {"requests.unique": 2, "requests.failed": 1, "requests.filtered": 1},
            ("DownloadVideos", "removed"),
            "not one of its 2 videos could be scored; 1 ended as removed, e.g. DownloadVideos failed",
        ),
        ({"requests.unique": 2, "requests.filtered": 2}, ("DownloadVideos", "too_long"), ""),
        ({"requests.unique": 2, "requests.failed": 1, "videos.scored": 1}, ("DownloadVideos", "removed"), ""),
        (
            {"videos.scored": 1, "spans.proposed": 3, "spans.failed": 2, "spans.dropped": 1},
            ("CutClips", "cut_failed"),
            "not one of its 3 spans became a clip; 2 ended as cut_failed, e.g. CutClips failed",
        ),
        (
            {"videos.scored": 1, "spans.proposed": 2, "spans.failed": 1, "clips.written": 1},
            ("CutClips", "cut_failed"),
            "",
        ),
    ],
    ids=["fetching", "scoring", "the rest", "all refused", "one scored", "cutting", "one cut"],
)
def test_a_job_that_made_nothing_because_everything_failed_has_failed_whatever_is_allowed(numbers, failure, told):
    stage, code = failure
    number = max(numbers.get(name, 0) for name in ("requests.failed", "videos.failed", "spans.failed")) or 2
    totals = {"rows.read": 2, "rows.matched": 2, **numbers, f"failure.{stage}.{code}": number}
    totals[f"message.{code}"] = highlights.Messages()
    totals[f"message.{code}"].add((("place",), f"{stage} failed"))
    assert funnel.why_failed(funnel.assemble(totals), allowed=1) == told


def test_what_a_row_or_the_options_cost_may_return_and_what_a_rule_refused_or_is_gone_may_not():
    failures = {
        "ReadQueries": {"bad_row": 1},
        "MatchLabels": {"unknown_label": 2},
        "FindVideos": {"no_match": 3, "excluded": 4, "bad_row": 1},
        "DownloadVideos": {"removed": 5, "blocked": 6, "too_long": 7, "cookies_invalid": 8, "refused_address": 1},
        "ScoreVideos": {"decode_timeout": 9},
        "CutClips": {"cut_failed": 2},
    }
    may = {"bad_row": 2, "blocked": 6, "cookies_invalid": 8, "no_match": 3, "unknown_label": 2}
    may |= {"refused_address": 1, "decode_timeout": 9, "cut_failed": 2}
    assert funnel.may_return(failures) == dict(sorted(may.items()))
