"""FetchBetterVideos: scan low, fetch high. Only videos that have a span are fetched again, to cut from."""

import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindows
from apache_beam.typehints.decorators import no_annotations
from apache_beam.utils.windowed_value import WindowedValue

from clipscout.transforms.clip_cutter import LOW_QUALITY
from clipscout.transforms.core.intervals import joined
from clipscout.transforms.core.storage import filesystem
from clipscout.transforms.core.storage.video_store import VideoStore
from clipscout.transforms.core.web.lanes import Gate, Lanes, batched, worked_off
from clipscout.transforms.failures import Failure
from clipscout.transforms.flow import AROUND, Around, Flow, Gates, WithoutFlush
from clipscout.transforms.metrics import StageMetrics
from clipscout.transforms.records import SOUND_NOT_FETCHED, Flush, Video, VideoRequest, VideoSpans
from clipscout.transforms.tags import FAILURES, Failed, failed
from clipscout.transforms.video_fetchers import FetchSettings, Outcome
from clipscout.transforms.web_fetcher import WebFetcher, unforbidden

_STAGE = "FetchBetterVideos"
_FOLDER = "videos_for_clips"
#: Videos whose better one is under way, at most.
_MOST_AHEAD = 1000


#: Spans, and why there is no better video of theirs.
_Outcome: TypeAlias = tuple[VideoSpans, Failure | None]


class Better(NamedTuple):
    """What came of looking for better videos.

    Attributes:
      spans: One VideoSpans per video.
      failures: Failure, one per video that could not be had; none where no better ones are wanted.
    """

    spans: beam.PCollection
    failures: tuple[beam.PCollection, ...]


class _BetterFetcher(WebFetcher):
    """Fetches the better video of what was scored; where that fails, clips come from what was scored."""

    def __init__(self, settings: FetchSettings, store: VideoStore, gate: Gate, options: Mapping[str, str]) -> None:
        super().__init__(settings, store, gate)
        self._options = options
        self._wanted: list[list[float]] = []

    def _seconds(self) -> list[list[float]]:
        return self._wanted

    def _stored(self, request: VideoRequest) -> Video | None:
        """Returns what an earlier run stored, if the spans of today are in it."""
        video = super()._stored(request)
        held = None if video is None else video.facts.get("seconds")
        return None if held is not None and not _hold(held, self._wanted) else video

    def work(self, proposal: VideoSpans, stopped: threading.Event) -> _Outcome:  # type: ignore[override]
        """Returns the spans with the video that they are to be cut from, and why there is no better one."""
        request = proposal.video.request
        self._wanted = _stretches(proposal)
        asked = self._asked(request)
        try:
            earlier = self._store.failure(request.key, asked)
            if earlier is None or not earlier.is_left_alone(self._options, self._settings.retry_codes):
                outcome: Outcome = unforbidden(super().work(request, stopped), self._gate)
                if outcome.video is not None:
                    if earlier is not None:
                        self._store.forget_failure(request.key)
                    return replace(proposal, better=outcome.video), None
                earlier = outcome.failure(_STAGE, self._options)
                if earlier.is_left_alone(self._options):
                    self._store.note_failure(earlier, asked)
        except filesystem.StorageError as error:
            earlier = Outcome(request, error=error).failure(_STAGE, self._options)
        silent = self._settings.sound and proposal.video.facts.get("sound_left")
        flags = (f"{LOW_QUALITY}{earlier.code}", *((SOUND_NOT_FETCHED,) if silent else ()))
        return replace(proposal, source_flags=flags), earlier


def _stretches(proposal: VideoSpans) -> list[list[float]]:
    """Returns what of a video its clips show, as [start, end] in seconds: those of several actions as one."""
    return [list(one) for one in joined((span.start_seconds, span.end_seconds) for span in proposal.spans)]


def _hold(held: list[list[float]], wanted: list[list[float]]) -> bool:
    """Tells whether each of some stretches lies within one that there is."""
    return all(any(start <= begin and end <= finish for start, finish in held) for begin, end in wanted)


def _is_wanted(proposal: VideoSpans) -> bool:
    """Tells whether there may be a better video: the others have no span, or are files."""
    return bool(proposal.spans and proposal.video.request.url)


