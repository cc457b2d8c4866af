"""ProposeSpans: the candidate spans of each scored video."""

from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam

from transforms.core import peaks
from transforms.core.peaks import SpanRule
from transforms.metrics import StageMetrics
from transforms.records import ScoredVideo, VideoSpans


class _Propose(beam.DoFn):
    def __init__(self, rule: SpanRule) -> None:
        self._rule = rule
        self._metrics = StageMetrics("ProposeSpans")

    def process(self, scored: ScoredVideo) -> Iterator[VideoSpans]:
        video, track = scored.video, scored.track
        spans = tuple(peaks.propose(track, self._rule))
        self._metrics.count("in-tracks")
        self._metrics.count("out-spans", len(spans))
        yield VideoSpans(video, spans, track.decoded_seconds, len(track.times), track.flags)


@dataclass
class ProposeSpans(beam.PTransform):
    """Picks the strongest responses of each wanted action and the span around each.

    Attributes:
      rule: Length, number, spacing and threshold.
    """

    rule: SpanRule

    def expand(self, tracks: beam.PCollection) -> beam.PCollection:
        """Returns one VideoSpans per track; it is empty where no response reaches the threshold."""
        return tracks | "Propose" >> beam.ParDo(_Propose(self.rule))
