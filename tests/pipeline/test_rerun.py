"""A second run into the same output continues it, and never mixes two configurations in silence."""

import shutil

import pytest

from tests.conftest import read_jsonl
from tests.jobs import assert_same_results, run_measured, run_rows, scene_video, summary_of

MANIFESTS = ("spans.jsonl", "spans.csv", "videos.jsonl", "failures.jsonl")


@pytest.fixture(scope="module")
def first_run(tmp_path_factory, colour_spec):
    """A folder with two videos, their queries, and the output of a first run; tests work on copies of it."""
    folder = tmp_path_factory.mktemp("first run")
    scene_video(folder / "a.mp4", ("grey", 3), ("red", 2), ("grey", 5))
    scene_video(folder / "b.mp4", ("grey", 5), ("red", 2), ("blue", 2), ("grey", 1))
    rows = [{"action": "red", "path": str(folder / "?.mp4")}, {"action": "blue", "path": str(folder / "b.mp4")}]
    status, output = run_rows(folder, rows, colour_spec, "--clip_seconds=2", "--min_score=0.5")
    assert status == 0
    assert len(files(output, "clips", ".mp4")) == 3
    return folder


@pytest.fixture
def again(first_run, tmp_path, colour_spec):
    """Runs the job once more, into a copy of the first output; returns exit status and output."""
    shutil.copytree(first_run / "output", tmp_path / "output")  # keeps modification times

    def again(*more, measure=False):
        given = ["--input", first_run / "queries.jsonl", "--clip_seconds=2", "--min_score=0.5", *more]
        if measure:
            return run_measured(tmp_path, None, colour_spec, *given)[0]
        return run_rows(tmp_path, None, colour_spec, *given)[0]

    return again


def files(output, folder, suffix):
    """Returns the modification time of each such file."""
    found = [path for path in (output / folder).rglob(f"*{suffix}") if path.is_file()]
    return {path.relative_to(output): path.stat().st_mtime_ns for path in found}


def contents(output):
    return {str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*") if path.is_file()}


def test_a_rerun_scores_and_cuts_nothing_again(again, tmp_path):
    output = tmp_path / "output"
    before = {**files(output, "scores", ".parquet"), **files(output, "clips", "")}
    manifests = [(output / name).read_bytes() for name in MANIFESTS]
    counters = again(measure=True)
    assert len(before) == 2 + 3 * 3  # tracks, clips, their posters and records
    assert {**files(output, "scores", ".parquet"), **files(output, "clips", "")} == before
    assert [(output / name).read_bytes() for name in MANIFESTS] == manifests
    assert counters["ScoreVideos/reused-tracks"] == 2
    assert counters["CutClips/reused-clips"] == 3
    assert not {name for name in counters if name in ("ScoreVideos/models-loaded", "ScoreVideos/in-segments")}
    assert "CutClips/out-clips" not in counters
    assert summary_of(output)["adds_up"]


def test_only_what_is_missing_is_made_again(again, tmp_path):
    output = tmp_path / "output"
    lost_clip, *kept_clips = sorted(files(output, "clips", ".mp4"))
    lost_track, kept_track = sorted(files(output, "scores", ".parquet"))
    before = contents(output)
    times = {name: (output / name).stat().st_mtime_ns for name in (*kept_clips, kept_track)}
    (output / lost_clip).unlink()
    (output / lost_track).unlink()
    counters = again(measure=True)
    assert counters["ScoreVideos/in-segments"] == counters["CutClips/out-clips"] == 1
    assert {name: (output / name).stat().st_mtime_ns for name in times} == times
    assert_same_results(contents(output), before)


def test_other_settings_are_refused_with_the_difference(again, tmp_path, capsys):
    before = contents(tmp_path / "output")
    assert again("--clip_seconds=3", "--top_k=1") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("clipscout: --output: ")
    assert "clip_seconds: 2.0 there, 3.0 now" in line
    assert "top_k: 2 there, 1 now" in line
    assert "--replace" in line
    assert contents(tmp_path / "output") == before


def test_replace_redoes_what_depends_on_the_settings_and_removes_stale_clips(again, tmp_path, capsys):
    output = tmp_path / "output"
    tracks, clips = files(output, "scores", ".parquet"), files(output, "clips", ".mp4")
    assert again("--clip_seconds=3", "--replace") == 0
    assert files(output, "scores", ".parquet") == tracks
    rows = read_jsonl(output / "spans.jsonl")
    assert {round(row["end_seconds"] - row["start_seconds"], 3) for row in rows} == {3.0}
    named = {row["clip"] for row in rows}
    assert {str(path) for path in files(output, "clips", ".mp4")} == named
    assert {str(path).replace(".json", ".mp4") for path in files(output, "clips", ".json")} == named
    assert named & {str(path) for path in clips} == set()
    # the new settings are the output's now
    assert again("--clip_seconds=3") == 0
    assert again("--clip_seconds=2") == 2
    assert "clip_seconds: 3.0 there, 2.0 now" in capsys.readouterr().err


def test_no_shard_of_an_earlier_run_is_left(again, tmp_path):
    output = tmp_path / "output"
    single = {name: read_jsonl(output / f"{name}.jsonl") for name in ("spans", "videos", "failures")}
    assert again("--manifest_shards=3", "--batch_size=3", "--stall_seconds=60") == 0  # these shape no result
    for name, rows in single.items():
        shards = sorted(path.name for path in output.glob(f"{name}*.jsonl"))
        assert shards == [f"{name}-{shard:05d}-of-00003.jsonl" for shard in range(3)]
        sharded = [row for shard in shards for row in read_jsonl(output / shard)]
        assert sorted(map(repr, sharded)) == sorted(map(repr, rows))
    assert again("--manifest_shards=1") == 0
    assert {path.name for path in output.glob("*.jsonl")} == {f"{name}.jsonl" for name in single}
    assert {name: read_jsonl(output / f"{name}.jsonl") for name in single} == single


def test_a_file_with_new_content_is_scored_and_cut_again(tmp_path, colour_spec):
    video = tmp_path / "a.mp4"
    rows = [{"action": "red", "path": str(video)}]
    options = ["--clip_seconds=2", "--top_k=1", "--min_score=0.5"]
    scene_video(video, ("grey", 3), ("red", 2), ("grey", 5))
    assert run_rows(tmp_path, rows, colour_spec, *options)[0] == 0
    (before,) = read_jsonl(tmp_path / "output/spans.jsonl")
    scene_video(video, ("blue", 3), ("red", 2), ("blue", 1), ("grey", 5))  # the same span, other pictures
    assert run_rows(tmp_path, None, colour_spec, *options)[0] == 0
    (after,) = read_jsonl(tmp_path / "output/spans.jsonl")
    assert after["clip"] == before["clip"]
    assert after["clip_sha256"] != before["clip_sha256"]
    (row,) = read_jsonl(tmp_path / "output/videos.jsonl")
    assert row["decoded_seconds"] == 11
