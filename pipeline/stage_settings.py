"""From typed values to the settings of the stages."""

import os
from collections.abc import Mapping
from dataclasses import replace

from clipscout.pipeline.faults import Fault, of
from clipscout.pipeline.options import WEB_LIMITS
from clipscout.pipeline.values import WAYS_TO_SAMPLE, Values
from clipscout.transforms.clip_cutter import CutSettings
from clipscout.transforms.core.child.supervisor import Limits
from clipscout.transforms.core.classifiers.resolve import resolve
from clipscout.transforms.core.classifiers.specs import (
    NOTEBOOK_PREPROCESSING,
    ClassifierSpec,
    Prompts,
    SpecError,
    openvino_version,
)
from clipscout.transforms.core.spans.peaks import SpanSettings
from clipscout.transforms.core.video.sampling import Sampling
from clipscout.transforms.core.web.client import WebSettings
from clipscout.transforms.core.web.filters import FilterSettings
from clipscout.transforms.core.web.lanes import Politeness
from clipscout.transforms.failures import CURES
from clipscout.transforms.scoring_settings import ScoringSettings
from clipscout.transforms.site_search import SearchSettings
from clipscout.transforms.video_fetchers import FetchSettings, FileLimits

#: Options of which another value may end a failure.
_CURING = frozenset().union(*CURES.values())

#: Each may take its cap of memory.
_MOST_CUTTERS = 4
#: One decoder feeds the classifier on so many cores, with videos of a web's size and a small model.
_MOST_DECODERS, _CORES_PER_DECODER = 8, 4


def spec(values: Values, faults: list[Fault]) -> ClassifierSpec | None:
    """Returns what `--classifier` names, with the preprocessing that is asked for; None where that is a fault."""
    try:
        spec = resolve(values.text("classifier"), _prompts(values))
    except (SpecError, ValueError) as error:
        faults.append(of("classifier", f": {error}"))
        return None
    if spec.kind != "zero_shot":
        for name in ("prompts", "background_prompts"):
            if values.text(name):
                faults.append(of(name, f"is for zero-shot classifiers, and {spec.name} is none"))
    if values.text("preprocessing") != "notebook":
        return spec
    if spec.kind == "video":
        faults.append(Fault("--preprocessing=notebook is for image classifiers", ("preprocessing",)))
    return replace(spec, preprocessing=NOTEBOOK_PREPROCESSING)


def _prompts(values: Values) -> Prompts:
    chosen = {}
    for option, name in (("prompts", "templates"), ("background_prompts", "background")):
        if values.text(option):
            chosen[name] = tuple(part.strip() for part in values.text(option).split(";") if part.strip())
    return Prompts(**chosen)


def sampling(values: Values) -> Sampling | None:
    """Returns how samples are chosen; None where that is a fault that is noted already."""
    stride, fps = values.number("frame_stride"), values.number("sample_fps")
    if values.text("sampling") == "keyframes":
        return Sampling(keyframes=True)
    if (stride > 0) == (fps > 0):
        return None  # a fault is noted already
    return Sampling(frame_stride=int(stride)) if stride > 0 else Sampling(fps=fps)


def video_sampling(
    spec: ClassifierSpec,
    sampling: Sampling,
    texts: Mapping[str, str | None],
    preset: Mapping[str, str],
    faults: list[Fault],
) -> Sampling:
    """Returns how a video model's samples are chosen: at the rate it was trained on, unless somebody says otherwise."""
    assert spec.window is not None
    if sampling.keyframes:
        message = "--sampling=keyframes gives samples at uneven times, and a video classifier needs even ones"
        faults.append(Fault(message, ("sampling",)))
    said = any(texts.get(name) or preset.get(name) for name in WAYS_TO_SAMPLE)
    return sampling if said else Sampling(fps=spec.window.fps)


