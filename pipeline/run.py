"""run: options -> config -> preflight -> graph -> run -> summary."""

import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import apache_beam as beam
import grpc
from apache_beam.options.pipeline_options import (
    DirectOptions,
    GoogleCloudOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
)
from apache_beam.runners.dataflow.dataflow_runner import DataflowRuntimeException
from apache_beam.runners.runner import PipelineResult, PipelineState, create_runner
from apache_beam.utils.retry import PermanentException
from google.api_core.exceptions import GoogleAPICallError
from requests import RequestException

from clipscout.pipeline import (
    closing,
    cloud,
    counters,
    forecast,
    graph,
    loopback,
    options,
    portable,
    preflight,
    quiet,
    reasons,
    submitted,
)
from clipscout.pipeline.beam_options import ClipscoutOptions, beam_parser
from clipscout.pipeline.config import Config, ConfigError, from_options, is_dataflow, is_local
from clipscout.pipeline.faults import EXIT_FAULTY_OPTIONS, Fault, of
from clipscout.pipeline.progress import Display, asked_for
from clipscout.pipeline.stops import Stops
from clipscout.pipeline.worker import WorkerProcesses, broken_connections_are_silent
from clipscout.transforms.core import tally
from clipscout.transforms.core.child import supervisor
from clipscout.transforms.core.classifiers.specs import UnusableClassifierError
from clipscout.transforms.core.duplicates.feature_files import FeatureFileError
from clipscout.transforms.core.results import funnel
from clipscout.transforms.core.storage import filesystem, leases
from clipscout.transforms.outputs import TooManyFailuresError

EXIT_FAILED_JOB = 1
#: What ends a job by its own words, raised here or told in a worker's text.
OWN_ERRORS = (
    TooManyFailuresError,
    UnusableClassifierError,
    supervisor.ChildStartError,
    filesystem.StorageError,
    filesystem.DiskFullError,
    FeatureFileError,
)
_WORKERS_GRACE_SECONDS = 3.0


def main(argv: Sequence[str]) -> int:
    """Runs the job and returns the exit status.

    It is 0, 1 for a failed job, 2 for unusable options, and 128 and its number where a signal (Ctrl-C: 130) stopped it.
    """
    with Stops() as stop, Display(asked_for(argv)) as display:
        stop.on_end = display.abandon
        return stoppable(partial(mine, argv), stop, display)


def stoppable(work: Callable[[Stops, Display], int], stop: Stops, display: Display) -> int:
    """Does some work under a watch and a display that are there already; returns the exit status, as `main` does."""
    try:
        status = work(stop, display)
        if not stop.number:
            return status
    except (Exception, KeyboardInterrupt) as error:
        # in a step it reaches us as Beam's RuntimeError
        if not stop.number and KeyboardInterrupt.__name__ not in f"{type(error).__name__}: {error}":
            raise
    finally:
        display.close()
    stop.say()
    return stop.status


def mine(argv: Sequence[str], stop: Stops, display: Display) -> int:
    """Judges everything that can be judged before the job runs, then runs it."""
    quiet.log_to_stderr()
    with tally.doing("checking the options and what they name", slow_seconds=float("inf")):
        try:
            config, beam_options = configure(argv)
            found = preflight.look(config, beam_options)
            faults = found.faults
        except ConfigError as error:
            faults = error.faults + preflight.check_rest(error)
    if faults:
        display.close()
        complain(*map(str, faults))
        return EXIT_FAULTY_OPTIONS
    if config.dataflow or config.preflight_only:
        display.close()
    with display.paused():
        _announce(config, found)
    if config.dataflow:
        cloud.settle(config, beam_options)
        print(*cloud.about(config, beam_options), sep="\n")
    if config.preflight_only:
        print("clipscout: the job can start; nothing was run, as --preflight_only asks")
        return 0
    stop.words = submitted.words(config, beam_options)
    stop.gentle = config.workers == 1  # worker processes cannot be unwound from here
    try:
        with (
            loopback.servers_stay_here(),
            broken_connections_are_silent(partial(_died, stop)),
            _lease(config, beam_options, stop),
        ):
            result = run(config, beam_options)
            with submitted.waited_for(config, beam_options, result, stop):
                return _finish(config, result, display)
    except leases.HeldError as error:
        display.close()
        complain(f"--output: {error}")
        return EXIT_FAULTY_OPTIONS
    except grpc.RpcError as error:
        if stop.number:
            raise
        where = portable.endpoint_of(beam_options)
        what = f"the job service at {where!r}" if where else "the runner's server"
        complain(f"{what} is gone ({reasons.of_call(error)}); {reasons.GOES_ON}")
        return EXIT_FAILED_JOB
    except (GoogleAPICallError, PermanentException, RequestException) as error:
        did = "does not answer" if isinstance(error, RequestException) else "refused the job"
        complain(f"Dataflow {did}: {' '.join(str(error).split())}")
        return EXIT_FAILED_JOB
    except (DataflowRuntimeException, RuntimeError, *OWN_ERRORS) as error:
        if stop.number:
            raise
        if _is_own(beam_options) and reasons.is_worker_gone(str(error)):
            _died(stop)
            stop.say()
            return EXIT_FAILED_JOB
        return failed(beam_options, error)


