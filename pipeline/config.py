"""The configuration: every option judged, all faults reported at once, before a graph exists."""

import datetime
import difflib
import json
import os
import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

from clipscout import __version__
from clipscout.pipeline import duplicate_settings, job_record, stage_settings
from clipscout.pipeline.faults import Fault, of
from clipscout.pipeline.options import LOCAL_RUNNER, OPTIONS
from clipscout.pipeline.values import Values, resolved
from clipscout.transforms.clip_cutter import CutSettings
from clipscout.transforms.comparing import OFF, DuplicateSettings
from clipscout.transforms.core.classifiers.specs import NOTEBOOK_PREPROCESSING, openvino_version
from clipscout.transforms.core.spans.peaks import SpanSettings
from clipscout.transforms.core.spans.selecting import RULES, SelectionSettings
from clipscout.transforms.core.storage import naming
from clipscout.transforms.describe_settings import DescribeSettings
from clipscout.transforms.failures import CODES
from clipscout.transforms.scoring_settings import ScoringSettings
from clipscout.transforms.site_search import SearchSettings
from clipscout.transforms.video_fetchers import FetchSettings

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

_OWN = frozenset(option.name for option in OPTIONS)


class ConfigError(ValueError):
    """The options cannot be used.

    Attributes:
      faults: The reasons.
      texts: The option texts, so that what they name can be checked all the same.
      beam_options: Beam's own options, for the same reason; None where the command line cannot be parsed.
    """

    def __init__(
        self,
        faults: list[Fault],
        texts: Mapping[str, str | None] | None = None,
        beam_options: PipelineOptions | None = None,
    ) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults, self.texts, self.beam_options = faults, texts or {}, beam_options


@dataclass(frozen=True)
class Config:
    """A checked configuration; see `pipeline.options` for the meaning of each value.

    `folder` is where relative paths of rows begin.
    """

    inputs: tuple[str, ...]
    output: str
    folder: str
    replace: bool
    manifest_shards: int
    preset: str
    excludes: tuple[str, ...]
    search: SearchSettings
    fetch: FetchSettings
    canaries: tuple[str, ...]
    scoring: ScoringSettings
    spans: SpanSettings
    selection: SelectionSettings
    cut: CutSettings
    describe: DescribeSettings | None
    duplicates: DuplicateSettings
    workers: int
    streams: bool
    date: datetime.date
    dataflow: bool
    gpu: str
    gpu_mode: str
    gpu_driver: str
    gpu_provisioning: str
    gpu_processes: str
    preflight_only: bool
    fetch_only: bool
    shared_output: bool
    when_stopped: str
    forecast_video_seconds: float
    forecast_samples_per_second: float | None
    max_failure_ratio: float
    progress: str

    def shaping(self) -> dict[str, Any]:
        """Returns what decides the results (not where they lie or how fast they come), by the names of the options.

        `scores` is the fingerprint of all that shapes what the classifier says.
        """
        spec, sampling, prompts = self.scoring.spec, self.scoring.sampling, self.scoring.spec.prompts
        fetch, wanted = self.fetch, self.fetch.filter
        return {
            "classifier": spec.name,
            "scores": self.scoring.fingerprint(),
            "preprocessing": "notebook" if spec.preprocessing == NOTEBOOK_PREPROCESSING else "classifier",
            "frame_stride": sampling.frame_stride,
            "sample_fps": sampling.fps,
            "sampling": "keyframes" if sampling.keyframes else "frames",
            "precision": self.scoring.precision,
            "engine": self.scoring.rounding,
            "max_frames": self.scoring.max_frames,
            "response": self.scoring.response,
            "prompts": list(prompts.templates) if prompts else None,
            "background_prompts": list(prompts.background) if prompts else None,
            **{"span_mode" if name == "mode" else name: value for name, value in asdict(self.spans).items()},
            **asdict(self.selection),
            "cut": self.cut.mode,
            "clip_height": self.cut.height,
            "posters": self.cut.posters,
            "clip_sound": self.cut.sound,
            "clip_hdr": "keep" if self.cut.keep_hdr else "tonemap",
            "clip_max_height": fetch.clip_max_height,
            "max_height": fetch.max_height,
            "max_height_cap": fetch.height_cap,
            "max_video_mb": fetch.max_bytes / 1e6,
            "copy_inputs": fetch.copy_inputs,
            "min_video_seconds": wanted.min_seconds,
            "max_video_seconds": wanted.max_seconds,
            "licence": wanted.licence,
        }

    def identity(self) -> dict[str, str]:
        """Returns by what spans are found: the classifier, the fingerprint of the scores and that of all settings."""
        # the classifier's name may be a path; what it is stands in `scores`
        text = json.dumps(job_record.by_hand(self.shaping()), sort_keys=True)
        scores = self.scoring.fingerprint()
        return {"classifier": self.scoring.spec.name, "scores": scores, "settings": naming.digest(text, 16)}

    def about(self) -> dict[str, Any]:
        """Returns what the summary says of the run's settings."""
        return {
            "version": __version__,
            "inputs": list(self.inputs),
            "preset": self.preset,
            "settings": self.shaping(),
            "duplicates": self.duplicate_rule(),
        }

    def duplicate_rule(self) -> dict[str, Any]:
        """Returns by which rule clips were compared; another one only changes which are kept, so it may change."""
        rule = self.duplicates
        if rule.mode == OFF or self.describe is None:
            return {"mode": OFF}
        model = self.describe.model()
        return {
            "mode": rule.mode,
            "features": model.name,
            "fingerprint": model.fingerprint,
            "similarity": rule.similarity,
            "scope": "all" if rule.all_actions else "action",
            "keep": rule.choice.by,
            "seed": rule.choice.seed,
            "one_clip_per_video": rule.one_per_video,
            "references": list(rule.references),
        }


