"""The tally: counts and activities of several processes, read as one."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from clipscout.transforms.core import tally
from clipscout.transforms.metrics import StageMetrics
from tests.jobs import ROOT


@pytest.fixture
def folder(tmp_path):
    with tally.kept_in(str(tmp_path)):
        yield str(tmp_path)


def read_until(folder, holds):
    """Returns the totals once they are as expected; they come twice a second."""
    end = time.monotonic() + 30
    while not holds(totals := tally.read(folder)):
        assert time.monotonic() < end, totals
        time.sleep(0.05)
    return totals


def test_counts_of_all_threads_add_up(folder):
    def count():
        for _ in range(1000):
            tally.add("Stage/things")

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_until(folder, lambda totals: totals.counts).counts == {"Stage/things": 8000}


def test_a_stage_counts_and_observes_into_the_tally(folder):
    metrics = StageMetrics("ScoreVideos")
    metrics.count("samples", 64)
    metrics.count("samples", 3)
    metrics.observe("inference-msec", 12)
    assert read_until(folder, lambda totals: totals.counts).counts == {
        "ScoreVideos/samples": 67,
        "ScoreVideos/inference-msec": 12,
    }


def test_what_is_being_done_is_told_with_its_beginning_and_forgotten_after(folder):
    before = time.monotonic()
    with StageMetrics("ScoreVideos").doing("loading the classifier", slow_seconds=5):
        (activity,) = read_until(folder, lambda totals: totals.doing).doing
        assert (activity.what, activity.slow_seconds, activity.times) == ("loading the classifier", 5, 1)
        assert before <= activity.since <= time.monotonic()
        assert activity.seconds(activity.since + 4) == 4
    read_until(folder, lambda totals: not totals.doing)


def test_an_item_that_is_long_in_coming_is_told_and_its_use_is_not(folder):
    def items():
        yield 1
        read_until(folder, lambda totals: [activity.what for activity in totals.doing] == ["decoding a.mp4"])
        yield 2

    used = []
    for item in StageMetrics("ScoreVideos").waited("decoding a.mp4", items()):
        used.append((item, read_until(folder, lambda totals: not totals.doing).doing))
    assert [(item, list(doing)) for item, doing in used] == [(1, []), (2, [])]


def test_the_same_done_at_once_is_told_once_since_the_first(folder):
    with tally.doing("waiting for a.example"):
        time.sleep(0.01)
        with tally.doing("waiting for b.example"), tally.doing("waiting for a.example"):
            doing = read_until(folder, lambda totals: len(totals.doing) == 2).doing
    assert [(activity.what, activity.times) for activity in doing] == [
        ("waiting for a.example", 2),
        ("waiting for b.example", 1),
    ]


def test_an_activity_that_fails_is_over(folder):
    with pytest.raises(ValueError, match="it failed"), tally.doing("trying"):
        raise ValueError("it failed")
    tally.add("Stage/things")
    assert read_until(folder, lambda totals: totals.counts).doing == ()


def test_counts_of_a_process_that_is_gone_stay_and_what_it_did_does_not(folder):
    program = (
        "import os, time\n"
        "from transforms.core import tally\n"
        "tally.add('Stage/things', 5)\n"
        "with tally.doing('dying'):\n"
        "    time.sleep(60)\n"
    )
    tally.add("Stage/things", 2)
    other = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    try:
        totals = read_until(folder, lambda totals: totals.doing and totals.counts == {"Stage/things": 7})
        assert [activity.what for activity in totals.doing] == ["dying"]
    finally:
        other.kill()
        other.wait()
    assert tally.read(folder) == tally.Totals({"Stage/things": 7}, ())


def test_what_was_counted_last_is_written_at_the_end(tmp_path):
    with tally.kept_in(str(tmp_path)):
        tally.add("Stage/things")
    assert tally.read(str(tmp_path)).counts == {"Stage/things": 1}
    assert tally.FOLDER not in os.environ


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.delenv(tally.FOLDER, raising=False)
    monkeypatch.chdir(tmp_path)
    tally._tally.cache_clear()
    threads = threading.active_count()
    tally.add("Stage/things")
    with tally.doing("nothing"):
        pass
    assert threading.active_count() == threads
    assert os.listdir(tmp_path) == []


def test_a_folder_that_goes_away_disturbs_nobody(tmp_path, capsys):
    (tmp_path / "gone").mkdir()
    with tally.kept_in(str(tmp_path / "gone")):
        tally.add("Stage/things")
        time.sleep(0.7)
        (tmp_path / f"gone/{os.getpid()}.json").unlink()
        (tmp_path / "gone").rmdir()
        tally.add("Stage/things")
        time.sleep(0.7)
        tally.add("Stage/things")
    assert capsys.readouterr().err == ""


def test_files_that_cannot_be_read_are_passed_over(tmp_path):
    (tmp_path / "1.json").write_text("{")
    (tmp_path / "2.json.new").write_text("half")
    (tmp_path / f"{os.getpid()}.json").write_text(json.dumps({"counts": {"a/b": 1}, "doing": []}))
    assert tally.read(str(tmp_path)).counts == {"a/b": 1}
