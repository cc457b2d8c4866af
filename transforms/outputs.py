"""WriteManifests and WriteSummary: what a run leaves behind, written last, each file complete or not at all.

Rows are grouped by shard, sorted and written by one worker per file, so that two runs of the same job write the same
bytes, whatever the runner or the number of workers.
"""

import datetime
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.typehints.decorators import no_annotations

from clipscout.transforms.cleaning import CleanClips
from clipscout.transforms.core.results import funnel, manifests
from clipscout.transforms.core.results.highlights import Messages
from clipscout.transforms.core.storage import clip_store, filesystem, manifest_files, stale, strict_json
from clipscout.transforms.core.storage.stale import Leftover
from clipscout.transforms.failures import FAILURE_COLUMNS, Failure
from clipscout.transforms.grouping import GroupByVideo, of_type, only, packed, unpacked
from clipscout.transforms.metrics import StageMetrics
from clipscout.transforms.records import Clip, ClipMatch, EarlierClip, Twin, Video, VideoRequest, VideoSpans
from clipscout.transforms.totals import AddUp

_SPANS_CSV, _BY_SCORE_CSV = "spans.csv", "spans_by_score.csv"
#: What makes the lines of a manifest's file from its rows in order; all others are JSON Lines.
_WRITERS: Mapping[str, Callable[[Iterable[Any]], Iterator[str]]] = {
    _SPANS_CSV: manifests.kinetics_csv,
    _BY_SCORE_CSV: manifests.by_score_csv,
}
_PARQUET = {
    "videos": manifests.VIDEO_COLUMNS,
    "spans": manifests.SPAN_COLUMNS,
    manifest_files.DROPPED: manifests.SPAN_COLUMNS,
}
#: The columns of the manifests, which their rows need not bring to the one that writes them.
_COLUMNS = {**{name: tuple(columns) for name, columns in _PARQUET.items()}, "failures": FAILURE_COLUMNS}

_LEFTOVERS: Literal["leftovers"] = "leftovers"

#: A manifest's file, and a row of it, packed: (place, values). None says that the file is to be there.
_Entry = tuple[str, bytes | None]
_Left: TypeAlias = TaggedOutput[Literal["leftovers"], Leftover]


class Written(NamedTuple):
    """`paths`: the manifests; `leftovers`: Leftover, earlier clips that they do not name; `twins`: Twin."""

    paths: beam.PCollection
    leftovers: beam.PCollection
    twins: beam.PCollection


class _DescribeVideo(beam.DoFn):
    """Makes the manifest entries of one video from all that is known of it, and tells what they leave out."""

    def __init__(self, shards: int, identity: Mapping[str, str], drops: bool) -> None:
        self._shards, self._identity, self._drops = shards, identity, drops

    def process(self, keyed: tuple[str, Iterable[bytes]]) -> Iterator[_Entry | _Left]:
        key, records = keyed[0], list(unpacked(keyed[1]))
        yield from (TaggedOutput(_LEFTOVERS, leftover) for leftover in stale.leftovers(records))
        request = only(records, VideoRequest)
        if request is None:  # of an earlier run, and of nothing else
            assert len(of_type(records, EarlierClip)) == len(records), key
            return
        proposal = only(records, VideoSpans)
        clips = {
            (clip.span.action, clip.span.start_seconds, clip.span.end_seconds): clip for clip in of_type(records, Clip)
        }
        failure = min(of_type(records, Failure), key=lambda f: (bool(f.action), f.stage, f.message), default=None)
        matches = {match.id: match for match in of_type(records, ClipMatch)}
        dropped = {name for name, match in matches.items() if match.left_out_by and self._drops}
        named, twin = sum(clip.id not in dropped for clip in clips.values()), only(records, Twin)
        row = manifests.video_row(request, only(records, Video), proposal, named, failure, twin.of if twin else "")
        yield _entry("videos", (key,), row, self._shards)
        if proposal is None:
            return
        for span in proposal.spans:
            clip = clips.get((span.action, span.start_seconds, span.end_seconds))
            order = (span.action, span.key, span.rank)
            if clip is not None and clip.id in dropped:
                clip = clip_store.as_dropped(clip)
            row = manifests.span_row(span, clip, proposal.video, self._identity, matches.get(span.id))
            if "shots_unknown" in proposal.flags:
                row["shot_boundaries"] = None
            if span.id in dropped:
                yield _entry(manifest_files.DROPPED, order, row, self._shards)
                continue
            yield _entry("spans", order, row, self._shards)
            yield _SPANS_CSV, packed((order, manifests.kinetics_row(row)))
            by_score = span.action, -span.score, span.key, span.rank
            yield _BY_SCORE_CSV, packed((by_score, manifests.by_score_row(row)))


