"""DownloadVideos: from requests to fetched, probed files; what is there or was decided before is not fetched again.

Web videos go through lanes, which bound the parallel downloads of the whole job however many workers it has. Files go
through the same steps without lanes.
"""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.typehints.decorators import no_annotations

from transforms.core import filters, storage
from transforms.core.child import Child, ChildError, Limits
from transforms.core.fetcher import Fetcher, FetchError, WebSettings
from transforms.core.filters import FilterRule
from transforms.core.lanes import Lane, Politeness
from transforms.core.video_store import VideoStore
from transforms.failures import CODES, Failure
from transforms.grouping import GroupByVideo, only
from transforms.metrics import StageMetrics
from transforms.records import Video, VideoRequest
from transforms.tags import FAILURES, Failed, failed

_STAGE = "DownloadVideos"
WEB: Literal["web"] = "web"
_MEMORY_BYTES = 2 << 30
_FAILURES_MANIFEST = re.compile(r"failures(-\d{5}-of-\d{5})?\.jsonl")


@dataclass(frozen=True)
class FetchRule:
    """How videos are fetched.

    Attributes:
      max_height: Wanted size of the smaller side in pixels; the smallest format that has it is taken.
      height_cap: Where a video has no format that small, the next larger one is taken, never above this.
      max_bytes: Largest file.
      copy_inputs: Store files of the user below the output too, instead of using them in place.
      filter: Which videos are wanted.
      web: How the web is reached.
      politeness: How often it is asked.
      max_pixels: Largest picture that is decoded.
      retry_codes: Codes of earlier permanent failures that are tried again.
      clip_max_height: Height at which videos with a span are fetched again; None for not at all.
    """

    max_height: int
    height_cap: int
    max_bytes: int
    copy_inputs: bool
    filter: FilterRule
    web: WebSettings
    politeness: Politeness
    max_pixels: int
    retry_codes: tuple[str, ...]
    clip_max_height: int | None = None


class Fetched(NamedTuple):
    """`videos`: Video; `failures`: Failure, those of category `skipped` included."""

    videos: beam.PCollection
    failures: beam.PCollection


class FetchVideo(beam.DoFn):
    """What fetching files and fetching from the web have in common."""

    def __init__(self, output: str, rule: FetchRule, folder: str = "videos") -> None:
        self._rule = rule
        self._store = VideoStore(output, folder)
        self._metrics = StageMetrics(_STAGE)

    def setup(self) -> None:
        """Makes the child that probes."""
        self._prober = Child(Limits(stall_seconds=60, memory_bytes=_MEMORY_BYTES))

    def teardown(self) -> None:
        """Ends it."""
        self._prober.close()

    def _asked(self, request: VideoRequest) -> dict[str, Any]:
        """Returns the settings that decide which file a request brings."""
        return {"max_height": self._rule.max_height, "height_cap": self._rule.height_cap} if request.url else {}

    def _stored(self, request: VideoRequest) -> Video | None:
        """Returns the video that an earlier run stored, if today's rules would still take it.

        Raises:
          FetchError: They refuse it.
        """
        video = self._store.find(request, self._asked(request))
        if video is None:
            return None
        facts = {**video.facts, "duration": video.duration_seconds}
        if refused := filters.refusal(facts, self._rule.filter, complete=bool(request.url)):
            raise FetchError(*refused)
        self._check_size(video.size_bytes)
        return video

    def _check_size(self, size: int) -> None:
        if size > self._rule.max_bytes:
            raise FetchError("too_large", f"{size} bytes, {self._rule.max_bytes} allowed")

    def _done(self, video: Video) -> Video:
        self._metrics.count("out-videos")
        self._metrics.count("out-bytes", video.size_bytes)
        return video

    def _failed(self, request: VideoRequest, error: FetchError | storage.StorageError) -> Failed:
        self._metrics.count(f"failed-{error.code}")
        attempts = getattr(error, "attempts", 1)
        return failed(Failure(_STAGE, error.code, f"{request.source}: {error}", key=request.key, attempts=attempts))

    def _probed(self, request: VideoRequest, path: str, size: int, content: str, facts: dict[str, Any]) -> Video:
        """Looks into a file whatever its name says; returns the video, still without a place."""
        if not size:
            raise FetchError("unreadable_video", "the file is empty")
        probed = self._probe(path)
        if refused := filters.refusal({"duration": probed["duration_seconds"]}, self._rule.filter, complete=False):
            raise FetchError(*refused)
        return Video(
            key=request.key,
            uri=request.path,
            request=request,
            size_bytes=size,
            content=content,
            duration_seconds=probed["duration_seconds"],
            width=probed["width"],
            height=probed["height"],
            frame_rate=probed["frame_rate"],
            facts={**facts, "container": probed["container"], "codec": probed["codec"]},
        )

    def _probe(self, path: str) -> dict[str, Any]:
        for attempt in (1, 2):
            try:
                (answer,) = self._prober.call("media:probe", {"path": path, "max_pixels": self._rule.max_pixels})
                return answer.facts
            except ChildError as error:
                if not error.fatal or attempt == 2:
                    raise FetchError(
                        f"decode_{error.kind}" if error.fatal else error.kind, str(error), attempt
                    ) from error
        raise AssertionError


