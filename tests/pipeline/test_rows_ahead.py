"""Rows are judged before the job by the code that judges them in it, where they can be read in seconds."""

import json

import pytest

from clipscout.pipeline import rows_ahead
from clipscout.pipeline.run import main
from clipscout.transforms.core.storage import filesystem
from clipscout.transforms.failures import remedy
from tests.conftest import BUCKET, read_jsonl
from tests.jobs import arguments, run_rows, scene_video, summary_of

GOOD = {"action": "red", "path": "/nowhere.mp4"}
BAD = [{"action": "pink", "path": "/nowhere.mp4"}, {"actions": "red", "path": "/nowhere.mp4"}, {"action": "red"}]


@pytest.fixture
def check(tmp_path, colour_spec, capsys):
    """Runs a job, or only its checks; returns exit status and the lines of stdout and stderr."""

    def check(rows, *more):
        status = main(arguments(tmp_path, rows, colour_spec, *more))
        told = capsys.readouterr()
        return status, told.out.splitlines(), told.err.splitlines()

    return check


def test_the_check_alone_tells_which_rows_are_good(tmp_path, check):
    status, told, errors = check([GOOD, *BAD], "--preflight_only")
    where = f"{' ' * 11}{tmp_path}/queries.jsonl"
    assert (status, errors) == (0, [])
    assert told[0] == "rows       1 of 4 can be used"
    assert told[1].startswith(f"{where}:2: the classifier has no label 'pink'; the closest of its 4 are")
    assert told[2:4] == [
        f"{where}:3: the row has no action; did you mean 'action' by the column 'actions'?",
        f"{where}:4: a row needs exactly one of query, url (or youtube_id) and path; this one has none",
    ]
    assert told[4] == f"{' ' * 11}{remedy('unknown_label')}"
    assert told[5] == "clipscout: the job can start; nothing was run, as --preflight_only asks"


def test_of_very_many_bad_rows_some_are_told(check):
    status, told, _ = check([GOOD] + BAD[2:] * 30, "--preflight_only")
    assert status == 0
    assert told[0] == "rows       1 of 31 can be used"
    assert told[21] == f"{' ' * 11}... and 10 more"


@pytest.mark.parametrize("more", [[], ["--preflight_only"]])
def test_rows_of_which_none_can_be_used_start_no_job(tmp_path, check, more):
    status, _, errors = check([*BAD, BAD[0]], *more)
    assert status == 2
    assert errors[0] == "clipscout: --input: not one of its 4 rows can be used"
    assert [line.split(": ")[2] for line in errors[1:-1]] == [f"{tmp_path}/queries.jsonl:{n}" for n in (1, 2, 3)]
    assert errors[-1] == f"clipscout: --input: {remedy('unknown_label')}"  # the others are told by their messages
    assert not (tmp_path / "output").exists()


def test_bad_rows_are_counted_at_the_start_and_explained_at_the_end(tmp_path, colour_spec, capsys):
    video = scene_video(tmp_path / "a.mp4", ("red", 1))
    status, output = run_rows(tmp_path, [{"action": "red", "path": video}, *BAD], colour_spec, "--cut=none")
    told = capsys.readouterr()
    assert status == 0
    assert told.err.splitlines() == [
        "clipscout: 3 of 4 rows cannot be used; the job goes on with the others (--preflight_only lists them)"
    ]
    # by the same code: what the check says is what the job says
    ahead = rows_ahead.look([str(tmp_path / "queries.jsonl")], ("red", "green", "blue", "grey"))
    assert sorted(ahead.messages) == sorted(row["message"] for row in read_jsonl(output / "failures.jsonl"))
    assert (ahead.read, ahead.bad) == (4, summary_of(output)["funnel"]["rows"]["failed"])
    assert all(told.out.count(message) == 1 for message in ahead.messages)


def test_good_rows_are_not_spoken_of(check):
    (line,) = check([GOOD])[2]
    assert line.startswith("clipscout: the job failed: not one row led to a video: ")


def test_a_broken_classifier_hides_no_bad_row_and_no_label_is_missed_for_it(tmp_path, check):
    status, _, errors = check([BAD[1]], "--classifier=nothing", "--exclude=/nowhere/ids.csv")
    assert status == 2
    assert [line.split(": ")[1] for line in errors] == ["--classifier", "--exclude", "--input", "--input"]
    assert not any("rows" in line for line in check([BAD[0]], "--classifier=nothing")[2])


def test_a_folder_as_path_is_named_before_the_job(tmp_path, check):
    status, told, _ = check([GOOD, {"action": "red", "path": str(tmp_path)}], "--preflight_only")
    assert status == 0
    inside = f"for the videos in it write '{tmp_path}/'"
    assert told[1] == f"{' ' * 11}{tmp_path}/queries.jsonl:2: path is the folder '{tmp_path}'; {inside}"


def test_a_folder_as_input_is_named(tmp_path, check):
    status, _, errors = check([GOOD], "--input", tmp_path)
    assert status == 2
    inside = f"for the files in it write '{tmp_path}/*'"
    assert errors == [f"clipscout: --input: '{tmp_path}' is a folder; {inside}"]


@pytest.mark.parametrize("more", [[], ["--preflight_only"]])
def test_an_input_without_a_row_starts_no_job(tmp_path, check, more):
    assert check([], *more) == (2, [], ["clipscout: --input: there is no row in it"])
    assert not (tmp_path / "output").exists()


def test_what_takes_too_long_is_not_judged(tmp_path, monkeypatch):
    for name in "abc":
        (tmp_path / f"{name}.jsonl").write_text(f"{json.dumps(BAD[2])}\n" * 10)
    size = (tmp_path / "a.jsonl").stat().st_size
    patterns = [f"{tmp_path}/*.jsonl"]
    everything = rows_ahead.look(patterns, None)
    assert (everything.read, everything.bad, everything.complete) == (30, 30, True)
    assert len(everything.faults()) == 4
    monkeypatch.setattr(rows_ahead, "MOST_BYTES", 2 * size)
    some = rows_ahead.look(patterns, None)
    assert (some.read, some.complete, some.faults()) == (20, False, [])
    assert some.lines()[0] == "rows       0 of the first 20 can be used"
    monkeypatch.setattr(rows_ahead, "MOST_BYTES", 1)
    assert rows_ahead.look(patterns, None).lines() == ["rows       too many to be judged in seconds"]
    monkeypatch.setattr(rows_ahead, "MOST_BYTES", 3 * size)
    monkeypatch.setattr(rows_ahead, "MOST_SECONDS", 0.0)
    assert not rows_ahead.look(patterns, None).complete


def test_rows_on_gs_are_judged_too(cloud, colour_spec, capsys):
    uri = f"gs://{BUCKET}/q/rows.jsonl"
    filesystem.write_bytes(uri, "".join(json.dumps(row) + "\n" for row in BAD).encode())
    given = [f"--input={uri}", f"--output=gs://{BUCKET}/out", f"--classifier={colour_spec}"]
    assert main(given) == 2
    assert "not one of its 3 rows can be used" in capsys.readouterr().err
