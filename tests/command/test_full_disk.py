"""A disk that is full in mid-run ends the job in one line; with more space the same command completes it."""

import os
import subprocess

import pytest

from clipscout.pipeline.run import main
from clipscout.transforms.core.storage import filesystem
from tests.conftest import BUCKET, read_jsonl
from tests.jobs import arguments, scene_video

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize(("full", "workers"), [("output", 1), ("output", 2), ("temporary folder", 1)])
def test_a_full_disk_is_one_line_and_the_same_command_goes_on(
    tmp_path, colour_spec, small_disk, capfd, monkeypatch, workers, full
):
    for number in range(6):
        scene_video(tmp_path / f"{number}.mp4", ("grey", 2 + number), ("red", 4), size=(640, 360))
    rows = [{"action": "red", "path": str(tmp_path / "*.mp4")}]
    output = small_disk / "output" if full == "output" else tmp_path / "output"
    given = [*arguments(tmp_path, rows, colour_spec), f"--output={output}", f"--workers={workers}", "--clip_seconds=4"]
    given.append("--top_k=1")
    if full != "output":
        monkeypatch.setattr("tempfile.tempdir", str(small_disk))
        monkeypatch.setenv("TMPDIR", str(small_disk))
        subprocess.run(["mount", "-o", "remount,size=4k", small_disk], check=True)
    capfd.readouterr()
    assert main(given) == 1
    told = [line for line in capfd.readouterr().err.splitlines() if "clipscout" in line]
    assert len(told) == 1, told
    assert "No space left on device; free some, and the same command goes on" in told[0]
    assert not (output / "summary.json").exists()
    assert not list(output.rglob(".writing-*"))
    subprocess.run(["mount", "-o", "remount,size=50m", small_disk], check=True)
    assert main(given) == 0
    assert len(read_jsonl(output / "spans.jsonl")) == 6
    assert {row["clip_flags"] == [] for row in read_jsonl(output / "spans.jsonl")} == {True}


def test_a_disk_that_a_copy_of_an_object_fills_is_named(cloud, small_disk):
    filesystem.write_bytes(f"gs://{BUCKET}/large.mp4", bytes(300_000))
    told = f"^{small_disk}: No space left on device"
    with (
        pytest.raises(filesystem.DiskFullError, match=told),
        filesystem.local_copy(f"gs://{BUCKET}/large.mp4", small_disk),
    ):
        pass
    assert list(small_disk.iterdir()) == []
