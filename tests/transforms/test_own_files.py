"""Files of the user's own: no download's limits, nothing hashed before it is refused, nothing opened but files."""

import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from clipscout.pipeline.run import configure
from clipscout.transforms.core.storage import filesystem, video_store
from clipscout.transforms.core.storage.video_store import VideoStore
from clipscout.transforms.failures import Failure
from clipscout.transforms.queries import in_one_spelling, spelling
from clipscout.transforms.records import ActionQuery, Ask, VideoRequest
from clipscout.transforms.video_fetchers import FileFetcher
from tests.conftest import read_jsonl
from tests.jobs import run_rows, scene_video, summary_of


@pytest.fixture
def fetch(tmp_path, colour_spec):
    """Returns a function that fetches a file as the job with some options does."""
    fetchers = []

    def work(path, *options):
        rule = configure(["--input=q.csv", f"--output={tmp_path}/out", f"--classifier={colour_spec}", *options])[
            0
        ].fetch
        fetchers.append(FileFetcher(rule, VideoStore(str(tmp_path / "out"))))
        return fetchers[-1].work(
            VideoRequest("file-a", (Ask("red", ("red",), "q:1"),), path=str(path)), threading.Event()
        )

    yield work
    for fetcher in fetchers:
        fetcher.close()


def test_videos_of_the_web_have_limits_that_nobody_has_to_ask_for(colour_spec):
    given = ["--input=q.csv", "--output=out", f"--classifier={colour_spec}"]
    rule = configure(given)[0].fetch
    assert (rule.max_bytes, rule.filter.max_seconds) == (2_000_000_000, 14_400)
    rule = configure([*given, "--max_video_mb=1.5", "--max_video_seconds=60"])[0].fetch
    assert (rule.max_bytes, rule.filter.max_seconds) == (1_500_000, 60)
    assert rule.for_files().max_bytes == 1_500_000


def sparse(path, content=b""):
    """Makes a file of 40 GB, which takes a minute to hash and no space."""
    path.write_bytes(content)
    os.truncate(path, 40 << 30)
    return path


def test_the_limits_of_downloads_hold_for_own_files_only_where_somebody_asks(tmp_path, fetch):
    video = scene_video(tmp_path / "a.mp4", ("red", 2))
    with open(video, "ab") as file:
        file.write((12).to_bytes(4, "big") + b"free" + bytes(4))
    for options, code in (
        ([], None),
        (["--max_video_mb=0.001"], "too_large"),
        (["--max_video_seconds=1"], "too_long"),
        (["--min_video_seconds=3"], "too_short"),
    ):
        outcome = fetch(video, *options)
        assert (outcome.error and outcome.error.code) == code
    large = fetch(sparse(tmp_path / "b.mp4"), "--max_video_mb=2000")
    assert large.error.code == "too_large"


def test_nothing_is_hashed_before_it_is_refused(tmp_path, fetch):
    started = time.monotonic()
    assert fetch(sparse(tmp_path / "b.mp4", b"no video" * 1000)).error.code == "unreadable_video"
    assert time.monotonic() - started < 20


def test_a_file_that_is_replaced_after_it_was_hashed_is_told(tmp_path, fetch):
    path = scene_video(tmp_path / "a.mp4", ("red", 1))
    video = fetch(path).video
    video_store.check_unchanged(video)
    facts = os.stat(path)
    content = bytearray(Path(path).read_bytes())
    content[-1] ^= 1
    Path(path).write_bytes(content)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    with pytest.raises(filesystem.StorageError, match="was replaced while the job ran"):
        video_store.check_unchanged(video)
    video_store.check_unchanged(replace(video, modified_ns=0))  # what is not used in place


def test_rows_that_lead_to_no_files_of_ones_own_cost_themselves(tmp_path, colour_spec):
    folder = tmp_path / "[2024] trip"
    folder.mkdir()
    scene_video(folder / "A.MP4", ("red", 2))
    scene_video(folder / "b.mp4", ("grey", 1), ("red", 1))
    (folder / "._A.MP4").write_bytes(b"\0\5\x16\7")
    (folder / "notes.txt").write_text("no video")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.txt").write_text("no video")
    os.mkfifo(tmp_path / "pipe.mp4")
    rows = [
        {"action": "Red", "path": f"{folder}/"},
        {"action": "red", "path": f"{folder}/*.mp4"},
        {"action": "RED", "path": (folder / "b.mp4").as_uri()},
        {"action": "red", "path": str(tmp_path / "pipe.mp4")},
        {"action": "red", "path": "/dev/zero"},
        {"action": "red", "path": f"{tmp_path}/texts/"},
    ]
    status, output = run_rows(tmp_path, rows, colour_spec, "--cut=none", "--clip_seconds=1", "--top_k=1")
    assert status == 0
    summary = summary_of(output)
    assert summary["adds_up"]
    assert list(summary["actions"]) == ["Red"]  # three spellings, the first of which is kept
    videos = {Path(row["source"]).name: row for row in read_jsonl(output / "videos.jsonl")}
    assert {name: row["outcome"] for name, row in videos.items()} == {"A.MP4": "result", "b.mp4": "result"}
    assert len(videos["b.mp4"]["asks"]) == 3
    failures = {
        int(row["row"].rpartition(":")[2]): (row["code"], row["message"])
        for row in read_jsonl(output / "failures.jsonl")
    }
    assert {line: code for line, (code, _) in failures.items()} == {4: "bad_row", 5: "bad_row", 6: "no_match"}
    assert "is a named pipe, not a file" in failures[4][1]
    assert "is a device, not a file" in failures[5][1]
    assert f"for its 1 files of other names write '{tmp_path}/texts/*'" in failures[6][1]

    # spans.csv is a query file: the spans are found again, between their own times
    spans = read_jsonl(output / "spans.jsonl")
    again = tmp_path / "again"
    again.mkdir()
    given = [f"--input={output}/spans.csv", f"--output={again}/output", "--within_row_times", "--clip_seconds=0.5"]
    status, output = run_rows(again, None, colour_spec, *given, "--top_k=1", "--cut=none")
    assert status == 0
    found = read_jsonl(output / "spans.jsonl")
    assert [row["source"] for row in found] == [row["source"] for row in spans]
    for new, old in zip(found, spans, strict=True):
        assert old["start_seconds"] <= new["start_seconds"] < new["end_seconds"] <= old["end_seconds"]
        assert new["asks"][0]["extra"]["youtube_id"] == old["key"]


def test_spellings_of_one_action_take_that_of_the_first_row():
    queries = [
        ActionQuery(action, f"{file}:{line}", query="q")
        for action, file, line in [("push-up", "b.csv", 2), ("Push Up", "a.csv", 10), ("push_up", "a.csv", 9)]
    ]
    assert {spelling(query)[0] for query in queries} == {"push up"}
    first = dict([min(map(spelling, queries))])
    assert [in_one_spelling(query, first).action for query in queries] == ["push_up"] * 3


def test_messages_show_what_does_not_print():
    message = Failure("FindVideos", "no_match", "a\x1b[2Jb\u202ec\u2066d\udce9 été \u200b\n  e").message
    assert message == "a\\x1b[2Jb\\u202ec\\u2066d\\udce9 été \\u200b e"
