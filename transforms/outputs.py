"""WriteManifests and WriteSummary: what a run leaves behind, written last, each file complete or not at all.

Rows are grouped by shard, sorted and written by one worker per file, so that two runs of the same job write the same
bytes, whatever the runner or the number of workers.
"""

import datetime
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.typehints.decorators import no_annotations

from transforms.core import funnel, manifests, storage
from transforms.failures import Failure
from transforms.metrics import StageMetrics
from transforms.records import Clip, Video, VideoRequest, VideoSpans

_OWN_CLIP = re.compile(r"clips/[^/]+/.+_\d+_\d+\.(mp4|json)")
_MANIFESTS = ("videos", "spans", "failures")
_SPANS_CSV = "spans.csv"

#: A manifest's file, and a row with its place in it.
_Entry = tuple[str, tuple[tuple[Any, ...], Any]]


class Results(NamedTuple):
    """Everything that the manifests are made from."""

    requests: beam.PCollection
    videos: beam.PCollection
    proposals: beam.PCollection
    clips: beam.PCollection
    failures: beam.PCollection


class _DescribeVideo(beam.DoFn):
    """Makes the manifest entries of one video from all that is known of it."""

    def __init__(self, shards: int) -> None:
        self._shards = shards

    def process(self, keyed: tuple[str, Mapping[str, Iterable[Any]]]) -> Iterator[_Entry]:
        key, parts = keyed
        request: VideoRequest = _only(parts["requests"])
        video: Video | None = _only(parts["videos"])
        proposal: VideoSpans | None = _only(parts["proposals"])
        clips: dict[tuple[str, float, float], Clip] = {
            (clip.span.action, clip.span.start_seconds, clip.span.end_seconds): clip for clip in parts["clips"]
        }
        failure = min(parts["failures"], key=lambda f: (bool(f.action), f.stage, f.message), default=None)
        row = manifests.video_row(request, video, proposal, len(clips), failure)
        yield _entry("videos", (key,), row, self._shards)
        if proposal is None:
            return
        for span in proposal.spans:
            clip = clips.get((span.action, span.start_seconds, span.end_seconds))
            order = (span.action, span.key, span.rank)
            row = manifests.span_row(span, clip, proposal.video)
            yield _entry("spans", order, row, self._shards)
            yield _SPANS_CSV, (order, manifests.kinetics_row(row))


def _only(values: Iterable[Any]) -> Any:
    """Returns the only value or None; a bundle that ran twice may give the same one again."""
    return next(iter(values), None)


def _entry(name: str, order: tuple[Any, ...], row: Any, shards: int) -> _Entry:
    """Returns the manifest file that a row belongs to, with its place there and the row."""
    return manifest_path(name, zlib.crc32(repr(order).encode()) % shards, shards), (order, row)


def _failure_entry(failure: Failure, shards: int) -> _Entry:
    row = failure.to_row()
    order = (row["stage"], row["row"], row["key"], row["action"], row["message"])
    return _entry("failures", order, row, shards)


def manifest_path(name: str, shard: int, shards: int) -> str:
    """Returns `spans.jsonl`, or `spans-00003-of-00008.jsonl` where a manifest has several shards."""
    return f"{name}.jsonl" if shards == 1 else f"{name}-{shard:05d}-of-{shards:05d}.jsonl"


class _WriteManifest(beam.DoFn):
    """Writes one file of a manifest, also where it has no rows."""

    def __init__(self, output: str) -> None:
        self._output = output

    def process(self, keyed: tuple[str, Mapping[str, Iterable[Any]]]) -> Iterator[str]:
        path, parts = keyed
        rows = [row for _, row in sorted(parts["rows"], key=_order)]
        data = manifests.kinetics_csv(rows) if path == _SPANS_CSV else manifests.json_lines(rows)
        storage.write_bytes(storage.join(self._output, path), data)
        yield path


def _order(placed: tuple[tuple[Any, ...], Any]) -> tuple[Any, ...]:
    return placed[0]


def _by_key(item: Any) -> str:
    return item.video.key if isinstance(item, VideoSpans) else item.key


def _has_key(failure: Failure) -> bool:
    return bool(failure.key)


class Written(NamedTuple):
    """`paths`: the manifests written; `clip_paths`: the clips that they name."""

    paths: beam.PCollection
    clip_paths: beam.PCollection


