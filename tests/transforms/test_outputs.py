"""The last stage: it fails the job for its failures only once everything is written."""

import json

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from clipscout.pipeline.options import LOCAL_RUNNER
from clipscout.transforms.outputs import Judge, TooManyFailuresError, WriteSummary


def write(output, allowed):
    """Runs WriteSummary alone, over the tallies of two rows of which one failed."""
    with beam.Pipeline(LOCAL_RUNNER, options=PipelineOptions([])) as root:
        tallies = root | "Tallies" >> beam.Create([("rows.read", 2), ("rows.failed", 1), ("rows.matched", 1)])
        paths = root | "Paths" >> beam.Create(["failures.jsonl"])
        clips = root | "Clips" >> beam.Create([])
        _ = (tallies, paths, clips) | WriteSummary(str(output), {}, remove_stale=False) | Judge(allowed)


def test_a_job_with_too_many_failures_fails_after_its_summary(tmp_path):
    with pytest.raises(TooManyFailuresError, match=r"50% of its rows, videos or spans did, 40% are allowed"):
        write(tmp_path, 0.4)
    assert json.loads((tmp_path / "summary.json").read_text())["failure_ratio"] == 0.5


def test_a_job_with_as_many_failures_as_allowed_does_not(tmp_path):
    write(tmp_path, 0.5)
    assert json.loads((tmp_path / "summary.json").read_text())["failure_ratio"] == 0.5