def _lease(config: Config, beam_options: PipelineOptions, stop: Stops) -> contextlib.AbstractContextManager[object]:
    """Keeps others from writing to the output meanwhile; a template is written elsewhere."""

    def lost() -> None:
        stop.words = f"stopped: another run writes to {config.output!r} now"
        os.kill(os.getpid(), signal.SIGTERM)

    if config.dataflow and beam_options.view_as(GoogleCloudOptions).template_location:
        return contextlib.nullcontext()
    return leases.Lease(config.output, lost)


def complain(*lines: str) -> None:
    """Says lines on stderr."""
    with contextlib.suppress(OSError, ValueError):  # a terminal that is gone
        for line in lines:
            print(f"clipscout: {closing.printable(line)}", file=sys.stderr)


def _died(stop: Stops) -> None:
    """Ends the program soon, if it does not end by itself: a worker process is gone, and Beam may wait for it."""
    stop.words = reasons.WORKER_DIED
    if not stop.number:
        stop.end_after(_WORKERS_GRACE_SECONDS, EXIT_FAILED_JOB)


def _announce(config: Config, found: preflight.Found) -> None:
    """Says before anything is done which rows will be left out, and what will be replaced."""
    if not config.preflight_only:
        complain(*found.rows.warning())
    complain(*found.notes)
    lines = [*(found.rows.lines() if config.preflight_only else ()), *found.plan]
    if config.preflight_only:
        lines += forecast.lines(config, found.rows)
    for line in lines:
        print(closing.printable(line), flush=True)


def failed(beam_options: PipelineOptions, error: BaseException) -> int:
    """Says in one line what ended a job, and returns the exit status; raises what only its traceback explains."""
    text = f"{type(error).__name__}: {error}"
    names = "|".join(kind.__name__ for kind in OWN_ERRORS)
    own = re.search(rf"(?:{names}): (.*?)(?: \[while running|$)", text, re.MULTILINE)
    if KeyboardInterrupt.__name__ in text or (own is None and _is_own(beam_options)):
        raise error
    complain(f"the job failed: {own.group(1)}" if own else reasons.in_one_line(str(error)))
    return EXIT_FAILED_JOB


def _is_own(beam_options: PipelineOptions) -> bool:
    """Tells whether Beam's local runner runs the job within this program."""
    return beam_options.view_as(StandardOptions).runner == options.LOCAL_RUNNER


def _finish(config: Config, result: PipelineResult, display: Display) -> int:
    """Waits for the end of the job and tells of it; the launcher of a template is not kept waiting."""
    if config.dataflow:
        if not result.has_job:
            print("the job was written as a template")
            return 0
        end = "is cancelled" if config.when_stopped == "cancel" else "goes on"
        print(f"submitted  {result.job_id()}; it {end} if this program is stopped", flush=True)
    state = result.wait_until_finish()
    display.close()
    if state != PipelineState.DONE:
        complain(f"the job ended as {state}")
        return EXIT_FAILED_JOB
    try:
        summary: dict[str, Any] = json.loads(filesystem.read_bytes(filesystem.join(config.output, "summary.json")))
    except filesystem.StorageError as error:
        complain(f"the job ended without a summary: {error}")
        return EXIT_FAILED_JOB
    # counters are for logs: on a terminal what a person must know would stand below a screen of numbers
    measured = [] if display.is_live else ["", *counters.lines(result)]
    for line in [*measured, *closing.lines(config.output, summary)]:
        print(line)
    if why := funnel.why_failed(summary, config.max_failure_ratio):
        complain(f"the job failed: {why}")
        return EXIT_FAILED_JOB
    return 0


