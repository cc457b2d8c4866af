"""The counters of a job: of a finished one as lines for a person, of one that a service runs as it goes."""

import contextlib
import threading
from collections.abc import Iterator

import grpc
from apache_beam.metrics.metric import MetricResults, MetricsFilter
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc
from apache_beam.runners.portability.portable_runner import PortableMetrics
from apache_beam.runners.runner import PipelineResult

from clipscout.transforms.core import tally

STAGES = (
    "ReadQueries",
    "FindVideos",
    "DownloadVideos",
    "ScoreVideos",
    "ProposeSpans",
    "FetchBetterVideos",
    "CutClips",
    "DescribeClips",
    "DropDuplicates",
)
_LOOK_SECONDS = 1.0


def lines(result: PipelineResult) -> list[str]:
    """Returns a line per stage: its counters, then its distributions as sum, mean and maximum.

    A runner that keeps no metrics (a template launch) gives none.
    """
    text = []
    for stage in STAGES:
        try:
            found = result.metrics().query(MetricsFilter().with_namespace(stage))
        except (ValueError, NotImplementedError):
            return []
        parts = {one.key.metric.name: f"{one.result:,}" for one in found["counters"]}
        for one in found["distributions"]:
            value = one.result
            shown = f"{value.sum:,} (mean {value.mean:,.1f}, max {value.max:,})"
            # the frames of a batch and a peak have no meaningful sum
            has_sum = one.key.metric.name.endswith("msec")
            parts[one.key.metric.name] = shown if has_sum else f"mean {value.mean:,.0f}, max {value.max:,}"
        own = {name: shown for name, shown in parts.items() if not _is_of_beam(name)}
        if own:
            text.append(f"{stage:<15}" + "; ".join(f"{name} {own[name]}" for name in sorted(own)))
    return text


@contextlib.contextmanager
def followed(endpoint: str, job_id: str) -> Iterator[None]:
    """Within it what a job service counts of a job is this process's tally, so that progress shows it.

    Services that count only when a job ends show nothing before.
    """
    over = threading.Event()
    thread = threading.Thread(target=_follow, args=(endpoint, job_id, over), name="clipscout-counters", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


def _follow(endpoint: str, job_id: str, over: threading.Event) -> None:
    request, seen = beam_job_api_pb2.GetJobMetricsRequest(job_id=job_id), dict[str, int]()
    with grpc.insecure_channel(endpoint) as channel:
        ask = beam_job_api_pb2_grpc.JobServiceStub(channel).GetJobMetrics
        while not over.wait(_LOOK_SECONDS):
            try:
                found = PortableMetrics(ask(request, timeout=10 * _LOOK_SECONDS)).query()[MetricResults.COUNTERS]
            except (grpc.RpcError, ValueError):  # it has none yet, or is gone, which others notice
                continue
            totals: dict[str, int] = {}
            for one in found:  # the same counter of several steps
                if one.key.metric.namespace in STAGES and not _is_of_beam(one.key.metric.name):
                    name = f"{one.key.metric.namespace}/{one.key.metric.name}"
                    totals[name] = totals.get(name, 0) + (one.attempted or one.committed or 0)
            for name, total in totals.items():
                tally.add(name, max(0, total - seen.get(name, 0)))
            seen |= totals


def _is_of_beam(name: str) -> bool:
    """RunInference counts under our namespace too, with underscores in its names."""
    return "_" in name and not name.startswith("failed-")
