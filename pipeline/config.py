"""The configuration: every option judged, all faults reported at once, before a graph exists."""

import datetime
import difflib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipeline import __version__
from pipeline.options import OPTIONS
from pipeline.values import WAYS_TO_SAMPLE, Values, resolved
from transforms.clips import CutRule
from transforms.core import naming
from transforms.core.classifiers.resolve import resolve
from transforms.core.classifiers.specs import NOTEBOOK_PREPROCESSING, ClassifierSpec, Prompts, SpecError
from transforms.core.fetcher import WebSettings
from transforms.core.filters import FilterRule
from transforms.core.lanes import Politeness
from transforms.core.peaks import SpanRule
from transforms.core.sampling import Sampling
from transforms.core.selecting import RULES, SelectionRule
from transforms.discovery import SearchRule
from transforms.download import FetchRule
from transforms.failures import CODES
from transforms.scoring import ScoringRule

#: What a preset says where the user says nothing.
PRESETS: dict[str, dict[str, str]] = {
    # arXiv 1705.06950, section 3: the paper's values are Clipscout's defaults
    "kinetics": {"clip_seconds": "10", "top_k": "2", "response": "action", "min_score": "0"},
    # the notebook's steps 2-6; its defects 2-5 stay, so that results can be compared
    "notebook": {
        "frame_stride": "2",
        "preprocessing": "notebook",
        "batch_size": "64",
        "response": "any",
        "top_k": "1",
        "clip_seconds": "5",
        "edges": "clamp",
        "shots": "ignore",
    },
}


class ConfigError(ValueError):
    """The options cannot be used.

    Attributes:
      faults: A line for each reason.
      given: The option texts, so that what they name can be checked all the same.
    """

    def __init__(self, faults: list[str], given: Mapping[str, str | None] | None = None) -> None:
        super().__init__("\n".join(faults))
        self.faults, self.given = faults, given or {}


@dataclass(frozen=True)
class Config:
    """A checked configuration; see `pipeline.options` for the meaning of each value."""

    inputs: tuple[str, ...]
    output: str
    replace: bool
    manifest_shards: int
    preset: str
    excludes: tuple[str, ...]
    search: SearchRule
    fetch: FetchRule
    scoring: ScoringRule
    spans: SpanRule
    selection: SelectionRule
    cut: CutRule
    workers: int
    date: datetime.date
    dataflow: bool
    gpu: str
    gpu_mode: str
    preflight_only: bool
    max_failure_ratio: float

    def shaping(self) -> dict[str, Any]:
        """Returns what decides the results (not where they lie or how fast they come), for the output's record."""
        return {
            "classifier": self.scoring.spec.name,
            "scores": self.scoring.fingerprint(),
            "response": self.scoring.response,
            **{f"sampling_{name}": value for name, value in asdict(self.scoring.sampling).items()},
            **{"span_mode" if name == "mode" else name: value for name, value in asdict(self.spans).items()},
            **asdict(self.selection),
            "cut": self.cut.mode,
            "clip_height": self.cut.height,
            "posters": self.cut.posters,
            "clip_max_height": self.fetch.clip_max_height,
            **{name: getattr(self.fetch, name) for name in ("max_height", "height_cap", "max_bytes", "copy_inputs")},
            **asdict(self.fetch.filter),
        }

    def identity(self) -> dict[str, str]:
        """Returns by what spans are found: the classifier, the fingerprint of the scores and that of all settings."""
        # the classifier's name may be a path; what it is stands in `scores`
        text = json.dumps({**self.shaping(), "classifier": ""}, sort_keys=True)
        scores = self.scoring.fingerprint()
        return {"classifier": self.scoring.spec.name, "scores": scores, "settings": naming.digest(text, 16)}

    def about(self) -> dict[str, Any]:
        """Returns what the summary says of the run's settings."""
        return {"version": __version__, "inputs": list(self.inputs), "preset": self.preset, "settings": self.shaping()}


