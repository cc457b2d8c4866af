"""The funnel: how many items entered each stage, and how each of them left it. The numbers have to add up."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from clipscout.transforms.core.results.highlights import Scores
from clipscout.transforms.failures import CODES, Failure, is_final, is_tried_again
from clipscout.transforms.records import (
    ActionQuery,
    CandidateSpan,
    Clip,
    ClipMatch,
    Flush,
    ScoredVideo,
    Twin,
    Video,
    VideoRequest,
    VideoSpans,
)

#: What is called weak where the user has set no threshold. A level to begin with, for classifiers that give
#: probabilities: of lite0 the distractors that were tried stay below it (0.10 at most), true actions above (0.38).
WEAK_SCORE = 0.1

#: What enters -> the ways to leave. The sides are counted in different places: what is lost between them is noticed.
#: `failed` counts come from the failures themselves. A video is used in place, or stored below the output: by this run
#: or an earlier one, which `reused` tells apart.
EQUATIONS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("rows.read",), ("rows.failed", "rows.matched")),
    (("candidates.found",), ("candidates.merged", "requests.unique")),
    (
        ("requests.unique",),
        ("requests.excluded", "requests.filtered", "requests.failed", "requests.in_place", "requests.stored"),
    ),
    (("requests.in_place", "requests.stored"), ("videos.failed", "videos.not_scored", "videos.scored")),
    (("videos.scored",), ("videos.without_span", "videos.with_spans")),
    (("spans.proposed",), ("spans.dropped", "spans.failed", "spans.not_cut", "clips.written")),
    (("clips.written",), ("clips.one_per_video", "clips.seen", "clips.duplicates", "clips.kept")),
)
#: What a terminal shows only where there is some.
_SELDOM = ("videos.not_scored", "clips.one_per_video", "clips.seen")
#: Every number of the funnel, in the order in which a reader meets them.
NAMES = tuple(dict.fromkeys(name for entries, exits in EQUATIONS for name in (*entries, *exits)))

#: What is told of the distribution of scores.
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_LADDER = (0.01, 0.02, 0.05, WEAK_SCORE, 0.2, 0.3, 0.5, 0.7, 0.9)

#: Stages whose failures, but for rejections, are those of rows.
_ROW_STAGES = ("ReadQueries", "MatchLabels", "FindVideos")
_VIDEO_STAGES = ("DownloadVideos", "ScoreVideos")
#: The stage whose failures cost nothing but quality: clips then come from what was scored.
_BETTER_STAGE = "FetchBetterVideos"
#: The stage whose failures cost nothing but a comparison: the clips are there, and kept.
_DESCRIBE_STAGE = "DescribeClips"


def tallies(record: Any) -> list[tuple[str, Any]]:
    """Returns what a record counts in the summary, as (name, value) pairs for `transforms.core.results.highlights`.

    Args:
      record: A merged request, a video, a scored video, a video's spans after the selection, a clip, a span that is not
        to be cut, or a failure of any stage; a Flush counts nothing.
    """
    match record:
        case Failure():
            return [*_failure_tallies(record), (f"message.{record.code}", (record.order, record.message))]
        case VideoRequest():
            return [("requests.unique", 1)]
        case Video(in_place=True):
            return [("requests.in_place", 1)]
        case Video():
            return [("requests.stored", 1), *_reused(record.reused, "videos")]
        case ScoredVideo():
            return [("videos.scored", 1), (f"engine.{record.track.engine}", 1), *_reused(record.reused, "tracks")]
        case VideoSpans():
            return _selection_tallies(record)
        case CandidateSpan():
            return [("spans.not_cut", 1)]
        case Clip():
            return [("clips.written", 1), (f"clip.{record.span.action}", 1), *_reused(record.reused, "clips")]
        case Twin():
            return [("twins", 1)]
        case ClipMatch():
            return _match_tallies(record)
        case Flush():
            return []
    raise TypeError(f"the funnel does not count {record!r}")


def _match_tallies(match: ClipMatch) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = [(f"clips.{match.left_out_by or 'kept'}", 1)]
    if not match.left_out_by:
        found.append((f"kept.{match.action}", 1))
    if match.nearest_similarity is not None:
        found.append(("similarity", float(match.nearest_similarity)))
    if match.group == match.id:
        found.append(("compared.groups", 1))
    if match.not_compared:
        found.append(("uncompared", ((match.key, match.id), match.not_compared)))
    if match.is_described:
        found.append(("compared.clips", 1))
    return found


def _reused(reused: bool, what: str) -> list[tuple[str, Any]]:
    return [(f"reused.{what}", 1)] if reused else []


def row_tallies(record: ActionQuery | Failure) -> list[tuple[str, int]]:
    """Returns what a row counts that was read, or could not be; see `tallies`."""
    if isinstance(record, Failure):
        return [("rows.read", 1)]
    own = [] if record.min_score is None else [(f"own_min_scores.{record.action}", 1)]
    return [("rows.read", 1), (f"asked.{record.action}", 1), *own]


def fetched_tallies(_: Video) -> list[tuple[str, int]]:
    """Returns what a video counts that a job leaves for another one to score; see `tallies`."""
    return [("videos.not_scored", 1)]


def proposal_tallies(record: VideoSpans | Flush) -> list[tuple[str, Any]]:
    """Returns what a video's spans count before the selection; see `tallies`."""
    if isinstance(record, Flush):
        return []
    best = [(f"response.{action}", float(response)) for action, response in record.strongest]
    if not record.spans:
        return [("videos.without_span", 1), *best]
    return [("videos.with_spans", 1), ("spans.proposed", len(record.spans)), *best]