def _entry(name: str, order: tuple[Any, ...], row: Mapping[str, Any], shards: int) -> _Entry:
    """Returns the manifest file that a row belongs to, with its place there and the row."""
    shard = zlib.crc32(repr(order).encode()) % shards
    return manifest_files.name(name, shard, shards), packed((order, tuple(row.values())))


def _failure_entries(record: Any, shards: int) -> Iterator[_Entry]:
    if isinstance(record, Failure):
        yield _entry("failures", record.order, record.to_row(), shards)


class _WriteManifest(beam.DoFn):
    """Writes one file of a manifest; a None among its rows only says that the file is to be there."""

    def __init__(self, output: str) -> None:
        self._output = output

    def process(self, keyed: tuple[str, Iterable[bytes | None]]) -> Iterator[str]:
        path, name = keyed[0], manifest_files.manifest_of(keyed[0])
        placed = sorted(filter(None, keyed[1]), key=_place)
        if path in _WRITERS:
            self._write_text(path, _WRITERS[path](_Rows(placed)))
            yield path
            return
        rows = _Rows(placed, _COLUMNS[name])
        self._write_text(path, manifests.json_lines(rows))
        yield path
        if name in _PARQUET:
            path = path.removesuffix(manifest_files.JSON_LINES) + manifest_files.PARQUET
            with filesystem.writing(filesystem.join(self._output, path)) as file:
                manifests.write_parquet(file, rows, _PARQUET[name])
            yield path

    def _write_text(self, path: str, lines: Iterable[str]) -> None:
        with filesystem.writing(filesystem.join(self._output, path)) as file:
            file.writelines(map(str.encode, lines))


def _place(entry: bytes) -> tuple[Any, ...]:
    return next(unpacked([entry]))[0]


class _Rows:
    """The rows of a manifest's file in order, by the names of its columns if it has some; unpacked when read."""

    def __init__(self, placed: Sequence[bytes], columns: Sequence[str] = ()) -> None:
        self._placed, self._columns = placed, columns

    def __iter__(self) -> Iterator[Any]:
        for _, values in unpacked(self._placed):
            yield dict(zip(self._columns, values, strict=True)) if self._columns else values


@dataclass
class WriteManifests(beam.PTransform):
    """Writes `videos*.jsonl`, `spans*.jsonl`, the same as Parquet, both CSV files of spans, and `failures*.jsonl`.

    Attributes:
      output: The output folder.
      shards: Files per manifest.
      identity: By what the spans were found: `classifier`, `scores`, `settings`.
      drops: Whether the spans of clips that are left out go to `dropped*.jsonl` instead.
    """

    output: str
    shards: int
    identity: Mapping[str, str]
    drops: bool = False

    @no_annotations  # Beam knows no named tuples of collections
    def expand(self, records: beam.PCollection) -> Written:
        """Takes requests, videos, spans, clips, matches, failures; returns what was written and what was left out."""
        start = records.pipeline | beam.Impulse()
        earlier = start | "EarlierClips" >> beam.FlatMap(_earlier_clips, self.output)
        describe = beam.ParDo(_DescribeVideo(self.shards, self.identity, self.drops)).with_outputs(
            _LEFTOVERS, main="entries"
        )
        twins = records | "Contents" >> beam.FlatMap(_contents) | beam.GroupByKey() | "Twins" >> beam.FlatMap(_twins)
        described = (records, earlier, twins) | GroupByVideo() | "Describe" >> describe
        failed = records | "Failures" >> beam.FlatMap(_failure_entries, self.shards)
        shards = range(self.shards)
        names = (name for name in manifest_files.MANIFESTS if self.drops or name != manifest_files.DROPPED)
        files = [manifest_files.name(name, n, self.shards) for name in names for n in shards]
        every = start | "Files" >> beam.FlatMap(_files, [*files, *_WRITERS])
        rows = (described.entries, failed, every) | "Rows" >> beam.Flatten()
        paths = rows | "ByFile" >> beam.GroupByKey() | beam.ParDo(_WriteManifest(self.output))
        return Written(paths, described[_LEFTOVERS], twins)


