"""Rows of the manifests: what is said of each video and each span; as JSON Lines, Parquet and Kinetics CSV."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from clipscout.transforms.core.queries import spreadsheets
from clipscout.transforms.core.queries.labels import fold
from clipscout.transforms.core.storage import naming, strict_json
from clipscout.transforms.core.web import addresses
from clipscout.transforms.core.web.filters import channel_name
from clipscout.transforms.failures import Failure
from clipscout.transforms.records import Ask, CandidateSpan, Clip, ClipMatch, Video, VideoRequest, VideoSpans

KINETICS_COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
#: What `spans.csv` has beside them, where one of its rows needs it.
_MORE_COLUMNS, _ADDRESS, _CLASSES = ("url", "path", "classes"), slice(5, 7), slice(7, 8)
#: Columns of `spans_by_score.csv` after the rank.
_BY_SCORE = ("action", "score", "clip", "start_seconds", "end_seconds", "source", "title", "licence", "key", "id")
#: Rows of Parquet that are in memory at once.
_ROW_GROUP = 10_000
NO_SPAN, NOT_SELECTED = "no_span", "not_selected"

_TEXT, _FLOAT, _INT, _BOOL, _TEXTS = pa.string(), pa.float64(), pa.int64(), pa.bool_(), pa.list_(pa.string())
#: Columns whose fields differ from row to row: an object in JSON Lines, its JSON text in Parquet.
_OBJECTS = ("best_responses", "asks", "listed", "facts")
SPAN_COLUMNS: dict[str, pa.DataType] = {
    "id": _TEXT,
    "action": _TEXT,
    "key": _TEXT,
    "start_seconds": _FLOAT,
    "end_seconds": _FLOAT,
    "peak_seconds": _FLOAT,
    "peak_frame": _INT,
    "score": _FLOAT,
    "rank": _INT,
    "top_label": _TEXT,
    "top_score": _FLOAT,
    "shot_boundaries": _INT,
    "clip": _TEXT,
    "poster": _TEXT,
    "clip_start_seconds": _FLOAT,
    "clip_end_seconds": _FLOAT,
    "clip_duration_seconds": _FLOAT,
    "clip_frames": _INT,
    "clip_width": _INT,
    "clip_height": _INT,
    "clip_has_audio": _BOOL,
    "clip_audio_missing_seconds": _FLOAT,
    "clip_sha256": _TEXT,
    "clip_flags": _TEXTS,
    "kept": _BOOL,
    "left_out_by": _TEXT,
    "duplicate_group": _TEXT,
    "nearest": _TEXT,
    "nearest_similarity": _FLOAT,
    "seen_as": _TEXT,
    "seen_similarity": _FLOAT,
    "source": _TEXT,
    "title": _TEXT,
    "channel": _TEXT,
    "licence": _TEXT,
    "content": _TEXT,
    "classifier": _TEXT,
    "scores": _TEXT,
    "settings": _TEXT,
    "asks": _TEXT,
    "facts": _TEXT,
}
VIDEO_COLUMNS: dict[str, pa.DataType] = {
    "key": _TEXT,
    "outcome": _TEXT,
    "code": _TEXT,
    "source": _TEXT,
    "uri": _TEXT,
    "content": _TEXT,
    "picture": _TEXT,
    "twin_of": _TEXT,
    "size_bytes": _INT,
    "duration_seconds": _FLOAT,
    "decoded_seconds": _FLOAT,
    "lost_seconds": _FLOAT,
    "width": _INT,
    "height": _INT,
    "frame_rate": _FLOAT,
    "engine": _TEXT,
    "samples": _INT,
    "spans": _INT,
    "clips": _INT,
    "best_responses": _TEXT,
    "flags": _TEXTS,
    "notes": _TEXTS,
    "asks": _TEXT,
    "listed": _TEXT,
    "facts": _TEXT,
}


def video_row(
    request: VideoRequest,
    video: Video | None,
    proposal: VideoSpans | None,
    clips: int,
    failure: Failure | None,
    twin_of: str = "",
) -> dict[str, Any]:
    """Returns the row of one request in `videos*.jsonl`: every request has exactly one outcome.

    Args:
      request: The request.
      video: The fetched video, None where fetching failed.
      proposal: Its spans, None where scoring failed, or was left to another job.
      clips: How many clips were written.
      failure: The failure of the request or the video as a whole, None where there is none.
      twin_of: The key of another video of the run that has the same content, and comes before it.
    """
    outcome, code = "result" if proposal is not None else "fetched", ""
    if failure is not None and proposal is None:
        outcome, code = ("rejected" if failure.category == "skipped" else "failed"), failure.code
    elif proposal is not None and not proposal.spans:
        outcome, code = "rejected", NOT_SELECTED if proposal.dropped else NO_SPAN
    return {
        "key": request.key,
        "outcome": outcome,
        "code": code,
        "source": naming.printable(request.source),
        "uri": naming.printable(video.uri) if video else "",
        "content": video.content if video else "",
        "picture": video.picture if video else "",
        "twin_of": twin_of,
        "size_bytes": video.size_bytes if video else 0,
        "duration_seconds": video.duration_seconds if video else None,
        "decoded_seconds": round(proposal.decoded_seconds, 3) if proposal else None,
        "lost_seconds": round(proposal.lost_seconds, 3) if proposal else None,
        "width": video.width if video else 0,
        "height": video.height if video else 0,
        "frame_rate": video.frame_rate if video else 0.0,
        "engine": proposal.engine if proposal else "",
        "samples": proposal.samples if proposal else 0,
        "spans": len(proposal.spans) if proposal else 0,
        "clips": clips,
        "best_responses": dict(proposal.strongest) if proposal else {},
        "flags": list(proposal.flags) if proposal else [],
        "notes": list(proposal.notes) if proposal else [],
        "asks": [_ask(ask) for ask in request.asks],
        "listed": request.listed,
        "facts": video.facts if video else {},
    }


def span_row(
    span: CandidateSpan,
    clip: Clip | None,
    video: Video,
    identity: Mapping[str, str] | None = None,
    match: ClipMatch | None = None,
) -> dict[str, Any]:
    """Returns the row of one span in `spans*.jsonl`.

    Args:
      span: The span.
      clip: Its clip, None where there is none.
      video: The video it is a span of.
      identity: `classifier`, `scores` and `settings`: by what the span was found.
      match: What the clip is like, None where there is no clip.
    """
    return {
        "id": span.id,
        "action": span.action,
        "key": span.key,
        "start_seconds": span.start_seconds,
        "end_seconds": span.end_seconds,
        "peak_seconds": span.peak_seconds,
        "peak_frame": span.peak_frame,
        "score": span.score,
        "rank": span.rank,
        "top_label": span.top_label,
        "top_score": span.top_score,
        "shot_boundaries": span.shot_boundaries,
        "clip": clip.path if clip else "",
        "poster": clip.poster if clip else "",
        "clip_start_seconds": clip.start_seconds if clip else None,
        "clip_end_seconds": clip.end_seconds if clip else None,
        "clip_duration_seconds": clip.duration_seconds if clip else None,
        "clip_frames": clip.frames if clip else None,
        "clip_width": clip.width if clip else None,
        "clip_height": clip.height if clip else None,
        "clip_has_audio": clip.has_audio if clip else None,
        "clip_audio_missing_seconds": clip.audio_missing_seconds if clip else None,
        "clip_sha256": clip.sha256 if clip else "",
        "clip_flags": list(clip.flags) if clip else [],
        "kept": not match.left_out_by if match else None,
        "left_out_by": match.left_out_by if match else "",
        "duplicate_group": match.group if match else "",
        "nearest": match.nearest if match else "",
        "nearest_similarity": match.nearest_similarity if match else None,
        "seen_as": match.seen_as if match else "",
        "seen_similarity": match.seen_similarity if match else None,
        **origin(video),
        "content": video.content,
        **{name: (identity or {}).get(name, "") for name in ("classifier", "scores", "settings")},
        "asks": [_ask(ask) for ask in video.request.asks if ask.action == span.action],
        "facts": video.facts,
    }


def origin(video: Video) -> dict[str, str]:
    """Returns where a video comes from, and under which licence, as its site says it."""
    facts = {**video.request.listed, **video.facts}
    return {
        "source": naming.printable(video.request.source),
        "title": str(facts.get("title") or ""),
        "channel": channel_name(facts),
        "licence": str(facts.get("licence") or facts.get("license") or ""),
    }


def _ask(ask: Ask) -> dict[str, Any]:
    return {
        "action": ask.action,
        "labels": list(ask.labels),
        "row": ask.row,
        "rank": ask.rank,
        "found_by": naming.printable(ask.query),
        "min_score": ask.min_score,
        "extra": ask.extra,
    }


def json_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yields rows as the lines of a JSON Lines file."""
    return (strict_json.text(row) + "\n" for row in rows)


