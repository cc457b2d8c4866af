"""What a job keeps of its videos, at up to a million of them: the real graph on records without media.

Reading rows, finding, merging and excluding videos, looking up what is stored and what failed before, picking spans,
curves, manifests, earlier clips, summary and page are the job's own. In the place of fetching, decoding and cutting
stand records; in the place of the storage one that answers from names, and counts.
"""

import json
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import apache_beam as beam
import numpy as np
from apache_beam.typehints.decorators import no_annotations

from benchmarks import material
from benchmarks.processes import measure
from clipscout.transforms.clips import Cut
from clipscout.transforms.core.storage import filesystem, naming
from clipscout.transforms.core.storage.errors import StorageError
from clipscout.transforms.core.storage.video_store import VideoStore
from clipscout.transforms.core.web import addresses
from clipscout.transforms.failures import Failure
from clipscout.transforms.records import (
    Clip,
    Flush,
    ScoredVideo,
    ScoreTrack,
    Video,
    VideoRequest,
    VideoSpans,
)
from clipscout.transforms.scoring import Scored
from clipscout.transforms.tags import FAILURES
from clipscout.transforms.video_fetchers import Outcome

#: Of so many videos one is excluded, one is what the last run failed at for good.
_EXCLUDED_OF, _FAILED_OF = 10, 20
#: Names in one page of a listing of Google's.
_PAGE = 1000
#: What earlier runs left of a video that no row asks for: folders of an output, and the endings of files in them.
_EARLIER = {
    "clips/": ("jpg", "json", "mp4"),
    "videos/": ("json", "mp4"),
    "scores/": ("parquet",),
    "report/curves/": ("js",),
}
_SAMPLES = 20
_ACTIONS = material.LABELS[:4]


def url_of(number: int) -> str:
    """Returns the address of a video: every other one is YouTube's, the others are files on 500 hosts."""
    if number % 2:
        return naming.youtube_url(f"{number:011d}")
    return f"https://host{number % 500}.example.org/videos/v{number}.mp4"


class Storage:
    """A storage that holds what a job would have stored of its videos, and counts the requests that it gets.

    What lies right below the output is on disk: manifests and records of the job.

    Attributes:
      output: The output folder.
      held: How many videos, each with a clip, a poster, a curve and scores, earlier runs left that no row asks for.
      requests: How many requests there were of each kind.
    """

    def __init__(self, output: str, held: int) -> None:
        self.output, self.held = output, held
        self.requests = Counter[str]()
        self._real = {name: getattr(filesystem, name) for name in ("read_bytes", "write_bytes", "size", "walk_files")}

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Stands in the place of the job's storage."""
        with mock.patch.multiple(filesystem, **{name: getattr(self, name) for name in self._real}):
            yield

    def _is_ours(self, uri: str) -> bool:
        return "/" in uri.removeprefix(f"{self.output}/")

    def read_bytes(self, uri: str) -> bytes:
        """Answers with a stored video's record."""
        if not self._is_ours(uri):
            return self._real["read_bytes"](uri)
        self.requests["read"] += 1
        folder, _, name = uri.removeprefix(f"{self.output}/").partition("/")
        if folder != "videos":
            raise StorageError(f"{uri}: is not there", "not_found")
        key = name.removesuffix(".json")
        record = {"uri": f"videos/{key}.mp4", "size_bytes": 1000, "content": f"sha256:{naming.digest(key, 64)}"}
        facts = {"title": "what a site calls its video", "channel": f"channel {len(key)}", "duration": 30.0}
        shape = {"duration_seconds": 30.0, "width": 256, "height": 144, "frame_rate": 25.0}
        return json.dumps({**record, **shape, "facts": facts, "asked": ASKED}).encode()

    def write_bytes(self, uri: str, data: bytes) -> None:
        """Takes what is written below a folder of the output, and forgets it."""
        if self._is_ours(uri):
            self.requests["write"] += 1
        else:
            self._real["write_bytes"](uri, data)

    def size(self, uri: str) -> int | None:
        """Answers for a stored video."""
        if not self._is_ours(uri):
            return self._real["size"](uri)
        self.requests["facts"] += 1
        return 1000

    def walk_files(self, folder: str, prefix: str = "") -> Iterator[str]:
        """Lists what earlier runs left, and what is on disk."""
        yield from self._real["walk_files"](folder, prefix)
        if folder != self.output:
            return
        self.requests["list"] += 1
        for count, name in enumerate(self._earlier(prefix), start=1):
            self.requests["list"] += count % _PAGE == 0
            yield name

    def _earlier(self, prefix: str) -> Iterator[str]:
        for folder, endings in _EARLIER.items():
            if folder.startswith(prefix) or prefix.startswith(folder):
                for number in range(self.held):
                    stem = f"{folder}{naming.action_folder(_ACTIONS[0])}/web-earlier-{number}_1000_11000"
                    yield from (name for ending in endings if (name := f"{stem}.{ending}").startswith(prefix))


#: What `Storage` says its videos were fetched under: the size that the job asks for, once it is known.
ASKED: dict[str, Any] = {}


class _Lookup:
    """Finds stored videos: the worker of a lane."""

    def __init__(self, settings: Any, store: VideoStore, gate: Any) -> None:
        del gate
        self._asked = {"max_height": settings.max_height, "height_cap": settings.height_cap}
        self._store = store
        ASKED.update(self._asked)

    def work(self, request: VideoRequest, stopped: threading.Event) -> Outcome:
        del stopped
        video = self._store.find(request, self._asked)
        assert video is not None
        return Outcome(request, video, reused=True)

    def kill(self) -> None:
        pass

    def close(self) -> None:
        pass


