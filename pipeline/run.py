"""run: options -> config -> preflight -> graph -> run -> summary."""

import json
import logging
import sys
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, SetupOptions, StandardOptions
from apache_beam.runners.runner import PipelineResult, PipelineState, create_runner

from pipeline import counters, graph, options, preflight
from pipeline.config import Config, ConfigError, from_options, unknown_option_fault
from transforms.core import child, funnel, storage

EXIT_FAULTY_OPTIONS = 2


def main(argv: Sequence[str]) -> int:
    """Runs the job and returns the exit status: 0, 1 for a job that failed, 2 for options that cannot be used."""
    # the root logger is where Beam's advice to its own developers goes
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("apache_beam").setLevel(logging.WARNING)
    try:
        config, beam_options = configure(argv)
        faults = preflight.check(config)
    except ConfigError as error:
        faults = error.faults
    if faults:
        for fault in faults:
            print(f"clipscout: {fault}", file=sys.stderr)
        return EXIT_FAULTY_OPTIONS
    try:
        result = run(config, beam_options)
        state = result.wait_until_finish()
    finally:
        child.close_ahead()
    if state != PipelineState.DONE:
        print(f"clipscout: the job ended as {state}", file=sys.stderr)
        return 1
    for line in ["", *counters.lines(result), *report(config)]:
        print(line)
    return 0


def configure(argv: Sequence[str]) -> tuple[Config, options.ClipscoutOptions]:
    """Turns arguments into a checked configuration and Beam's options.

    Raises:
      ConfigError: With every fault of the options.
    """
    try:
        known, rest = options.parser().parse_known_args(list(argv))
        faults = [unknown_option_fault(argument) for argument in options.unknown_options(rest)]
    except options.UsageError as error:
        raise ConfigError([str(error)]) from None
    given = {option.name: getattr(known, option.name) for option in options.OPTIONS}
    runner = given["runner"] or options.LOCAL_RUNNER
    try:
        create_runner(runner)
    except (ValueError, ImportError, AttributeError) as error:
        faults.append(f"--runner is {runner!r}: {error}")
    try:
        config = from_options(given)
    except ConfigError as error:
        raise ConfigError(faults + error.faults) from None
    if faults:
        raise ConfigError(faults)
    beam_options = options.ClipscoutOptions(rest)
    beam_options.view_as(StandardOptions).runner = runner
    beam_options.view_as(SetupOptions).save_main_session = False
    if config.workers > 1:
        direct = beam_options.view_as(DirectOptions)
        direct.direct_num_workers, direct.direct_running_mode = config.workers, "multi_processing"
    return config, beam_options


def run(config: Config, beam_options: options.ClipscoutOptions) -> PipelineResult:
    """Builds the graph and starts it."""
    if beam_options.view_as(StandardOptions).runner == options.LOCAL_RUNNER and config.workers == 1:
        child.start_ahead(2)  # the prober and the decoder of this process; they start beside the graph
    pipeline = beam.Pipeline(options=beam_options)
    graph.build(pipeline, config)
    return pipeline.run()


def report(config: Config) -> list[str]:
    """Returns what a person wants to read at the end: the funnel, and where things lie."""
    summary: dict[str, Any] = json.loads(storage.read_bytes(storage.join(config.output, "summary.json")))
    lines = ["", *funnel.lines(summary), ""]
    if summary["stale_clips"]:
        lines.append(
            f"{summary['stale_clips']} clips of earlier runs are not in these manifests (--replace removes them)"
        )
    lines += [
        f"clips      {storage.join(config.output, 'clips')}",
        f"manifests  {config.output}: spans, videos (.jsonl, .parquet), failures.jsonl, spans.csv, summary.json",
    ]
    return lines
