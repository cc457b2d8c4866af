"""How a job is given to a portable runner, without one: what is submitted, and who has to answer before."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from concurrent import futures
from pathlib import Path

import apache_beam
import apache_beam as beam
import grpc
import pytest
from apache_beam.options.pipeline_options import DebugOptions
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc
from apache_beam.runners.portability.portable_runner import PortableRunner

from clipscout.pipeline import graph, pool_probe, portable, reasons
from clipscout.pipeline.config import ConfigError
from clipscout.pipeline.run import configure, main
from tests.cluster import beams_own, free_port, wait_for
from tests.jobs import arguments

CLOSED = "localhost:1"


class Service(beam_job_api_pb2_grpc.JobServiceServicer):
    """A job service that says which options it has, as Flink's and Spark's do."""

    def __init__(self, *options):
        self._options = options

    def DescribePipelineOptions(self, *_):
        named = [beam_job_api_pb2.PipelineOptionDescriptor(name=name) for name in self._options]
        return beam_job_api_pb2.DescribePipelineOptionsResponse(options=named)


@pytest.fixture
def serve():
    """Starts a gRPC server with a service, or without one, and returns its address."""
    running = []

    def start(service=None, host="localhost"):
        running.append(grpc.server(futures.ThreadPoolExecutor(1)))
        if service is not None:
            beam_job_api_pb2_grpc.add_JobServiceServicer_to_server(service, running[-1])
        port = running[-1].add_insecure_port(f"{host.replace('localhost', '127.0.0.1')}:0")
        running[-1].start()
        return f"localhost:{port}"

    yield start
    for server in running:
        server.stop(None)


@pytest.fixture
def silent():
    """The address of something that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def given(tmp_path, *more):
    return arguments(tmp_path, [{"action": "red", "classes": "red wine", "path": "/nowhere.mp4"}], "lite0", *more)


def fusing(tmp_path, *more):
    """Returns the experiment that says how Python is to fuse the graph, as it is submitted."""
    _, beam_options = configure(given(tmp_path, *more))
    portable.settle(beam_options)
    return beam_options.view_as(DebugOptions).lookup_experiment("pre_optimize")


def test_python_fuses_what_flink_and_spark_are_given(tmp_path, serve):
    ways = [["--runner=FlinkRunner"], ["--runner=SparkRunner"]]
    for option in ("flink_master", "spark_master_url"):
        ways.append(["--runner=PortableRunner", f"--job_endpoint={serve(Service('runner', option))}"])
    for way in ways:
        assert fusing(tmp_path, *way) == "all"
        assert fusing(tmp_path, *way, "--experiments=pre_optimize=none") == "none"


def test_others_are_given_the_graph_as_it_is(tmp_path, serve):
    named = [(), *((f"--runner={name}",) for name in ("DataflowRunner", "DirectRunner", "PrismRunner"))]
    endpoints = "embed", CLOSED, serve(), serve(Service("runner"))
    for way in (*named, *(("--runner=PortableRunner", f"--job_endpoint={endpoint}") for endpoint in endpoints)):
        assert fusing(tmp_path, *way) is None


@pytest.mark.parametrize("there", ["closed", "silent"])
def test_a_job_service_that_does_not_answer_is_one_line(tmp_path, capsys, there, silent):
    address, start = CLOSED if there == "closed" else silent, time.monotonic()
    assert main(given(tmp_path, "--runner=PortableRunner", f"--job_endpoint={address}")) == 2
    assert time.monotonic() - start < 100  # Beam waits for five minutes
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "job_endpoint" in line)
    assert line == (
        f"clipscout: --job_endpoint: no job service answers at {address!r}; start it, or correct the address"
    )
    assert not (tmp_path / "output").exists()


def test_a_worker_pool_that_does_not_answer_is_one_line(tmp_path, capsys, serve):
    pools = [f"--environment_config={CLOSED}"], [f'--environment_config={{"url": "{CLOSED}"}}']
    for pool in pools:
        more = ("--runner=PortableRunner", f"--job_endpoint={serve()}", "--environment_type=EXTERNAL", *pool)
        assert main(given(tmp_path, *more)) == 2
        assert f"--environment_config: no worker pool answers at {CLOSED!r}" in capsys.readouterr().err