def from_options(given: Mapping[str, str | None]) -> Config:
    """Builds the configuration from option texts (None = not given).

    Raises:
      ConfigError: With every fault found.
    """
    faults: list[str] = []
    preset = given.get("preset") or "kinetics"
    if preset not in PRESETS:
        faults.append(f"--preset is {preset!r}, expected one of {', '.join(PRESETS)}")
    values = Values(resolved(given, PRESETS.get(preset, {}), faults), faults)
    for name in ("input", "output"):
        if not values.text(name):
            faults.append(f"--{name} is missing")
    date = values.date()
    spec = _spec(values, faults)
    sampling = _sampling(values)
    if spec and spec.window and sampling:
        sampling = _video_sampling(spec, sampling, given, PRESETS.get(preset, {}), faults)
    numbers = {option.name: values.number(option.name) for option in OPTIONS if option.kind in ("integer", "number")}
    choices = {option.name: values.choice(option.name) for option in OPTIONS if "|" in option.kind}
    flags = {option.name: values.flag(option.name) for option in OPTIONS if option.kind == "flag"}
    dataflow = is_dataflow(values.text("runner"))
    _check_spans(numbers, choices, faults)
    _check_fetching(values, numbers)
    if choices["precision"] == "fp16" and choices["device"] == "cpu":
        faults.append("--precision=fp16 needs a GPU, and --device is 'cpu'; bf16 works on a CPU")
    if choices["gpu"] == "none" and choices["gpu_mode"] == "pool":
        faults.append("--gpu_mode=pool says how GPUs are attached, and --gpu is 'none'")
    if faults or spec is None or sampling is None:
        raise ConfigError(list(dict.fromkeys(faults)))
    return Config(
        inputs=values.parts("input"),
        output=values.text("output").rstrip("/") or "/",
        replace=flags["replace"],
        manifest_shards=int(numbers["manifest_shards"]),
        preset=preset,
        excludes=values.parts("exclude"),
        search=_search(values, numbers, choices),
        fetch=_fetch(values, numbers, choices),
        scoring=ScoringRule(
            spec=spec,
            sampling=sampling,
            response=choices["response"],
            device="cuda" if choices["gpu"] != "none" and choices["device"] == "auto" else choices["device"],
            batch_size=int(numbers["batch_size"]),
            stall_seconds=numbers["stall_seconds"],
            memory_bytes=int(numbers["decode_memory_mb"]) << 20,
            max_pixels=int(numbers["max_pixels"]),
            max_frames=int(numbers["max_frames"]),
            segment_seconds=numbers["segment_seconds"],
            precision=choices["precision"],
            threads=int(numbers["threads"]) or _threads(int(numbers["workers"]), dataflow),
            trust_checkpoint=flags["trust_checkpoint"],
            model_copies=int(numbers["model_copies"]),
        ),
        spans=_spans(numbers, choices),
        selection=SelectionRule(**{name: _cap(numbers[name]) for name in RULES}),
        cut=CutRule(
            mode=choices["cut"],
            height=_cap(numbers["clip_height"]),
            posters=flags["posters"],
            stall_seconds=numbers["stall_seconds"],
            memory_bytes=int(numbers["decode_memory_mb"]) << 20,
        ),
        workers=int(numbers["workers"]),
        date=date,
        dataflow=dataflow,
        gpu=choices["gpu"],
        gpu_mode=choices["gpu_mode"],
        preflight_only=flags["preflight_only"],
        max_failure_ratio=numbers["max_failure_ratio"],
    )


def is_dataflow(runner: str) -> bool:
    """Tells whether the name of a runner is Dataflow's."""
    return runner.lower().rpartition(".")[2].removesuffix("runner") == "dataflow"


