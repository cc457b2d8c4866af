"""The closing lines say what a person must know, and nothing that is not so."""

import json

import pytest

from clipscout.pipeline import closing
from clipscout.pipeline.run import main
from clipscout.transforms.core.results import funnel, highlights
from clipscout.transforms.core.results.highlights import cut_off
from clipscout.transforms.failures import Failure
from tests.conftest import read_jsonl
from tests.jobs import arguments, run_rows, scene_video, summary_of

BARE = {**funnel.assemble({}), "stale_clips": 0, "cleaning": {"asked": False, "removed": 0, "waiting": 0, "error": ""}}


def lines(**changes):
    return closing.lines("out", {**BARE, **changes})


def about(label, told):
    """Returns the lines that stand beside a label, without it."""
    start = next(place for place, line in enumerate(told) if line.startswith(label))
    rest = told[start + 1 :]
    below = next((place for place, line in enumerate(rest) if not line.startswith(" " * 11)), len(rest))
    return [line[11:] for line in [told[start], *rest[:below]]]


def failed(*failures):
    """Returns the part of a summary that tells of failures."""
    totals = {}
    for name, value in (pair for failure in failures for pair in funnel.tallies(failure)):
        totals[name] = highlights.added(totals.get(name), value)
    return funnel.assemble(totals)


def test_the_commonest_code_comes_first_with_three_messages_and_what_to_do():
    blocked = [Failure("DownloadVideos", "blocked", f"https://site/{n}: refused", key=f"site-{n}") for n in range(5)]
    told = lines(**failed(Failure("DownloadVideos", "removed", "https://site/a: gone", key="a"), *blocked))
    assert about("failures", told) == [
        "blocked: https://site/0: refused",
        "blocked: https://site/1: refused",
        "blocked: https://site/2: refused",
        "removed: https://site/a: gone",
    ]
    (what,) = about("next", told)
    assert what.startswith("5 blocked: wait an hour or more and run the same command again")


def test_the_folder_of_the_clips_is_named_where_there_is_one():
    assert "clips      out/clips" not in lines()
    assert "clips      out/clips" in lines(stale_clips=1)


def test_a_refusal_by_a_rule_needs_nothing_to_be_done():
    told = lines(**failed(Failure("FindVideos", "excluded", "x: named by an exclude file", key="x")))
    assert about("failures", told) == ["excluded: x: named by an exclude file"]
    assert not any(line.startswith("next") for line in told)


def test_what_hostile_pages_say_controls_no_terminal():
    told = lines(
        **failed(Failure("FindVideos", "no_match", "\x1b[2Jgone \N{RIGHT-TO-LEFT OVERRIDE} \udcff" + "x" * 900))
    )
    (text,) = about("failures", told)
    assert text.isprintable()
    assert len(text) < 400
    text.encode()


def test_each_action_tells_its_clips_and_scores():
    actions = {
        "a": {"rows": 1, "spans": 0, "clips": 0, "best": None, "median": None},
        "riding a bike": {"rows": 1, "spans": 3, "clips": 2, "best": 0.33842, "median": 0.171},
        "zip": {"rows": 1, "spans": 1, "clips": 1, "best": 0.00012345, "median": 0.000123},
    }
    assert about("actions", lines(actions=actions)) == [
        "a              0 clips",
        "riding a bike  2 clips of 3 spans, best score 0.338, median 0.171",
        "zip            1 clip, best score 0.000123, median 0.000123",
    ]


SPREAD = {
    "rows": 1,
    "own_min_scores": 0,
    "spans": 9,
    "clips": 9,
    "best": 0.9,
    "median": 0.02,
    "best_per_video": {"videos": 5, "quantiles": {"0.1": 0.001, "0.25": 0.01, "0.5": 0.02, "0.75": 0.3, "0.9": 0.85}},
    "kept_at": {"0.01": 9, "0.02": 5, "0.05": 3, "0.1": 3, "0.2": 3, "0.5": 1, "0.9": 0},
}


def test_the_distribution_of_scores_is_told():
    assert about("actions", lines(actions={"a": SPREAD})) == [
        "a  9 clips, best score 0.9, median 0.02",
        "  best response per video: 0.001 at 10%, 0.02 at 50%, 0.85 at 90% of 5",
        "  spans that a --min_score keeps: 5 at 0.02, 3 at 0.2, 1 at 0.5",
    ]