def test_a_pool_beside_a_distant_service_is_not_asked(tmp_path, serve):
    """It answers where the service runs, which here is another address of this machine."""
    more = ("--environment_type=EXTERNAL", f"--environment_config={CLOSED}")
    for host, asked in (("localhost", ["environment_config"]), ("127.0.0.2", [])):
        _, port = serve(host=host).split(":")
        where = "--runner=PortableRunner", f"--job_endpoint={host}:{port}", "--shared_output"
        config, beam_options = configure(given(tmp_path, *where, *more))
        assert [fault.options[0] for fault in portable.faults(config, beam_options)] == asked


SHAPES = [
    (),
    ("--cut=none",),
    ("--clips_per_action=3",),
    ("--clip_max_height=720",),
    ("--clip_max_height=720", "--clips_per_channel=2"),
    ("--segment_seconds=60", "--model_copies=1"),
    ("--max_per_channel=3", "--manifest_shards=4"),
    ("--fetch_only",),
    ("--duplicates=off",),
    ("--duplicates=drop", "--duplicate_scope=all", "--one_clip_per_video"),
]


@pytest.mark.parametrize("more", SHAPES, ids=" ".join)
def test_whatever_a_stage_consumes_some_stage_produces(tmp_path, more):
    """What Flink missed of the graph that it fused itself."""
    config, beam_options = configure(given(tmp_path, "--runner=FlinkRunner", *more))
    portable.settle(beam_options)
    pipeline = beam.Pipeline(options=beam_options)
    graph.build(pipeline, config)
    submitted = PortableRunner.get_proto_pipeline(pipeline, beam_options)
    transforms = submitted.components.transforms
    stages = [transforms[name] for name in submitted.root_transform_ids]
    assert any(stage.spec.urn == "beam:runner:executable_stage:v1" for stage in stages)
    produced = {collection for stage in stages for collection in stage.outputs.values()}
    consumed = {collection for stage in stages for collection in stage.inputs.values()}
    assert consumed
    assert consumed <= produced


def faults_of(tmp_path, *more):
    config, beam_options = configure(given(tmp_path, *more))
    return [str(fault) for fault in portable.faults(config, beam_options)]


ELSEWHERE = [
    ("--runner=FlinkRunner", "--flink_master=cluster:8081", f"--flink_job_server_jar={__file__}"),
    ("--runner=PrismRunner", f"--prism_location={sys.executable}", "--environment_type=PROCESS"),
]
HERE = [
    (),
    ("--workers=2",),
    ("--runner=DirectRunner",),
    ("--runner=FlinkRunner", f"--flink_job_server_jar={__file__}"),
    ("--runner=SparkRunner", f"--spark_job_server_jar={__file__}"),
    ("--runner=PrismRunner", f"--prism_location={sys.executable}"),
]


@pytest.mark.parametrize("way", ELSEWHERE, ids=" ".join)
def test_a_local_output_is_refused_where_workers_may_be_elsewhere(tmp_path, way, monkeypatch):
    monkeypatch.setattr(portable.shutil, "which", lambda name: name)  # Java is for those who have Flink
    (fault,) = faults_of(tmp_path, *way)
    assert fault.startswith(f"--output: '{tmp_path}/output' is a folder of this machine, and the workers may run on")
    assert faults_of(tmp_path, *way, "--shared_output") == []
    assert faults_of(tmp_path, *way, "--output=gs://bucket/folder") == []


@pytest.mark.parametrize("way", HERE, ids=" ".join)
def test_workers_of_this_machine_see_its_folders(tmp_path, way, monkeypatch):
    monkeypatch.setattr(portable.shutil, "which", lambda name: name)
    assert faults_of(tmp_path, *way) == []


