"""The funnel: how many items entered each stage, and how each of them left it. The numbers have to add up."""

from collections.abc import Mapping
from typing import Any

from transforms.failures import CODES, Failure
from transforms.records import ActionQuery, CandidateSpan, Clip, Video, VideoRequest, VideoSpans

#: What enters -> the ways to leave. `failed` counts come from the failures themselves.
EQUATIONS: dict[str, tuple[str, ...]] = {
    "rows.read": ("rows.failed", "rows.matched"),
    "candidates.found": ("candidates.merged", "requests.unique"),
    "requests.unique": ("requests.excluded", "requests.filtered", "requests.failed", "requests.fetched"),
    "requests.fetched": ("videos.failed", "videos.scored"),
    "videos.scored": ("videos.without_span", "videos.with_spans"),
    "spans.proposed": ("spans.dropped", "spans.failed", "spans.not_cut", "clips.written"),
}


_ONE_EACH: dict[type, str] = {
    ActionQuery: "rows.read",
    VideoRequest: "requests.unique",
    Video: "requests.fetched",
    CandidateSpan: "spans.not_cut",
    Clip: "clips.written",
}


def tallies(record: Any) -> list[tuple[str, int]]:
    """Returns what a record counts in the funnel, as (name, number) pairs.

    Args:
      record: A row that was read, a merged request, a fetched video, a video's spans, a clip, a span that is not to be
        cut, or a failure of any stage.
    """
    if isinstance(record, Failure):
        return _failure_tallies(record)
    if isinstance(record, VideoSpans):
        dropped = sum(number for _, number in record.dropped)
        proposed = len(record.spans) + dropped
        found = [("videos.with_spans", 1), ("spans.proposed", proposed), ("spans.dropped", dropped)]
        found += [(f"dropped.{rule}", number) for rule, number in record.dropped]
        return [("videos.scored", 1), *(found if proposed else [("videos.without_span", 1)])]
    return [(_ONE_EACH[type(record)], 1)]


def _failure_tallies(failure: Failure) -> list[tuple[str, int]]:
    pairs = [(f"failure.{failure.stage}.{failure.code}", 1)]
    if failure.stage == "ReadQueries":
        pairs.append(("rows.read", 1))
    if failure.stage == "CutClips":
        return [*pairs, ("spans.failed", 1)]
    if failure.stage == "ScoreVideos":
        return [*pairs, ("videos.failed", 1)]
    if not failure.key:
        return [*pairs, ("rows.failed", 1)]
    if failure.code == "excluded":
        return [*pairs, ("requests.excluded", 1)]
    return [*pairs, ("requests.filtered" if failure.category == "skipped" else "requests.failed", 1)]


def assemble(counts: Mapping[str, int]) -> dict[str, Any]:
    """Turns flat counts into the funnel of summary.json.

    Args:
      counts: `<noun>.<verb>` to number; `failure.<stage>.<code>` for each kind of failure. What is missing is 0.

    Returns:
      `funnel`: noun to verb to number; `failures`: stage to code to number, rejections included; `dropped`:
      spans that the selection took out, by rule; `next_run`: how many of them another run tries again;
      `failure_ratio`: the part of the rows, of the videos or of the spans that ended as a failure, whichever is largest
      (rejections by a stated rule are none); `adds_up`: whether every equation of `EQUATIONS` holds.
    """
    numbers = {name: counts.get(name, 0) for entry, exits in EQUATIONS.items() for name in (entry, *exits)}
    numbers["candidates.merged"] = numbers["candidates.found"] - numbers["requests.unique"]
    funnel: dict[str, dict[str, int]] = {}
    for name, number in numbers.items():
        noun, verb = name.split(".")
        funnel.setdefault(noun, {})[verb] = number
    failures: dict[str, dict[str, int]] = {}
    next_run = 0
    for name in sorted(counts):
        if name.startswith("failure."):
            _, stage, code = name.split(".")
            failures.setdefault(stage, {})[code] = counts[name]
            next_run += counts[name] if CODES[code][0] in ("transient", "blocked") else 0
    dropped = {name.removeprefix("dropped."): n for name, n in sorted(counts.items()) if name.startswith("dropped.")}
    return {
        "funnel": funnel,
        "failures": failures,
        "dropped": dropped,
        "next_run": next_run,
        "failure_ratio": _failure_ratio(numbers),
        "adds_up": not imbalances(numbers),
    }


def _failure_ratio(numbers: Mapping[str, int]) -> float:
    not_fetched = numbers["requests.failed"]
    parts = (
        (numbers["rows.failed"], numbers["rows.read"]),
        (not_fetched + numbers["videos.failed"], not_fetched + numbers["requests.fetched"]),
        (numbers["spans.failed"], numbers["spans.proposed"]),
    )
    return max(failed / of if of else 0.0 for failed, of in parts)


def too_many_failures(summary: Mapping[str, Any], allowed: float) -> str:
    """Returns why a job counts as failed where more than an allowed part of its items did; otherwise nothing."""
    ratio = summary["failure_ratio"]
    if ratio <= allowed:
        return ""
    return f"{100 * ratio:.6g}% of its rows, videos or spans did, {100 * allowed:.6g}% are allowed"


def imbalances(numbers: Mapping[str, int]) -> list[str]:
    """Returns a line for each equation that does not hold."""
    return [
        f"{entry} is {numbers[entry]}, but {' + '.join(exits)} is {sum(numbers[name] for name in exits)}"
        for entry, exits in EQUATIONS.items()
        if numbers[entry] != sum(numbers[name] for name in exits)
    ]


def lines(summary: Mapping[str, Any]) -> list[str]:
    """Returns the funnel of a summary as lines for a terminal."""
    text = []
    for noun, verbs in summary["funnel"].items():
        parts = ", ".join(f"{number} {verb.replace('_', ' ')}" for verb, number in verbs.items())
        text.append(f"{noun:<11}{parts}")
    for stage, codes in summary["failures"].items():
        parts = ", ".join(f"{number} {code}" for code, number in codes.items())
        text.append(f"{'':<11}left out in {stage}: {parts}")
    for rule, number in summary.get("dropped", {}).items():
        text.append(f"{'':<11}{number} spans dropped by --{rule}")
    if summary["next_run"]:
        text.append(f"{'':<11}{summary['next_run']} of these remain for the next run with the same output")
    if not summary["adds_up"]:
        text.append("The numbers do not add up: this is a bug in Clipscout, please report it.")
    return text
