"""Runners whose job service and workers somebody else started: how a job is given to them, and who does not answer."""

import contextlib
import copy
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import apache_beam
import grpc
from apache_beam.options.pipeline_options import (
    DebugOptions,
    JobServerOptions,
    PipelineOptions,
    PortableOptions,
    StandardOptions,
)
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc
from apache_beam.runners.portability.flink_runner import FlinkRunner
from apache_beam.runners.portability.job_server import JavaJarJobServer, SubprocessJobServer
from apache_beam.runners.portability.portable_runner import PortableRunner
from apache_beam.runners.portability.spark_runner import SparkRunner
from apache_beam.runners.runner import create_runner

from clipscout.pipeline import pool_probe
from clipscout.pipeline.config import Config
from clipscout.pipeline.faults import Fault, of
from clipscout.pipeline.reasons import first_line
from clipscout.transforms.core import tally
from clipscout.transforms.core.storage import filesystem, secret_manager

#: How long a server that runs may take to answer.
_PATIENCE_SECONDS = 4.0
_POOL = "worker pool"
#: What Beam raises of an environment that it cannot make.
_ENVIRONMENT_ERRORS = (ValueError, TypeError, KeyError, AttributeError)
_SERVER_OPTIONS = ("flink_job_server_jar", "spark_job_server_jar", "prism_location")
_HERE = ("localhost", "127.0.0.1", "[::1]")
_IN_THE_PROGRAM = ("apache_beam.runners.direct.", "apache_beam.runners.portability.fn_api_runner.")


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
    return type(runner) is PortableRunner and any(
        name.startswith(("flink_", "spark_")) for name in option_names(endpoint_of(beam_options))
    )


def endpoint_of(beam_options: PipelineOptions) -> str:
    """Returns the address of the job service that a job is given to; empty where the program starts its own."""
    endpoint = beam_options.view_as(PortableOptions).job_endpoint or ""
    return "" if endpoint == "embed" else endpoint


@lru_cache(maxsize=4)
def option_names(endpoint: str) -> frozenset[str]:
    """Returns the names of the options that a job service has of its own; none where it does not answer."""
    if not endpoint:
        return frozenset()
    with grpc.insecure_channel(endpoint) as channel:
        ask = beam_job_api_pb2_grpc.JobServiceStub(channel).DescribePipelineOptions
        try:
            told = ask(beam_job_api_pb2.DescribePipelineOptionsRequest(), timeout=_PATIENCE_SECONDS).options
        except grpc.RpcError:
            return frozenset()
    return frozenset(option.name for option in told)


def absolute(texts: Mapping[str, str | None]) -> dict[str, str | None]:
    """Returns option texts whose local paths mean the same on a worker with another folder of its own."""
    made = {name: _absolute(name, text) if text else text for name, text in texts.items()}
    return {**texts, **made}


def _absolute(name: str, text: str) -> str:
    if name in ("input", "exclude", "reference"):
        return ",".join(_absolute_path(part.strip()) for part in text.split(",") if part.strip())
    if name in ("output", "cookies"):
        return _absolute_path(text)
    if name == "proxy":
        return _absolute_path(text) if os.path.exists(text) else text
    if name in ("classifier", "duplicate_features"):
        kind, colon, path = text.rpartition(":")  # open_clip:MODEL:PATH, or a path
        return f"{kind}{colon}{_absolute_path(path)}" if os.path.exists(path) else text
    return text


def _absolute_path(text: str) -> str:
    return text if "://" in text or secret_manager.is_secret(text) else filesystem.absolute(text)


def faults(config: Config, beam_options: PipelineOptions) -> list[Fault]:
    """Returns the servers that do not serve (Beam would wait for minutes), and an output that workers cannot see."""
    asked = list(_servers(beam_options))
    with ThreadPoolExecutor(max(1, len(asked))) as pool:
        found = [fault for fault in pool.map(_server_fault, asked) if fault]
    found += [*_environment_faults(beam_options), *_start_faults(beam_options)]
    if config.dataflow or config.shared_output or filesystem.is_remote(config.output) or workers_are_here(beam_options):
        return found
    message = (
        f": {config.output!r} is a folder of this machine, and the workers may run on others; give a folder on gs://, "
        "or --shared_output where this path is one folder for all of them"
    )
    return [*found, of("output", message, "shared_output", "environment_type")]