def test_what_a_runner_cannot_start_is_one_line_before_anything_is_written(tmp_path, capsys):
    ways = {
        ("--runner=PortableRunner",): "--job_endpoint is missing: ",
        ("--runner=PrismRunner", "--prism_location=/nowhere/prism"): "--runner is PrismRunner, which does not start: ",
        (
            "--runner=FlinkRunner",
            "--flink_job_server_jar=/nowhere.jar",
            f"--job_server_java_launcher={sys.executable}",
        ): ("--runner is FlinkRunner, which does not start: "),
        ("--runner=SparkRunner", "--job_server_java_launcher=no-java"): (
            "--runner is SparkRunner, which needs Java: there is no 'no-java'"
        ),
    }
    for way, said in ways.items():
        assert main(given(tmp_path, *way, "--shared_output")) == 2
        assert capsys.readouterr().err.startswith(f"clipscout: {said}")
        assert not (tmp_path / "output").exists()


def test_a_job_server_of_another_beam_is_one_line(tmp_path):
    for version, said in (("2.60.0", ["2.60.0"]), (apache_beam.__version__, [])):
        jar = tmp_path / f"beam-runners-flink-1.20-job-server-{version}.jar"
        jar.touch()
        given = f"--flink_job_server_jar={jar}", f"--job_server_java_launcher={sys.executable}"
        found = faults_of(tmp_path, "--runner=FlinkRunner", *given)
        assert len(found) == len(said)
        assert all(f"is FlinkRunner with the job server of Beam {version} ({jar})" in fault for fault in found)