def scoring(
    spec: ClassifierSpec,
    sampling: Sampling,
    numbers: Mapping[str, float],
    choices: Mapping[str, str],
    flags: Mapping[str, bool],
    *,
    retry_codes: tuple[str, ...],
    dataflow: bool,
) -> ScoringSettings:
    """Returns how frames are decoded and scored."""
    on_gpu, threads = choices["gpu"] != "none", int(numbers["threads"])
    copies = int(numbers["model_copies"])
    device = "cpu" if choices["engine"] == "openvino" else "cuda" if on_gpu else "auto"
    device = device if choices["device"] == "auto" else choices["device"]
    return ScoringSettings(
        spec=spec,
        sampling=sampling,
        response=choices["response"],
        device=device,
        batch_size=int(numbers["batch_size"]),
        stall_seconds=numbers["stall_seconds"],
        memory_bytes=int(numbers["decode_memory_mb"]) << 20,
        max_pixels=int(numbers["max_pixels"]),
        max_frames=int(numbers["max_frames"]),
        segment_seconds=numbers["segment_seconds"],
        precision=choices["precision"],
        threads=threads or cores(numbers, dataflow),
        decoders=max(1, min(_MOST_DECODERS, cores(numbers, dataflow) // _CORES_PER_DECODER)),
        # a copy that processes share has the cores of all of them, or its part of the machine
        model_threads=threads or (0 if copies else cores(numbers, dataflow)),
        keep_outputs=flags["keep_outputs"] or spec.prompts is not None,  # embeddings are small, and answer any prompt
        trust_checkpoint=flags["trust_checkpoint"],
        engine=choices["engine"],
        rounding=_rounding(choices, "cpu" if dataflow and device == "auto" else device),
        model_copies=copies,
        retry_codes=retry_codes,
    )


def _rounding(choices: Mapping[str, str], device: str) -> str:
    """Returns the engine whose rounding the outputs of a lower precision show."""
    if choices["precision"] == "fp32":
        return "auto"
    if choices["precision"] != "bf16" or choices["engine"] == "torch" or openvino_version() is None:
        return "torch"
    if device == "auto":
        from clipscout.transforms.core.classifiers.torch_engine import resolve_device  # torch: seconds

        device = resolve_device(device)
    return "torch" if device == "cuda" else "openvino"


def cores(numbers: Mapping[str, float], dataflow: bool) -> int:
    """Returns how many cores one worker process has for itself."""
    # on Dataflow there is a process, or a thread with a decoder, for every vCPU
    return 1 if dataflow else max(1, (os.cpu_count() or 1) // max(1, int(numbers["workers"])))


def cut(
    numbers: Mapping[str, float], choices: Mapping[str, str], flags: Mapping[str, bool], *, dataflow: bool
) -> CutSettings:
    """Returns how clips are cut."""
    return CutSettings(
        mode=choices["cut"],
        height=cap(numbers["clip_height"]),
        posters=flags["posters"],
        sound=flags["clip_sound"],
        keep_hdr=choices["clip_hdr"] == "keep",
        stall_seconds=numbers["stall_seconds"],
        memory_bytes=int(numbers["decode_memory_mb"]) << 20,
        lanes=min(_MOST_CUTTERS, cores(numbers, dataflow)),
    )


def spans(numbers: Mapping[str, float], choices: Mapping[str, str], flags: Mapping[str, bool]) -> SpanSettings:
    """Returns how spans are picked."""
    gap = numbers["min_gap_seconds"]
    return SpanSettings(
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
        within_row_times=flags["within_row_times"],
    )


def search(values: Values, numbers: Mapping[str, float], choices: Mapping[str, str]) -> SearchSettings:
    """Returns how videos are found."""
    return SearchSettings(
        prefix=values.text("search_prefix"),
        max_videos=int(numbers["max_videos"]),
        max_per_channel=cap(numbers["max_per_channel"]),
        filter=_filter(numbers, choices),
        web=_web(values, numbers),
        politeness=_politeness(numbers),
    )


def fetch(values: Values, numbers: Mapping[str, float], choices: Mapping[str, str]) -> FetchSettings:
    """Returns how videos are fetched."""
    asked = {name: None if numbers[name] < 0 else numbers[name] for name in WEB_LIMITS}
    megabytes = asked["max_video_mb"]
    return FetchSettings(
        max_height=int(numbers["max_height"]),
        height_cap=int(numbers["max_height_cap"]),
        max_bytes=_bytes(_web_limit(numbers, "max_video_mb")),
        copy_inputs=values.flag("copy_inputs"),
        filter=_filter(numbers, choices),
        web=_web(values, numbers),
        politeness=_politeness(numbers),
        max_pixels=int(numbers["max_pixels"]),
        retry_codes=values.parts("retry_failed"),
        sound=values.flag("clip_sound") and choices["cut"] != "none",
        probe=Limits(numbers["stall_seconds"], memory_bytes=int(numbers["decode_memory_mb"]) << 20),
        options={name: _message(values, name, numbers) for name in sorted(_CURING - {"cookies", "proxy"})},
        clip_max_height=cap(numbers["clip_max_height"]),
        file_limits=FileLimits(
            max_bytes=None if megabytes is None else _bytes(megabytes),
            min_seconds=numbers["min_video_seconds"],
            max_seconds=asked["max_video_seconds"],
        ),
    )


def _message(values: Values, name: str, numbers: Mapping[str, float]) -> str:
    """Returns an option's value, the same however it is written."""
    return f"{numbers[name]:g}" if name in numbers else ",".join(sorted(values.parts(name)))


def _bytes(megabytes: float) -> int:
    return int(megabytes * 1_000_000)


def _web_limit(numbers: Mapping[str, float], name: str) -> float:
    return WEB_LIMITS[name] if numbers[name] < 0 else numbers[name]


def _filter(numbers: Mapping[str, float], choices: Mapping[str, str]) -> FilterSettings:
    return FilterSettings(numbers["min_video_seconds"], _web_limit(numbers, "max_video_seconds"), choices["licence"])


def _web(values: Values, numbers: Mapping[str, float]) -> WebSettings:
    return WebSettings(
        deadline_seconds=numbers["download_timeout_seconds"],
        allowed_hosts=() if values.text("allow_private_hosts") == "false" else values.parts("allow_private_hosts"),
        memory_bytes=int(numbers["decode_memory_mb"]) << 20,
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


def cap(number: float) -> int | None:
    """Returns a cap, or None where there is none."""
    return int(number) if number > 0 else None