class _ScoreRecord(beam.DoFn):
    def process(self, video: Video | Flush) -> Iterator[ScoredVideo | Flush]:
        if isinstance(video, Flush):
            yield video
            return
        actions = {ask.action: ask.labels for ask in video.request.asks}
        times = np.arange(_SAMPLES) * 1.5
        chance = np.random.default_rng(int(naming.digest(video.key, 8), 16))
        responses = chance.random((_SAMPLES, len(actions)), np.float32)
        top = tuple(next(iter(actions)) for _ in range(_SAMPLES))
        track = ScoreTrack(
            video.key, actions, times, np.arange(_SAMPLES), responses, top, responses.max(axis=1), 30.0, 750
        )
        yield ScoredVideo(video, track, reused=True)


@dataclass
class _ScoreRecords(beam.PTransform):
    """Stands in the place of ScoreVideos."""

    output: str
    settings: Any
    flow: Any
    hints: Any

    @no_annotations
    def expand(self, videos: beam.PCollection) -> Scored:
        scored = videos | beam.ParDo(_ScoreRecord()).with_outputs(FAILURES, main="tracks")
        return Scored(scored.tracks, scored[FAILURES])


class _CutRecord(beam.DoFn):
    def process(self, proposal: VideoSpans) -> Iterator[Clip]:
        for span in proposal.spans:
            path = naming.clip_path(span.action, span.key, span.start_seconds, span.end_seconds)
            stem = path.removesuffix(".mp4")
            sha256 = naming.digest(path, 64)
            yield Clip(span, path, 10.0, 250, 256, 144, True, sha256, poster=f"{stem}.jpg", reused=True)


@dataclass
class _CutRecords(beam.PTransform):
    """Stands in the place of CutClips."""

    output: str
    settings: Any
    one_per_video: Any

    @no_annotations
    def expand(self, proposals: beam.PCollection) -> Cut:
        cut = proposals | beam.ParDo(_CutRecord()).with_outputs(FAILURES, "not_wanted", main="clips")
        return Cut(cut.clips, cut["not_wanted"], cut[FAILURES])


def job_of(folder: Path, videos: int, held: int) -> dict[str, Any]:
    """Runs the graph over so many videos, in an output that holds so many others; returns requests."""
    from clipscout.pipeline import graph, preflight, run
    from clipscout.transforms import download

    output = folder / "scale_out"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    rows, excluded = folder / "scale_rows.csv", folder / "scale_excluded.txt"
    with open(rows, "w") as lines, open(excluded, "w") as ids, open(output / "failures.jsonl", "w") as failures:
        lines.write("action,url,split\n")
        for number in range(videos):
            url = url_of(number)
            lines.write(f"{_ACTIONS[number % len(_ACTIONS)]},{url},train\n")
            if number % _EXCLUDED_OF == 0:
                ids.write(f"{url}\n")
            elif number % _FAILED_OF == 1:
                failure = Failure("DownloadVideos", "removed", f"{url}: is gone", addresses.key_of(url))
                failures.write(json.dumps(failure.to_row()) + "\n")
    spec = material.costless_classifier(folder)
    arguments = [f"--input={rows}", f"--exclude={excluded}", f"--output={output}", f"--classifier={spec}"]
    arguments.append("--duplicates=off")  # there is nothing to describe; `duplicates` measures what comparing costs
    config, options = run.configure(arguments)
    storage = Storage(str(output), held)
    stand_ins = {"ScoreVideos": _ScoreRecords, "CutClips": _CutRecords}
    with (
        storage.in_place(),
        mock.patch.multiple(graph, **stand_ins),
        mock.patch.object(download, "WebFetcher", _Lookup),
        mock.patch.object(preflight, "begin"),
    ):
        run.run(config, options).wait_until_finish()
    summary = json.loads((output / "summary.json").read_text())
    numbers = summary["funnel"]
    asked = videos - numbers["requests"]["excluded"] - numbers["requests"]["failed"]
    if not summary["adds_up"] or numbers["videos"]["scored"] != asked or summary["stale_clips"] != held:
        raise SystemExit(f"not every video came through: {numbers}")
    return {"requests": storage.requests.total(), "by_kind": dict(storage.requests)}


class Scale:
    """The measurement; the method yields lines of its table as it goes."""

    #: (videos of the run, others that the output holds).
    SIZES = ((10_000, 0), (100_000, 0), (1_000_000, 0), (10_000, 100_000), (10_000, 1_000_000))

    def __init__(self, folder: Path, repeat: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        del repeat  # the small ones are long enough

    def scale(self) -> Iterator[str]:
        """Time, memory and requests for each video, net of what a run of 100 videos takes."""
        columns = "seconds | processor ms a video | kB a video | requests a video"
        yield f"| videos of the run | others that the output holds | {columns} |"
        yield "|---|---|---|---|---|---|"
        start = self._job(100, 0)
        for videos, held in self.SIZES:
            found = self._job(videos, held)
            if found.get("killed"):
                yield f"| {videos:,} | {held:,} | killed, out of memory | | | |"
                continue
            cpu = (found["cpu"] - start["cpu"]) * 1000 / videos
            memory = (found["peak_mb"] - start["peak_mb"]) * 1024 / videos
            requests = found["requests"] / videos
            yield f"| {videos:,} | {held:,} | {found['seconds']:.0f} | {cpu:.2f} | {memory:.1f} | {requests:.2f} |"

    def _job(self, videos: int, held: int) -> dict[str, Any]:
        return measure("bookkeeping", self.folder, videos, held)