def _selection_tallies(record: VideoSpans) -> list[tuple[str, Any]]:
    return [
        *(("spans.dropped", number) for _, number in record.dropped),
        *((f"dropped.{rule}", number) for rule, number in record.dropped),
        *((f"score.{span.action}", float(span.score)) for span in record.spans),
    ]


def _failure_tallies(failure: Failure) -> list[tuple[str, int]]:
    pairs = [(f"failure.{failure.stage}.{failure.code}", 1)]
    if failure.stage in (_BETTER_STAGE, _DESCRIBE_STAGE):
        return list(pairs)
    if failure.stage == "CutClips":
        return [*pairs, ("spans.failed", 1)]
    if failure.stage == "ScoreVideos":
        return [*pairs, ("videos.failed", 1)]
    if not failure.key:
        return [*pairs, ("rows.failed", 1)]
    if failure.code == "excluded":
        return [*pairs, ("requests.excluded", 1)]
    return [*pairs, ("requests.filtered" if failure.category == "skipped" else "requests.failed", 1)]


def assemble(totals: Mapping[str, Any]) -> dict[str, Any]:
    """Turns flat totals into what summary.json tells of the job's items.

    Args:
      totals: The totals of what `tallies` and FindVideos count, by name. What is missing is 0.

    Returns:
      `funnel`: noun to verb to number; `failures`: stage to code to number, rejections included; `messages`: code to
      its first three messages, in the order of `failures*.jsonl`; `dropped`: spans that the selection took out, by
      rule; `next_run`: how many of them another run tries again; `reused`: how many of the stored videos, the tracks
      and the clips an earlier run made; `twins`: how many videos have the picture of another one of the run;
      `engines`: engine to the number of videos that it scored, in this run or an earlier one; `actions`: action to its
      rows, how many of these have a threshold of their own, its spans, its clips and how many of these are kept, its
      spans' best and median score (None without a span), `best_per_video`: how many of its videos were scored, and
      quantiles of the best response of each, and `kept_at`: for each threshold of a ladder the number of its spans that
      reach it (all but the best score cut off after three digits); `failure_ratio`: the part of the rows, of the videos
      or of the spans that ended as a failure, whichever is largest (rejections by a stated rule are none); `compared`:
      how many clips were compared, why others cannot be (where their classifier cannot), in how many groups some are
      tied, and how near each is to the nearest other one (a similarity, cut off after three digits, to the number of
      clips); `adds_up`: whether every equation of `EQUATIONS` holds.
    """
    kinds: dict[str, dict[str, Any]] = {}
    for name in sorted(totals):
        kind, _, rest = name.partition(".")
        kinds.setdefault(kind, {})[rest] = totals[name]
    numbers = {name: totals.get(name, 0) for name in NAMES}
    funnel: dict[str, dict[str, int]] = {}
    for name, number in numbers.items():
        noun, verb = name.split(".")
        funnel.setdefault(noun, {})[verb] = number
    failures: dict[str, dict[str, int]] = {}
    for name, number in kinds.get("failure", {}).items():
        stage, code = name.split(".")
        failures.setdefault(stage, {})[code] = number
    return {
        "funnel": funnel,
        "failures": failures,
        "messages": {code: messages.first() for code, messages in kinds.get("message", {}).items()},
        "dropped": kinds.get("dropped", {}),
        "next_run": sum(
            number for codes in failures.values() for code, number in codes.items() if is_tried_again(code)
        ),
        "reused": {what: totals.get(f"reused.{what}", 0) for what in ("videos", "tracks", "clips")},
        "twins": totals.get("twins", 0),
        "engines": kinds.get("engine", {}),
        "actions": {action: _action(action, totals) for action in kinds.get("asked", {})},
        "failure_ratio": _failure_ratio(numbers),
        "compared": {
            "clips": totals.get("compared.clips", 0),
            "groups": totals.get("compared.groups", 0),
            "why_not": totals["uncompared"].first()[0] if "uncompared" in totals else "",
            "nearest_similarity": _histogram(totals.get("similarity")),
        },
        "adds_up": not imbalances(numbers),
    }