def _threads(workers: int, dataflow: bool) -> int:
    """Returns threads per process: on Dataflow there is a process, or a thread with a decoder, for every vCPU."""
    return 1 if dataflow else max(1, (os.cpu_count() or 1) // max(1, workers))


def _sampling(values: Values) -> Sampling | None:
    stride, fps = values.number("frame_stride"), values.number("sample_fps")
    if values.text("sampling") == "keyframes":
        return Sampling(keyframes=True)
    if (stride > 0) == (fps > 0):
        return None  # a fault is noted already
    return Sampling(frame_stride=int(stride)) if stride > 0 else Sampling(fps=fps)


def _video_sampling(
    spec: ClassifierSpec,
    sampling: Sampling,
    given: Mapping[str, str | None],
    preset: Mapping[str, str],
    faults: list[str],
) -> Sampling:
    """Returns how a video model's samples are chosen: at the rate it was trained on, unless somebody says otherwise."""
    assert spec.window is not None
    if sampling.keyframes:
        faults.append("--sampling=keyframes gives samples at uneven times, and a video classifier needs even ones")
    said = any(given.get(name) or preset.get(name) for name in WAYS_TO_SAMPLE)
    return sampling if said else Sampling(fps=spec.window.fps)


def _cap(number: float) -> int | None:
    return int(number) if number > 0 else None


def _spans(numbers: Mapping[str, float], choices: Mapping[str, str]) -> SpanRule:
    gap = numbers["min_gap_seconds"]
    return SpanRule(
        clip_seconds=numbers["clip_seconds"],
        top_k=int(numbers["top_k"]),
        min_score=numbers["min_score"],
        min_gap_seconds=numbers["clip_seconds"] if gap < 0 else gap,
        edges=choices["edges"],
        smooth_seconds=numbers["smooth_seconds"],
        mode=choices["span_mode"],
        high_score=numbers["high_score"],
        low_score=numbers["low_score"],
        merge_gap_seconds=numbers["merge_gap_seconds"],
        min_span_seconds=numbers["min_span_seconds"],
        max_span_seconds=numbers["max_span_seconds"],
        shots=choices["shots"],
    )


def _check_spans(numbers: Mapping[str, float], choices: Mapping[str, str], faults: list[str]) -> None:
    if numbers["low_score"] > numbers["high_score"] >= 0:
        faults.append("--low_score is above --high_score")
    if numbers["min_span_seconds"] > numbers["max_span_seconds"] > 0:
        faults.append("--min_span_seconds is above --max_span_seconds")
    if numbers["clip_height"] > 0 and choices["cut"] != "exact":
        faults.append(f"--clip_height needs --cut=exact, and --cut is {choices['cut']!r}")
    if 0 < numbers["clip_max_height"] <= numbers["max_height"]:
        faults.append("--clip_max_height is not above --max_height, at which videos are fetched anyway")
    if numbers["clip_max_height"] > 0 and choices["cut"] == "none":
        faults.append("--clip_max_height is for clips, and --cut is 'none'")


def _check_fetching(values: Values, numbers: Mapping[str, float]) -> None:
    if numbers["min_video_seconds"] > numbers["max_video_seconds"] >= 0:
        values.faults.append("--min_video_seconds is above --max_video_seconds")
    if numbers["max_height"] > numbers["max_height_cap"] > 0:
        values.faults.append("--max_height is above --max_height_cap")
    if not re.fullmatch(r"[a-z][a-z0-9]*", values.text("search_prefix")):
        values.faults.append(f"--search_prefix is {values.text('search_prefix')!r}, expected a word such as ytsearch")
    for code in values.parts("retry_failed"):
        if code not in CODES:
            close = ", ".join(difflib.get_close_matches(code, CODES, n=3, cutoff=0))
            values.faults.append(f"--retry_failed names {code!r}, no failure code; the closest are {close}")


def _filter(numbers: Mapping[str, float], choices: Mapping[str, str]) -> FilterRule:
    return FilterRule(numbers["min_video_seconds"], numbers["max_video_seconds"], choices["licence"])


def _web(values: Values, numbers: Mapping[str, float]) -> WebSettings:
    return WebSettings(
        deadline_seconds=numbers["download_timeout_seconds"],
        allowed_hosts=() if values.text("allow_private_hosts") == "false" else values.parts("allow_private_hosts"),
        cookies=values.text("cookies"),
        proxy=values.text("proxy"),
    )


def _politeness(numbers: Mapping[str, float]) -> Politeness:
    return Politeness(
        lanes=int(numbers["download_lanes"]),
        interval_seconds=numbers["download_interval"],
        blocked_limit=int(numbers["blocked_limit"]),
        attempts=int(numbers["download_attempts"]),
        retry_wait_seconds=numbers["retry_wait_seconds"],
    )


def _search(values: Values, numbers: Mapping[str, float], choices: Mapping[str, str]) -> SearchRule:
    return SearchRule(
        prefix=values.text("search_prefix"),
        max_videos=int(numbers["max_videos"]),
        max_per_channel=_cap(numbers["max_per_channel"]),
        filter=_filter(numbers, choices),
        web=_web(values, numbers),
        politeness=_politeness(numbers),
    )


def _fetch(values: Values, numbers: Mapping[str, float], choices: Mapping[str, str]) -> FetchRule:
    return FetchRule(
        max_height=int(numbers["max_height"]),
        height_cap=int(numbers["max_height_cap"]),
        max_bytes=int(numbers["max_video_mb"] * 1_000_000),
        copy_inputs=values.flag("copy_inputs"),
        filter=_filter(numbers, choices),
        web=_web(values, numbers),
        politeness=_politeness(numbers),
        max_pixels=int(numbers["max_pixels"]),
        retry_codes=values.parts("retry_failed"),
        clip_max_height=_cap(numbers["clip_max_height"]),
    )


def _spec(values: Values, faults: list[str]) -> ClassifierSpec | None:
    try:
        spec = resolve(values.text("classifier"), _prompts(values))
    except (SpecError, ValueError) as error:
        faults.append(f"--classifier: {error}")
        return None
    if spec.kind != "zero_shot":
        for name in ("prompts", "background_prompts"):
            if values.text(name):
                faults.append(f"--{name} is for zero-shot classifiers, and {spec.name} is none")
    if values.text("preprocessing") != "notebook":
        return spec
    if spec.kind == "video":
        faults.append("--preprocessing=notebook is for image classifiers")
    return replace(spec, preprocessing=NOTEBOOK_PREPROCESSING)


def _prompts(values: Values) -> Prompts:
    given = {}
    for option, name in (("prompts", "templates"), ("background_prompts", "background")):
        if values.text(option):
            given[name] = tuple(part.strip() for part in values.text(option).split(";") if part.strip())
    return Prompts(**given)


def unknown_option_fault(argument: str) -> str:
    """Returns the fault for an argument that nobody knows, with the closest option."""
    name = argument.split("=")[0].lstrip("-")
    close = difflib.get_close_matches(name, [option.name for option in OPTIONS], n=1)
    hint = f"; did you mean --{close[0]}?" if close else ""
    return f"unknown argument {argument!r}{hint}"