@pytest.mark.parametrize(
    ("own", "settings", "expected"),
    [
        (0, {}, ["6 of 9 spans score below 0.1, and no threshold was set"]),
        (0, {"min_score": 0.01}, []),
        (1, {}, []),
    ],
    ids=["no threshold", "the option", "the row's"],
)
def test_weak_spans_are_told_where_nobody_chose_a_threshold(own, settings, expected):
    told = lines(actions={"a": {**SPREAD, "own_min_scores": own}}, settings=settings)
    found = [line for line in told if line.startswith("weak")]
    assert [line.partition(" ")[2].strip() for line in found] == expected
    assert any("--min_score=0.1 --replace" in line for line in told) == bool(expected)


def test_of_very_many_actions_those_without_clips_are_told():
    some = {"rows": 1, "spans": 2, "clips": 2, "best": 0.5, "median": 0.5}
    actions = {f"action {n:03}": {**some, "clips": 0 if n == 77 else 2} for n in range(100)}
    told = lines(actions=actions)
    assert any("the 20 of 100 actions with the fewest clips (the other 80: summary.json)" in line for line in told)
    found = about("actions", told)
    assert len(found) == 20
    assert found[0].startswith("action 077  0 clips of 2 spans")


def test_how_much_is_as_before_and_how_much_is_new():
    numbers = {"clips.written": 60, "videos.scored": 40, "requests.stored": 12, "requests.in_place": 28}
    before = {"reused.clips": 59, "reused.tracks": 40, "reused.videos": 12}
    told = lines(**funnel.assemble({**numbers, **before}))
    assert about("as before", told) == ["59 of 60 clips, 40 of 40 score tracks, 12 of 12 stored videos"]
    assert about("new", told) == ["1 clip"]
    first = lines(**funnel.assemble(numbers))
    assert about("new", first) == ["60 clips, 40 score tracks, 12 stored videos"]
    assert not any(line.startswith("as before") for line in first)


@pytest.mark.parametrize(
    ("stale", "cleaning", "waiting", "expected"),
    [
        (0, {}, 0, []),
        (2, {}, 0, ["kept       2 clips of earlier runs are not in these manifests; --replace removes them"]),
        (0, {"asked": True, "removed": 1}, 0, ["removed    1 clip of earlier runs that these manifests do not name"]),
        (
            1,
            {"asked": True, "waiting": 1},
            2,
            [
                "kept       1 clip of earlier runs is not in these manifests; these failures may have cost them: "
                "2 no_match",
                "           --replace removes them once none of these is left: tried again with success, corrected, "
                "or the row taken out",
            ],
        ),
        (
            3,
            {"waiting": 1},
            1,
            [
                "kept       3 clips of earlier runs are not in these manifests; these failures may have cost 1 of them"
                ": 1 no_match",
                "           the same command with --replace removes them once none of these is left: tried again with "
                "success, corrected, or the row taken out",
            ],
        ),
        (
            3,
            {"asked": True, "removed": 1, "error": "out/clips/red/a_0_1.mp4: no permission"},
            0,
            [
                "removed    1 clip of earlier runs that these manifests do not name",
                "kept       3 clips of earlier runs and what lies beside: out/clips/red/a_0_1.mp4: no permission",
                "           once that is put right, the same command with --replace removes them",
            ],
        ),
    ],
    ids=["nothing", "not asked", "removed", "not yet", "some not yet", "refused"],
)
def test_what_becomes_of_earlier_clips_is_told_truly(stale, cleaning, waiting, expected):
    failures = [Failure("FindVideos", "no_match", f"m{n}", row=f"q:{n}") for n in range(waiting)]
    cleaning = {**BARE["cleaning"], **cleaning}
    told = lines(**{**failed(*failures), "stale_clips": stale, "cleaning": cleaning})
    after = told[told.index(next(line for line in told if line.startswith("new"))) + 1 :]
    assert [line for line in after if not line.startswith(("clips  ", "report  ", "manifests  "))] == expected


