"""The number of worker processes changes how fast the results come, not what they are."""

import contextlib
import os
import threading
from pathlib import Path

from clipscout.pipeline.run import main
from tests.conftest import read_jsonl
from tests.jobs import arguments, run_cli, scene_video

#: 127.0.0.1 as Linux writes it, and the same as a socket of IPv6 has it.
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}


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


def test_nothing_of_a_local_run_is_reached_from_other_machines(tmp_path, colour_spec):
    scene_video(tmp_path / "a.mp4", ("grey", 2), ("red", 1))
    given = arguments(tmp_path, [{"action": "red", "path": str(tmp_path / "a.mp4")}], colour_spec, "--workers=2")
    seen, over = set(), threading.Event()

    def look():
        while not over.wait(0.02):
            seen.update(listening())

    looking = threading.Thread(target=look)
    looking.start()
    try:
        assert main(given) == 0
    finally:
        over.set()
        looking.join()
    assert len(seen) >= 3
    assert {address for address, _ in seen} <= LOOPBACK


def listening():
    """Returns (address, port) of what this process listens on, as Linux writes them."""
    mine = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            mine.add(os.readlink(entry).removeprefix("socket:[").removesuffix("]"))
    rows = [row.split() for name in ("tcp", "tcp6") for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {tuple(row[1].split(":")) for row in rows if row[3] == "0A" and row[9] in mine}
