"""DownloadVideos: from requests to fetched, probed files; what is there or was decided before is not fetched again.

Web videos go through lanes, which bound the parallel downloads of the whole job however many workers it has. What has
arrived is handed on while the lanes go on.
"""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.typehints.decorators import no_annotations

from clipscout.transforms.core.storage import filesystem, kept, manifest_files
from clipscout.transforms.core.storage.video_store import VideoStore
from clipscout.transforms.core.web.lanes import Lanes, batched, worked_off
from clipscout.transforms.failures import CODES, Failure
from clipscout.transforms.flow import Flow, Gates, WithoutFlush
from clipscout.transforms.grouping import GroupByVideo, only, unpacked
from clipscout.transforms.metrics import StageMetrics
from clipscout.transforms.records import Flush, Video, VideoRequest
from clipscout.transforms.tags import FAILURES, Failed, failed
from clipscout.transforms.video_fetchers import FetchSettings, FileFetcher, Outcome
from clipscout.transforms.web_fetcher import WebFetcher, unforbidden

_STAGE = "DownloadVideos"
#: Requests that are sorted at once; of more, only these are in memory.
_MOST_SORTED = 10_000
#: Requests that lanes may be ahead of what takes their results; files are probed fast, and by the same cores.
_MOST_AHEAD, _MOST_FILES_AHEAD = 1000, 16
_FILE_GROUPS = 64


class Fetched(NamedTuple):
    """What was fetched.

    Attributes:
      stream: Video for the next stage, and in a pass Flush.
      videos: The same without Flush.
      failures: Failure, those of category `skipped` included.
    """

    stream: beam.PCollection
    videos: beam.PCollection
    failures: beam.PCollection


class _Fetch(beam.DoFn):
    """Fetches the requests of a group: files one after the other, web videos in the group's lanes, all side by side."""

    def __init__(self, output: str, settings: FetchSettings, flow: Flow, gates: Gates) -> None:
        # clips that are cut from a better video need no sound of this one
        self._settings = replace(settings, sound=settings.sound and settings.clip_max_height is None)
        self._flow, self._gates = flow, gates
        self._store = VideoStore(output, "videos")
        self._metrics = StageMetrics(_STAGE)

    def setup(self) -> None:
        self._options = self._settings.option_values()

    def process(self, group: tuple[tuple[str, int], Iterable[VideoRequest]]) -> Iterator[Video | Flush | Failed]:
        settings, (_, number) = self._settings, group[0]
        gate = self._gates.get(settings.politeness, number)
        web_lanes = Lanes(gate.lanes, partial(WebFetcher, settings, self._store, gate), _MOST_AHEAD)
        file_lane = Lanes(1, partial(FileFetcher, settings, self._store), _MOST_FILES_AHEAD).beside(web_lanes)
        forbidden: list[Outcome] = []
        with web_lanes, file_lane:
            for some in batched(group[1], _MOST_SORTED):
                waiting = sorted(some, key=_by_rank)
                web_videos = [request for request in waiting if request.url]
                files = [request for request in waiting if not request.url]
                for outcome in worked_off((web_lanes, web_videos), (file_lane, files)):
                    if outcome is not None and getattr(outcome.error, "code", "") == "forbidden":
                        forbidden.append(outcome)
                    elif outcome is not None:
                        yield self._output(outcome)
                    elif self._flow.streams:
                        yield Flush()
        for outcome in forbidden:  # only the end tells whether it was the one file, or all that the host has
            yield self._output(unforbidden(outcome, gate))

    def _output(self, outcome: Outcome) -> Video | Failed:
        """Counts an outcome: lanes are threads, and Beam's counters know only the one that runs the step."""
        self._metrics.observe("fetch-msec", outcome.msec)
        if outcome.video is not None:
            self._metrics.count("reused-videos" if outcome.reused else "new-videos")
            self._metrics.count("out-videos")
            self._metrics.count("out-bytes", outcome.video.size_bytes)
            return replace(outcome.video, reused=outcome.reused)
        failure = outcome.failure(_STAGE, self._options)
        self._metrics.count(f"failed-{failure.code}")
        return failed(failure)


