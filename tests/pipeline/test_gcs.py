"""The job on gs://, where the network fails all the time: the same results as on local disk, and nothing done twice."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from google.cloud.storage import blob as google_blob

from clipscout.pipeline.run import main
from clipscout.transforms.core.storage import copies, filesystem, gcs
from tests.cloud_servers import FAULTS, KINDS, always, every
from tests.conftest import BUCKET
from tests.jobs import assert_same_results, assert_same_rows, run_measured, scene_video
from tests.web_server import Running

STRANGE, ALIKE = "a b#1?ü.mp4", "a b#1_ü.mp4"  # the one, as a glob, matches the other
COOKIES = "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t2147483647\tsession\thush\n"
OPTIONS = ("--clip_seconds=2", "--min_score=0.5", "--shots=ignore", "--allow_private_hosts=127.0.0.1")
MANIFESTS = ("spans.jsonl", "spans.parquet", "spans.csv", "spans_by_score.csv", "videos.jsonl", "videos.parquet")
MANIFESTS += ("failures.jsonl",)


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A site with one video that is wanted and one that an exclude file names."""
    (tmp_path / "site").mkdir()
    scene_video(tmp_path / "site/small.mp4", ("grey", 3), ("red", 2), ("grey", 2))
    with Running(tmp_path / "site", {"keep": {"title": "wanted"}, "skip": {"title": "from the test set"}}) as running:
        monkeypatch.setenv("CLIPSCOUT_TEST_PORT", str(running.port))
        yield running