def judged(texts: Mapping[str, str | None]) -> tuple[Config | None, frozenset[str]]:
    """Builds a configuration of those options that can be used, so that the others do not hide what is wrong with it.

    Returns:
      The configuration with defaults (nothing for input and output) in the others' place, None where there is none; and
      the names of the others.
    """
    faulty: frozenset[str] = frozenset()
    while True:
        try:
            return from_options(texts, faulty), faulty
        except ConfigError as error:
            found = faulty.union(*(fault.options for fault in error.faults)) & _OWN
            if found == faulty:
                return None, faulty
            faulty = found


def from_options(texts: Mapping[str, str | None], faulty: Container[str] = ()) -> Config:
    """Builds the configuration from option texts (None = not given), without those that are known to be faulty.

    Raises:
      ConfigError: With every fault found.
    """
    faults: list[Fault] = []
    texts = {name: text for name, text in texts.items() if name not in faulty}
    preset = texts.get("preset") or "kinetics"
    if preset not in PRESETS:
        faults.append(of("preset", f"is {preset!r}, expected one of {', '.join(PRESETS)}"))
    values = Values(resolved(texts, PRESETS.get(preset, {}), faults), faults)
    for name in ("input", "output"):
        if not values.text(name) and name not in faulty:
            faults.append(of(name, "is missing"))
    output = values.text("output")
    if re.match(r"\s|[A-Za-z][\w+.-]*:/", output) and not re.match("gs://[^/]", output):
        faults.append(of("output", f"is {output!r}, expected a folder, or gs://BUCKET/FOLDER"))
    date = values.date()
    spec = stage_settings.spec(values, faults)
    sampling = stage_settings.sampling(values)
    if spec and spec.window and sampling:
        sampling = stage_settings.video_sampling(spec, sampling, texts, PRESETS.get(preset, {}), faults)
    numbers = {option.name: values.number(option.name) for option in OPTIONS if option.kind in ("integer", "number")}
    choices = {option.name: values.choice(option.name) for option in OPTIONS if "|" in option.kind}
    flags = {option.name: values.flag(option.name) for option in OPTIONS if option.kind == "flag"}
    dataflow = is_dataflow(values.text("runner"))
    _check_spans(numbers, choices, faults)
    _check_fetching(values, numbers)
    faults += [*_contradictions(choices, flags), *_engine_faults(choices), *_gpu_faults(choices, values)]
    faults += duplicate_settings.contradictions(values, choices)
    if faults or spec is None or sampling is None:
        raise ConfigError(list(dict.fromkeys(faults)))
    scoring = stage_settings.scoring(
        spec, sampling, numbers, choices, flags, retry_codes=values.parts("retry_failed"), dataflow=dataflow
    )
    asked = duplicate_settings.asked_for(texts)
    describe = duplicate_settings.described(scoring, values, asked, faults)
    if faults:
        raise ConfigError(faults)
    return Config(
        inputs=values.parts("input"),
        output=output.rstrip("/") or output[:1],
        folder=os.getcwd(),
        replace=flags["replace"],
        manifest_shards=int(numbers["manifest_shards"]),
        preset=preset,
        excludes=values.parts("exclude"),
        search=stage_settings.search(values, numbers, choices),
        fetch=stage_settings.fetch(values, numbers, choices),
        canaries=values.parts("canary"),
        scoring=scoring,
        spans=stage_settings.spans(numbers, choices, flags),
        selection=SelectionSettings(**{name: stage_settings.cap(numbers[name]) for name in RULES}),
        cut=stage_settings.cut(numbers, choices, flags, dataflow=dataflow),
        describe=describe,
        duplicates=duplicate_settings.compared(values, numbers, choices, describe),
        workers=int(numbers["workers"]),
        streams=is_local(values.text("runner")) and numbers["workers"] == 1,
        date=date,
        dataflow=dataflow,
        gpu=choices["gpu"],
        gpu_mode=choices["gpu_mode"],
        gpu_driver=values.text("gpu_driver"),
        gpu_provisioning=choices["gpu_provisioning"],
        gpu_processes=choices["gpu_processes"],
        preflight_only=flags["preflight_only"],
        fetch_only=flags["fetch_only"],
        shared_output=flags["shared_output"],
        when_stopped=choices["when_stopped"],
        forecast_video_seconds=numbers["forecast_video_seconds"],
        forecast_samples_per_second=max(0.0, numbers["forecast_samples_per_second"]) or None,
        max_failure_ratio=numbers["max_failure_ratio"],
        progress=choices["progress"],
    )


