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
from typing import Any, Literal, NamedTuple

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.typehints.decorators import no_annotations

from transforms.core import funnel, manifests, storage
from transforms.failures import Failure
from transforms.metrics import StageMetrics
from transforms.records import Clip, Video, VideoRequest, VideoSpans

_OWN_CLIP = re.compile(r"clips/[^/]+/.+_\d+_\d+\.(mp4|json)")
_SPANS: Literal["spans"] = "spans"


class Results(NamedTuple):
    """Everything that the manifests are made from."""

    requests: beam.PCollection
    videos: beam.PCollection
    proposals: beam.PCollection
    clips: beam.PCollection
    failures: beam.PCollection


class _DescribeVideo(beam.DoFn):
    """Makes the rows of one video from all that is known of it."""

    def process(
        self, keyed: tuple[str, Mapping[str, Iterable[Any]]]
    ) -> Iterator[dict[str, Any] | TaggedOutput[Literal["spans"], dict[str, Any]]]:
        _, parts = keyed
        request: VideoRequest = _only(parts["requests"])
        video: Video | None = _only(parts["videos"])
        proposal: VideoSpans | None = _only(parts["proposals"])
        clips: dict[tuple[str, float, float], Clip] = {
            (clip.span.action, clip.span.start_seconds, clip.span.end_seconds): clip for clip in parts["clips"]
        }
        failure = min(parts["failures"], key=lambda f: (bool(f.action), f.stage, f.message), default=None)
        yield manifests.video_row(request, video, proposal, len(clips), failure)
        if proposal is not None:
            for span in proposal.spans:
                clip = clips.get((span.action, span.start_seconds, span.end_seconds))
                row = manifests.span_row(span, clip, proposal.video)
                yield TaggedOutput(_SPANS, row)


def _only(values: Iterable[Any]) -> Any:
    """Returns the only value or None; a bundle that ran twice may give the same one again."""
    return next(iter(values), None)


class _WriteShard(beam.DoFn):
    def __init__(self, output: str, name: str, shards: int) -> None:
        self._output, self._name, self._shards = output, name, shards

    def process(self, keyed: tuple[int, Mapping[str, Iterable[Any]]]) -> Iterator[str]:
        shard, parts = keyed
        rows = [row for _, row in sorted(parts["rows"], key=lambda pair: pair[0])]
        if self._name == "spans.csv":
            path, data = self._name, manifests.kinetics_csv(rows)
        else:
            path, data = manifest_path(self._name, shard, self._shards), manifests.json_lines(rows)
        storage.write_bytes(storage.join(self._output, path), data)
        yield path


def manifest_path(name: str, shard: int, shards: int) -> str:
    """Returns `spans.jsonl`, or `spans-00003-of-00008.jsonl` where a manifest has several shards."""
    return f"{name}.jsonl" if shards == 1 else f"{name}-{shard:05d}-of-{shards:05d}.jsonl"


@dataclass
class _WriteRows(beam.PTransform):
    """Writes (sort key, row) pairs; a shard without rows is written too."""

    output: str
    name: str
    shards: int

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        sharded = rows | "Shard" >> beam.WithKeys(self._shard)
        every = rows.pipeline | "EveryShard" >> beam.Create([(shard, None) for shard in range(self.shards)])
        grouped = {"rows": sharded, "every": every} | beam.CoGroupByKey()
        return grouped | "Write" >> beam.ParDo(_WriteShard(self.output, self.name, self.shards))

    def _shard(self, pair: tuple[tuple[Any, ...], Any]) -> int:
        return zlib.crc32(repr(pair[0]).encode()) % self.shards


def _video_pair(row: dict[str, Any]) -> tuple[tuple[Any, ...], Any]:
    return (row["key"],), row


def _span_pair(row: dict[str, Any]) -> tuple[tuple[Any, ...], Any]:
    return (row["action"], row["key"], row["rank"]), row


def _kinetics_pair(row: dict[str, Any]) -> tuple[tuple[Any, ...], Any]:
    return (row["action"], row["key"], row["rank"]), manifests.kinetics_row(row)


def _failure_pair(failure: Failure) -> tuple[tuple[Any, ...], Any]:
    row = failure.to_row()
    return (row["stage"], row["row"], row["key"], row["action"], row["message"]), row


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
        described = (
            keyed | "PerVideo" >> beam.CoGroupByKey() | beam.ParDo(_DescribeVideo()).with_outputs(_SPANS, main="videos")
        )
        spans = described[_SPANS]
        pairs = {
            "videos": described.videos | "VideoPairs" >> beam.Map(_video_pair),
            "spans": spans | "SpanPairs" >> beam.Map(_span_pair),
            "spans.csv": spans | "KineticsPairs" >> beam.Map(_kinetics_pair),
            "failures": results.failures | "FailurePairs" >> beam.Map(_failure_pair),
        }
        paths = [
            rows | f"Write {name}" >> _WriteRows(self.output, name, 1 if name == "spans.csv" else self.shards)
            for name, rows in pairs.items()
        ]
        clip_paths = results.clips | "ClipPaths" >> beam.Map(_clip_path)
        return Written(tuple(paths) | "Paths" >> beam.Flatten(), clip_paths)


def _clip_path(pair: tuple[str, Clip]) -> str:
    return pair[1].path


class _WriteSummary(beam.DoFn):
    def __init__(self, output: str, about: dict[str, Any], remove_stale: bool) -> None:
        self._output, self._about, self._remove_stale = output, about, remove_stale
        self._metrics = StageMetrics("WriteSummary")

    def process(
        self, _: Any, counts: dict[str, int], paths: list[str], clip_paths: list[str]
    ) -> Iterator[dict[str, Any]]:
        for name in ("videos", "spans", "failures"):  # shards of an earlier run with another number of them
            pattern = re.compile(rf"{name}(-\d{{5}}-of-\d{{5}})?\.jsonl")
            for stale in set(filter(pattern.fullmatch, storage.list_files(self._output, name))) - set(paths):
                storage.delete(storage.join(self._output, stale))
        summary = {
            **funnel.assemble(counts),
            "stale_clips": self._stale_clips(set(clip_paths)),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            **self._about,
        }
        storage.write_bytes(storage.join(self._output, "summary.json"), json.dumps(summary, indent=2).encode())
        self._metrics.count("summaries")
        yield summary

    def _stale_clips(self, current: set[str]) -> int:
        """Counts (or removes) the clips below the output that the new manifests do not name."""
        files = [name for name in storage.list_files(self._output, "clips/") if _OWN_CLIP.fullmatch(name)]
        stale = [name for name in files if name.rsplit(".", 1)[0] + ".mp4" not in current]
        if self._remove_stale:
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
        counts = tallies | "SumTallies" >> beam.CombinePerKey(sum)
        do_fn = _WriteSummary(self.output, self.about, self.remove_stale)
        return (
            tallies.pipeline
            | beam.Create([None])
            | beam.ParDo(
                do_fn,
                counts=beam.pvalue.AsDict(counts),
                paths=beam.pvalue.AsList(written.paths),
                clip_paths=beam.pvalue.AsList(written.clip_paths),
            )
        )
