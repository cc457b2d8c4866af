"""The number of worker processes changes how fast the results come, not what they are."""

from pipeline.run import main
from tests.conftest import read_jsonl
from tests.jobs import arguments, run_cli, scene_video


def test_results_are_the_same_for_any_number_of_workers(tmp_path, colour_spec):
    for name, start in (("a", 1), ("b", 2), ("c", 3), ("d", 4)):
        scene_video(tmp_path / f"{name}.mp4", ("grey", start), ("red", 1), ("blue", 1), ("grey", 6 - start))
    (tmp_path / "e.mp4").write_bytes(b"not a video")
    rows = [{"action": colour, "path": str(tmp_path / "*.mp4")} for colour in ("red", "blue", "pink")]
    more = ["--clip_seconds=2", "--min_score=0.5", "--top_k=2"]
    given = arguments(tmp_path, rows, colour_spec, *more)
    assert main([*given, f"--output={tmp_path / 'output1'}", "--workers=1"]) == 0
    done = run_cli(*given, f"--output={tmp_path / 'output2'}", "--workers=2")
    assert done.returncode == 0, done.stderr
    assert "clips      8 written" in done.stdout
    assert "Traceback" not in done.stderr
    for name in ("spans.jsonl", "spans.csv", "videos.jsonl", "failures.jsonl", "job.json"):
        assert (tmp_path / "output1" / name).read_bytes() == (tmp_path / "output2" / name).read_bytes()
    assert len(read_jsonl(tmp_path / "output2/spans.jsonl")) == 8
    assert [row["code"] for row in read_jsonl(tmp_path / "output2/failures.jsonl")] == [
        "unreadable_video",
        "unknown_label",
    ]


def test_workers_can_share_one_model(tmp_path, colour_spec):
    for name in "abcd":
        scene_video(tmp_path / f"{name}.mp4", ("grey", 2), ("red", 1), ("grey", 2))
    rows = [{"action": "red", "path": str(tmp_path / "*.mp4")}]
    given = arguments(tmp_path, rows, colour_spec, "--clip_seconds=2", "--min_score=0.5", "--cut=none")
    assert main([*given, f"--output={tmp_path / 'own'}"]) == 0
    done = run_cli(*given, f"--output={tmp_path / 'shared'}", "--workers=2", "--model_copies=1")
    assert done.returncode == 0, done.stderr
    assert "spans      4 proposed" in done.stdout
    assert (tmp_path / "own/spans.jsonl").read_bytes() == (tmp_path / "shared/spans.jsonl").read_bytes()