def _environment_faults(beam_options: PipelineOptions) -> Iterator[Fault]:
    """Yields why Beam cannot tell from the options where workers run; it would raise that after the start."""
    if not isinstance(create_runner(beam_options.view_as(StandardOptions).runner), PortableRunner):
        return
    try:
        _with_environment(beam_options)
    except _ENVIRONMENT_ERRORS as error:
        kind = beam_options.view_as(PortableOptions).environment_type
        config = beam_options.view_as(PortableOptions).environment_config
        why = first_line(str(error)) if config else "is missing: where its workers are"
        yield of("environment_config", f"{why} (--environment_type={kind})", "environment_type")


def _start_faults(beam_options: PipelineOptions) -> Iterator[Fault]:
    """Yields why a runner cannot start the server that it starts itself; what that needs is fetched, as by Beam."""
    runner = create_runner(beam_options.view_as(StandardOptions).runner)
    if not isinstance(runner, PortableRunner) or beam_options.view_as(PortableOptions).job_endpoint:
        return
    name, own = type(runner).__name__, copy.deepcopy(beam_options)
    own.view_as(DebugOptions).add_experiment("disable_prism_server_singleton")  # else this one serves the job
    try:
        server = runner.default_job_server(own)
        server = getattr(server, "_job_server", server)
        if isinstance(server, JavaJarJobServer):
            java = beam_options.view_as(JobServerOptions).job_server_java_launcher
            if shutil.which(java) is None:
                yield of("runner", f"is {name}, which needs Java: there is no {java!r} (--job_server_java_launcher)")
                return
            jar = server.path_to_jar()
            version = re.search(r"-job-server-(\d[\w.-]*)\.jar$", jar)
            if version and version[1] != apache_beam.__version__:
                yield of(
                    "runner",
                    f"is {name} with the job server of Beam {version[1]} ({jar}), and this program has "
                    f"{apache_beam.__version__}",
                    *_SERVER_OPTIONS,
                )
                return
        if isinstance(server, SubprocessJobServer):
            with tally.doing(f"fetching the server of {name}", slow_seconds=10):
                server.subprocess_cmd_and_endpoint()
    except NotImplementedError:
        yield of("job_endpoint", f"is missing: {name} gives a job to a service that runs already")
    except (ValueError, RuntimeError, OSError) as error:
        yield of("runner", f"is {name}, which does not start: {first_line(str(error))}", *_SERVER_OPTIONS)


def workers_are_here(beam_options: PipelineOptions) -> bool:
    """Tells whether a job's workers are sure to run on this machine, with its files."""
    runner = create_runner(beam_options.view_as(StandardOptions).runner)
    if not isinstance(runner, PortableRunner):
        return type(runner).__module__.startswith(_IN_THE_PROGRAM)
    try:
        return _with_environment(beam_options).environment_type == "LOOPBACK"
    except _ENVIRONMENT_ERRORS:
        return False


def _with_environment(beam_options: PipelineOptions) -> PortableOptions:
    """Returns the options with the place where a runner lets workers run if nobody says where."""
    own = copy.deepcopy(beam_options)
    create_runner(beam_options.view_as(StandardOptions).runner).default_environment(own)
    return own.view_as(PortableOptions)


def _servers(beam_options: PipelineOptions) -> Iterator[tuple[str, str, str]]:
    """Yields (option, what it names, address). A pool beside a distant job service may be none of this machine's."""
    portable, endpoint = beam_options.view_as(PortableOptions), endpoint_of(beam_options)
    if not endpoint:
        return
    yield "job_endpoint", "job service", endpoint
    pool = portable.environment_config or ""
    with contextlib.suppress(ValueError, AttributeError):
        pool = json.loads(pool).get("url") or ""
    if portable.environment_type == "EXTERNAL" and endpoint.startswith(_HERE) and pool.startswith(_HERE):
        yield "environment_config", _POOL, pool


def _server_fault(server: tuple[str, str, str]) -> Fault | None:
    option, what, address = server
    if not _answers(address):
        return of(option, f": no {what} answers at {address!r}; start it, or correct the address")
    if what == _POOL and (why := pool_probe.fault(address)):
        return of(option, f": the {what} at {address!r} {why}")
    return None


def _answers(address: str) -> bool:
    with contextlib.suppress(grpc.FutureTimeoutError, ValueError), grpc.insecure_channel(address) as channel:
        grpc.channel_ready_future(channel).result(timeout=_PATIENCE_SECONDS)
        return True
    return False
