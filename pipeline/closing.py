"""The closing lines of a job: what a person must know, told from summary.json and nothing else."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from clipscout.transforms.core.report import page
from clipscout.transforms.core.results import funnel
from clipscout.transforms.core.results.highlights import cut_off
from clipscout.transforms.core.storage import filesystem
from clipscout.transforms.failures import remedy

#: More actions than this are not all told; the summary has them.
_MOST_ACTIONS = 20
_LONGEST_MESSAGE = 300
_WEAK = f"{funnel.WEAK_SCORE:g}"


def lines(output: str, summary: Mapping[str, Any]) -> list[str]:
    """Returns the closing lines.

    Args:
      output: The output folder, as the user named it.
      summary: The content of summary.json.
    """
    clips, numbers = filesystem.join(output, "clips"), summary["funnel"]["clips"]
    lines = [
        "",
        *funnel.lines(summary),
        *_messages(summary),
        *_next(summary),
        "",
        *_actions(summary["actions"]),
        *_weak(summary),
        *_engines(summary["engines"]),
        *_reuse(summary),
        *_compared(summary),
        *_cleaning(summary),
        *([f"clips      {clips}"] if numbers.get("kept", numbers["written"]) or summary["stale_clips"] else []),
        f"report     {filesystem.join(output, page.INDEX)}",
        f"manifests  {output}: spans, videos (.jsonl, .parquet), failures.jsonl, spans.csv, summary.json",
    ]
    return [printable(line) for line in lines]


def printable(text: str) -> str:
    """Replaces what is no text of a terminal: messages hold titles and names from the web."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def counted(number: int, noun: str) -> str:
    """Returns `1 clip` or `2 clips`."""
    return f"{number} {noun if number == 1 else noun + 's'}"


def beside(label: str, texts: Iterable[str]) -> Iterator[str]:
    """Yields lines beside a label, which stands in front of the first."""
    for text in texts:
        yield f"{label:<11}{text}"
        label = ""


def _by_code(summary: Mapping[str, Any]) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for codes in summary["failures"].values():
        for code, number in codes.items():
            numbers[code] = numbers.get(code, 0) + number
    return numbers