@pytest.fixture
def two_videos(tmp_path):
    scene_video(tmp_path / "a.mp4", ("grey", 3), ("red", 2), ("grey", 3))
    scene_video(tmp_path / "b.mp4", ("red", 2), ("grey", 3))
    return [{"action": "red", "path": str(tmp_path / "?.mp4")}, {"action": "red", "path": str(tmp_path / "none.mp4")}]


def test_a_job_tells_actions_failures_and_what_to_do(tmp_path, colour_spec, two_videos, capsys):
    status, output = run_rows(tmp_path, two_videos, colour_spec, "--clip_seconds=2", "--min_score=0.5")
    assert status == 0
    told = capsys.readouterr().out.splitlines()
    assert "requests   2 unique, 0 excluded, 0 filtered, 0 failed, 2 in place, 0 stored" in told
    scores = sorted(row["score"] for row in read_jsonl(output / "spans.jsonl"))
    (first, *more) = about("actions", told)
    assert first == f"red  2 clips, best score {cut_off(scores[-1]):g}, median {cut_off(scores[0]):.3g}"
    assert [line.strip().partition(":")[0] for line in more] == ["best response per video"]
    assert not any(line.startswith("weak") for line in told)
    assert about("failures", told) == [f"no_match: {tmp_path}/queries.jsonl:2: no file matches '{tmp_path}/none.mp4'"]
    assert about("next", told) == ["1 no_match: correct these rows, or take them out, and run the same command again"]
    assert about("new", told) == ["2 clips, 2 score tracks"]


def test_a_second_run_tells_what_is_as_before_and_writes_the_same_rows(tmp_path, colour_spec, two_videos, capsys):
    options = ("--clip_seconds=2", "--min_score=0.5", "--copy_inputs")
    _, output = run_rows(tmp_path, two_videos, colour_spec, *options)
    rows = {path.name: path.read_bytes() for path in output.glob("*.*") if path.name != "summary.json"}
    assert "requests   2 unique, 0 excluded, 0 filtered, 0 failed, 0 in place, 2 stored" in capsys.readouterr().out
    lost = next((output / "clips/red").glob("*.mp4"))
    records = [json.loads(path.read_text()) for path in (output / "clips/red").glob("*.json")]
    assert not any("reused" in record for record in records)
    lost.unlink()
    assert run_rows(tmp_path, None, colour_spec, *options)[0] == 0
    assert summary_of(output)["reused"]["clips"] == 1
    told = capsys.readouterr().out.splitlines()
    assert about("as before", told)[0].startswith("1 of 2 clips")
    assert about("new", told)[0].startswith("1 clip")
    assert {path.name: path.read_bytes() for path in output.glob("*.*") if path.name != "summary.json"} == rows


def test_a_job_whose_rows_lead_to_no_video_has_failed_and_says_why(tmp_path, colour_spec, capsys):
    (tmp_path / "folder").mkdir()
    rows = [{"action": "red", "path": f"{tmp_path}/no-{n}.mp4"} for n in range(2)]
    rows.append({"action": "red", "path": f"{tmp_path}/folder"})
    status, output = run_rows(tmp_path, rows, colour_spec)
    told = capsys.readouterr()
    assert status == 1
    where = f"{tmp_path}/queries.jsonl"
    assert told.err.splitlines() == [
        "clipscout: 1 of 3 rows cannot be used; the job goes on with the others (--preflight_only lists them)",
        "clipscout: the job failed: not one of its 3 rows led to a video; 2 ended as no_match, e.g. "
        f"{where}:1: no file matches '{tmp_path}/no-0.mp4'",
    ]
    assert about("failures", told.out.splitlines())[-1] == (
        f"bad_row: {where}:3: path is the folder '{tmp_path}/folder'; for the videos in it write '{tmp_path}/folder/'"
    )
    assert len(read_jsonl(output / "failures.jsonl")) == 3


def test_a_slash_at_the_end_stands_for_the_files_of_a_folder(tmp_path, colour_spec):
    (tmp_path / "videos").mkdir()
    scene_video(tmp_path / "videos/a.mp4", ("red", 1))
    given = arguments(tmp_path, [{"action": "red", "path": f"{tmp_path}/videos/"}], colour_spec, "--cut=none")
    assert main(given) == 0
    assert summary_of(tmp_path / "output")["funnel"]["requests"]["in_place"] == 1