class _FetchBetter(beam.DoFn):
    """What fetching in a pass and by group have in common."""

    def __init__(self, output: str, settings: FetchSettings, gates: Gates) -> None:
        height = settings.clip_max_height or settings.max_height
        self._settings = replace(settings, max_height=height, height_cap=max(height, settings.height_cap))
        self._store, self._gates = VideoStore(output, _FOLDER), gates
        self._metrics = StageMetrics(_STAGE)

    def setup(self) -> None:
        self._options = self._settings.option_values()

    def _lanes(self, group: int) -> Lanes[VideoSpans, _Outcome]:
        gate = self._gates.get(self._settings.politeness, group)
        make = partial(_BetterFetcher, self._settings, self._store, gate, self._options)
        return Lanes(gate.lanes, make, _MOST_AHEAD)

    def _outputs(self, outcome: _Outcome) -> Iterator[VideoSpans | Failed]:
        proposal, failure = outcome
        if failure is None:
            self._metrics.count("out-videos")
        else:
            self._metrics.count(f"not-better-{failure.code}")
            yield failed(failure)
        yield proposal


class _FetchInPass(_FetchBetter):
    """Fetches in lanes of its own while the pass goes on: what has come is given on with the next video, or Flush."""

    def setup(self) -> None:
        super().setup()
        self._running = self._lanes(0)

    def teardown(self) -> None:
        self._running.close()

    def process(self, proposal: VideoSpans | Flush) -> Iterator[VideoSpans | Failed]:
        if isinstance(proposal, VideoSpans):
            if _is_wanted(proposal):
                while self._running.full:
                    yield from self._outputs(self._running.take())
                self._running.put(proposal)
            else:
                yield proposal
        while not self._running.empty():
            yield from self._outputs(self._running.take())

    def finish_bundle(self) -> Iterator[WindowedValue | TaggedOutput]:
        while self._running.ahead:
            for record in self._outputs(self._running.take()):
                if isinstance(record, TaggedOutput):
                    value = GlobalWindows.windowed_value_at_end_of_window(record.value)
                    yield TaggedOutput(record.tag, value)
                else:
                    yield GlobalWindows.windowed_value_at_end_of_window(record)


class _FetchByGroup(_FetchBetter):
    """Fetches the videos of one group of lanes."""

    def process(self, group: tuple[int, Iterable[VideoSpans]]) -> Iterator[VideoSpans | Failed]:
        with self._lanes(group[0]) as lanes:
            for some in batched(group[1], _MOST_AHEAD):
                for outcome in worked_off((lanes, sorted(some, key=_by_key))):
                    if outcome is not None:
                        yield from self._outputs(outcome)


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
      settings: How videos are fetched; without `clip_max_height` nothing is done.
      flow: Whether videos stream through this stage.
      gates: What all lanes of a worker share.
    """

    output: str
    settings: FetchSettings
    flow: Flow
    gates: Gates

    @no_annotations  # Beam knows no tagged outputs
    def expand(self, proposals: beam.PCollection) -> Better:
        """Takes one VideoSpans per video; returns them with the better videos, and the failures."""
        arguments: tuple[Any, ...] = (self.output, self.settings, self.gates)
        if self.settings.clip_max_height is None:
            return Better(proposals | WithoutFlush(self.flow), ())
        if self.flow.streams:
            fetch = beam.ParDo(_FetchInPass(*arguments)).with_outputs(FAILURES, main="spans")
            fetched = proposals | "Fetch" >> fetch
            return Better(fetched.spans, (fetched[FAILURES],))
        route = beam.ParDo(_Route(self.flow, self.settings.politeness.groups())).with_outputs(AROUND, main="wanted")
        routed = proposals | "Route" >> route
        fetch = beam.ParDo(_FetchByGroup(*arguments)).with_outputs(FAILURES, main="spans")
        fetched = routed.wanted | "ByGroup" >> beam.GroupByKey() | "Fetch" >> fetch
        return Better((routed[AROUND], fetched.spans) | "All" >> beam.Flatten(), (fetched[FAILURES],))
