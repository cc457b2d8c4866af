"""The same jobs on every engine that can be had here, held against the local runner's; `make engines`.

Not part of `make test`, which does not collect this file: Prism needs Go and minutes to be built, Flink needs Java and
the jar of its job server.
"""

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import grpc
import pytest
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

from clipscout.pipeline.reasons import GOES_ON
from demo import run_demo
from tests.cluster import free_port, wait_for
from tests.engines import servers
from tests.engines.watched import Watched
from tests.jobs import MANIFESTS, ROOT, arguments, scene_video
from tests.programs import Program, silent_site, until, url_on

PRISM_SERVER, FLINK = "Prism as a server, pool of workers", "Flink, two slots, pool of two workers"
ENGINES = ("DirectRunner", "PrismRunner", PRISM_SERVER, FLINK)
WITH_POOLS = (PRISM_SERVER, FLINK)
TOLERANCE = 1e-4


@dataclass
class Job:
    """Arguments but for the output, and the output of the local runner."""

    name: str
    given: list
    local: Watched
    output: object


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo's queries."""
    folder = tmp_path_factory.mktemp("demo")
    given = [f"--input={run_demo.prepare(folder)}", *run_demo.SETTINGS]
    return on_the_local_runner("demo", given, folder)


@pytest.fixture(scope="module")
def hard(tmp_path_factory, colour_spec):
    """What is hostile, odd or in vain: names, damage, twins, a long video in segments, a site."""
    folder = tmp_path_factory.mktemp("hard")
    videos = folder / "in"
    videos.mkdir()
    scenes = ("grey", 2), ("red", 2), ("blue", 2), ("grey", 3)
    made = scene_video(videos / "plain.mp4", *scenes)
    for name in ("with [brackets].mp4", "hash # and ?.mp4"):
        shutil.copyfile(made, videos / name)
    shutil.copyfile(made, os.fsencode(videos) + b"/caf\xe9.mp4")
    scene_video(videos / "long.mp4", ("grey", 20), ("red", 3), ("blue", 20), gop=10)
    whole = (videos / "long.mp4").read_bytes()
    (videos / "damaged.mp4").write_bytes(whole[:-9000] + bytes(4000) + whole[-5000:])
    (videos / "cut off.mp4").write_bytes(whole[: len(whole) // 2])
    (videos / "no video.mp4").write_text("no video")
    scene_video(folder / "site.mp4", *scenes, ("red", 1))
    rows = [{"action": action, "path": f"{videos}/*.mp4"} for action in ("red", "blue", "pink")]
    rows += [{"action": "red", "path": f"{videos}/none.mp4"}, {"action": "red", "path": str(videos)}]
    port = free_port()
    site = [sys.executable, "-m", "http.server", str(port), "--bind=127.0.0.1", f"--directory={folder}"]
    with subprocess.Popen(site, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        wait_for(port, running)
        rows += [{"action": "red", "url": f"http://127.0.0.1:{port}/{name}.mp4"} for name in ("site", "none")]
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        given = [f"--input={folder / 'rows.jsonl'}", f"--classifier={colour_spec}", "--clip_seconds=2"]
        given += ["--min_score=0.5", "--segment_seconds=10", "--allow_private_hosts=127.0.0.1", "--download_interval=0"]
        yield on_the_local_runner("hard cases", given, folder)
        running.kill()


def on_the_local_runner(name, given, folder):
    """Runs a job where all else is held against."""
    given, output = [*given, "--progress=none"], folder / "local"
    local = Watched([*given, f"--output={output}"])
    assert local.status == 0, local.told
    return Job(name, given, local, output)


@functools.cache
def jar():
    """Returns Flink's job server, or None; loud where there is none."""
    folder = servers.PRISM.parent
    folder.mkdir(exist_ok=True)
    return servers.flink_jar(folder)


@contextlib.contextmanager
def started(engine, folder):
    """Gives the options that lead to an engine, its servers' process ids, and a function that kills its workers."""
    with open(folder / "servers.log", "w+") as log, contextlib.ExitStack() as running:
        if engine in WITH_POOLS:
            if engine == FLINK and jar() is None:
                pytest.skip(f"Flink did not run: there is no jar in {servers.JAR_VARIABLE}, and Maven serves none")
            start = (
                servers.prism_server if engine == PRISM_SERVER else functools.partial(servers.flink_server, jar=jar())
            )
            cluster = running.enter_context(start(log, folder))
            yield cluster.options, cluster.servers(), cluster
        else:
            yield [f"--runner={engine}", f"--prism_location={servers.prism()}"], (), None
        log.seek(0)
        print(log.read()[-4000:])  # pytest shows it where the test failed


@pytest.mark.parametrize("name", ["demo", "hard"])
@pytest.mark.parametrize("engine", ENGINES)
def test_rows_and_clips_are_those_of_the_local_runner(engine, name, tmp_path, request, record_property):
    job = request.getfixturevalue(name)
    with started(engine, tmp_path) as (options, pids, _):
        ran = Watched([*job.given, f"--output={tmp_path / 'output'}", *options], pids)
    assert ran.status == 0, ran.told
    assert "java" in ran.names if engine == FLINK else any("prism" in program for program in ran.names)
    assert_same(job.output, tmp_path / "output")
    noise = [line for line in ran.told.splitlines() if line.startswith(("WARNING", "ERROR", "INFO", "Traceback"))]
    assert not noise
    assert funnel_of(ran.told) == funnel_of(job.local.told)
    if engine == ENGINES[0]:
        record_property("engine", (job.name, "local runner", job.local.seconds, job.local.peak_bytes))
    record_property("engine", (job.name, engine, ran.seconds, ran.peak_bytes))


@pytest.mark.parametrize("engine", WITH_POOLS)
def test_what_was_scored_before_a_worker_was_killed_is_not_scored_again(engine, demo, tmp_path, record_property):
    output = tmp_path / "output"
    with started(engine, tmp_path) as (options, pids, cluster):
        command = [sys.executable, "-m", "clipscout", "mine", *demo.given, f"--output={output}", *options]
        begin = time.monotonic()
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as first:
            while len(tracks(output)) < 2:
                assert first.poll() is None
                assert time.monotonic() < begin + 200
                time.sleep(0.01)
            os.kill(max(cluster.workers()), signal.SIGKILL)
            told = first.communicate(timeout=300)[1]
        kept = {path: path.stat().st_mtime_ns for path in tracks(output)}
        if engine == FLINK:  # it begins again what was lost
            assert first.returncode == 0, told
        else:
            assert first.returncode == 1
            assert told.count("\n") == 1, told
            assert "a worker process died" in told
            assert len(kept) < len(tracks(demo.output))
    with started(engine, tmp_path) as (options, pids, _):
        again = Watched([*demo.given, f"--output={output}", *options], pids)
    assert again.status == 0, again.told
    assert {path: path.stat().st_mtime_ns for path in tracks(output) if path in kept} == kept
    assert json.loads((output / "summary.json").read_text())["reused"]["tracks"] >= len(kept)
    assert_same(demo.output, output)
    spared = f"{len(kept)} of {len(tracks(output))} tracks were there"
    record_property("engine", ("demo, worker killed", engine, again.seconds, again.peak_bytes, spared))


@pytest.mark.parametrize(("wish", "state"), [("auto", "CANCELLED"), ("cancel", "CANCELLED"), ("leave", "RUNNING")])
def test_a_job_that_a_service_has_is_cancelled_or_left_as_is_wished(wish, state, tmp_path, colour_spec):
    with started(PRISM_SERVER, tmp_path) as (options, *_), silent_site() as site:
        with stopped_at(site, tmp_path, colour_spec, [*options, f"--when_stopped={wish}"]) as program:
            status, told = program.wait(), program.stderr.read()
        address = next(option.partition("=")[2] for option in options if "job_endpoint" in option)
        (job,) = jobs_of(address)
        cancelled = f"clipscout: stopped, and the job is cancelled; {GOES_ON}\n"
        left = f"clipscout: stopped; the job {job.job_id} goes on at {address}, where it can be cancelled\n"
        assert (status, told) == (130, left if wish == "leave" else cancelled)
        assert beam_job_api_pb2.JobState.Enum.Name(job.state) == state


def test_progress_of_a_job_that_a_service_has_is_shown(demo, tmp_path):
    with started(PRISM_SERVER, tmp_path) as (options, *_):
        ran = Watched([*demo.given, f"--output={tmp_path / 'output'}", "--progress=lines", *options])
    lines = [line for line in ran.told.splitlines() if line.startswith("clipscout: 0:00:")]
    assert any("rows 3/3 (8 videos), videos " in line for line in lines), ran.told


def test_prism_of_ones_own_ends_with_the_program_in_one_line(tmp_path, colour_spec):
    with silent_site() as site, started("PrismRunner", tmp_path) as (options, *_):
        with stopped_at(site, tmp_path, colour_spec, options) as program:
            status, told = program.wait(), program.stderr.read()
            until(lambda: not program.processes())
        assert (status, told) == (130, f"clipscout: stopped; {GOES_ON}\n")


@contextlib.contextmanager
def stopped_at(site, folder, colour_spec, options):
    """Gives a job that waits for a site, and is sent what Ctrl-C sends."""
    given = arguments(folder, [{"action": "red", "url": url_on(site)}], colour_spec, "--allow_private_hosts=true")
    with Program(folder / "scratch", [*given, *options]) as program, site.accept()[0]:
        program.send(signal.SIGINT)
        yield program


def jobs_of(address):
    """Returns what a job service says of its jobs."""
    with grpc.insecure_channel(address) as channel:
        return beam_job_api_pb2_grpc.JobServiceStub(channel).GetJobs(beam_job_api_pb2.GetJobsRequest()).job_info


def tracks(output):
    """Returns the score tracks that are stored."""
    return sorted(output.glob("scores/*/*.parquet"))


def funnel_of(told):
    """Returns the lines of the funnel, as a job ends with it."""
    lines = told.splitlines()
    begin = next(place for place, line in enumerate(lines) if line.startswith("rows "))
    return lines[begin : begin + 6]


def assert_same(output, other):
    """Compares manifests (scores to a tolerance, all else exactly) and clips (by their bytes)."""
    for name in MANIFESTS:
        rows, others = ([json.loads(line) for line in (folder / name).open()] for folder in (output, other))
        assert len(rows) == len(others), name
        for row, like in zip(sorted(rows, key=without_numbers), sorted(others, key=without_numbers), strict=True):
            assert near(row, like), (row, like)
    clips = [{path.relative_to(folder): path for path in folder.glob("clips/*/*")} for folder in (output, other)]
    assert {*clips[0]} == {*clips[1]}
    for name, path in clips[0].items():
        if path.suffix in (".mp4", ".jpg"):
            assert path.read_bytes() == clips[1][name].read_bytes(), name


def without_numbers(row):
    """Returns what a row is put in order by."""
    return json.dumps(
        {name: value for name, value in row.items() if not isinstance(value, float | dict)}, sort_keys=True
    )


def near(value, other):
    """Tells whether two values of manifests are the same but for rounding."""
    if isinstance(value, float) and isinstance(other, float):
        return abs(value - other) <= TOLERANCE
    if isinstance(value, dict) and isinstance(other, dict):
        return value.keys() == other.keys() and all(near(value[name], other[name]) for name in value)
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(map(near, value, other))
    return value == other
