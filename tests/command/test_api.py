"""Clipscout from Python: the examples of docs/api.md, rows of all kinds, what is raised, jobs that are interrupted."""

import html
import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import apache_beam as beam
import pandas
import pytest

import clipscout
from clipscout.pipeline.api import arguments, query_file
from clipscout.transforms.core.results import manifests
from clipscout.transforms.core.storage import leases
from demo.footage import sample_videos
from tests.conftest import read_jsonl
from tests.jobs import ROOT, scene_video

QUICK = {"shots": "ignore", "progress": "none", "posters": False, "clip_seconds": 2, "top_k": 1}


def test_the_examples_of_its_page_run(tmp_path, monkeypatch, capsys):
    (tmp_path / "videos").mkdir()
    shutil.copyfile(sample_videos() / "bikes.mp4", tmp_path / "videos/street.mp4")
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/api.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(examples) == 5
    names = {}
    for example in examples:
        exec(example, names)
    assert names["results"].spans.num_rows == 1
    assert names["job"].results.spans.num_rows == 2
    shown = capsys.readouterr().out
    assert "unknown argument '--clip_secs'; did you mean --clip_seconds?" in shown
    assert "mountain bike" in shown
    (line,) = [line for path in tmp_path.glob("clips.txt*") for line in path.read_text().splitlines()][:1]
    assert re.fullmatch(r"riding a bike clips/riding_a_bike/\S+\.mp4", line)


def test_every_stage_that_its_page_names_is_there():
    page = (ROOT / "docs/api.md").read_text()
    named = re.findall(r"^\| `(clipscout\.transforms\.\w+)\.(\w+)`", page, re.MULTILINE)
    assert len(named) > 5
    assert all(hasattr(importlib.import_module(module), name) for module, name in named)


@pytest.mark.parametrize("kind", [list, iter, pandas.DataFrame, tuple], ids=["list", "iterator", "data frame", "tuple"])
def test_rows_of_every_kind_become_a_query_file(kind, tmp_path):
    rows = [{"action": "red", "path": tmp_path / "a.mp4", "url": float("nan"), "query": None, "max_videos": 2}]
    with query_file(kind(rows)) as path:
        assert read_jsonl(Path(path)) == [{"action": "red", "path": f"{tmp_path}/a.mp4", "max_videos": 2}]
    assert not os.path.exists(path)
    with query_file(tmp_path / "q.csv") as path:
        assert path == f"{tmp_path}/q.csv"


def test_rows_are_mined(tmp_path, colour_spec, capsys):
    video = tmp_path / "a.mp4"
    scene_video(video, ("grey", 2), ("red", 2), ("grey", 2))
    hostile = "<img src=x onerror=alert(1)>"
    rows = [{"action": hostile, "classes": ["red"], "path": video}, {"action": "reddish", "path": video}]
    results = clipscout.mine(rows, tmp_path / "out", classifier=colour_spec, **{**QUICK, "posters": True})
    (span,) = results.spans.to_pylist()
    assert span["action"] == hostile
    assert results.videos.column("outcome").to_pylist() == ["result"]
    assert [failure["code"] for failure in results.failures] == ["unknown_label"]
    assert results.failures[0]["message"].split(":")[0].endswith("/queries.jsonl")
    assert "1 of 2 rows cannot be used" in capsys.readouterr().err
    assert str(results).startswith("rows       2 read, 1 failed")
    assert results.summary["funnel"]["clips"]["written"] == 1
    assert (tmp_path / "out" / span["clip"]).is_file()
    # what a notebook shows holds no markup of others
    page = results._repr_html_()
    assert html.escape(hostile) in page
    assert page.count("<img") == 1
    assert '<img src="data:image/jpeg;base64,/9j/' in page
    results.show()
    assert hostile in capsys.readouterr().out


