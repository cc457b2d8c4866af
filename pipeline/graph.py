"""The graph: the only place where stages are joined."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import apache_beam as beam

from pipeline.config import Config
from transforms.clips import CutClips
from transforms.discovery import FindVideos
from transforms.download import DownloadVideos
from transforms.failures import Failure
from transforms.outputs import Results, WriteManifests, WriteSummary
from transforms.queries import MatchLabels, ReadExcludes, ReadQueries
from transforms.records import VideoRequest, VideoSpans
from transforms.scoring import ScoreVideos
from transforms.spans import ProposeSpans


class Outputs(NamedTuple):
    """What a run makes; `failures` are those of all stages, `summary` is the content of summary.json."""

    proposals: beam.PCollection
    clips: beam.PCollection
    failures: beam.PCollection
    summary: beam.PCollection


def build(root: beam.Pipeline, config: Config) -> Outputs:
    """Joins the stages below `root`. Parses nothing, prints nothing, starts nothing."""
    read = root | "ReadQueries" >> ReadQueries(config.inputs)
    matched = read.queries | "MatchLabels" >> MatchLabels(config.scoring.spec.labels)
    excluded = root | "ReadExcludes" >> ReadExcludes(config.excludes)
    found = (matched.queries, excluded) | "FindVideos" >> FindVideos(config.output, config.search)
    fetched = found.requests | "DownloadVideos" >> DownloadVideos(config.output, config.fetch)
    score = ScoreVideos(config.output, config.scoring)
    scored = fetched.videos | "ScoreVideos" >> score
    proposals = scored.tracks | "ProposeSpans" >> ProposeSpans(config.spans)
    cutter = CutClips(config.output, config.cut, config.stall_seconds, config.scoring.memory_bytes)
    cut = proposals | "SpreadSpans" >> beam.Reshuffle() | "CutClips" >> cutter

    row_failures = (read.failures, matched.failures, found.failures) | "RowFailures" >> beam.Flatten()
    failures = (
        row_failures, found.rejected, fetched.failures, scored.failures, cut.failures,
    ) | "AllFailures" >> beam.Flatten()  # fmt: skip
    results = Results(found.merged, fetched.videos, proposals, cut.clips, failures)
    written = results | WriteManifests(config.output, config.manifest_shards)
    tallies = (
        (read.queries, read.failures) | "RowsRead" >> beam.Flatten() | Tally("rows.read"),
        row_failures | Tally("rows.failed"),
        found.candidates | "RowsMatched" >> beam.FlatMap(_rows) | beam.Distinct() | Tally("rows.matched"),
        found.candidates | Tally("candidates.found"),
        found.merged | Tally("requests.unique"),
        (found.rejected, fetched.failures)
        | "Unfetched" >> beam.Flatten()
        | "WhyUnfetched" >> beam.Map(_unfetched_tally),
        fetched.videos | Tally("requests.fetched"),
        scored.failures | Tally("videos.failed"),
        scored.tracks | Tally("videos.scored"),
        proposals | "SpanTallies" >> beam.FlatMap(_span_tallies),
        cut.clips | Tally("clips.written"),
        cut.not_wanted | Tally("spans.not_cut"),
        cut.failures | Tally("spans.failed"),
        failures | "FailureTallies" >> beam.Map(_failure_tally),
    )
    summary = (tallies | "AllTallies" >> beam.Flatten(), written) | WriteSummary(
        config.output, config.about(), config.replace
    )
    return Outputs(proposals, cut.clips, failures, summary)


@dataclass
class Tally(beam.PTransform):
    """One (name, 1) pair per element, to be summed into the funnel."""

    name: str

    def default_label(self) -> str:
        """Returns a label that is unique per name."""
        return f"Tally {self.name}"

    def expand(self, items: beam.PCollection) -> beam.PCollection:
        """Returns the pairs."""
        return items | beam.Map(_one, self.name)


def _one(_: Any, name: str) -> tuple[str, int]:
    return name, 1


def _rows(candidate: tuple[str, VideoRequest]) -> list[str]:
    return [ask.row for ask in candidate[1].asks]


def _span_tallies(proposal: VideoSpans) -> list[tuple[str, int]]:
    if not proposal.spans:
        return [("videos.without_span", 1)]
    return [("videos.with_spans", 1), ("spans.proposed", len(proposal.spans))]


def _unfetched_tally(failure: Failure) -> tuple[str, int]:
    if failure.code == "excluded":
        return "requests.excluded", 1
    return ("requests.filtered" if failure.category == "skipped" else "requests.failed"), 1


def _failure_tally(failure: Failure) -> tuple[str, int]:
    return f"failure.{failure.stage}.{failure.code}", 1
