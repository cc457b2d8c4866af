"""What `--replace` will redo, rewrite and remove: said before it acts."""

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import asdict

from clipscout.pipeline.closing import beside, counted, numbers_of
from clipscout.pipeline.config import Config
from clipscout.pipeline.job_record import SCORED
from clipscout.transforms.core.results import funnel
from clipscout.transforms.core.storage import filesystem, kept, stale

_FETCH = {"max_height", "max_height_cap"}
_RULES = {"min_video_seconds", "max_video_seconds", "licence", "max_video_mb"}
_ASKED = {"response", "prompts", "background_prompts"}
_CUT = {"cut", "clip_height", "posters", "clip_sound", "clip_hdr", "clip_max_height"}


def plan(config: Config, changes: Mapping[str, str]) -> list[str]:
    """Returns what a run with `--replace` will do to the output, as lines for a person.

    Args:
      config: The job.
      changes: The settings in which what is there differs, each with its two values.

    Raises:
      StorageError: The output cannot be read.
    """
    files = Counter(name.rpartition(".")[2] for name in stale.own_files(config.output))
    last = _last_failures(config.output)
    if not changes and not files and last is None:
        return ["replace    nothing is there yet that could be replaced"]
    return [
        *beside("replace", changes.values() or ["the settings are those of what is there"]),
        *beside("redone", _redone(config, set(changes))),
        *beside("clips", _clips(config, set(changes), files)),
        *beside("", _kept_for(last)),
        *beside("rewritten", ["all manifests and summary.json" + _forgotten(changes)]),
        *beside("untouched", [_untouched(changes) + "scores, also those of other settings"]),
    ]


def _last_failures(output: str) -> dict[str, int] | None:
    """Returns which failures of the last run that ended keep clips; None where there was none, or it is damaged."""
    return kept.read(filesystem.join(output, "summary.json"), lambda summary: funnel.may_return(summary["failures"]))


def _redone(config: Config, changed: Set[str]) -> Iterator[str]:
    """Yields what is done again of what comes before the clips."""
    if changed & _FETCH:
        yield "videos from the web are fetched again in place of the stored ones"
    if "clip_sound" in changed and config.fetch.sound:
        yield "videos of which a site keeps the sound apart are fetched again with it"
    if "copy_inputs" in changed:
        yield f"files of yours are {'copied below the output' if config.fetch.copy_inputs else 'used in place again'}"
    if changed & _RULES:
        yield "the rules for videos are applied again, also to those that are stored"
    if changed & {*SCORED}:
        yield "every video without stored scores of these settings is decoded and scored"
    elif _other_spans(config, changed):
        less = "" if config.scoring.keep_outputs else ", as far as these hold what is asked for now"
        yield f"spans are picked again from the stored scores; no video is decoded for it{less}"
    if not changed:
        yield "nothing that is there and still asked for"


def _other_spans(config: Config, changed: Set[str]) -> bool:
    spans = {"span_mode" if name == "mode" else name for name in asdict(config.spans)}
    return bool(changed & {*spans, *asdict(config.selection), *SCORED, *_ASKED})


def _clips(config: Config, changed: Set[str], kinds: Counter[str]) -> Iterator[str]:
    """Yields what becomes of the clips that are there, by the endings of their files."""
    if not kinds:
        yield "none are there"
        return
    others = [counted(kinds[suffix], noun) for suffix, noun in (("jpg", "poster"), ("json", "record")) if kinds[suffix]]
    yield f"{counted(kinds['mp4'], 'clip')} there" + (f", with {' and '.join(others)}" if others else "")
    if config.cut.mode == "none":
        yield "none are cut (--cut=none): all of these are removed"
    elif changed & _CUT:
        yield "each of these whose span is picked again is cut again"
        yield "the others are removed"
    elif changed:
        yield "each of these whose span is picked again, in the same place of the same video, stays as it is"
        yield "the others are removed"
    else:
        yield "each of these that today's rows lead to stays as it is"
        yield "the others are removed"


def _kept_for(waiting: Mapping[str, int] | None) -> Iterator[str]:
    """Yields which clips are removed under no condition."""
    now = f" (in the last run: {numbers_of(waiting)})" if waiting else ""
    yield "none is removed of a video that fails for a reason that may pass, nor,"
    yield f"while a row fails, of one that no row asks for{now}"


def _forgotten(changes: Mapping[str, str]) -> str:
    return "; what failed for good under the other settings is tried again" if changes else ""


def _untouched(changes: Mapping[str, str]) -> str:
    return "" if changes.keys() & _FETCH else "stored videos and "
