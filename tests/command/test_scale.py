"""200 videos, 30% of them faulty in every way, two worker processes: all accounted for, none fetched twice."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from tests.colours import COLOURS
from tests.conftest import read_jsonl
from tests.media_maker import make_video, stamped
from tests.web_server import Running

FAULTS = (
    *("403", "404", "429", "500", "500 once", "truncated", "drip", "stall", "private redirect", "no length"),
    *("html", "playlist", "large", "large without length"),
)
MEDIA = {"html": "page.mp4", "playlist": "list.mp4", "large": "large.mp4", "large without length": "large.mp4"}
RECOVERABLE = {"blocked", "server_error", "short_read"}
VIDEOS = 200


def catalogue():
    videos = {}
    for place in range(VIDEOS):
        fields = {"title": "scale"}
        if place % 10 < 3:
            fault = FAULTS[(place // 10 * 3 + place % 10) % len(FAULTS)]
            fields |= {"media": MEDIA.get(fault, "small.mp4")}
            if fault not in MEDIA or fault == "large without length":
                fields["fault"] = "no length" if fault in MEDIA else fault
        videos[f"v{place:03d}"] = fields
    return videos


def memory_of(process_id):
    """Returns resident bytes of a process and all its descendants."""
    children = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(status.parent.name))
        except OSError:
            continue
    total, waiting = 0, [process_id]
    while waiting:
        one = waiting.pop()
        waiting += children.get(one, [])
        try:
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            continue
    return total


def run(folder, spec, site):
    command = [
        *(sys.executable, "-m", "pipeline", "--workers=2", f"--classifier={spec}", "--search_prefix=localsearch"),
        *(f"--input={folder}/queries.jsonl", f"--output={folder}/output", "--max_videos=200", "--cut=none"),
        *("--allow_private_hosts=127.0.0.1", "--download_interval=0", "--download_lanes=4"),
        *("--retry_wait_seconds=0.01", "--download_attempts=2", "--download_timeout_seconds=2", "--max_video_mb=10"),
        "--sample_fps=1",
    ]
    process = subprocess.Popen(command, env={**os.environ, "CLIPSCOUT_TEST_PORT": str(site.port)})
    samples = []
    done = threading.Event()

    def watch():
        while not done.wait(0.5):
            fetched = sum(path.startswith("/media/") for path in site.log())
            samples.append((fetched, memory_of(process.pid)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert process.wait(timeout=300) == 0
    finally:
        done.set()
        watcher.join()
    return samples


def test_two_hundred_videos_with_every_fault(tmp_path, colour_spec):
    make_video(tmp_path / "small.mp4", 20, rate=10, picture=lambda index: stamped(index, background=COLOURS["red"]))
    (tmp_path / "page.mp4").write_text("<html></html>")
    (tmp_path / "list.mp4").write_text("#EXTM3U\n")
    (tmp_path / "large.mp4").write_bytes((tmp_path / "small.mp4").read_bytes() + bytes(14_000_000))
    (tmp_path / "queries.jsonl").write_text(json.dumps({"action": "red", "query": "scale"}) + "\n")
    videos = catalogue()
    with Running(tmp_path, videos) as site:
        began = time.monotonic()
        samples = run(tmp_path, colour_spec, site)
        summary = json.loads((tmp_path / "output/summary.json").read_text())
        assert summary["adds_up"]
        assert summary["funnel"]["requests"]["unique"] == VIDEOS
        rows = {row["key"].removeprefix("localvideo-"): row for row in read_jsonl(tmp_path / "output/videos.jsonl")}
        assert sorted(rows) == sorted(videos)
        codes = Counter(row["code"] for row in rows.values())
        print(f"\n{time.monotonic() - began:.0f} s, {dict(codes)}")
        expected = {"", "blocked", "not_found", "server_error", "short_read", "fetch_timeout", "refused_address"}
        assert set(codes) == expected | {"unreadable_video", "too_large"}
        assert all(not rows[name]["code"] for name, fields in videos.items() if set(fields) == {"title"})
        first = site.log()
        retried = {name for name, fields in videos.items() if fields.get("fault") in ("500", "500 once", "truncated")}
        for name in videos:
            assert first[f"/media/{name}/144/video.mp4"] == (2 if name in retried else 1), name
        assert_flat(samples)

        site.set({name: {"title": "scale"} for name in videos})
        run(tmp_path, colour_spec, site)
        second = site.log()
        again = {path.split("/")[2] for path in second if path.startswith("/media/") and second[path] > first[path]}
        assert again == {name for name, row in rows.items() if row["code"] in RECOVERABLE}
        left = json.loads((tmp_path / "output/summary.json").read_text())
        assert left["adds_up"]
        assert left["next_run"] == 0


def assert_flat(samples):
    """Memory over the second half of the downloads is within 15% of what it was by the first half's end."""
    total = max(fetched for fetched, _ in samples)
    early = max(memory for fetched, memory in samples if total * 0.2 <= fetched <= total * 0.5)
    late = max(memory for fetched, memory in samples if total * 0.5 < fetched <= total * 0.95)
    print(f"memory of all processes: {early >> 20} MB by half of the downloads, {late >> 20} MB after")
    assert late < early * 1.15