class _FetchFile(FetchVideo):
    """Files on local disk or gs://, used in place or copied."""

    def process(self, request: VideoRequest) -> Iterator[Video | Failed]:
        try:
            with self._metrics.time("fetch-msec"):
                video = self._fetch(request)
            yield self._done(video)
        except (FetchError, storage.StorageError) as error:
            yield self._failed(request, error)
        except OSError as error:  # this machine's own disk
            yield self._failed(request, storage.StorageError(str(error)))

    def _fetch(self, request: VideoRequest) -> Video:
        copies, remote = self._rule.copy_inputs, storage.is_remote(request.path)
        stored = self._stored(request) if copies or remote else None  # a local file is looked into again: it is here
        if stored is not None and copies == (stored.uri == request.path):
            stored = None  # kept by a run that copied where this one does not, or the other way round
        try:
            size, content = storage.facts(request.path)
        except storage.StorageError:
            if stored is not None:  # the copy outlives its original
                return stored
            raise
        if stored is not None and stored.content == content:
            self._metrics.count("reused-videos")
            return stored
        self._check_size(size)
        with storage.local_copy(request.path) as path:
            video = self._probed(request, path, size, content, {})
            if not copies:
                return self._store.note(video, self._asked(request)) if remote else video
            with tempfile.TemporaryDirectory(prefix="clipscout-") as folder:
                copy = os.path.join(folder, "media" + os.path.splitext(request.path)[1])
                shutil.copyfile(path, copy)
                return self._store.put(video, copy, self._asked(request))


class FetchInTurn(FetchVideo):
    """Web videos, one lane at a time."""

    def setup(self) -> None:
        """Makes the children that fetch and probe."""
        super().setup()
        self._fetcher = Fetcher(self._rule.web, self._rule.politeness)

    def teardown(self) -> None:
        """Ends them."""
        super().teardown()
        self._fetcher.close()

    def in_turn(self, request: VideoRequest, lane: Lane) -> Video:
        """Returns the stored video, or fetches it once it is its turn.

        Raises:
          FetchError, StorageError, OSError: It cannot be had.
        """
        video = self._stored(request)
        if video is not None:
            self._metrics.count("reused-videos")
            return video
        if lane.stopped:
            raise FetchError("blocked", "not tried: the lane was blocked before", attempts=0)
        lane.wait_turn()
        try:
            with self._metrics.time("fetch-msec"):
                video = self._fetch(request)
        except FetchError as error:
            lane.note(error.code)
            raise
        lane.note("")
        return video

    def _fetch(self, request: VideoRequest) -> Video:
        rule = self._rule
        with tempfile.TemporaryDirectory(prefix="clipscout-") as scratch:

            def make_request() -> dict[str, Any]:
                return {
                    "url": request.url,
                    "folder": tempfile.mkdtemp(dir=scratch),  # a stale part of an earlier attempt would be trusted
                    "max_height": rule.max_height,
                    "height_cap": rule.height_cap,
                    "max_bytes": rule.max_bytes,
                    "filter": vars(rule.filter),
                }

            (message,), attempts = self._fetcher.run("fetch:download", make_request)
            facts = message.facts
            path = os.path.realpath(facts["path"])
            if not path.startswith(os.path.realpath(scratch) + os.sep):
                raise FetchError("download_failed", "the downloaded file is outside its folder", attempts)
            if attempts > 1:
                self._metrics.count("retried-videos")
            video = self._probed(request, path, facts["size_bytes"], facts["content"], facts["facts"])
            return self._store.put(video, path, self._asked(request))


