"""How a job is given to a portable runner, without one: what is submitted, and who has to answer before."""

import socket
import time
from concurrent import futures

import apache_beam as beam
import grpc
import pytest
from apache_beam.options.pipeline_options import DebugOptions
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc
from apache_beam.runners.portability.portable_runner import PortableRunner

from clipscout.pipeline import graph, portable
from clipscout.pipeline.run import configure, main
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
    return arguments(tmp_path, [{"action": "red", "path": "/nowhere.mp4"}], "lite0", *more)


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
    pools = [f"--environment_config={CLOSED}"], [f"--environment_options=external_service_address={CLOSED}"]
    for pool in pools:
        more = ("--runner=PortableRunner", f"--job_endpoint={serve()}", "--environment_type=EXTERNAL", *pool)
        assert main(given(tmp_path, *more)) == 2
        assert f"--environment_config: no worker pool answers at {CLOSED!r}" in capsys.readouterr().err


def test_a_pool_beside_a_distant_service_is_not_asked(tmp_path, serve):
    """It answers where the service runs, which here is another address of this machine."""
    more = ("--environment_type=EXTERNAL", f"--environment_config={CLOSED}")
    for host, asked in (("localhost", ["environment_config"]), ("127.0.0.2", [])):
        _, port = serve(host=host).split(":")
        _, beam_options = configure(given(tmp_path, "--runner=PortableRunner", f"--job_endpoint={host}:{port}", *more))
        assert [fault.options[0] for fault in portable.faults(beam_options)] == asked


SHAPES = [
    (),
    ("--cut=none",),
    ("--clips_per_action=3",),
    ("--clip_max_height=720",),
    ("--clip_max_height=720", "--clips_per_channel=2"),
    ("--segment_seconds=60", "--model_copies=1"),
    ("--max_per_channel=3", "--manifest_shards=4"),
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