def is_local(runner: str) -> bool:
    """Tells whether the name of a runner, or no name, is that of the local one."""
    return runner in ("", LOCAL_RUNNER) or runner.lower() == "fnapirunner"


def is_dataflow(runner: str) -> bool:
    """Tells whether the name of a runner is Dataflow's."""
    return runner.lower().rpartition(".")[2].removesuffix("runner") in ("dataflow", "testdataflow")


def _contradictions(choices: Mapping[str, str], flags: Mapping[str, bool]) -> Iterator[Fault]:
    """Yields which options cannot both be meant."""
    if choices["precision"] == "fp16" and choices["device"] == "cpu":
        message = "--precision=fp16 needs a GPU, and --device is 'cpu'; bf16 works on a CPU"
        yield Fault(message, ("precision", "device"))
    if flags["fetch_only"] and flags["replace"]:
        yield Fault("--fetch_only makes nothing that could --replace anything", ("fetch_only", "replace"))


def _gpu_faults(choices: Mapping[str, str], values: Values) -> Iterator[Fault]:
    """Yields a driver that is none, and what is said of GPUs where none is asked for."""
    driver = values.text("gpu_driver")
    if not re.fullmatch(r"latest|default|[1-9]\d\d", driver):
        yield of("gpu_driver", f"is {driver!r}, expected latest, default or the version of a branch, e.g. 580")
    says = {"gpu_mode": "pool", "gpu_provisioning": "FLEX_START", "gpu_processes": "per_vcpu"}
    for name, value in says.items():
        if choices["gpu"] == "none" and choices[name] == value:
            yield Fault(f"--{name}={value} says how GPUs are attached or used, and --gpu is 'none'", (name, "gpu"))


def _engine_faults(choices: Mapping[str, str]) -> list[Fault]:
    if choices["engine"] != "openvino":
        return []
    faults = []
    if openvino_version() is None:
        faults.append(of("engine", "is 'openvino', which is not installed: pip install 'clipscout[cpu]'"))
    for name, value in (("device", "cuda"), ("precision", "fp16")):
        if choices[name] == value:
            faults.append(Fault(f"--engine=openvino runs on a CPU, and --{name} is {value!r}", ("engine", name)))
    if choices["gpu"] != "none":
        faults.append(Fault(f"--engine=openvino runs on a CPU, and --gpu is {choices['gpu']!r}", ("engine", "gpu")))
    return faults


def _check_spans(numbers: Mapping[str, float], choices: Mapping[str, str], faults: list[Fault]) -> None:
    if numbers["low_score"] > numbers["high_score"] >= 0:
        faults.append(of("low_score", "is above --high_score", "high_score"))
    if numbers["min_span_seconds"] > numbers["max_span_seconds"] > 0:
        faults.append(of("min_span_seconds", "is above --max_span_seconds", "max_span_seconds"))
    if numbers["clip_height"] > 0 and choices["cut"] != "exact":
        faults.append(of("clip_height", f"needs --cut=exact, and --cut is {choices['cut']!r}", "cut"))
    if 0 < numbers["clip_max_height"] <= numbers["max_height"]:
        message = "is not above --max_height, at which videos are fetched anyway"
        faults.append(of("clip_max_height", message, "max_height"))
    if numbers["clip_max_height"] > 0 and choices["cut"] == "none":
        faults.append(of("clip_max_height", "is for clips, and --cut is 'none'", "cut"))


def _check_fetching(values: Values, numbers: Mapping[str, float]) -> None:
    if numbers["min_video_seconds"] > numbers["max_video_seconds"] >= 0:
        values.faults.append(of("min_video_seconds", "is above --max_video_seconds", "max_video_seconds"))
    if numbers["max_height"] > numbers["max_height_cap"] > 0:
        values.faults.append(of("max_height", "is above --max_height_cap", "max_height_cap"))
    if not re.fullmatch(r"[a-z][a-z0-9]*", values.text("search_prefix")):
        message = f"is {values.text('search_prefix')!r}, expected a word such as ytsearch"
        values.faults.append(of("search_prefix", message))
    for code in values.parts("retry_failed"):
        if code not in CODES:
            close = ", ".join(difflib.get_close_matches(code, CODES, n=3, cutoff=0))
            values.faults.append(of("retry_failed", f"names {code!r}, no failure code; the closest are {close}"))