class _FetchWeb(FetchInTurn):
    """All requests of a lane, in the order of their ranks."""

    def process(self, lane_of_requests: tuple[int, Iterable[VideoRequest]]) -> Iterator[Video | Failed]:
        lane = Lane(self._rule.politeness)
        for request in sorted(lane_of_requests[1], key=_by_rank):
            try:
                yield self._done(self.in_turn(request, lane))
            except (FetchError, storage.StorageError) as error:
                yield self._failed(request, error)
            except OSError as error:  # this machine's own disk
                yield self._failed(request, storage.StorageError(str(error)))


def _by_rank(request: VideoRequest) -> tuple[int, str]:
    return min(ask.rank for ask in request.asks), request.key


class _Decided(beam.DoFn):
    """Lets requests through that were not decided by an earlier run: files, and web videos by lane."""

    def __init__(self, rule: FetchRule) -> None:
        self._rule = rule

    def process(
        self, keyed: tuple[str, Iterable[Any]]
    ) -> Iterator[VideoRequest | TaggedOutput[Literal["web"], tuple[int, VideoRequest]] | Failed]:
        records = list(keyed[1])
        earlier, request = only(records, Failure), only(records, VideoRequest)
        if request is None:  # a failure of a run with other queries
            return
        if not request.url:  # it may have been replaced since, and to look again costs no site anything
            yield request
            return
        final = earlier is not None and CODES[earlier.code][0] in ("permanent", "skipped")
        if earlier is not None and final and earlier.code not in self._rule.retry_codes:
            yield failed(earlier)
        else:
            yield TaggedOutput(WEB, (self._rule.politeness.lane_of(request.key), request))


def earlier_failures(_: Any, output: str) -> Iterator[Failure]:
    """Yields the failure of every fetch that an earlier run of the same output gave up."""
    for name in filter(_FAILURES_MANIFEST.fullmatch, storage.list_files(output, "failures")):
        # not splitlines: it also splits at separators that JSON may hold
        for line in filter(None, storage.read_bytes(storage.join(output, name)).decode().split("\n")):
            row = json.loads(line)
            if row["stage"] == _STAGE and row["code"] in CODES:
                names = ("stage", "code", "message", "key", "attempts")
                yield Failure(**{name: row[name] for name in names})


@dataclass
class DownloadVideos(beam.PTransform):
    """Fetches each request: web videos are stored once below the output, files are copied or used in place.

    Attributes:
      output: The output folder.
      rule: How videos are fetched.
    """

    output: str
    rule: FetchRule

    @no_annotations  # Beam knows no named tuples of collections
    def expand(self, requests: beam.PCollection) -> Fetched:
        """Returns videos whose first frame could be decoded, and a failure for each other request."""
        earlier = requests.pipeline | beam.Impulse() | "EarlierFailures" >> beam.FlatMap(earlier_failures, self.output)
        decide = beam.ParDo(_Decided(self.rule)).with_outputs(WEB, FAILURES, main="files")
        pending = (requests, earlier) | "Join" >> beam.Flatten() | GroupByVideo() | "Decided" >> decide
        fetch_file = beam.ParDo(_FetchFile(self.output, self.rule)).with_outputs(FAILURES, main="videos")
        files = pending.files | "FetchFiles" >> fetch_file
        fetch_web = beam.ParDo(_FetchWeb(self.output, self.rule)).with_outputs(FAILURES, main="videos")
        downloads = pending[WEB] | "ByLane" >> beam.GroupByKey() | "FetchWeb" >> fetch_web
        videos = (files.videos, downloads.videos) | "Videos" >> beam.Flatten()
        failures = (pending[FAILURES], files[FAILURES], downloads[FAILURES]) | "Failures" >> beam.Flatten()
        return Fetched(videos, failures)
