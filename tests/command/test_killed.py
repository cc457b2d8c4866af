"""A job that is killed loses what is in work and nothing else: the same command completes it, with the same rows."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from clipscout.pipeline.run import main
from tests.cluster import Cluster
from tests.jobs import ROOT, arguments, scene_video
from tests.programs import hang_up_ends_it, is_worker, parents_by_process

VIDEOS = 12
MORE = ("--clip_seconds=2", "--top_k=1", "--min_score=0.5", "--frame_stride=1", "--batch_size=16")
ROWS = ("spans.jsonl", "videos.jsonl", "failures.jsonl", "spans.csv")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, colour_spec):
    """A folder with twelve videos, the job's arguments, and the files of an undisturbed run."""
    folder = tmp_path_factory.mktemp("killed")
    for number in range(VIDEOS):
        scene_video(folder / f"{number:02}.mp4", ("grey", 5 + number / 2), ("red", 2), ("blue", 5))
    rows = [{"action": "red", "path": str(folder / "*.mp4")}]
    given = arguments(folder, rows, colour_spec, *MORE)
    assert main([*given, f"--output={folder / 'whole'}"]) == 0
    return given, contents(folder / "whole")


def contents(output):
    """Returns the manifests and clips of an output, by name."""
    clips = [str(path.relative_to(output)) for path in output.glob("clips/*/*.mp4")]
    return {name: (output / name).read_bytes() for name in (*ROWS, *clips)}


def tracks(output):
    return list(output.glob("scores/*/*.parquet"))


def clips(output):
    """Returns the clips that are complete: a clip is in work until its record lies beside it."""
    return [record.with_suffix(".mp4") for record in output.glob("clips/*/*.json")]


def killed(command, output, files, least, kill_more=lambda: None):
    """Starts a job and kills it, with all that it started, once it has made so many files; returns how many tracks."""
    job = subprocess.Popen(
        command, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 120
        while len(files(output)) < least:
            assert job.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < end, "nothing was made"
            time.sleep(0.002)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)
        kill_more()
        job.wait()
        time.sleep(0.5)  # worker processes are in a session of their own, and end when they see it
    return len(tracks(output))


def counted(text, name):
    found = re.search(rf"\b{name} (\d+)", text)
    return int(found[1]) if found else 0


def assert_completed(status, told, kept, output, expected):
    assert status == 0
    assert counted(told, "reused-tracks") == kept
    assert counted(told, "saved-segments") == VIDEOS - kept
    assert contents(output) == expected


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("files", "least"), [(tracks, 4), (clips, 1)], ids=["fourth track", "first clip"])
def test_a_killed_job_goes_on_from_what_is_complete(tmp_path, undisturbed, capsys, workers, files, least):
    given, expected = undisturbed
    output = tmp_path / "output"
    given = [*given, f"--output={output}", f"--workers={workers}"]
    kept = killed([sys.executable, "-m", "pipeline", *given], output, files, least)
    if workers == 1:  # nothing waits for all videos
        assert kept < VIDEOS
    if files is tracks:
        assert 4 <= kept < VIDEOS
    made = {path: path.stat().st_mtime_ns for path in clips(output)}
    if files is clips:  # any number of workers completes it
        given.append("--workers=1")
    assert_completed(main(given), capsys.readouterr().out, kept, output, expected)
    assert {path: path.stat().st_mtime_ns for path in made} == made


@pytest.mark.parametrize(
    ("signals", "status"),
    [([signal.SIGINT, signal.SIGINT], 130), ([signal.SIGTERM], 143)],
    ids=["SIGINT twice", "SIGTERM"],
)
def test_a_stopped_job_keeps_what_is_complete(tmp_path, undisturbed, capsys, signals, status):
    given, expected = undisturbed
    output = tmp_path / "output"
    given = [*given, f"--output={output}"]
    command = [sys.executable, "-m", "pipeline", *given]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    job = subprocess.Popen(command, cwd=ROOT, preexec_fn=hang_up_ends_it, **pipes)
    while len(tracks(output)) < 4:
        assert job.poll() is None
        time.sleep(0.002)
    for number in signals:
        job.send_signal(number)
    told = job.communicate(timeout=30)[1]
    assert (job.returncode, told) == (status, "clipscout: stopped; the same command goes on from what is complete\n")
    kept = len(tracks(output))
    assert 4 <= kept < VIDEOS
    assert_completed(main(given), capsys.readouterr().out, kept, output, expected)


def test_a_worker_that_dies_ends_the_job_in_one_line(tmp_path, undisturbed, capsys):
    given, expected = undisturbed
    output = tmp_path / "output"
    given = [*given, f"--output={output}", "--workers=2"]
    command = [sys.executable, "-m", "pipeline", *given]
    job = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while len(tracks(output)) < 4:
        assert job.poll() is None
        time.sleep(0.002)
    parents = parents_by_process()
    workers = [process for process in parents if is_worker(process) and parents.get(parents[process]) == job.pid]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    told = job.communicate(timeout=60)[1]
    assert job.returncode == 1
    assert told.splitlines()[-1].startswith("clipscout: a worker process died")
    assert "Traceback" not in told
    kept = len(tracks(output))
    assert_completed(main([*given, "--workers=1"]), capsys.readouterr().out, kept, output, expected)


def test_a_killed_portable_job_goes_on_from_what_is_complete(tmp_path, undisturbed, capsys):
    given, expected = undisturbed
    output = tmp_path / "output"
    given = [*given, f"--output={output}"]
    with open(tmp_path / "cluster.log", "w") as log:
        first = Cluster(log, tmp_path / "workers")
        try:
            command = [sys.executable, "-m", "pipeline", *given, *first.options]
            kept = killed(command, output, tracks, 4, kill_more=first.close)
        finally:
            first.close()
        assert 4 <= kept < VIDEOS
        second = Cluster(log, tmp_path / "workers")
        try:
            status = main([*given, *second.options])
        finally:
            second.close()
    assert_completed(status, capsys.readouterr().out, kept, output, expected)


def test_of_a_long_video_only_the_segments_in_work_are_lost(tmp_path, colour_spec, capsys):
    video = scene_video(tmp_path / "long.mp4", ("grey", 50), ("red", 3), ("blue", 50), gop=10)
    given = arguments(tmp_path, [{"action": "red", "path": video}], colour_spec, *MORE, "--segment_seconds=10")
    output = tmp_path / "output"
    kept = killed([sys.executable, "-m", "pipeline", *given], output, tracks, 3)
    assert 3 <= kept < 11
    assert main(given) == 0
    told = capsys.readouterr().out
    assert counted(told, "reused-segments") == kept
    assert counted(told, "saved-segments") == 11 - kept
    assert len(tracks(output)) == 1  # the segments' files became the track
    whole = [*given, f"--output={tmp_path / 'whole'}", "--segment_seconds=0"]
    assert main(whole) == 0
    assert (output / "spans.csv").read_bytes() == (tmp_path / "whole/spans.csv").read_bytes()
