"""The job on Beam's portable runner with two worker processes, on gs://: as near to Dataflow as one machine comes.

What a step needs has to reach it as part of the graph or from gs://: the workers share neither a variable nor fetched
weights with the program that starts them. Their storage fails now and then, and they may be killed at any time.
"""

import json
from pathlib import Path

import pytest

from clipscout.pipeline.run import main
from clipscout.transforms.core.storage import filesystem, gcs
from tests.cloud_servers import FAULTS, always, every
from tests.cluster import Cluster
from tests.conftest import BUCKET
from tests.jobs import MANIFESTS, assert_same_rows, scene_video


@pytest.fixture
def cluster(cloud, tmp_path):
    with open(tmp_path / "cluster.log", "w+") as log:
        running = Cluster(log, tmp_path / "workers")
        yield running
        running.close()
        log.seek(0)
        print(log.read())  # pytest shows it where the test failed


@pytest.fixture
def job(cloud, tmp_path, colour_spec, monkeypatch):
    """Arguments but for the output, all on gs://, and the listing and manifests of the local runner's output."""
    monkeypatch.setenv("CLIPSCOUT_CACHE", str(tmp_path / "launcher"))
    rows = [{"action": colour, "path": f"gs://{BUCKET}/in/*.mp4"} for colour in ("red", "blue", "pink")]
    filesystem.write_bytes(f"gs://{BUCKET}/queries.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    for name, start in (("a", 1), ("b", 2), ("c", 3), ("d", 4)):
        scene_video(tmp_path / f"{name}.mp4", ("grey", start), ("red", 1), ("blue", 1), ("grey", 6 - start))
        filesystem.move_in(str(tmp_path / f"{name}.mp4"), f"gs://{BUCKET}/in/{name}.mp4")
    filesystem.write_bytes(f"gs://{BUCKET}/in/e.mp4", b"not a video")
    for path in Path(colour_spec).parent.iterdir():
        filesystem.write_bytes(f"gs://{BUCKET}/models/{path.name}", path.read_bytes())
    given = [f"--input=gs://{BUCKET}/queries.jsonl", "--clip_seconds=2", "--min_score=0.5", "--shots=ignore"]
    given.append("--progress=none")  # on a busy machine it would stand among what is compared
    assert main([*given, f"--classifier={colour_spec}", f"--output={tmp_path}/local"]) == 0
    given.append(f"--classifier=gs://{BUCKET}/models/{Path(colour_spec).name}")
    manifests = {name: (tmp_path / "local" / name).read_text() for name in MANIFESTS}
    assert len(manifests["spans.jsonl"].splitlines()) == 8
    return given, filesystem.list_files(f"{tmp_path}/local"), manifests


def test_two_workers_give_the_rows_of_the_local_runner(cloud, cluster, job, tmp_path, monkeypatch, capsys):
    """Input, weights and output are on gs://, and every fifth request fails."""
    given, files, manifests = job
    output, working, faulty, fault_of = f"gs://{BUCKET}/results", set(), set(), every(5)
    monkeypatch.setattr(gcs, "_FIRST_WAIT_SECONDS", 0.02)  # the launcher's; workers wait as long as they always do
    cloud.forget()

    def look(kind, name):
        working.update(cluster.working())
        fault = fault_of(kind, name)
        if fault:
            faulty.add((kind, name))
        return fault

    cloud.schedule = look  # at each request
    status = main([*given, f"--output={output}", *cluster.options])
    cloud.schedule = always("")
    assert status == 0
    assert len(working) == 2
    assert "models-loaded 2" in capsys.readouterr().out  # both scored
    assert cloud.faults() == set(FAULTS)
    assert ("read", "models/colours.json") in faulty  # by the launcher
    assert any(kind == "upload" and name.startswith("results/clips/") for kind, name in faulty)  # by workers
    assert [path.suffix for path in (tmp_path / "workers/weights").iterdir() if path.suffix != ".lock"] == [".pt"]
    for name, text in manifests.items():
        assert_same_rows(filesystem.read_bytes(f"{output}/{name}").decode(), text)
    assert filesystem.list_files(output) == files


def test_after_workers_were_killed_the_same_command_completes_the_job(cloud, cluster, job, capsys):
    given, files, manifests = job
    output, killed = f"gs://{BUCKET}/results", []

    def kill(kind, name):
        if kind == "upload" and name.startswith("results/clips/") and name.endswith(".mp4") and not killed:
            killed.extend(cluster.working())
            cluster.kill_workers()
            return "reset"
        return ""

    cloud.schedule = kill  # workers that cut, when the first clip is on its way
    assert main([*given, f"--output={output}", *cluster.options]) == 1
    *ahead, line = capsys.readouterr().err.splitlines()
    # a busy machine may start workers too slowly to be asked what they have
    assert all("1 of 3 rows cannot be used" in text or "do not say within" in text for text in ahead), ahead
    assert line.startswith("clipscout: ")
    assert killed
    left = set(filesystem.list_files(output))
    assert left < set(files)
    assert "summary.json" not in left
    cloud.schedule = always("")
    assert main([*given, f"--output={output}", *cluster.options]) == 0
    assert filesystem.list_files(output) == files
    for name, text in manifests.items():
        assert_same_rows(filesystem.read_bytes(f"{output}/{name}").decode(), text)