def _contents(record: Any) -> Iterator[tuple[str, str]]:
    if isinstance(record, Video):
        yield record.content_key, record.key


def _twins(keyed: tuple[str, Iterable[str]]) -> Iterator[Twin]:
    first, *others = sorted(set(keyed[1]))
    return (Twin(key, first) for key in others)


def _earlier_clips(_: Any, output: str) -> Iterator[EarlierClip]:
    return stale.earlier_clips(output)


def _files(_: Any, paths: list[str]) -> Iterator[tuple[str, None]]:
    return ((path, None) for path in paths)


class TooManyFailuresError(Exception):
    """More of the job's items ended as a failure than it allows, or all its rows did. All its files are written."""


class _WriteSummary(beam.DoFn):
    def __init__(
        self,
        output: str,
        about: dict[str, Any],
        remove_stale: bool,
        beside: dict[str, bytes],
    ) -> None:
        self._output, self._about, self._remove_stale = output, about, remove_stale
        self._beside = beside
        self._metrics = StageMetrics("WriteSummary")

    def process(
        self, _: bytes, totals: dict[str, Any], written: list[str], cleaned: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        paths = set(written)
        endings = manifest_files.JSON_LINES, manifest_files.PARQUET
        for name in manifest_files.MANIFESTS:  # shards of an earlier run with another number of them
            for stale_shard in set(manifest_files.find(self._output, name, *endings)) - paths:
                filesystem.delete(filesystem.join(self._output, stale_shard))
        if cleaned.get("removed"):
            stale.remove_empty_folders(self._output)
        errors = cleaned.get("error", Messages()).first()
        cleaning = {
            "asked": self._remove_stale,
            **{name: cleaned.get(name, 0) for name in ("removed", "waiting")},
            "error": errors[0] if errors else "",
        }
        summary = {
            **funnel.assemble(totals),
            "stale_clips": cleaned.get("kept", 0),
            "cleaning": cleaning,
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            **self._about,
        }
        for name, content in self._beside.items():
            filesystem.write_bytes(filesystem.join(self._output, name), content)
        strict_json.write(filesystem.join(self._output, "summary.json"), summary, indent=2)
        self._metrics.count("summaries")
        yield summary


@dataclass
class WriteSummary(beam.PTransform):
    """Writes `summary.json` after every manifest: all that a person is told at the end comes from it.

    Attributes:
      output: The output folder.
      about: What else the summary tells (settings, versions).
      remove_stale: Remove clips that the manifests do not name, instead of counting them.
      beside: Name and content of files that are written with it.
    """

    output: str
    about: dict[str, Any]
    remove_stale: bool
    beside: dict[str, bytes] = field(default_factory=dict)

    @no_annotations  # Beam knows no tuples of collections
    def expand(self, inputs: tuple[beam.PCollection, beam.PCollection, beam.PCollection]) -> beam.PCollection:
        """Takes (name, total) pairs, the paths of the manifests, and what these leave out; returns the summary."""
        tallies, paths, leftovers = inputs
        totals = tallies | "SumTallies" >> beam.CombinePerKey(AddUp())
        cleaned = (leftovers, totals, paths) | CleanClips(self.output, self.remove_stale)
        cleaned = cleaned | "SumCleaned" >> beam.CombinePerKey(AddUp())
        write = _WriteSummary(self.output, self.about, self.remove_stale, self.beside)
        side = (beam.pvalue.AsDict(totals), beam.pvalue.AsList(paths), beam.pvalue.AsDict(cleaned))
        return tallies.pipeline | beam.Impulse() | beam.ParDo(write, *side)


@dataclass
class Judge(beam.PTransform):
    """Fails a job, after everything is written, where more of its items failed than it allows, or all rows did.

    For runners whose jobs are watched by others than the program that submits them; elsewhere that program judges.

    Attributes:
      max_failure_ratio: The largest part of rows, of videos or of spans that may fail.
    """

    max_failure_ratio: float

    def expand(self, summary: beam.PCollection) -> beam.PCollection:
        """Takes the content of summary.json and returns it.

        Raises, in a worker:
          TooManyFailuresError: Too many did.
        """
        return summary | "Judge" >> beam.Map(_judged, self.max_failure_ratio)


def _judged(summary: dict[str, Any], allowed: float) -> dict[str, Any]:
    if why := funnel.why_failed(summary, allowed):
        raise TooManyFailuresError(why)
    return summary