@dataclass
class WriteManifests(beam.PTransform):
    """Writes `videos*.jsonl`, `spans*.jsonl`, `spans.csv` and `failures*.jsonl`.

    Attributes:
      output: The output folder.
      shards: Files per manifest.
    """

    output: str
    shards: int

    @no_annotations  # Beam knows no named tuples of collections
    def expand(self, results: Results) -> Written:
        """Returns what was written."""
        keyed = {
            "requests": results.requests | "KeyRequests" >> beam.WithKeys(_by_key),
            "videos": results.videos | "KeyVideos" >> beam.WithKeys(_by_key),
            "proposals": results.proposals | "KeyProposals" >> beam.WithKeys(_by_key),
            "clips": results.clips,
            "failures": results.failures | beam.Filter(_has_key) | "KeyFailures" >> beam.WithKeys(_by_key),
        }
        described = keyed | "PerVideo" >> beam.CoGroupByKey() | beam.ParDo(_DescribeVideo(self.shards))
        failures = results.failures | "FailureEntries" >> beam.Map(_failure_entry, self.shards)
        files = [manifest_path(name, n, self.shards) for name in _MANIFESTS for n in range(self.shards)]
        every = results.requests.pipeline | beam.Create([(path, None) for path in [*files, _SPANS_CSV]])
        rows = (described, failures) | "Rows" >> beam.Flatten()
        paths = (
            {"rows": rows, "every": every} | "ByFile" >> beam.CoGroupByKey() | beam.ParDo(_WriteManifest(self.output))
        )
        return Written(paths, results.clips | "ClipPaths" >> beam.Map(_clip_path))


def _clip_path(pair: tuple[str, Clip]) -> str:
    return pair[1].path


class _WriteSummary(beam.DoFn):
    def __init__(self, output: str, about: dict[str, Any], remove_stale: bool) -> None:
        self._output, self._about, self._remove_stale = output, about, remove_stale
        self._metrics = StageMetrics("WriteSummary")

    def process(self, keyed: tuple[None, Mapping[str, Iterable[Any]]]) -> Iterator[dict[str, Any]]:
        _, parts = keyed
        paths, clip_paths = set(parts["paths"]), set(parts["clip_paths"])
        for name in _MANIFESTS:  # shards of an earlier run with another number of them
            pattern = re.compile(rf"{name}(-\d{{5}}-of-\d{{5}})?\.jsonl")
            for stale in set(filter(pattern.fullmatch, storage.list_files(self._output, name))) - paths:
                storage.delete(storage.join(self._output, stale))
        counts = funnel.assemble(dict(parts["counts"]))
        summary = {
            **counts,
            # what the next run may yet find again is not stale for good
            "stale_clips": self._stale_clips(clip_paths, self._remove_stale and not counts["next_run"]),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            **self._about,
        }
        storage.write_bytes(storage.join(self._output, "summary.json"), json.dumps(summary, indent=2).encode())
        self._metrics.count("summaries")
        yield summary

    def _stale_clips(self, current: set[str], remove: bool) -> int:
        """Counts (or removes) the clips below the output that the new manifests do not name."""
        files = [name for name in storage.list_files(self._output, "clips/") if _OWN_CLIP.fullmatch(name)]
        stale = [name for name in files if name.rsplit(".", 1)[0] + ".mp4" not in current]
        if remove:
            for name in stale:
                storage.delete(storage.join(self._output, name))
            return 0
        return sum(name.endswith(".mp4") for name in stale)


@dataclass
class WriteSummary(beam.PTransform):
    """Writes `summary.json` with the funnel, after every manifest.

    Attributes:
      output: The output folder.
      about: What else the summary tells (settings, versions).
      remove_stale: Remove clips that the manifests do not name, instead of counting them.
    """

    output: str
    about: dict[str, Any]
    remove_stale: bool

    @no_annotations  # Beam knows no named tuples of collections
    def expand(self, inputs: tuple[beam.PCollection, Written]) -> beam.PCollection:
        """Takes (name, number) tallies and what was written; returns the summary."""
        tallies, written = inputs
        joined = {
            "counts": tallies | "SumTallies" >> beam.CombinePerKey(sum) | "KeyCounts" >> beam.WithKeys(_nothing),
            "paths": written.paths | "KeyPaths" >> beam.WithKeys(_nothing),
            "clip_paths": written.clip_paths | "KeyClips" >> beam.WithKeys(_nothing),
        } | beam.CoGroupByKey()
        return joined | beam.ParDo(_WriteSummary(self.output, self.about, self.remove_stale))


def _nothing(_: Any) -> None:
    return None