def test_all_faults_are_raised_at_once(tmp_path, colour_spec):
    given = {"classifier": colour_spec, "clip_seconds": "long", "topk": 1, "progress": "none"}
    with pytest.raises(clipscout.OptionsError) as raised:
        clipscout.mine(tmp_path / "none.csv", tmp_path / "out", **given)
    assert [re.split(r"[ :]", fault)[0] for fault in raised.value.faults] == ["unknown", "--clip_seconds", "--input"]
    assert "did you mean --top_k?" in raised.value.faults[0]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ({"action": "red", "path": "a.mp4"}, "put it into a list"),
        (None, "expected rows or the path of a query file, not None"),
        (["red"], "one is 'red'"),
        ([{"action": "red", "path": {1, 2}}], "not JSON serializable"),
        (5, "not 5"),
    ],
    ids=["one row", "nothing", "no mapping", "a set", "a number"],
)
def test_what_is_no_rows_is_refused(tmp_path, rows, expected):
    with pytest.raises(clipscout.OptionsError, match=expected):
        clipscout.mine(rows, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_ones_own_generator_raises_is_ones_own():
    def rows():
        yield {"action": "red", "path": "a.mp4"}
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        clipscout.mine(rows(), "out")


def test_progress_is_no_reason_of_a_fault(monkeypatch, capsys):
    lines = ("0:00:10; checking the options", "loading the classifier x ... (3 s)", "--input: no")
    said = "".join(f"clipscout: {line}\n" for line in lines)
    monkeypatch.setattr("clipscout.pipeline.api.sys.executable", "/bin/sh")
    monkeypatch.setattr("clipscout.pipeline.api._PROGRAM", ("-c", f"printf '{said}' >&2; exit 2"))
    with pytest.raises(clipscout.OptionsError) as raised:
        clipscout.mine("q.csv", "out")
    assert raised.value.faults == ["--input: no"]
    assert capsys.readouterr().err == said


def test_values_become_what_the_command_takes():
    given = {"prompts": ["a {}.", "b {}."], "exclude": ["a.csv", "b.csv"], "posters": False, "min_score": 0.5}
    assert arguments("q", "o", {**given, "date": None}) == [
        *("--prompts=a {}.;b {}.", "--exclude=a.csv,b.csv", "--posters=false", "--min_score=0.5"),
        *("--input=q", "--output=o"),
    ]
    for wrong in ({"output": "there"}, {"top_k": {}}, {"exclude": [object()]}):
        with pytest.raises(clipscout.OptionsError):
            arguments("q", "o", wrong)


def test_a_job_that_fails_says_why(tmp_path, colour_spec):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    rows = [{"action": "red", "path": tmp_path / "a.mp4"}]
    with pytest.raises(clipscout.JobError, match="not one video could be scored"):
        clipscout.mine(rows, tmp_path / "out", classifier=colour_spec, **QUICK)
    assert len(clipscout.Results(str(tmp_path / "out")).failures) == 1


def test_an_output_without_results_says_so(tmp_path):
    with pytest.raises(clipscout.StorageError, match="no results are there"):
        _ = clipscout.Results(str(tmp_path)).spans


def test_a_short_program_that_reads_results_ends_well(tmp_path):
    with open(tmp_path / "spans.parquet", "wb") as file:
        manifests.write_parquet(file, [], manifests.SPAN_COLUMNS)
    program = f"import clipscout; print(clipscout.Results({str(tmp_path)!r}).spans.num_rows)"
    for _ in range(8):
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


def test_a_failure_may_hold_what_other_readers_take_for_the_end_of_a_line(tmp_path):
    rows = [{"message": "one\u2028line"}, {"message": "another\x85one"}]
    (tmp_path / "failures.jsonl").write_text("".join(manifests.json_lines(rows)), encoding="utf-8")
    assert clipscout.Results(str(tmp_path)).failures == rows


def test_labels_come_in_the_models_order(colour_spec):
    assert clipscout.labels(colour_spec) == ["red", "green", "blue", "grey"]
    with pytest.raises(clipscout.OptionsError, match="unknown classifier"):
        clipscout.labels("nothing")


#: What a notebook's kernel does; the last line tells that it outlived the job.
KERNEL = """
    import sys, clipscout
    queries, output, classifier = sys.argv[1:]
    try:
        clipscout.mine(queries, output, classifier=classifier, shots="ignore", progress="none", workers={workers})
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.fixture
def kernel(tmp_path, colour_spec):
    """Starts a program that mines 30 videos; returns it and the output once a video is scored."""
    for number in range(30):
        scene_video(tmp_path / f"{number:02}.mp4", ("grey", 3 + number / 10), ("red", 2))
    (tmp_path / "q.csv").write_text(f"action,path\nred,{tmp_path}/*.mp4\n")
    started = []

    def start(workers):
        given = [str(tmp_path / "q.csv"), str(tmp_path / "out"), colour_spec]
        program = textwrap.dedent(KERNEL).format(workers=workers)
        command = [sys.executable, "-c", program, *given]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, cwd=ROOT, **pipes))
        end = time.monotonic() + 100
        while not list(tmp_path.glob("out/scores/*/*.parquet")):
            assert started[0].poll() is None
            assert time.monotonic() < end
            time.sleep(0.01)
        return started[0]

    yield start, tmp_path / "out"
    for process in started:
        process.kill()
        process.communicate()


def is_held(output):
    """Tells whether a job still has the lease of an output."""
    return bool(leases.holder(str(output)))


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_call_raises_and_the_kernel_lives_on(kernel, workers):
    start, output = kernel
    process = start(workers)
    process.send_signal(signal.SIGINT)
    told, error = process.communicate(timeout=30)
    assert (process.returncode, told) == (0, "interrupted\n")
    assert error == "clipscout: stopped; the same command goes on from what is complete\n"
    assert not is_held(output)
    assert not (output / "spans.jsonl").exists()


def test_a_kernel_that_dies_takes_its_job_along(kernel):
    start, output = kernel
    process = start(1)
    assert is_held(output)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    end = time.monotonic() + 15
    while is_held(output):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert not (output / "spans.jsonl").exists()


def test_a_job_within_ones_own_pipeline_holds_its_output(tmp_path, colour_spec):
    scene_video(tmp_path / "a.mp4", ("red", 2))
    rows = [{"action": "red", "path": tmp_path / "a.mp4"}]
    given = {"classifier": colour_spec, **QUICK}
    with clipscout.Job(rows, tmp_path / "out", **given) as job:
        with pytest.raises(clipscout.OptionsError, match="another run writes"):
            clipscout.Job(rows, tmp_path / "out", **given).__enter__()
        with beam.Pipeline(options=job.beam_options) as pipeline:
            pipeline | clipscout.Mine(job)
    assert job.results.spans.num_rows == 1
    assert not is_held(tmp_path / "out")
    # the record is the command's
    with pytest.raises(clipscout.OptionsError, match=r"clip_seconds: 2\.0 there, 3\.0 now"):
        clipscout.mine(rows, tmp_path / "out", **{**given, "clip_seconds": 3})
    again = clipscout.mine(rows, tmp_path / "out", **given)
    assert again.summary["reused"]["clips"] == 1
    assert read_jsonl(tmp_path / "out/failures.jsonl") == []