def write_parquet(file: IO[bytes], rows: Iterable[Mapping[str, Any]], columns: Mapping[str, pa.DataType]) -> None:
    """Writes rows as Parquet, some at a time: the columns of JSON Lines; objects (`asks`, ...) as JSON text."""
    schema = pa.schema(columns.items())
    left, any_written = iter(rows), False
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        while (some := list(map(_flat, islice(left, _ROW_GROUP)))) or not any_written:
            writer.write_table(pa.Table.from_pylist(some, schema=schema))
            any_written = True


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: strict_json.text(value) if name in _OBJECTS else strict_json.plain(value) for name, value in row.items()
    }


def kinetics_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns a span's row for `kinetics_csv`.

    `youtube_id` is the 11-character id of YouTube videos and the key of all others, which have a `url` or `path`;
    `split` is the row's own; `classes` are the labels that stood for the action, where its own name does not.
    """
    key, source = row["key"], row["source"]
    is_youtube = key.startswith("youtube-")
    split = next((str(ask["extra"]["split"]) for ask in row["asks"] if ask["extra"].get("split")), "")
    times = f"{row['start_seconds']:.3f}", f"{row['end_seconds']:.3f}"
    url = "" if is_youtube or not addresses.is_web(source) else source
    path = "" if is_youtube or url else source
    names = [label for ask in row["asks"] for label in ask["labels"]]
    is_own_name = {fold(name) for name in names} <= {fold(row["action"])}
    is_writable = not any(";" in name for name in names)
    classes = ";".join(dict.fromkeys(names)) if is_writable and not is_own_name else ""
    video_id = naming.as_it_was(key).removeprefix("youtube-") if is_youtube else key
    return row["action"], video_id, *times, split, url, path, classes


def kinetics_csv(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yields the lines of `spans.csv` for rows of `kinetics_row`: the columns of the published Kinetics files.

    Where a video is not YouTube's, `url` and `path` follow, and `classes` where an action had some, so that the file
    can be a query file too. What a spreadsheet would take for a formula has an apostrophe before it, which readers of
    query files take away.

    Args:
      rows: The rows, which are read twice.
    """
    has_address, has_classes = False, False
    for row in rows:
        has_address, has_classes = has_address or any(row[_ADDRESS]), has_classes or any(row[_CLASSES])
    shown = [slice(5), *([_ADDRESS] if has_address else []), *([_CLASSES] if has_classes else [])]
    for row in chain([(*KINETICS_COLUMNS, *_MORE_COLUMNS)], rows):
        label, video_id, *others = (cell for part in shown for cell in row[part])  # an id may begin with a minus
        yield _csv_line([spreadsheets.defused(label), video_id, *map(spreadsheets.defused, others)])


def _csv_line(cells: Iterable[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def by_score_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns a span's row for `by_score_csv`."""
    return tuple(f"{row[name]:.6g}" if name == "score" else str(row[name]) for name in _BY_SCORE)


def by_score_csv(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yields the lines of `spans_by_score.csv`: the spans of each action strongest first, ranked over all videos.

    For a person with a spreadsheet; formulas are disarmed as in `kinetics_csv`.
    """
    yield _csv_line(("action_rank", *_BY_SCORE))
    rank, before = 0, ""
    for action, *others in rows:
        rank = rank + 1 if action == before else 1
        before = action
        yield _csv_line([rank, *map(spreadsheets.defused, (action, *others))])
