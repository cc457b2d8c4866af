"""FetchBetterVideos: scan low, fetch high. Only videos that have a span are fetched again, to cut from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.typehints.decorators import no_annotations

from transforms.core import storage
from transforms.core.fetcher import FetchError
from transforms.core.lanes import Lane, Politeness
from transforms.download import WEB, FetchInTurn, FetchRule
from transforms.records import VideoSpans


class _FetchBetter(FetchInTurn):
    """Fetches videos with spans again in a better quality; where that fails, clips come from what was scored."""

    def __init__(self, output: str, rule: FetchRule) -> None:
        height = rule.clip_max_height or rule.max_height
        super().__init__(
            output, replace(rule, max_height=height, height_cap=max(height, rule.height_cap)), "videos_for_clips"
        )

    def process(self, lane_of_spans: tuple[int, Iterable[VideoSpans]]) -> Iterator[VideoSpans]:
        lane = Lane(self._rule.politeness)
        for proposal in sorted(lane_of_spans[1], key=_by_key):
            try:
                better = self.in_turn(proposal.video.request, lane)
                yield replace(proposal, better=better)
            except (FetchError, storage.StorageError, OSError) as error:
                code = getattr(error, "code", "storage_error")
                self._metrics.count(f"not-better-{code}")
                yield replace(proposal, source_flags=(f"low_quality_{code}",))


def _by_key(proposal: VideoSpans) -> str:
    return proposal.key


class _Route(beam.DoFn):
    """Sends the spans of web videos to their lanes; the others need no better video, or have none."""

    def __init__(self, politeness: Politeness) -> None:
        self._politeness = politeness

    def process(
        self, proposal: VideoSpans
    ) -> Iterator[VideoSpans | TaggedOutput[Literal["web"], tuple[int, VideoSpans]]]:
        if proposal.spans and proposal.video.request.url:
            yield TaggedOutput(WEB, (self._politeness.lane_of(proposal.key), proposal))
        else:
            yield proposal


@dataclass
class FetchBetterVideos(beam.PTransform):
    """Scan low, fetch high: videos that have a span are fetched again at `clip_max_height`, in the same polite lanes.

    Attributes:
      output: The output folder; these videos lie in `videos_for_clips/`.
      rule: How videos are fetched; without `clip_max_height` nothing is done.
    """

    output: str
    rule: FetchRule

    @no_annotations  # Beam knows no tagged outputs
    def expand(self, proposals: beam.PCollection) -> beam.PCollection:
        """Takes and returns one VideoSpans per video."""
        if self.rule.clip_max_height is None:
            return proposals
        routed = proposals | "Route" >> beam.ParDo(_Route(self.rule.politeness)).with_outputs(WEB, main="rest")
        better = routed[WEB] | "ByLane" >> beam.GroupByKey() | beam.ParDo(_FetchBetter(self.output, self.rule))
        return (routed.rest, better) | "All" >> beam.Flatten()