def configure(argv: Sequence[str]) -> tuple[Config, ClipscoutOptions]:
    """Turns arguments into a checked configuration and Beam's options.

    Raises:
      ConfigError: With every fault of the options.
    """
    try:
        ours = options.parsed(options.parser(), options.with_flags_spelled_out(list(argv)))
        beams = options.parsed(beam_parser(), ours.unknown)
    except options.UsageError as error:
        raise ConfigError([Fault(str(error))]) from None
    theirs = portable.option_names(portable.endpoint_of(ClipscoutOptions(beams.known))) if beams.unknown else ()
    accepted, unknown = options.taken(beams.unknown, theirs)
    strange = [options.unknown_option_fault(argument) for argument in unknown if not _is_value(argument, unknown)]
    if strange and any(argument.startswith("--template_location") for argument in beams.known):
        # a template's launcher adds flags of its own, and has checked the parameters against our metadata
        complain(*(f"warning: {fault}" for fault in strange))
        strange = []
    faults = [*ours.faults, *beams.faults, *strange]
    texts: dict[str, str | None] = {option.name: getattr(ours.values, option.name) for option in options.OPTIONS}
    runner = texts["runner"] or options.LOCAL_RUNNER
    beam_options = ClipscoutOptions([*beams.known, *accepted])
    beam_options.view_as(StandardOptions).runner = options.LOCAL_RUNNER
    if not (is_local(runner) or is_dataflow(runner)):
        texts = portable.absolute(texts)
    try:
        create_runner(runner)
        beam_options.view_as(StandardOptions).runner = runner
    except (ValueError, ImportError, AttributeError) as error:
        faults.append(of("runner", f"is {runner!r}: {error}"))
    try:
        config = from_options(texts, frozenset().union(*(fault.options for fault in ours.faults)))
    except ConfigError as error:
        raise ConfigError(faults + error.faults, texts, beam_options) from None
    if faults:
        raise ConfigError(faults, texts, beam_options)
    beam_options.view_as(SetupOptions).save_main_session = False
    direct = beam_options.view_as(DirectOptions)
    if direct.direct_num_workers != 1:  # Beam's own option; 0 stands for every core
        config = replace(config, streams=False)
    if config.workers > 1:
        direct.direct_num_workers, direct.direct_running_mode = config.workers, "multi_processing"
    return cloud.on_its_gpus(config, beam_options), beam_options


def _is_value(argument: str, unknown: list[str]) -> bool:
    """Tells whether an unknown argument is the value of the unknown option before it, which may be a secret."""
    position = unknown.index(argument)
    return not argument.startswith("-") and position > 0 and unknown[position - 1].startswith("-")


def run(config: Config, beam_options: ClipscoutOptions) -> PipelineResult:
    """Builds the graph and starts it; from here on the output folder is this job's."""
    if not config.dataflow:
        preflight.begin(config)
    own = _is_own(beam_options) and config.workers > 1
    if _is_own(beam_options) and not own:
        supervisor.start_ahead()  # beside the graph
    portable.settle(beam_options)
    pipeline = beam.Pipeline(runner=WorkerProcesses() if own else None, options=beam_options)
    graph.build(pipeline, config)
    handler = signal.getsignal(signal.SIGINT)
    result = pipeline.run()
    if signal.getsignal(signal.SIGINT) is not handler:  # of a server that Beam started; it ends with this program too
        signal.signal(signal.SIGINT, handler)
    # not before: a job that is refused, or whose name runs already, must not touch the output; nor must a template,
    # which is no job yet
    if config.dataflow and result.has_job:
        preflight.begin(config)
    return result
