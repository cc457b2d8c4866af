"""Fetched in one place, scored in another: an output is moved between storages, and what it holds is used there."""

import json
from pathlib import Path

import pytest

from clipscout.pipeline.run import main
from clipscout.transforms.core.storage import filesystem
from tests.conftest import BUCKET, read_jsonl
from tests.jobs import assert_same_rows, scene_video
from tests.web_jobs import by_key, summary_of, video

ROWS = [{"action": "red", "query": "bus"}, {"action": "blue", "query": "bus"}]
REMOTE = f"gs://{BUCKET}/moved"


def copied(source, target):
    """Copies an output as it is, between a folder and gs://."""
    for name in filesystem.list_files(source):
        filesystem.write_bytes(filesystem.join(target, name), filesystem.read_bytes(filesystem.join(source, name)))


def read(output, name):
    return filesystem.read_bytes(filesystem.join(output, name)).decode()


def results(text):
    """Returns the rows but for those of videos that failed: why may differ."""
    return "\n".join(line for line in text.splitlines() if '"outcome": "failed"' not in line)


@pytest.mark.parametrize("query", ["search", "direct"])
def test_what_one_place_fetched_another_scores_without_asking_the_site(cloud, site, job, tmp_path, query, capsys):
    server = site({"one": video("bus"), "two": video("bus", fault="500"), "three": video("bus")})
    rows = ROWS if query == "search" else [{"action": "red", "url": f"{server.url}/media/one/144/video.mp4"}]
    status, whole = job(rows, output="whole")
    assert status == 0
    capsys.readouterr()
    status, output = job(rows, "--fetch_only", output="home")
    assert status == 0
    videos = 2 if query == "search" else 1
    assert f"0 failed, {videos} not scored, 0 scored" in capsys.readouterr().out
    summary = summary_of(output)
    assert summary["funnel"]["videos"] == {
        **dict.fromkeys(("failed", "scored", "with_spans", "without_span"), 0),
        "not_scored": videos,
    }
    assert sorted(row["outcome"] for row in by_key(output).values()) == ["failed"] * (videos - 1) + ["fetched"] * videos
    assert not list(output.glob("scores/*"))
    copied(str(output), REMOTE)
    server.__exit__()
    status, _ = job(rows, output=REMOTE)
    assert status == 0
    assert "models-loaded 1" in capsys.readouterr().out
    for name in ("spans.jsonl", "videos.jsonl"):
        assert_same_rows(results(read(REMOTE, name)), results(read(str(whole), name)))
    assert json.loads(read(REMOTE, "summary.json"))["reused"]["videos"] == videos
    # and back, to another folder: all that is there is found again
    copied(REMOTE, str(tmp_path / "back"))
    status, back = job(rows, output="back")
    assert status == 0
    assert summary_of(back)["reused"] == {
        "videos": videos,
        "tracks": videos,
        "clips": len(read_jsonl(back / "spans.jsonl")),
    }
    for row in read_jsonl(back / "spans.jsonl"):
        assert (back / row["clip"]).is_file()
    for row in read_jsonl(back / "videos.jsonl"):
        assert not row["uri"] or (back / row["uri"]).is_file()


def test_files_of_ones_own_travel_with_the_output_where_they_are_copied_into_it(cloud, tmp_path, colour_spec, capsys):
    path = scene_video(tmp_path / "mine.mp4", ("grey", 2), ("red", 2))
    (tmp_path / "rows.jsonl").write_text(json.dumps({"action": "red", "path": path}) + "\n")
    given = [f"--input={tmp_path}/rows.jsonl", f"--classifier={colour_spec}", "--copy_inputs", "--progress=none"]
    assert main([*given, f"--output={tmp_path}/home", "--fetch_only"]) == 0
    copied(f"{tmp_path}/home", REMOTE)
    assert main([*given, f"--output={REMOTE}"]) == 0
    (row,) = map(json.loads, read(REMOTE, "videos.jsonl").splitlines())
    assert (row["outcome"], Path(row["uri"]).parts[0]) == ("result", "videos")
    assert json.loads(read(REMOTE, "summary.json"))["reused"]["videos"] == 1


def test_fetching_alone_empties_no_manifest_and_replaces_nothing(tmp_path, colour_spec, capsys):
    path = scene_video(tmp_path / "a.mp4", ("red", 2))
    (tmp_path / "rows.jsonl").write_text(json.dumps({"action": "red", "path": path}) + "\n")
    given = [f"--input={tmp_path}/rows.jsonl", f"--classifier={colour_spec}", f"--output={tmp_path}/out"]
    assert main([*given, "--progress=none"]) == 0
    before = (tmp_path / "out/spans.jsonl").read_bytes()
    for more, said in (
        ((), "holds scores, and its manifests would name no span"),
        (("--replace",), "--replace anything"),
    ):
        assert main([*given, "--fetch_only", *more]) == 2
        assert said in capsys.readouterr().err
    assert (tmp_path / "out/spans.jsonl").read_bytes() == before
