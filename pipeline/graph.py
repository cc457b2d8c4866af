"""The graph: the only place where stages are joined."""

from typing import NamedTuple

import apache_beam as beam

from clipscout.pipeline import cloud, job_record
from clipscout.pipeline.config import Config
from clipscout.transforms.better_videos import FetchBetterVideos
from clipscout.transforms.clips import CutClips
from clipscout.transforms.comparing import DROP, OFF
from clipscout.transforms.core.results import funnel
from clipscout.transforms.describing import DescribeClips
from clipscout.transforms.discovery import FindVideos
from clipscout.transforms.download import DownloadVideos
from clipscout.transforms.duplicates import DropDuplicates, not_compared
from clipscout.transforms.flow import Flow, Gates, OnlyFlush, WithoutFlush
from clipscout.transforms.outputs import Judge, WriteManifests, WriteSummary
from clipscout.transforms.queries import MatchLabels, ReadExcludes, ReadQueries
from clipscout.transforms.report import SaveCurves, WriteReport
from clipscout.transforms.scoring import ScoreVideos
from clipscout.transforms.selection import SelectSpans
from clipscout.transforms.spans import ProposeSpans
from clipscout.transforms.totals import Count, as_it_is


class Outputs(NamedTuple):
    """What a run makes; `failures` are those of all stages, `summary` is the content of summary.json."""

    proposals: beam.PCollection
    clips: beam.PCollection
    failures: beam.PCollection
    summary: beam.PCollection


def build(root: beam.Pipeline | beam.pvalue.PBegin, config: Config) -> Outputs:
    """Joins the stages below `root`. Parses nothing, prints nothing, starts nothing."""
    flow = Flow(streams=config.streams)  # the one place that decides
    gates = Gates(flow)
    read = root | "ReadQueries" >> ReadQueries(config.inputs, config.spans.within_row_times)
    matched = read.queries | "MatchLabels" >> MatchLabels(config.scoring.spec.labels)
    excluded = root | "ReadExcludes" >> ReadExcludes(config.excludes)
    found = (matched.queries, excluded) | "FindVideos" >> FindVideos(config.output, config.search, flow, config.folder)
    fetched = found.requests | "DownloadVideos" >> DownloadVideos(config.output, config.fetch, flow, gates)
    score = ScoreVideos(config.output, config.scoring, flow, cloud.resource_hints(config))
    stream = fetched.stream | "LeaveUnscored" >> OnlyFlush() if config.fetch_only else fetched.stream
    scored = stream | "ScoreVideos" >> score
    scored.tracks | "SaveCurves" >> SaveCurves(config.output, config.spans.smooth_seconds)
    proposals = scored.tracks | "ProposeSpans" >> ProposeSpans(config.spans)
    selected = proposals | "SelectSpans" >> SelectSpans(config.selection, flow)
    better = selected | "FetchBetterVideos" >> FetchBetterVideos(config.output, config.fetch, flow, gates)
    rule = config.duplicates
    one_per_video = rule.choice if rule.one_per_video else None
    cut = better.spans | "CutClips" >> CutClips(config.output, config.cut, one_per_video)
    matches, describe_failures = _matches(cut.clips, config, flow)

    spans = selected | "SelectedSpans" >> WithoutFlush(flow)
    failures = (
        read.failures, matched.failures, found.failures, fetched.failures, scored.failures,
        *better.failures, cut.failures, *describe_failures,
    ) | "AllFailures" >> beam.Flatten()  # fmt: skip
    records = (
        found.merged, fetched.videos, spans, cut.clips, matches, cut.not_wanted, failures,
    ) | "AllRecords" >> beam.Flatten()  # fmt: skip
    drops = rule.mode == DROP
    written = records | WriteManifests(config.output, config.manifest_shards, config.identity(), drops)
    # each side of an equation of the funnel is counted where it is made, not where it goes
    tallies = (
        read.queries | "CountRows" >> Count(funnel.row_tallies),
        read.failures | "CountBadRows" >> Count(funnel.row_tallies),
        found.tallies | "CountFound" >> Count(as_it_is),
        *([fetched.videos | "CountFetched" >> Count(funnel.fetched_tallies)] if config.fetch_only else ()),
        scored.tracks | "CountScored" >> Count(funnel.tallies),
        proposals | "CountProposed" >> Count(funnel.proposal_tallies),
        records | "CountRecords" >> Count(funnel.tallies),
        written.twins | "CountTwins" >> Count(funnel.tallies),
    ) | "AllTallies" >> beam.Flatten()
    # who launches a job from a template is not there when it runs
    beside = job_record.record(config.shaping()) if config.dataflow else {}
    write = WriteSummary(config.output, config.about(), config.replace, beside)
    summary = (tallies, written.paths, written.leftovers) | write | "WriteReport" >> WriteReport(config.output)
    if config.dataflow:  # others are judged where they are waited for
        summary = summary | "Judge" >> Judge(config.max_failure_ratio)
    return Outputs(spans, cut.clips, failures, summary)


def _matches(
    clips: beam.PCollection, config: Config, flow: Flow
) -> tuple[beam.PCollection, tuple[beam.PCollection, ...]]:
    """Joins the stages that compare clips; returns what each clip is like, and failures."""
    if config.describe is None or config.duplicates.mode == OFF or config.fetch_only:
        return clips | "NotCompared" >> beam.Map(not_compared), ()
    describe = DescribeClips(config.output, config.describe, flow, cloud.resource_hints(config))
    described = clips | "DescribeClips" >> describe
    drop = DropDuplicates(config.output, config.duplicates, config.describe.model())
    matches = (clips, described.clips, described.apart) | "DropDuplicates" >> drop
    return matches, (described.failures,)
