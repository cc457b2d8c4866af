"""What tests of jobs over the loopback site share."""

import json

from tests.conftest import read_jsonl

OPTIONS = (
    "--search_prefix=localsearch",
    "--allow_private_hosts=127.0.0.1",
    "--download_interval=0",
    "--retry_wait_seconds=0.05",
    "--download_attempts=2",
    "--download_timeout_seconds=4",
    "--max_video_mb=10",
    "--sample_fps=2",
    "--clip_seconds=2",
)


def video(title, **fields):
    return {"title": title, **fields}


def by_key(output):
    return {row["key"]: row for row in read_jsonl(output / "videos.jsonl")}


def summary_of(output):
    summary = json.loads((output / "summary.json").read_text())
    assert summary["adds_up"]
    return summary
