"""`--replace` says what it will do before it does it, and at the end what it did."""

import pytest

from clipscout.pipeline import preflight
from clipscout.pipeline.run import configure, main
from tests.conftest import read_jsonl
from tests.jobs import arguments, scene_video, summary_of

UNTIL = "once none of these is left: tried again with success, corrected, or the row taken out"
OPTIONS = ("--clip_seconds=2", "--min_score=0.5")


@pytest.fixture
def job(tmp_path, colour_spec, capsys):
    """Runs a job over a video with a red and a blue scene; returns exit status and lines of stdout."""
    scene_video(tmp_path / "a.mp4", ("grey", 3), ("red", 2), ("grey", 3), ("blue", 2), ("grey", 2))

    def job(actions, *more, path=tmp_path / "a.mp4"):
        rows = [{"action": action, "path": str(path)} for action in actions]
        status = main(arguments(tmp_path, rows, colour_spec, *OPTIONS, *more))
        return status, capsys.readouterr().out.splitlines()

    return job


def contents(output):
    return {str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*") if path.is_file()}


def plan_of(told):
    """Returns the lines of the plan."""
    start = next(place for place, line in enumerate(told) if line.startswith("replace"))
    return told[start : next(place for place, line in enumerate(told) if line.startswith("untouched")) + 1]


def test_the_check_alone_only_says_what_would_be_replaced(job, tmp_path):
    job(["red", "blue"])
    before = contents(tmp_path / "output")
    status, told = job(["red", "blue"], "--clip_seconds=3", "--replace", "--preflight_only")
    assert status == 0
    forecast = next(place for place, line in enumerate(told) if line.startswith("forecast"))
    assert told[-1] == "clipscout: the job can start; nothing was run, as --preflight_only asks"
    assert told[:forecast] == [
        "rows       2 of 2 can be used",
        "replace    clip_seconds: 2.0 there, 3.0 now",
        "           min_gap_seconds: 2.0 there, 3.0 now",
        "redone     spans are picked again from the stored scores; no video is decoded for it",
        "clips      2 clips there, with 2 posters and 2 records",
        "           each of these whose span is picked again, in the same place of the same video, stays as it is",
        "           the others are removed",
        "           none is removed of a video that fails for a reason that may pass, nor,",
        "           while a row fails, of one that no row asks for",
        "rewritten  all manifests and summary.json; what failed for good under the other settings is tried again",
        "untouched  stored videos and scores, also those of other settings",
    ]
    assert contents(tmp_path / "output") == before


def test_what_is_said_is_what_happens(job, tmp_path):
    job(["red", "blue"])
    planned = plan_of(job(["red"], "--clip_seconds=3", "--replace", "--preflight_only")[1])
    status, told = job(["red"], "--clip_seconds=3", "--replace")
    assert status == 0
    assert told[: len(planned)] == planned  # before anything else
    assert "removed    2 clips of earlier runs that these manifests do not name" in told
    (row,) = read_jsonl(tmp_path / "output/spans.jsonl")
    files = {path.relative_to(tmp_path / "output").as_posix() for path in (tmp_path / "output/clips").rglob("*.*")}
    assert files == {row["clip"], row["poster"], row["clip"].replace(".mp4", ".json")}
    # a class without a clip has no folder any more
    assert [path.name for path in (tmp_path / "output/clips").iterdir()] == ["red"]


def test_clips_that_may_come_back_are_kept_and_the_reason_is_told(job, tmp_path, colour_spec, capsys):
    job(["red", "blue"])
    rows = [{"action": "red", "path": str(tmp_path / "a.mp4")}, {"action": "blue", "path": str(tmp_path / "b.mp4")}]
    assert main(arguments(tmp_path, rows, colour_spec, *OPTIONS, "--replace")) == 0
    told = capsys.readouterr().out.splitlines()
    place = next(place for place, line in enumerate(told) if line.startswith("kept"))
    assert told[place : place + 2] == [
        "kept       1 clip of earlier runs is not in these manifests; these failures may have cost them: 1 no_match",
        f"           --replace removes them {UNTIL}",
    ]
    summary = summary_of(tmp_path / "output")
    assert (summary["stale_clips"], summary["cleaning"]["removed"]) == (1, 0)
    _, told = job(["red"], "--replace", "--preflight_only")
    assert any(line.endswith("of one that no row asks for (in the last run: 1 no_match)") for line in told)
    # its row taken out, as the line says
    status, told = job(["red"], "--replace")
    assert status == 0
    assert "removed    1 clip of earlier runs that these manifests do not name" in told
    assert not any(line.startswith("kept") for line in told)
    assert [path.name for path in (tmp_path / "output/clips").iterdir()] == ["red"]


def test_a_video_that_fails_for_its_options_keeps_its_clips_and_the_others_are_replaced(job, tmp_path, capsys):
    """A smaller --max_video_mb refuses by a rule; pictures that are too large, or a file that was spoilt, do not."""
    everything = tmp_path / "*.mp4"
    scene_video(tmp_path / "b.mp4", ("grey", 3), ("red", 2), ("grey", 3))
    job(["red"], path=everything)
    clips = {row["clip"] for row in read_jsonl(tmp_path / "output/spans.jsonl")}
    assert len(clips) == 2
    (tmp_path / "b.mp4").write_bytes(b"spoilt")  # permanent: the next run does not try it again
    _, told = job(["red"], "--clip_seconds=3", "--replace", path=everything)
    kept = {path.relative_to(tmp_path / "output").as_posix() for path in (tmp_path / "output/clips").rglob("*.mp4")}
    (new,) = read_jsonl(tmp_path / "output/spans.jsonl")
    assert new["clip"] in kept
    (old,) = kept - {new["clip"]}
    assert old in clips
    assert "-b-" in old
    assert "removed    1 clip of earlier runs that these manifests do not name" in told
    assert any(line.endswith("these failures may have cost them: 1 unreadable_video") for line in told)
    assert summary_of(tmp_path / "output")["cleaning"] == {"asked": True, "removed": 1, "waiting": 1, "error": ""}


@pytest.mark.parametrize(
    ("row", "code"),
    [({"action": "bleu", "path": "{}"}, "unknown_label"), ({"actions": "blue", "path": "{}"}, "bad_row")],
    ids=["misspelled action", "misspelled column"],
)
def test_a_misspelled_row_costs_no_clip(job, tmp_path, colour_spec, row, code):
    job(["red", "blue"])
    video = str(tmp_path / "a.mp4")
    rows = [{"action": "red", "path": video}, {**row, "path": video}]
    assert main(arguments(tmp_path, rows, colour_spec, *OPTIONS, "--replace")) == 0
    summary = summary_of(tmp_path / "output")
    assert (summary["next_run"], summary["stale_clips"], summary["cleaning"]["removed"]) == (0, 1, 0)
    assert code in summary["messages"]
    assert len(list((tmp_path / "output/clips/blue").glob("*.mp4"))) == 1


def test_without_replace_earlier_clips_stay_and_their_number_is_told(job, tmp_path):
    job(["red", "blue"])
    _, told = job(["red"])
    assert "kept       1 clip of earlier runs is not in these manifests; --replace removes them" in told
    assert len(list((tmp_path / "output/clips").rglob("*.mp4"))) == 2


def test_a_file_of_the_users_own_stays_whatever_it_is_called(job, tmp_path):
    job(["red"])
    own = tmp_path / "output" / "failures-reviewed.xlsx"
    own.write_text("mine")
    job(["red"], "--clip_seconds=3", "--replace")
    assert own.read_text() == "mine"


def test_in_an_empty_output_there_is_nothing_to_replace(job):
    _, told = job(["red"], "--replace", "--preflight_only")
    assert "replace    nothing is there yet that could be replaced" in told


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ([], ["redone     nothing that is there and still asked for", "that today's rows lead to stays as it is"]),
        (["--cut=copy"], ["replace    cut: exact there, copy now", "whose span is picked again is cut again"]),
        (["--cut=none"], ["none are cut (--cut=none): all of these are removed"]),
        (["--sample_fps=4"], ["redone     every video without stored scores of these settings is decoded and scored"]),
        (["--clips_per_action=1"], ["redone     spans are picked again from the stored scores"]),
        (["--max_height=240"], ["videos from the web are fetched again", "untouched  scores, also those of other"]),
        (["--copy_inputs"], ["redone     files of yours are copied below the output"]),
        (
            ["--min_video_seconds=2"],
            ["redone     the rules for videos are applied again"],
        ),
    ],
    ids=["nothing", "cut", "no clips", "sampling", "selection", "height", "copies", "rules"],
)
def test_each_setting_redoes_what_depends_on_it(job, tmp_path, colour_spec, more, expected):
    job(["red"])
    config, beam_options = configure(arguments(tmp_path, None, colour_spec, *OPTIONS, "--replace", *more))
    found = preflight.look(config, beam_options)
    assert found.faults == []
    for part in expected:
        assert any(part in line for line in found.plan), (part, found.plan)


@pytest.mark.parametrize("content", ["{", "[]", '{"failures": []}', '{"failures": {"CutClips": {"no such code": 1}}}'])
def test_a_summary_that_cannot_be_read_hides_no_plan(job, tmp_path, content):
    job(["red"])
    (tmp_path / "output/summary.json").write_text(content)
    status, told = job(["red"], "--replace")
    assert status == 0
    assert plan_of(told)[0] == "replace    the settings are those of what is there"
