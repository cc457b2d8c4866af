"""A job that was given to a service: what becomes of it when the program that waits for it is stopped."""

import contextlib
from collections.abc import Iterator

import grpc
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions
from apache_beam.runners.runner import PipelineResult, PipelineState
from google.api_core.exceptions import GoogleAPICallError

from clipscout.pipeline import counters, portable
from clipscout.pipeline.config import Config
from clipscout.pipeline.reasons import GOES_ON
from clipscout.pipeline.stops import Stops

#: How long a service may take to cancel a job.
_GRACE_SECONDS = 10.0
_CANCELLED = (PipelineState.CANCELLED, PipelineState.CANCELLING)


def is_elsewhere(config: Config, beam_options: PipelineOptions) -> bool:
    """Tells whether a job would go on without this program: a service has it, and none of its workers live in here."""
    if config.dataflow:
        return True
    return bool(portable.endpoint_of(beam_options)) and not portable.workers_are_here(beam_options)


def words(config: Config, beam_options: PipelineOptions, job_id: str = "") -> str:
    """Returns what is said when the program is stopped and nothing is done to the job.

    Args:
      config: The job's.
      beam_options: Beam's own.
      job_id: Its id; empty as long as it is not known.
    """
    if not is_elsewhere(config, beam_options):
        return f"stopped; {GOES_ON}"
    if not job_id:
        return "stopped; a job that was submitted goes on"
    if config.dataflow:
        google = beam_options.view_as(GoogleCloudOptions)
        command = f"gcloud dataflow jobs cancel {job_id} --project={google.project} --region={google.region}"
        return f"stopped; the job goes on, and ends by: {command}"
    return f"stopped; the job {job_id} goes on at {portable.endpoint_of(beam_options)}, where it can be cancelled"


def id_of(result: PipelineResult) -> str:
    """Returns the id that a service gave to a job; empty where none did."""
    return str(result.job_id() if hasattr(result, "job_id") else getattr(result, "_job_id", ""))


@contextlib.contextmanager
def waited_for(config: Config, beam_options: PipelineOptions, result: PipelineResult, stop: Stops) -> Iterator[None]:
    """Within it a job is waited for; when the program is stopped there, the job is cancelled if that is wanted."""
    if config.dataflow and not result.has_job:  # a template
        yield
        return
    stop.words = words(config, beam_options, id_of(result))
    elsewhere = is_elsewhere(config, beam_options)
    cancel = elsewhere and (config.when_stopped == "cancel" or (config.when_stopped == "auto" and not config.dataflow))
    if cancel:
        stop.grace_seconds = _GRACE_SECONDS
    with contextlib.ExitStack() as meanwhile:
        if elsewhere and not config.dataflow:
            meanwhile.enter_context(counters.followed(portable.endpoint_of(beam_options), id_of(result)))
        try:
            yield
        except KeyboardInterrupt:
            if cancel:
                _cancel(result, stop)
            raise


def _cancel(result: PipelineResult, stop: Stops) -> None:
    """Cancels a job, and lets the program say whether that was done."""
    try:
        result.cancel()
        state = result.state
    except (grpc.RpcError, GoogleAPICallError, RuntimeError, OSError) as error:
        stop.words += f" (it could not be cancelled: {' '.join(str(error).split())[:200]})"
        return
    if state in _CANCELLED:
        stop.words = f"stopped, and the job is cancelled; {GOES_ON}"
    elif PipelineState.is_terminal(state):
        stop.words = f"stopped; the job had ended as {state}"
