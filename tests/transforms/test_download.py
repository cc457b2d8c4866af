"""Rows with a url: fetched by the real yt-dlp from a real server on 127.0.0.1."""

import hashlib
import json

import pytest

from clipscout.transforms.core.storage import kept
from clipscout.transforms.download import earlier_failures
from clipscout.transforms.failures import Failure
from clipscout.transforms.site_search import _entries_of
from tests.conftest import read_jsonl
from tests.jobs import by_source, run_rows, scene_video
from tests.servers import file_server

MORE = ("--clip_seconds=2", "--top_k=1", "--allow_private_hosts=127.0.0.1", "--download_interval=0")


@pytest.fixture
def site(tmp_path):
    """A server with a video at /good.mp4, a page without media at /page, and nothing else."""
    scene_video(tmp_path / "made.mp4", ("grey", 2), ("red", 2), ("grey", 2))
    with file_server() as files:
        files.pages["/good.mp4"] = 200, "video/mp4", (tmp_path / "made.mp4").read_bytes()
        files.pages["/page"] = 200, "text/html", b"<!DOCTYPE html><html><body>Nothing to see.</body></html>"
        yield files


def test_urls_are_fetched_once_or_fail_with_the_reason(tmp_path, colour_spec, site):
    rows = [{"action": "red", "url": f"{site.url}/{name}"} for name in ("good.mp4", "gone.mp4", "page")]
    rows.append({"action": "grey", "url": f"{site.url}/good.mp4"})
    status, output = run_rows(tmp_path, rows, colour_spec, *MORE)
    assert status == 0

    videos = by_source(output)
    assert {name: row["outcome"] for name, row in videos.items()} == {
        "good.mp4": "result",
        "gone.mp4": "failed",
        "page": "failed",
    }
    good = videos["good.mp4"]
    original = (tmp_path / "made.mp4").read_bytes()
    assert good["uri"] == f"videos/{good['key']}.mp4"
    assert (output / good["uri"]).read_bytes() == original
    assert good["content"] == f"sha256:{hashlib.sha256(original).hexdigest()}"
    assert {ask["action"] for ask in good["asks"]} == {"red", "grey"}
    assert sorted(path.name for path in (output / "videos").iterdir()) == [f"{good['key']}.json", f"{good['key']}.mp4"]
    record = json.loads((output / "videos" / f"{good['key']}.json").read_text())
    assert (record["uri"], record["content"]) == (good["uri"], good["content"])
    (red,) = (row for row in read_jsonl(output / "spans.jsonl") if row["action"] == "red")
    assert 2 <= red["peak_seconds"] < 4

    messages = {row["message"].split(": ")[0]: row["message"] for row in read_jsonl(output / "failures.jsonl")}
    assert "HTTP Error 404" in messages[f"{site.url}/gone.mp4"]
    assert "Unsupported URL" in messages[f"{site.url}/page"]
    assert videos["gone.mp4"]["code"]

    asked = site.hits("/good.mp4")
    assert asked >= 1
    spans = (output / "spans.jsonl").read_bytes()
    assert run_rows(tmp_path, None, colour_spec, *MORE)[0] == 0
    assert site.hits("/good.mp4") == asked
    assert (output / "spans.jsonl").read_bytes() == spans

    # half a file, and no record of it: a run that was ended in between
    record = output / "videos" / f"{good['key']}.json"
    record.unlink()
    record.with_suffix(".mp4").write_bytes(original[:1000])
    assert run_rows(tmp_path, None, colour_spec, *MORE)[0] == 0
    assert site.hits("/good.mp4") == 2 * asked
    assert record.is_file()
    assert record.with_suffix(".mp4").read_bytes() == original


def test_inputs_are_copied_on_demand_and_the_copy_outlives_the_original(tmp_path, colour_spec):
    video = scene_video(tmp_path / "a.mp4", ("grey", 1), ("red", 1))
    rows = [{"action": "red", "path": video}]
    status, output = run_rows(tmp_path, rows, colour_spec, "--copy_inputs", "--clip_seconds=1", "--top_k=1")
    assert status == 0
    (row,) = read_jsonl(output / "videos.jsonl")
    assert row["uri"] == f"videos/{row['key']}.mp4"
    assert (output / row["uri"]).read_bytes() == (tmp_path / "a.mp4").read_bytes()
    record = output / f"videos/{row['key']}.json"
    before = record.stat().st_mtime_ns
    assert run_rows(tmp_path, rows, colour_spec, "--copy_inputs", "--clip_seconds=1", "--top_k=1")[0] == 0
    assert record.stat().st_mtime_ns == before
    scene_video(tmp_path / "a.mp4", ("grey", 2), ("red", 1))
    assert run_rows(tmp_path, rows, colour_spec, "--copy_inputs", "--clip_seconds=1", "--top_k=1")[0] == 0
    (again,) = read_jsonl(output / "videos.jsonl")
    assert again["content"] != row["content"]
    assert (output / row["uri"]).read_bytes() == (tmp_path / "a.mp4").read_bytes()


def test_a_broken_file_that_was_replaced_is_looked_at_again(tmp_path, colour_spec):
    (tmp_path / "a.mp4").write_text("not yet a video")
    rows = [{"action": "red", "path": str(tmp_path / "a.mp4")}]
    _, output = run_rows(tmp_path, rows, colour_spec, "--cut=none")
    assert read_jsonl(output / "videos.jsonl")[0]["code"] == "unreadable_video"
    scene_video(tmp_path / "a.mp4", ("red", 1))
    run_rows(tmp_path, rows, colour_spec, "--cut=none")
    assert read_jsonl(output / "videos.jsonl")[0]["outcome"] == "result"


def test_damaged_rows_of_earlier_failures_cost_themselves(tmp_path, caplog):
    row = Failure("DownloadVideos", "removed", "gone", key="web-a", refusals=2).to_row()
    odd = [{**row, "key": 5}, {**row, "attempts": "x"}, [], {"stage": "DownloadVideos"}, {**row, "code": ["removed"]}]
    odd += [{**row, "options": options} for options in (None, [], "cookies")]
    lines = [json.dumps(row), '{"stage": "Down', *map(json.dumps, odd), json.dumps({**row, "key": "web-b"})]
    (tmp_path / "failures.jsonl").write_text("\n".join(lines) + "\n")
    assert [failure.key for failure in earlier_failures(None, str(tmp_path))] == ["web-a", "web-b"]
    assert [message.split()[0] for message in caplog.messages] == [
        f"{tmp_path}/failures.jsonl:{line}" for line in range(2, 11)
    ]


def test_damaged_listings_of_an_earlier_run_are_none():
    # what is no web address is judged when it is fetched, and costs the others nothing
    good = [["http://host/a", {"title": "a"}], ["localvideo:a", {}], ["file:///a", {}]]
    assert _entries_of(good) == [("http://host/a", {"title": "a"}), ("localvideo:a", {}), ("file:///a", {})]
    for damaged in ({}, [["http://host/a"]], [["http://host/a", 5]], [["", {}]], [[5, {}]], "text", 5):
        if damaged:
            with pytest.raises(kept.DAMAGE):
                _entries_of(damaged)
