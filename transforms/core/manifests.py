"""Rows of the manifests: what is said of each video and each span, and the Kinetics CSV."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from transforms.failures import Failure
from transforms.records import Ask, CandidateSpan, Clip, Video, VideoRequest, VideoSpans

KINETICS_COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
NO_SPAN = "no_response_above_min_score"


def video_row(
    request: VideoRequest, video: Video | None, proposal: VideoSpans | None, clips: int, failure: Failure | None
) -> dict[str, Any]:
    """Returns the row of one request in `videos*.jsonl`: every request has exactly one outcome.

    Args:
      request: The request.
      video: The fetched video, None where fetching failed.
      proposal: Its spans, None where scoring failed.
      clips: How many clips were written.
      failure: The failure of the request or the video as a whole, None where there is none.
    """
    outcome, code = "result", ""
    if failure is not None and proposal is None:
        outcome, code = ("rejected" if failure.category == "skipped" else "failed"), failure.code
    elif proposal is not None and not proposal.spans:
        outcome, code = "rejected", NO_SPAN
    return {
        "key": request.key,
        "outcome": outcome,
        "code": code,
        "source": request.source,
        "uri": video.uri if video else "",
        "content": video.content if video else "",
        "size_bytes": video.size_bytes if video else 0,
        "duration_seconds": video.duration_seconds if video else None,
        "decoded_seconds": round(proposal.decoded_seconds, 3) if proposal else None,
        "width": video.width if video else 0,
        "height": video.height if video else 0,
        "frame_rate": video.frame_rate if video else 0.0,
        "samples": proposal.samples if proposal else 0,
        "spans": len(proposal.spans) if proposal else 0,
        "clips": clips,
        "flags": list(proposal.flags) if proposal else [],
        "asks": [_ask(ask) for ask in request.asks],
        "listed": request.listed,
        "facts": video.facts if video else {},
    }


def span_row(span: CandidateSpan, clip: Clip | None, video: Video) -> dict[str, Any]:
    """Returns the row of one span in `spans*.jsonl`."""
    return {
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
        "clip": clip.path if clip else "",
        "clip_duration_seconds": clip.duration_seconds if clip else None,
        "clip_frames": clip.frames if clip else None,
        "clip_width": clip.width if clip else None,
        "clip_height": clip.height if clip else None,
        "clip_has_audio": clip.has_audio if clip else None,
        "clip_sha256": clip.sha256 if clip else "",
        "clip_flags": list(clip.flags) if clip else [],
        "source": video.request.source,
        "asks": [_ask(ask) for ask in video.request.asks if ask.action == span.action],
        "facts": video.facts,
    }


def _ask(ask: Ask) -> dict[str, Any]:
    return {
        "action": ask.action,
        "labels": list(ask.labels),
        "row": ask.row,
        "rank": ask.rank,
        "found_by": ask.query,
        "extra": ask.extra,
    }


def json_lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Returns rows as JSON Lines in UTF-8; half a surrogate pair (a file name that is not UTF-8) stays escaped."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8", "backslashreplace")


def kinetics_row(row: Mapping[str, Any]) -> tuple[str, str, str, str, str]:
    """Returns a span's row with the columns of the published Kinetics files.

    `youtube_id` is the 11-character id of YouTube videos and the key of all others; `split` is the row's own.
    """
    key = row["key"]
    video_id = key.removeprefix("youtube-") if key.startswith("youtube-") else key
    split = next((str(ask["extra"]["split"]) for ask in row["asks"] if ask["extra"].get("split")), "")
    return row["action"], video_id, f"{row['start_seconds']:.3f}", f"{row['end_seconds']:.3f}", split


def kinetics_csv(rows: Iterable[Sequence[str]]) -> bytes:
    """Returns `spans.csv` for rows of `kinetics_row`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(KINETICS_COLUMNS)
    writer.writerows(rows)
    return text.getvalue().encode()
