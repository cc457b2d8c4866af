"""Caps over the whole job: the best are kept, what is dropped is counted by rule, whatever the number of workers."""

import pytest

from clipscout.pipeline.run import main
from tests.conftest import read_jsonl
from tests.jobs import arguments, run_cli, run_rows, scene_video, summary_of


@pytest.fixture
def videos(tmp_path):
    """Four videos of two red scenes each; the red of the one is purer than that of the other."""
    for name in "abcd":
        scene_video(tmp_path / f"{name}.mp4", ("grey", 2), ("red", 2), ("grey", 3), ("red", 2), ("blue", 1))
    return [{"action": colour, "path": str(tmp_path / "*.mp4")} for colour in ("red", "blue")]


OPTIONS = ("--clip_seconds=2", "--min_score=0.5", "--top_k=3", "--cut=none")


def test_caps_are_exact_and_counted_by_rule(videos, tmp_path, colour_spec):
    status, output = run_rows(tmp_path, videos, colour_spec, *OPTIONS, "--clips_per_video=1", "--clips_per_action=3")
    assert status == 0
    spans = read_jsonl(output / "spans.jsonl")
    for action in ("red", "blue"):
        kept = [row for row in spans if row["action"] == action]
        assert len(kept) == 3
        assert len({row["key"] for row in kept}) == 3
    summary = summary_of(output)
    assert summary["adds_up"]
    assert summary["funnel"]["spans"] == {"proposed": 12, "dropped": 6, "failed": 0, "not_cut": 6}
    assert summary["dropped"] == {"clips_per_action": 3, "clips_per_video": 3}
    (left_out,) = [row for row in read_jsonl(output / "videos.jsonl") if row["outcome"] == "rejected"]
    assert left_out["code"] == "not_selected"


def test_the_choice_is_the_same_on_any_number_of_workers(videos, tmp_path, colour_spec):
    given = arguments(tmp_path, videos, colour_spec, *OPTIONS, "--clips_per_action=3", "--clips_per_video=2")
    assert main([*given, f"--output={tmp_path / 'one'}"]) == 0
    done = run_cli(*given, f"--output={tmp_path / 'two'}", "--workers=2")
    assert done.returncode == 0, done.stderr
    dropped = summary_of(tmp_path / "one")["dropped"]
    assert "clips_per_action" in dropped
    assert all(f" {number} spans dropped by --{rule}\n" in done.stdout for rule, number in dropped.items())
    for name in ("spans.jsonl", "spans.csv", "spans.parquet", "videos.jsonl"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
