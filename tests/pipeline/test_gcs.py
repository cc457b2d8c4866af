"""Queries, videos and output on gs://: the same results as on local disk."""

import json
from pathlib import Path

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from pipeline.run import main
from tests.jobs import run_cli, scene_video
from tests.servers import metadata_server, storage_emulator

BUCKET = "clipscout-test"
#: Where the values lie in the names or in the storage's own digest.
PLACES = ("id", "key", "uri", "source", "content", "asks", "clip", "poster")


@pytest.fixture
def cloud():
    """The environment of a process that sees the stand-ins as Google's."""
    with storage_emulator(BUCKET) as emulator, metadata_server() as metadata:
        yield {**emulator, **metadata}


def without_places(lines):
    """Returns a manifest's rows without what names a place, in the order of what is left."""
    rows = [{name: value for name, value in json.loads(line).items() if name not in PLACES} for line in lines]
    return sorted(rows, key=repr)


def test_a_job_on_object_storage_gives_the_local_results(tmp_path, colour_spec, cloud, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", cloud["STORAGE_EMULATOR_HOST"])
    bucket = storage.Client(project="clipscout", credentials=AnonymousCredentials()).bucket(BUCKET)
    (tmp_path / "videos").mkdir()
    scene_video(tmp_path / "videos/a.mp4", ("grey", 3), ("red", 2), ("grey", 3), audio=True)
    scene_video(tmp_path / "videos/b.mp4", ("blue", 2), ("grey", 3), ("red", 2))
    (tmp_path / "videos/c.mp4").write_bytes(b"")
    for path in (tmp_path / "videos").iterdir():
        bucket.blob(f"in/{path.name}").upload_from_filename(str(path))
    header = "action,path,split\n"
    (tmp_path / "queries.csv").write_text(f"{header}red,{tmp_path}/videos/*.mp4,val\nred,{tmp_path}/none/*.mp4,\n")
    bucket.blob("queries/q.csv").upload_from_string(
        f"{header}red,gs://{BUCKET}/in/*.mp4,val\nred,gs://{BUCKET}/none/*.mp4,\n"
    )
    for path in Path(colour_spec).parent.iterdir():
        bucket.blob(f"models/{path.name}").upload_from_filename(str(path))
    more = ["--clip_seconds=2", "--min_score=0.5"]

    local_run = [f"--input={tmp_path}/queries.csv", f"--output={tmp_path}/output", "--classifier", colour_spec]
    assert main([*local_run, *more]) == 0
    remote = f"gs://{BUCKET}/results"
    remote_run = [f"--input=gs://{BUCKET}/queries/*.csv", f"--output={remote}"]
    remote_run += [f"--classifier=gs://{BUCKET}/models/colours.json"]
    environment = {**cloud, "CLIPSCOUT_CACHE": str(tmp_path / "cache")}
    done = run_cli(*remote_run, *more, environment=environment)
    assert done.returncode == 0, done.stderr
    assert f"{remote}/clips" in done.stdout

    blobs = {blob.name.removeprefix("results/"): blob for blob in bucket.list_blobs(prefix="results/")}
    for name in ("videos.jsonl", "spans.jsonl"):
        local = (tmp_path / "output" / name).read_text().splitlines()
        there = blobs[name].download_as_text().splitlines()
        assert len(there) == len(local) > 1
        assert without_places(there) == without_places(local)
    failures = [json.loads(line) for line in blobs["failures.jsonl"].download_as_text().splitlines()]
    assert sorted(failure["code"] for failure in failures) == ["no_match", "unreadable_video"]
    spans = [json.loads(line) for line in blobs["spans.jsonl"].download_as_text().splitlines()]
    assert {name for name in blobs if name.startswith("clips/") and name.endswith(".mp4")} == {
        row["clip"] for row in spans
    }
    assert all(row["asks"][0]["row"] == f"gs://{BUCKET}/queries/q.csv:2" for row in spans)
    assert len([name for name in blobs if name.startswith("scores/")]) == 2
    here, there = (
        json.loads((tmp_path / "output/summary.json").read_text()),
        json.loads(blobs["summary.json"].download_as_text()),
    )
    assert there["funnel"] == here["funnel"]
    assert there["adds_up"]
    # weights are fetched once per machine, and are the same weights wherever they lie
    assert [path.suffix for path in (tmp_path / "cache/weights").iterdir() if path.suffix != ".lock"] == [".pt"]
    assert there["settings"]["scores"] == here["settings"]["scores"]
    # nothing but results is left behind
    kinds = {name.partition("/")[0] for name in blobs}
    assert kinds == {path.name for path in (tmp_path / "output").iterdir()}
