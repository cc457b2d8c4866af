"""DownloadVideos: from requests to fetched, probed files; a file that is there is not fetched again."""

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.typehints.decorators import no_annotations

from transforms.core import storage
from transforms.core.child import Child, ChildError, Limits
from transforms.failures import Failure
from transforms.metrics import StageMetrics
from transforms.records import Video, VideoRequest
from transforms.tags import FAILURES, Failed, failed

_STAGE = "DownloadVideos"


class Fetched(NamedTuple):
    """`videos`: Video; `failures`: Failure."""

    videos: beam.PCollection
    failures: beam.PCollection


class _RefusedError(Exception):
    """This request ends as the failure of this code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class _Fetch(beam.DoFn):
    def __init__(self, output: str, deadline_seconds: float, max_pixels: int) -> None:
        self._output, self._deadline, self._max_pixels = output, deadline_seconds, max_pixels
        self._metrics = StageMetrics(_STAGE)

    def setup(self) -> None:
        self._downloader = Child(Limits(self._deadline, self._deadline, memory_bytes=2 << 30, requests=50))
        self._prober = Child(Limits(stall_seconds=60))

    def teardown(self) -> None:
        self._downloader.close()
        self._prober.close()

    def process(self, request: VideoRequest) -> Iterator[Video | Failed]:
        try:
            with self._metrics.time("fetch-msec"):
                video = self._fetch(request)
            self._metrics.count("out-videos")
            self._metrics.count("out-bytes", video.size_bytes)
            yield video
        except (_RefusedError, storage.StorageError) as error:
            self._metrics.count(f"failed-{error.code}")
            yield failed(Failure(_STAGE, error.code, f"{request.source}: {error}", key=request.key))

    def _fetch(self, request: VideoRequest) -> Video:
        if request.path:
            size, content = storage.facts(request.path)
            if not size:
                raise _RefusedError("unreadable_video", "the file is empty")
            with storage.local_copy(request.path) as path:
                return self._video(request, request.path, size, content, self._probe(path), {})
        record = f"videos/{request.key}.json"
        if storage.exists(storage.join(self._output, record)):
            stored = json.loads(storage.read_bytes(storage.join(self._output, record)))
            if storage.exists(storage.join(self._output, stored["uri"])):
                self._metrics.count("reused-videos")
                return self._video(request, **stored)
        return self._download(request, record)

    def _download(self, request: VideoRequest, record: str) -> Video:
        with tempfile.TemporaryDirectory(prefix="clipscout-") as folder:
            fetched = self._ask(self._downloader, "fetch", "fetch:download", {"url": request.url, "folder": folder})
            probed = self._probe(fetched["path"])
            extension = "".join(c for c in os.path.splitext(fetched["path"])[1] if c.isalnum())[:5] or "video"
            uri = f"videos/{request.key}.{extension}"
            storage.move_in(fetched["path"], storage.join(self._output, uri))
        stored = {
            "uri": uri,
            "size": fetched["size_bytes"],
            "content": fetched["content"],
            "probed": probed,
            "facts": fetched["facts"],
        }
        # the record comes last: a video without one is not taken for finished
        storage.write_bytes(storage.join(self._output, record), json.dumps(stored, indent=1).encode())
        return self._video(request, **stored)

    def _probe(self, path: str) -> dict[str, Any]:
        return self._ask(self._prober, "decode", "media:probe", {"path": path, "max_pixels": self._max_pixels})

    def _ask(self, child: Child, name: str, task: str, request: dict[str, Any]) -> dict[str, Any]:
        """Returns a task's only answer; a child that fails is tried once more."""
        for attempt in (1, 2):
            try:
                (answer,) = child.call(task, request)
                return answer.facts
            except ChildError as error:
                if not error.fatal or attempt == 2:
                    raise _RefusedError(f"{name}_{error.kind}" if error.fatal else error.kind, str(error)) from error
        raise AssertionError

    def _video(
        self, request: VideoRequest, uri: str, size: int, content: str, probed: dict[str, Any], facts: dict[str, Any]
    ) -> Video:
        return Video(
            key=request.key,
            uri=uri,
            request=request,
            size_bytes=size,
            content=content,
            duration_seconds=probed["duration_seconds"],
            width=probed["width"],
            height=probed["height"],
            frame_rate=probed["frame_rate"],
            facts=facts,
        )


@dataclass
class DownloadVideos(beam.PTransform):
    """Fetches each request: files are used in place, web videos are stored once below the output.

    Attributes:
      output: The output folder.
      deadline_seconds: Longest time for one download.
      max_pixels: Largest picture that is decoded.
    """

    output: str
    deadline_seconds: float
    max_pixels: int

    @no_annotations  # Beam knows no named tuples of collections
    def expand(self, requests: beam.PCollection) -> Fetched:
        """Returns videos whose first frame could be decoded, and a failure for each other request."""
        do_fn = _Fetch(self.output, self.deadline_seconds, self.max_pixels)
        fetched = requests | "Fetch" >> beam.ParDo(do_fn).with_outputs(FAILURES, main="videos")
        return Fetched(fetched.videos, fetched[FAILURES])