def _messages(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yields the first messages of each failure code, the commonest code first."""
    codes = sorted(_by_code(summary).items(), key=lambda item: (-item[1], item[0]))
    lines = [f"{code}: {_short(message)}" for code, _ in codes for message in summary["messages"].get(code, ())]
    yield from beside("failures", lines)


def _short(message: str) -> str:
    return message if len(message) <= _LONGEST_MESSAGE else f"{message[:_LONGEST_MESSAGE]}..."


def _next(summary: Mapping[str, Any]) -> Iterator[str]:
    if found := funnel.commonest(summary):
        code, number = found
        yield f"next       {number} {code}: {remedy(code)}"


def _actions(actions: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yields a line per action; of very many those with the fewest clips, which a person has to look at."""
    shown = sorted(actions)
    if len(shown) > _MOST_ACTIONS:
        shown = sorted(shown, key=lambda name: (actions[name]["clips"], actions[name]["spans"], name))[:_MOST_ACTIONS]
        rest = len(actions) - len(shown)
        yield f"the {len(shown)} of {len(actions)} actions with the fewest clips (the other {rest}: summary.json):"
    width = max(map(len, shown), default=0)
    lines = []
    for name in shown:
        found = actions[name]
        text = f"{name:<{width}}  {counted(found['clips'], 'clip')}"
        if found["spans"] != found["clips"]:
            text += f" of {counted(found['spans'], 'span')}"
        if found.get("kept", found["clips"]) != found["clips"]:
            text += f", {found['kept']} kept"
        if found["spans"]:
            text += f", best score {cut_off(found['best']):g}, median {found['median']:.3g}"
        lines += [text, *_distribution(found)]
    yield from beside("actions", lines)


def _distribution(found: Mapping[str, Any]) -> Iterator[str]:
    """Yields the quantiles and the ladder of an action, as far as they tell more than the line before."""
    best, kept = found.get("best_per_video", {}), found.get("kept_at", {})
    if best.get("videos", 0) > 1:
        quantiles = best["quantiles"]
        low, middle, high = (f"{quantiles[part]:.3g}" for part in ("0.1", "0.5", "0.9"))
        yield f"  best response per video: {low} at 10%, {middle} at 50%, {high} at 90% of {best['videos']}"
    highest = {number: threshold for threshold, number in kept.items()}
    if found.get("own_min_scores", 0) == found["rows"]:
        return  # the option means nothing to them
    steps = [f"{number} at {threshold}" for number, threshold in highest.items() if 0 < number < found["spans"]]
    if steps:
        yield f"  spans that a --min_score keeps: {', '.join(steps)}"


def _weak(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yields how many spans are weak where nobody has set a threshold, and how to cut them off."""
    free = [found for found in summary["actions"].values() if found.get("own_min_scores", 0) < found["rows"]]
    kept = [(found["spans"], found.get("kept_at", {}).get(_WEAK)) for found in free]
    weak = sum(spans - strong for spans, strong in kept if strong is not None)
    if not weak or summary.get("settings", {}).get("min_score"):
        return
    total = sum(spans for spans, _ in kept)
    yield f"weak       {weak} of {counted(total, 'span')} score below {_WEAK}, and no threshold was set"
    yield f"{'':<11}the same command with --min_score={_WEAK} --replace leaves them out; nothing is scored again"


def _engines(engines: Mapping[str, int]) -> Iterator[str]:
    """Yields what ran the classifier, of this run and of those whose scores it took over."""
    if len(engines) > 1:
        engines = {f"{name} ({counted(number, 'video')})": number for name, number in engines.items()}
    if engines:
        yield f"scored by  {', '.join(engines)}"


def _reuse(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yields how much is as an earlier run left it, and how much is new."""
    numbers, reused = summary["funnel"], summary["reused"]
    made = {
        "clip": (numbers["clips"]["written"], reused["clips"]),
        "score track": (numbers["videos"]["scored"], reused["tracks"]),
        "stored video": (numbers["requests"]["stored"], reused["videos"]),
    }
    if old := [f"{again} of {counted(whole, noun)}" for noun, (whole, again) in made.items() if again]:
        yield f"as before  {', '.join(old)}"
    new = [counted(whole - again, noun) for noun, (whole, again) in made.items() if whole > again]
    yield f"new        {', '.join(new) or 'nothing'}"


def _compared(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yields how clips were compared, and what is to be looked at."""
    found, rule = summary.get("compared", {}), summary.get("duplicates", {})
    if twins := summary.get("twins"):
        yield f"twins      {counted(twins, 'video')} of the same picture as another one, scored with it (twin_of)"
    if found.get("why_not"):
        yield f"duplicates not looked for: {_short(found['why_not'])}; --duplicate_features names another classifier"
    if not found.get("clips"):
        return
    numbers = summary["funnel"]["clips"]
    left_out = sum(numbers[name] for name in ("one_per_video", "seen", "duplicates"))
    names = f"{rule['features']}, cosine {rule['similarity']:g}"
    groups = f"{counted(found['groups'], 'group')} of near-equal ones" if found["groups"] else "none near-equal"
    yield f"compared   {counted(found['clips'], 'clip')} by {names}: {groups}"
    if left_out and rule["mode"] == "mark":
        yield f"{'':<11}{left_out} need not be kept: columns kept, left_out_by; --duplicates=drop drops them"
    elif left_out:
        yield f"{'':<11}{left_out} left out: dropped.jsonl, and their files in dropped/"


def _cleaning(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yields what became of earlier clips that no manifest names, why some are still there, and what removes them."""
    cleaning, left = summary["cleaning"], summary["stale_clips"]
    if cleaning["removed"]:
        yield f"removed    {counted(cleaning['removed'], 'clip')} of earlier runs that these manifests do not name"
    if cleaning["error"]:
        yield f"kept       {counted(left, 'clip')} of earlier runs and what lies beside: {cleaning['error']}"
        yield f"{'':<11}once that is put right, the same command with --replace removes them"
        return
    if not left:
        return
    text = f"{counted(left, 'clip')} of earlier runs {'is' if left == 1 else 'are'} not in these manifests"
    if not cleaning["waiting"]:
        yield f"kept       {text}; --replace removes them"
        return
    lost = "them" if cleaning["waiting"] == left else f"{cleaning['waiting']} of them"
    failures = numbers_of(funnel.may_return(summary["failures"]))
    yield f"kept       {text}; these failures may have cost {lost}: {failures}"
    again = "--replace removes them" if cleaning["asked"] else "the same command with --replace removes them"
    yield f"{'':<11}{again} once none of these is left: tried again with success, corrected, or the row taken out"


def numbers_of(codes: Mapping[str, int]) -> str:
    """Returns `2 blocked, 1 no_match`."""
    return ", ".join(f"{number} {code}" for code, number in codes.items())
