"""ProposeSpans: the candidate spans of each scored video."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from clipscout.transforms.core.queries import row_times
from clipscout.transforms.core.queries.row_times import Ranges
from clipscout.transforms.core.spans import peaks
from clipscout.transforms.core.spans.peaks import SpanSettings
from clipscout.transforms.metrics import StageMetrics
from clipscout.transforms.records import CandidateSpan, Flush, ScoredVideo, VideoSpans


def notes(
    removed: Mapping[str, Mapping[str, float | None]],
    spans: tuple[CandidateSpan, ...],
    settings: SpanSettings,
    within: Mapping[str, Ranges],
    min_scores: Mapping[str, float],
) -> tuple[str, ...]:
    """Returns a sentence for each action without a span: which threshold left how many samples out.

    Args:
      removed: What `peaks.removed_by` returns.
      spans: The spans of the video.
      settings: How they were picked.
      within: The actions that are looked for in some ranges of time alone.
      min_scores: The threshold of each action.
    """
    found = {span.action for span in spans}
    sentences = []
    for action, numbers in removed.items():
        if action in found:
            continue
        count = f"{numbers['samples']} samples"
        reasons = [f"{numbers['below_min_score']} of {count} are below min_score {min_scores[action]:g}"]
        if settings.mode == "segments":
            reasons.append(f"{numbers['below_high_score']} below high_score {settings.high_score:g}")
        if action in within:
            reasons.append("samples beyond the row's times among them")
        strongest = "none" if numbers["strongest"] is None else f"{numbers['strongest']:.4g}"
        sentences.append(f"no span of {action!r}: {', '.join(reasons)}; the strongest response is {strongest}")
    return tuple(sentences)


class _Propose(beam.DoFn):
    def __init__(self, settings: SpanSettings) -> None:
        self._settings = settings
        self._metrics = StageMetrics("ProposeSpans")

    def process(self, scored: ScoredVideo | Flush) -> Iterator[VideoSpans | Flush]:
        if isinstance(scored, Flush):
            yield scored
            return
        video, track = scored.video, scored.track
        within = row_times.ranges_of(video.request.asks) if self._settings.within_row_times else {}
        min_scores = video.request.min_scores(self._settings.min_score)
        spans = tuple(peaks.propose(track, self._settings, within, min_scores))
        removed = peaks.removed_by(track, self._settings, within, min_scores)
        best = [(action, numbers["strongest"]) for action, numbers in removed.items()]
        self._metrics.count("in-tracks")
        self._metrics.count("out-spans", len(spans))
        yield VideoSpans(
            video,
            spans,
            track.decoded_seconds,
            len(track.times),
            track.flags,
            notes(removed, spans, self._settings, within, min_scores),
            lost_seconds=track.lost_seconds,
            engine=track.engine,
            reused=scored.reused,
            strongest=tuple((action, response) for action, response in best if response is not None),
        )


@dataclass
class ProposeSpans(beam.PTransform):
    """Picks the strongest responses of each wanted action and the span around each.

    Attributes:
      settings: Length, number, spacing, threshold, and what to do about shot boundaries.
    """

    settings: SpanSettings

    def expand(self, tracks: beam.PCollection) -> beam.PCollection:
        """Returns one VideoSpans per track; it is empty where no response reaches the threshold, and says so.

        A Flush passes.
        """
        return tracks | "Propose" >> beam.ParDo(_Propose(self.settings)).with_output_types(Any)
