"""What the page shows, from the manifests of an output: the strongest spans, their videos, what failed."""

import heapq
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from clipscout.transforms.core.results import funnel
from clipscout.transforms.core.storage import manifest_files
from clipscout.transforms.failures import CODES, remedy

#: More spans are not shown, nor more videos that have none.
MOST_SPANS, MOST_OTHER_VIDEOS = 10_000, 2_000
_LONGEST_TEXT, _SHORTENED = 300, ("title", "channel", "licence", "notes")
SPAN_FIELDS = (
    "id", "action", "key", "start_seconds", "end_seconds", "peak_seconds", "score", "rank", "top_label", "top_score",
    "shot_boundaries", "clip", "poster", "clip_start_seconds", "clip_flags", "source", "title", "channel", "licence",
    "own_min_score", "option_holds", "held_to", "left_out_by", "duplicate_group", "nearest", "nearest_similarity",
    "seen_as", "seen_similarity",
)  # fmt: skip
VIDEO_FIELDS = (
    "key", "outcome", "code", "source", "uri", "duration_seconds", "samples", "spans", "best_responses", "flags",
    "notes",
)  # fmt: skip


def collected(output: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the page of a finished output shows, as plain values; of huge outputs the strongest spans.

    Args:
      output: The output folder.
      summary: The content of its summary.json.

    Returns:
      `summary` (funnel, actions, settings), `spans` and `videos` (the names of their fields, and rows of these),
      `failures` (code, category, number, examples, remedy; the commonest first).

    Raises:
      StorageError: The manifests cannot be read.
    """
    caps = _caps({action: numbers["spans"] for action, numbers in summary["actions"].items()})
    usual = summary.get("settings", {}).get("min_score") or 0.0
    spans = _strongest(chain(manifest_files.rows(output, "spans"), _dropped(output)), caps)
    return {
        "summary": {
            "compared": {**summary.get("duplicates", {}), **summary.get("compared", {})},
            "funnel": summary["funnel"],
            "actions": summary["actions"],
            "settings": summary.get("settings", {}),
            "weak": funnel.WEAK_SCORE,
        },
        "spans": {
            "fields": SPAN_FIELDS,
            "rows": [_fields({**span, **_thresholds(span, usual)}, SPAN_FIELDS) for span in spans],
        },
        "videos": {
            "fields": VIDEO_FIELDS,
            "rows": [_fields(video, VIDEO_FIELDS) for video in _videos(output, {span["key"] for span in spans})],
        },
        "failures": _failures(summary),
    }


def _dropped(output: str) -> Iterator[dict[str, Any]]:
    """Yields the spans that a run with `--duplicates=drop` left out; other runs have none."""
    if manifest_files.find(output, manifest_files.DROPPED, manifest_files.JSON_LINES):
        yield from manifest_files.rows(output, manifest_files.DROPPED)


def _thresholds(span: Mapping[str, Any], usual: float) -> dict[str, Any]:
    """Returns what a span was held to, by the rule of `VideoRequest.min_scores`, and what that is made of.

    That is the lowest threshold that a row names itself, and whether the option holds for another row.
    """
    named = [ask.get("min_score") for ask in span.get("asks", ())] or [None]
    return {
        "own_min_score": min((score for score in named if score is not None), default=None),
        "option_holds": None in named,
        "held_to": min(usual if score is None else score for score in named),
    }


def _caps(counts: Mapping[str, int]) -> dict[str, int]:
    """Returns how many spans of each action are shown: all, or as evenly as it goes."""
    caps, left = {}, MOST_SPANS
    for place, (action, count) in enumerate(sorted(counts.items(), key=lambda item: item[1])):
        caps[action] = min(count, left // (len(counts) - place))
        left -= caps[action]
    return caps


def _strongest(spans: Iterator[dict[str, Any]], caps: Mapping[str, int]) -> list[dict[str, Any]]:
    """Returns the strongest spans of each action, as many as its cap allows, strongest first."""
    kept: dict[str, list[tuple[float, int, dict[str, Any]]]] = {}
    for number, span in enumerate(spans):
        heap, entry = kept.setdefault(span["action"], []), (span["score"], -number, span)
        if len(heap) < caps.get(span["action"], 0):
            heapq.heappush(heap, entry)
        elif heap and entry > heap[0]:
            heapq.heapreplace(heap, entry)
    found = sorted((entry for heap in kept.values() for entry in heap), reverse=True)
    return [span for _, _, span in found]


def _videos(output: str, wanted: set[str]) -> list[dict[str, Any]]:
    """Returns the videos of the spans, and of the others those with the best responses."""
    found, others = [], list[tuple[float, int, dict[str, Any]]]()
    for number, video in enumerate(manifest_files.rows(output, "videos")):
        if video["key"] in wanted:
            found.append(video)
            continue
        entry = (max(video.get("best_responses", {}).values(), default=-1.0), -number, video)
        (heapq.heappushpop if len(others) >= MOST_OTHER_VIDEOS else heapq.heappush)(others, entry)
    return found + [video for _, _, video in sorted(others, reverse=True)]


def _fields(row: Mapping[str, Any], names: tuple[str, ...]) -> list[Any]:
    return [_short(row.get(name)) if name in _SHORTENED else row.get(name) for name in names]


def _short(value: Any) -> Any:
    if isinstance(value, list):
        return list(map(_short, value))
    return f"{value[:_LONGEST_TEXT]}..." if isinstance(value, str) and len(value) > _LONGEST_TEXT else value


def _failures(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    numbers: dict[tuple[str, str], int] = {}
    for stage, codes in summary["failures"].items():
        for code, number in codes.items():
            numbers[stage, code] = number
    return [
        {
            "stage": stage,
            "code": code,
            "category": CODES[code][0] if code in CODES else "",
            "number": number,
            "examples": summary["messages"].get(code, []),
            "remedy": remedy(code) if code in CODES else "",
        }
        for (stage, code), number in sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
    ]
