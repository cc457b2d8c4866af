"""Runners whose job service and workers somebody else started: how a job is given to them, and who does not answer."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
from apache_beam.options.pipeline_options import DebugOptions, PipelineOptions, PortableOptions, StandardOptions
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc
from apache_beam.runners.portability.flink_runner import FlinkRunner
from apache_beam.runners.portability.portable_runner import PortableRunner
from apache_beam.runners.portability.spark_runner import SparkRunner
from apache_beam.runners.runner import create_runner

from clipscout.pipeline.faults import Fault, of

#: How long a server that runs may take to answer.
_PATIENCE_SECONDS = 4.0
_HERE = ("localhost", "127.0.0.1", "[::1]")


def settle(beam_options: PipelineOptions) -> None:
    """Lets Python fuse the graph before Flink or Spark is given it, unless the user said how: their own loses a stage.

    The symptom is "PCollectionNodes were consumed but never produced" (Beam issue 21325). Other job services, Prism and
    Python's own, take no graph that is fused.
    """
    debug = beam_options.view_as(DebugOptions)
    if debug.lookup_experiment("pre_optimize") is None and _is_to_be_fused(beam_options):
        debug.add_experiment("pre_optimize=all")


def _is_to_be_fused(beam_options: PipelineOptions) -> bool:
    runner = create_runner(beam_options.view_as(StandardOptions).runner)
    if isinstance(runner, FlinkRunner | SparkRunner):
        return True
    endpoint = beam_options.view_as(PortableOptions).job_endpoint
    if type(runner) is not PortableRunner or not endpoint or endpoint == "embed":
        return False
    with grpc.insecure_channel(endpoint) as channel:  # a job service names the options that it has
        ask = beam_job_api_pb2_grpc.JobServiceStub(channel).DescribePipelineOptions
        try:
            told = ask(beam_job_api_pb2.DescribePipelineOptionsRequest(), timeout=_PATIENCE_SECONDS).options
        except grpc.RpcError:
            return False
    return any(option.name.startswith(("flink_", "spark_")) for option in told)


def faults(beam_options: PipelineOptions) -> list[Fault]:
    """Returns the servers that do not answer, which Beam would wait for minutes."""
    asked = list(_servers(beam_options.view_as(PortableOptions)))
    with ThreadPoolExecutor(max(1, len(asked))) as pool:
        answers = list(pool.map(_answers, (address for *_, address in asked)))
    return [
        of(option, f": no {what} answers at {address!r}; start it, or correct the address")
        for (option, what, address), answer in zip(asked, answers, strict=True)
        if not answer
    ]


def _servers(portable: PortableOptions) -> Iterator[tuple[str, str, str]]:
    """Yields (option, what it names, address). A pool beside a distant job service may be none of this machine's."""
    endpoint = portable.job_endpoint
    if not endpoint or endpoint == "embed":
        return
    yield "job_endpoint", "job service", endpoint
    pool = portable.environment_config or portable.lookup_environment_option("external_service_address") or ""
    if portable.environment_type == "EXTERNAL" and endpoint.startswith(_HERE) and pool.startswith(_HERE):
        yield "environment_config", "worker pool", pool


def _answers(address: str) -> bool:
    with contextlib.suppress(grpc.FutureTimeoutError, ValueError), grpc.insecure_channel(address) as channel:
        grpc.channel_ready_future(channel).result(timeout=_PATIENCE_SECONDS)
        return True
    return False
