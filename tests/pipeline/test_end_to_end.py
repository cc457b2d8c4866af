"""The whole job on made videos, as a user runs it."""

import json

from tests.conftest import COLOURS, read_jsonl
from tests.media_maker import make_video, stamped


def scenes(*parts, rate=10):
    """Returns (frame count, picture function) for (colour, seconds) parts."""
    colours = [colour for colour, seconds in parts for _ in range(round(seconds * rate))]
    return len(colours), lambda index: stamped(index, background=COLOURS[colours[index]])


def test_finds_the_span_of_the_wanted_action(tmp_path, run_job):
    count, picture = scenes(("grey", 8), ("red", 4), ("grey", 8), ("green", 3), ("grey", 5))
    make_video(tmp_path / "a.mp4", count, rate=10, picture=picture, audio=True)
    rows = [
        {"action": "red", "path": str(tmp_path / "a.mp4"), "split": "train", "note": 7},
        {"action": "green", "path": str(tmp_path / "*.mp4")},
    ]
    status, output = run_job(rows, "--clip_seconds=4", "--top_k=1", "--min_score=0.5")
    assert status == 0
    spans = {row["action"]: row for row in read_jsonl(output / "spans.jsonl")}
    assert 8 <= spans["red"]["peak_seconds"] < 12
    assert 20 <= spans["green"]["peak_seconds"] < 23
    assert spans["red"]["asks"][0]["extra"] == {"split": "train", "note": 7}
    assert spans["red"]["top_label"] == "red"
    for row in spans.values():
        assert (output / row["clip"]).is_file()
        assert abs(row["clip_duration_seconds"] - 4) < 0.11
        assert row["clip_has_audio"]
    summary = json.loads((output / "summary.json").read_text())
    assert summary["adds_up"]
    assert summary["funnel"]["rows"] == {"read": 2, "failed": 0, "matched": 2}
    assert summary["funnel"]["candidates"] == {"found": 2, "merged": 1}
    assert summary["funnel"]["clips"]["written"] == 2
    (video,) = read_jsonl(output / "videos.jsonl")
    assert video["outcome"] == "result"
    assert {ask["action"] for ask in video["asks"]} == {"red", "green"}