@pytest.fixture
def places(tmp_path, colour_spec, site, cloud, monkeypatch):
    """A local folder and a gs:// prefix with what a job needs: videos, queries, exclude list, cookies, classifier."""
    monkeypatch.setenv("CLIPSCOUT_CACHE", str(tmp_path / "cache"))
    here, there = str(tmp_path / "local"), f"gs://{BUCKET}/remote"
    videos = tmp_path / "videos"
    videos.mkdir()
    scene_video(videos / STRANGE, ("grey", 3), ("red", 2), ("grey", 3), audio=True)
    scene_video(videos / "b.mp4", ("blue", 2), ("grey", 3), ("red", 2))
    (videos / ALIKE).write_bytes(b"")
    for place in (here, there):
        rows = [
            {"action": "red", "path": f"{place}/in/{STRANGE}", "split": "val"},
            {"action": "blue", "path": f"{place}/in/*.mp4"},
            {"action": "red", "path": f"{place}/none/*.mp4"},
            {"action": "red", "url": f"{site.url}/watch/keep"},
            {"action": "red", "url": f"{site.url}/watch/skip"},
        ]
        filesystem.write_bytes(f"{place}/q/queries.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
        filesystem.write_bytes(f"{place}/exclude.txt", f"{site.url}/watch/skip\n".encode())
        filesystem.write_bytes(f"{place}/cookies.txt", COOKIES.encode())
        for path in (*videos.iterdir(), *Path(colour_spec).parent.iterdir()):
            folder = "in" if path.suffix == ".mp4" else "models"
            filesystem.write_bytes(f"{place}/{folder}/{path.name}", path.read_bytes())
    cloud.forget()
    return here, there


def options(place, output="out"):
    given = [f"--input={place}/q/*.jsonl", f"--output={place}/{output}", f"--classifier={place}/models/colours.json"]
    return [*given, f"--exclude={place}/exclude.txt", f"--cookies={place}/cookies.txt", *OPTIONS]


def run(place):
    return main(options(place))


def contents(folder):
    return {name: filesystem.read_bytes(f"{folder}/{name}") for name in filesystem.list_files(folder)}


def nameless(names):
    """Returns the files of an output without the digests of places in their names, and without notes of used files."""
    bare = (re.sub(r"(file-\w+)-[0-9a-f]{12}|[0-9a-f]{32}", r"\1", name) for name in names)
    return sorted(name for name in bare if not re.fullmatch(r"videos/file-\w+\.json", name))


def test_a_job_on_object_storage_with_faults_gives_the_local_results(
    places, cloud, site, tmp_path, monkeypatch, capsys
):
    here, there = places
    monkeypatch.setattr(gcs, "_FIRST_WAIT_SECONDS", 0.02)
    monkeypatch.setattr(google_blob, "_MAX_MULTIPART_SIZE", 5000)  # larger uploads have a start and chunks
    assert run(here) == 0
    assert cloud.requests == []
    cloud.schedule = every(3)
    assert run(there) == 0
    cloud.schedule = always("")
    assert f"{there}/out/clips" in capsys.readouterr().out
    # each fault and each kind of request really met
    assert cloud.faults() == set(FAULTS)
    assert {kind for _, kind in cloud.injected} == {*KINDS} - {"other"}

    for name in ("videos.jsonl", "spans.jsonl"):
        local, remote = (filesystem.read_bytes(f"{place}/out/{name}").decode() for place in places)
        assert len(local.splitlines()) > 2
        assert_same_rows(remote, local)
    local, remote = (json.loads(filesystem.read_bytes(f"{place}/out/summary.json")) for place in places)
    assert remote["funnel"] == local["funnel"]
    assert remote["failures"] == local["failures"]
    assert remote["failures"] == {
        "DownloadVideos": {"unreadable_video": 1},
        "FindVideos": {"excluded": 1, "no_match": 1},
    }
    # a browser shows the page from there
    with gcs.bucket_of(there) as (bucket, folder, _):
        kinds = {blob.name.rpartition(".")[2]: blob.content_type for blob in bucket.list_blobs(prefix=f"{folder}/out/")}
    assert (kinds["html"], kinds["svg"], kinds["mp4"]) == ("text/html", "image/svg+xml", "video/mp4")
    # the weights are the same wherever they lie, and are fetched once per machine
    assert remote["settings"]["scores"] == local["settings"]["scores"]
    assert [path.suffix for path in (tmp_path / "cache/weights").iterdir() if path.suffix != ".lock"] == [".pt"]
    spans = [json.loads(line) for line in filesystem.read_bytes(f"{there}/out/spans.jsonl").decode().splitlines()]
    assert {Path(row["source"]).name for row in spans} == {STRANGE, "b.mp4", "keep"}
    assert {ask["row"] for row in spans for ask in row["asks"]} == {
        f"{there}/q/queries.jsonl:{line}" for line in (1, 2, 4)
    }
    assert {entry["cookie"] for entry in site.headers()} == {"session=hush"}
    # nothing is left behind but results
    found = {place: filesystem.list_files(f"{place}/out") for place in places}
    assert nameless(found[there]) == nameless(found[here])
    assert {row["clip"] for row in spans} == {name for name in found[there] if name.endswith(".mp4")} - {
        "videos/localvideo-keep.mp4"
    }


def test_a_second_run_fetches_scores_and_cuts_nothing(places, cloud, site):
    _, there = places
    assert run(there) == 0
    first = contents(f"{there}/out")
    asked = site.log()
    cloud.forget()
    copies.of_process.cache_clear()  # as in a process of its own
    assert run(there) == 0
    assert site.log() == asked
    put = {name.removeprefix("remote/out/") for kind, name in cloud.requests if kind in ("upload", "start")}
    made = {name for name in put if not name.startswith((".clipscout-", "report/"))}
    assert made == {*MANIFESTS, "job.json", "summary.json"}
    read = Counter(name for kind, name in cloud.requests if kind == "read" and name.endswith((".mp4", ".pt")))
    # the facts of files that are used in place are kept; one that failed is looked into again
    assert read == {f"remote/in/{ALIKE}": 1}
    assert_same_results(contents(f"{there}/out"), first)


def test_a_job_of_which_every_bundle_runs_twice_leaves_the_same_files(places, cloud, site, tmp_path):
    _, there = places
    assert run(there) == 0
    assert cloud.asked("read", "remote/in/b.mp4") == 1  # to look into, to score, to cut
    counters, _ = run_measured(tmp_path, None, "", *options(there, "again"), "--direct_runner_bundle_repeat=1")
    assert counters["CutClips/reused-clips"] == 3  # the second time
    assert cloud.asked("read", "remote/in/b.mp4") == 1
    assert site.log()["/media/keep/144/video.mp4"] == 2  # but fetched once per run
    assert_same_results(contents(f"{there}/again"), contents(f"{there}/out"))


def test_a_long_video_is_read_once_for_all_its_segments(places, cloud, tmp_path):
    """Whichever of probing, segments, scoring and cutting a process does, it shares one copy."""
    _, there = places
    content = Path(scene_video(tmp_path / "long.mp4", ("grey", 20), ("red", 3), ("grey", 20))).read_bytes()
    filesystem.write_bytes(f"{there}/in/long.mp4", content)
    assert main([*options(there), "--segment_seconds=10"]) == 0
    tracks = [name for name in filesystem.list_files(f"{there}/out", "scores/") if name.endswith(".parquet")]
    assert len(tracks) == 4
    assert cloud.asked("read", "remote/in/long.mp4") == 1


def test_a_file_in_place_that_changed_is_looked_into_again(places, cloud, tmp_path):
    _, there = places
    assert run(there) == 0
    longer = scene_video(tmp_path / "longer.mp4", ("blue", 2), ("grey", 6), ("red", 2))
    filesystem.move_in(longer, f"{there}/in/b.mp4")
    assert run(there) == 0
    videos = [json.loads(line) for line in filesystem.read_bytes(f"{there}/out/videos.jsonl").decode().splitlines()]
    assert [row["duration_seconds"] for row in videos if row["source"].endswith("b.mp4")] == [10]


def test_files_in_place_can_be_copied_later(places, cloud):
    _, there = places
    assert run(there) == 0
    assert main([*options(there), "--copy_inputs", "--replace"]) == 0
    names = filesystem.list_files(f"{there}/out", "videos/file-")
    assert sum(name.endswith(".mp4") for name in names) == 2
    assert main([*options(there), "--replace"]) == 0
    videos = [json.loads(line) for line in filesystem.read_bytes(f"{there}/out/videos.jsonl").decode().splitlines()]
    assert {row["outcome"] for row in videos if row["source"].endswith("b.mp4")} == {"result"}
