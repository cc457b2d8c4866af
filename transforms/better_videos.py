"""FetchBetterVideos: scan low, fetch high. Only videos that have a span are fetched again, to cut from."""

import threading
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindows
from apache_beam.typehints.decorators import no_annotations
from apache_beam.utils.windowed_value import WindowedValue

from transforms.clip_cutter import LOW_QUALITY
from transforms.core.lanes import Lanes, batched, worked_off
from transforms.core.video_store import VideoStore
from transforms.flow import AROUND, Around, Flow, Gates, WithoutFlush
from transforms.metrics import StageMetrics
from transforms.records import Flush, VideoSpans
from transforms.video_fetchers import FetchRule, Outcome, WebFetcher

_STAGE = "FetchBetterVideos"
_FOLDER = "videos_for_clips"
#: Videos whose better one is under way, at most.
_MOST_AHEAD = 1000


class _BetterFetcher(WebFetcher):
    """Fetches the better video of what was scored; where that fails, clips come from what was scored."""

    def work(self, proposal: VideoSpans, stopped: threading.Event) -> VideoSpans:  # type: ignore[override]
        """Returns the spans with the video that they are to be cut from."""
        outcome: Outcome = super().work(proposal.video.request, stopped)
        if outcome.video is not None:
            return replace(proposal, better=outcome.video)
        return replace(proposal, source_flags=(f"{LOW_QUALITY}{getattr(outcome.error, 'code', 'storage_error')}",))


def _is_wanted(proposal: VideoSpans) -> bool:
    """Tells whether there may be a better video: the others have no span, or are files."""
    return bool(proposal.spans and proposal.video.request.url)


class _FetchBetter(beam.DoFn):
    """What fetching in a pass and by group have in common."""

    def __init__(self, output: str, rule: FetchRule, gates: Gates) -> None:
        height = rule.clip_max_height or rule.max_height
        self._rule = replace(rule, max_height=height, height_cap=max(height, rule.height_cap))
        self._store, self._gates = VideoStore(output, _FOLDER), gates
        self._metrics = StageMetrics(_STAGE)

    def _lanes(self, group: int) -> Lanes[VideoSpans, VideoSpans]:
        gate = self._gates.get(self._rule.politeness, group)
        return Lanes(gate.lanes, partial(_BetterFetcher, self._rule, self._store, gate), _MOST_AHEAD)

    def _told(self, proposal: VideoSpans) -> VideoSpans:
        for flag in proposal.source_flags:
            self._metrics.count(flag.replace(LOW_QUALITY, "not-better-"))
        if proposal.better is not None:
            self._metrics.count("out-videos")
        return proposal


class _FetchInPass(_FetchBetter):
    """Fetches in lanes of its own while the pass goes on: what has come is given on with the next video, or Flush."""

    def setup(self) -> None:
        self._running = self._lanes(0)

    def teardown(self) -> None:
        self._running.close()

    def process(self, proposal: VideoSpans | Flush) -> Iterator[VideoSpans]:
        if isinstance(proposal, VideoSpans):
            if _is_wanted(proposal):
                while self._running.full:
                    yield self._told(self._running.take())
                self._running.put(proposal)
            else:
                yield proposal
        while not self._running.empty():
            yield self._told(self._running.take())

    def finish_bundle(self) -> Iterator[WindowedValue]:
        while self._running.ahead:
            yield GlobalWindows.windowed_value_at_end_of_window(self._told(self._running.take()))


class _FetchByGroup(_FetchBetter):
    """Fetches the videos of one group of lanes."""

    def process(self, group: tuple[int, Iterable[VideoSpans]]) -> Iterator[VideoSpans]:
        with self._lanes(group[0]) as lanes:
            for some in batched(group[1], _MOST_AHEAD):
                for proposal in worked_off((lanes, sorted(some, key=_by_key))):
                    if proposal is not None:
                        yield self._told(proposal)


def _by_key(proposal: VideoSpans) -> str:
    return proposal.key


class _Route(beam.DoFn):
    """Sends the spans of web videos to the group that fetches them; the others need no better video, or have none."""

    def __init__(self, flow: Flow, groups: int) -> None:
        self._flow, self._groups = flow, groups

    def process(self, proposal: VideoSpans) -> Iterator[tuple[int, VideoSpans] | Around]:
        if _is_wanted(proposal):
            yield zlib.crc32(proposal.key.encode("utf-8", "surrogatepass")) % self._groups, proposal
        else:
            yield self._flow.around(proposal)


@dataclass
class FetchBetterVideos(beam.PTransform):
    """Scan low, fetch high: videos that have a span are fetched again at `clip_max_height`, as politely as before.

    Attributes:
      output: The output folder; these videos lie in `videos_for_clips/`.
      rule: How videos are fetched; without `clip_max_height` nothing is done.
      flow: Whether videos stream through this stage.
      gates: What all lanes of a worker share.
    """

    output: str
    rule: FetchRule
    flow: Flow
    gates: Gates

    @no_annotations  # Beam knows no tagged outputs
    def expand(self, proposals: beam.PCollection) -> beam.PCollection:
        """Takes and returns one VideoSpans per video."""
        given: tuple[Any, ...] = (self.output, self.rule, self.gates)
        if self.rule.clip_max_height is None:
            return proposals | WithoutFlush(self.flow)
        if self.flow.streams:
            return proposals | "Fetch" >> beam.ParDo(_FetchInPass(*given))
        route = beam.ParDo(_Route(self.flow, self.rule.politeness.groups())).with_outputs(AROUND, main="wanted")
        routed = proposals | "Route" >> route
        better = routed.wanted | "ByGroup" >> beam.GroupByKey() | "Fetch" >> beam.ParDo(_FetchByGroup(*given))
        return (routed[AROUND], better) | "All" >> beam.Flatten()