def _by_rank(request: VideoRequest) -> tuple[int, int, str]:
    """What a site refused comes last: it must not starve the rest in every run."""
    return request.refusals, min(ask.rank for ask in request.asks), request.key


class _Decided(beam.DoFn):
    """Lets requests through that were not decided by an earlier run, by the group that fetches them."""

    def __init__(self, settings: FetchSettings, flow: Flow) -> None:
        self._settings, self._flow = settings, flow
        self._metrics = StageMetrics(_STAGE)

    def setup(self) -> None:
        self._options = self._settings.option_values()

    def process(self, keyed: tuple[str, Iterable[bytes]]) -> Iterator[tuple[tuple[str, int], VideoRequest] | Failed]:
        records = list(unpacked(keyed[1]))
        earlier, request = only(records, Failure), only(records, VideoRequest)
        if request is None:  # a failure of a run with other queries
            return
        self._metrics.count("in-requests")
        if request.url and earlier is not None:
            if earlier.is_left_alone(self._options, self._settings.retry_codes):
                self._metrics.count(f"failed-{earlier.code}")
                yield failed(earlier)
                return
            request = replace(request, refusals=earlier.refusals)
        yield self._group_of(request), request

    def _group_of(self, request: VideoRequest) -> tuple[str, int]:
        hashed = zlib.crc32(request.key.encode("utf-8", "surrogatepass"))
        if self._flow.streams:
            return "all", 0
        # files may have been replaced since, and to look again costs no site anything
        return ("web", hashed % self._settings.politeness.groups()) if request.url else ("files", hashed % _FILE_GROUPS)


def failures_manifests(output: str) -> list[str]:
    """Returns where the failures of the last run lie."""
    names = manifest_files.find(output, "failures", manifest_files.JSON_LINES)
    return [filesystem.join(output, name) for name in names]


def earlier_failures(_: Any, output: str) -> Iterator[Failure]:
    """Yields the failure of every fetch that an earlier run of the same output gave up."""
    for uri in failures_manifests(output):
        yield from filter(None, kept.read_lines(uri, _failure_of))


def _failure_of(row: Any) -> Failure | None:
    """Returns the failure that a row of an earlier run's manifest tells of, if it is one of fetching."""
    if row["stage"] != _STAGE or row["code"] not in CODES:
        return None
    return Failure.from_row(row)


@dataclass
class DownloadVideos(beam.PTransform):
    """Fetches each request: web videos are stored once below the output, files are copied or used in place.

    Attributes:
      output: The output folder.
      settings: How videos are fetched.
      flow: Whether videos stream on from here, or are shuffled.
      gates: What all lanes of a worker share.
    """

    output: str
    settings: FetchSettings
    flow: Flow
    gates: Gates

    @no_annotations  # Beam knows no named tuples of collections
    def expand(self, requests: beam.PCollection) -> Fetched:
        """Returns videos whose first frame could be decoded, and a failure for each other request."""
        earlier = requests.pipeline | beam.Impulse() | "EarlierFailures" >> beam.FlatMap(earlier_failures, self.output)
        decide = beam.ParDo(_Decided(self.settings, self.flow)).with_outputs(FAILURES, main="pending")
        decided = (requests, earlier) | GroupByVideo() | "Decided" >> decide
        fetch = beam.ParDo(_Fetch(self.output, self.settings, self.flow, self.gates)).with_outputs(
            FAILURES, main="videos"
        )
        fetched = decided.pending | "ByGroup" >> beam.GroupByKey() | "Fetch" >> fetch
        failures = (decided[FAILURES], fetched[FAILURES]) | "Failures" >> beam.Flatten()
        return Fetched(fetched.videos, fetched.videos | "Videos" >> WithoutFlush(self.flow), failures)