def _histogram(scores: Scores | None) -> dict[str, int]:
    return {f"{value:g}": number for value, number in scores.counts()} if scores else {}


def a_row_failed(totals: Mapping[str, Any]) -> bool:
    """Tells whether a row led nowhere, for whatever reason but a stated rule: it can be corrected, or looked up again.

    Args:
      totals: As for `assemble`.
    """
    names = (name.split(".") for name in totals if name.startswith("failure."))
    return any(stage in _ROW_STAGES and CODES[code][0] != "skipped" for _, stage, code in names)


def may_return(failures: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Returns code to number of those failures because of which a clip of an earlier run may still be wanted.

    A row that failed can be corrected; what a video failed for may pass, or other options or another installation end
    it, unless it is gone for good.

    Args:
      failures: Stage to code to number, as in the summary.
    """
    found: Counter[str] = Counter()
    for stage, codes in failures.items():
        for code, number in codes.items():
            costs = CODES[code][0] != "skipped" and stage not in (_BETTER_STAGE, _DESCRIBE_STAGE)
            if costs and (stage in _ROW_STAGES or not is_final(code)):
                found[code] += number
    return dict(sorted(found.items()))


def _action(action: str, totals: Mapping[str, Any]) -> dict[str, Any]:
    scores: Scores | None = totals.get(f"score.{action}")
    responses: Scores = totals.get(f"response.{action}") or Scores()
    return {
        "rows": totals[f"asked.{action}"],
        "own_min_scores": totals.get(f"own_min_scores.{action}", 0),
        "spans": len(scores) if scores else 0,
        "clips": totals.get(f"clip.{action}", 0),
        "kept": totals.get(f"kept.{action}", 0),
        "best": scores.best if scores else None,
        "median": scores.quantile(0.5) if scores else None,
        "best_per_video": {
            "videos": len(responses),
            "quantiles": {f"{part:g}": responses.quantile(part) for part in QUANTILES} if len(responses) else {},
        },
        "kept_at": {f"{threshold:g}": scores.at_least(threshold) for threshold in ladder(scores)} if scores else {},
    }


def ladder(scores: Scores) -> tuple[float, ...]:
    """Returns the thresholds that spans are counted at: fixed ones for probabilities, else quantiles of the scores."""
    if scores.best <= 1:
        return _LADDER
    return tuple(sorted({scores.quantile(part) for part in QUANTILES}))


def _failure_ratio(numbers: Mapping[str, int]) -> float:
    not_had, had = numbers["requests.failed"], numbers["requests.in_place"] + numbers["requests.stored"]
    parts = (
        (numbers["rows.failed"], numbers["rows.read"]),
        (not_had + numbers["videos.failed"], not_had + had),
        (numbers["spans.failed"], numbers["spans.proposed"]),
    )
    return max(failed / of if of else 0.0 for failed, of in parts)


def too_many_failures(summary: Mapping[str, Any], allowed: float) -> str:
    """Returns why a job counts as failed where more than an allowed part of its items did; otherwise nothing."""
    ratio = summary["failure_ratio"]
    if ratio <= allowed:
        return ""
    return f"{100 * ratio:.6g}% of its rows, videos or spans did, {100 * allowed:.6g}% are allowed"


def why_failed(summary: Mapping[str, Any], allowed: float) -> str:
    """Returns why a job counts as failed though all its files are written; nothing where it does not.

    Args:
      summary: What `assemble` returns.
      allowed: The largest part of its items that may fail.
    """
    numbers = summary["funnel"]
    if not numbers["rows"]["read"]:
        return "its input holds no row"
    return _made_nothing(summary) or too_many_failures(summary, allowed)


def _made_nothing(summary: Mapping[str, Any]) -> str:
    """Returns why a job made nothing, where that is because everything failed; what a rule refused did not fail."""
    rows, requests, videos, spans = (summary["funnel"][noun] for noun in ("rows", "requests", "videos", "spans"))
    written = summary["funnel"]["clips"]["written"]
    if not rows["matched"]:
        return _all_failed(summary, rows["read"], "row", "led to a video", _ROW_STAGES)
    if requests["failed"] + videos["failed"] and not videos["scored"] + videos["not_scored"]:
        return _all_failed(summary, requests["unique"], "video", "could be scored", _VIDEO_STAGES)
    if spans["failed"] and not written + spans["not_cut"]:
        return _all_failed(summary, spans["proposed"], "span", "became a clip", ("CutClips",))
    return ""


def _all_failed(summary: Mapping[str, Any], number: int, noun: str, what: str, stages: Iterable[str]) -> str:
    found = commonest(summary, stages)
    assert found is not None  # there was a failure
    code, times = found
    message = summary["messages"][code][0]
    if number == 1:
        return f"not one {noun} {what}: {message}"
    return f"not one of its {number} {noun}s {what}; {times} ended as {code}, e.g. {message}"


def commonest(summary: Mapping[str, Any], stages: Iterable[str] = ()) -> tuple[str, int] | None:
    """Returns the commonest failure code and how many failures have it; rejections by a stated rule are none.

    Args:
      summary: What `assemble` returns.
      stages: The stages that are looked at; none means all.
    """
    numbers: Counter[str] = Counter()
    for stage in tuple(stages) or summary["failures"]:
        codes = summary["failures"].get(stage, {})
        numbers.update({code: number for code, number in codes.items() if CODES[code][0] != "skipped"})
    return min(numbers.items(), key=lambda item: (-item[1], item[0]), default=None)


def imbalances(numbers: Mapping[str, int]) -> list[str]:
    """Returns a line for each equation that does not hold."""
    return [
        f"{_sum(entries, numbers)}, but {_sum(exits, numbers)}"
        for entries, exits in EQUATIONS
        if sum(numbers[name] for name in entries) != sum(numbers[name] for name in exits)
    ]


def _sum(names: tuple[str, ...], numbers: Mapping[str, int]) -> str:
    return f"{' + '.join(names)} is {sum(numbers[name] for name in names)}"


def lines(summary: Mapping[str, Any]) -> list[str]:
    """Returns the funnel of a summary as lines for a terminal."""
    text = []
    for noun, verbs in summary["funnel"].items():
        told = {verb: number for verb, number in verbs.items() if number or f"{noun}.{verb}" not in _SELDOM}
        parts = ", ".join(f"{number} {verb.replace('_', ' ')}" for verb, number in told.items())
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