def test_paths_mean_the_same_on_a_worker_with_another_folder(tmp_path, colour_spec, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(Path(colour_spec).parent, tmp_path / "models")
    (tmp_path / "ids.txt").write_text("-8Appls4ZFg\n")
    (tmp_path / "queries.jsonl").write_text('{"action": "red", "path": "a.mp4"}\n')
    options = ["--input=queries.jsonl,*.csv", "--output=out", "--exclude=ids.txt", "--cookies=jar.txt"]
    options.append("--classifier=models/colours.json")
    config, _ = configure([*options, "--runner=PrismRunner"])
    assert config.inputs == (f"{tmp_path}/queries.jsonl", f"{tmp_path}/*.csv")
    assert (config.output, config.excludes) == (f"{tmp_path}/out", (f"{tmp_path}/ids.txt",))
    assert config.fetch.web.cookies == f"{tmp_path}/jar.txt"
    assert config.scoring.spec.weights == f"{tmp_path}/models/model.pt"
    local, _ = configure(options)
    assert (local.output, local.inputs[0]) == ("out", "queries.jsonl")  # as they were typed
    remote = ["--input=gs://b/q.csv", "--output=gs://b/o", "--classifier=lite0", "--proxy=http://proxy:80"]
    config, _ = configure([*remote, "--runner=PrismRunner"])
    assert (config.inputs, config.output, config.fetch.web.proxy) == (("gs://b/q.csv",), "gs://b/o", "http://proxy:80")


def test_options_that_a_job_service_names_are_taken_and_others_are_not(tmp_path, serve):
    where = (
        "--runner=PortableRunner",
        f"--job_endpoint={serve(Service('flink_master', 'execution_retries', 'verbose'))}",
    )
    _, beam_options = configure(given(tmp_path, *where, "--execution_retries", "3", "--verbose"))
    assert {"--execution_retries", "3", "--verbose"} <= {*beam_options._flags}
    for wrong in ("--execution_retry=3", "--clip_secs=2"):
        with pytest.raises(ConfigError, match=f"unknown argument '{wrong.partition('=')[0]}'"):
            configure(given(tmp_path, *where, wrong))


@pytest.fixture
def pool(tmp_path):
    """Starts Beam's worker pool, whose workers are those of a folder's `python`, and returns its address."""
    with contextlib.ExitStack() as running:

        def start(python):
            (tmp_path / "bin").mkdir()
            (tmp_path / "bin/python").write_text(f'#!/bin/sh\nexec {python} "$@"\n')
            (tmp_path / "bin/python").chmod(0o755)
            port = free_port()
            command = beams_own("worker.worker_pool_main", f"--service_port={port}")
            environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
            log = running.enter_context(open(tmp_path / "pool.log", "w"))
            process = running.enter_context(
                subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
            )
            running.callback(process.kill)
            wait_for(port, process)
            return f"localhost:{port}"

        yield start


def test_a_pool_is_asked_what_its_workers_have(pool):
    assert pool_probe.fault(pool(sys.executable)) == ""


@pytest.mark.parametrize(
    ("meddling", "said"),
    [
        ("apache_beam.__version__ = '2.60.0'", "has workers with Beam 2.60.0, and this program has "),
        ("import sys; sys.modules['clipscout'] = None", "has workers whose Python lacks Clipscout: install clipscout "),
        ("import clipscout; clipscout.__version__ = '0.0.9'", "has workers with Clipscout 0.0.9, and this program is "),
    ],
)
def test_a_pool_whose_workers_cannot_run_the_job_is_told_why(pool, tmp_path, meddling, said):
    """The worker's own Beam, in which a module that is imported first meddles."""
    (tmp_path / "meddling").mkdir()
    (tmp_path / "meddling/meddler.py").write_text(f"import apache_beam\n{meddling}\n")
    program = f"import sys; sys.path.insert(0, {str(tmp_path / 'meddling')!r}); import meddler; exec(sys.argv[1])"
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{program}" "$2"\n')
    python.chmod(0o755)
    assert pool_probe.fault(pool(python)).startswith(said)


def test_a_pool_that_does_not_say_what_it_has_is_told_and_trusted(pool, monkeypatch, caplog):
    """A container's workers answer to jobs alone."""
    monkeypatch.setattr(pool_probe, "_PATIENCE_SECONDS", 1.0)  # this python ends at once
    address = pool("false")
    assert pool_probe.fault(address) == ""
    (line,) = (record.getMessage() for record in caplog.records if record.name == pool_probe.__name__)
    assert line.startswith(
        f"the worker pool at {address} starts workers that do not say within 1 s which Beam they have"
    )


def test_a_pool_without_an_address_is_one_line(tmp_path, capsys, serve):
    where = "--runner=PortableRunner", f"--job_endpoint={serve()}", "--shared_output"
    assert main(given(tmp_path, *where, "--environment_type=EXTERNAL")) == 2
    assert "clipscout: --environment_config is missing: where its workers are" in capsys.readouterr().err
    assert main(given(tmp_path, *where, "--environment_type=LOCAL", "--environment_config=x")) == 2
    assert "clipscout: --environment_config Unknown environment type: LOCAL" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("told", "line"),
    [
        ("Pipeline job-1 failed in state CANCELLED: unknown error", f"the job ended as cancelled; {reasons.GOES_ON}"),
        (
            "Pipeline job-1 failed in state FAILED: bundle inst027 stage-2 failed:SDK worker disconnected: worker[job]",
            f"the job failed: a worker process died: it was killed, or memory ran out; {reasons.GOES_ON}",
        ),
        (
            "Pipeline a failed in state FAILED: java.lang.RuntimeException: Error received from SDK harness for "
            'instruction 4: Traceback (most recent call last):\n  File "x.py", line 1, in f\n'
            'ValueError: first\n\nDuring handling:\nTraceback (most recent call last):\n  File "y.py"\n'
            "package.module.OtherError: of  no use [while running 'A/B']\n\n\tat org.apache.beam.Runner(Runner.java:5)",
            "the job failed: OtherError: of no use",
        ),
        (
            "Pipeline a failed in state FAILED: java.lang.Exception: no slots\n\tat x.Y(Y.java:1)",
            "the job failed: java.lang.Exception: no slots",
        ),
    ],
)
def test_the_end_of_a_job_is_one_line_on_every_engine(told, line):
    assert reasons.in_one_line(told) == line
