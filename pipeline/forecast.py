"""What a job will take, before it starts: from what its rows name, a look into some files, and rates measured here."""

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from clipscout.pipeline.closing import beside, counted
from clipscout.pipeline.config import Config
from clipscout.pipeline.rows_ahead import Rows
from clipscout.transforms.core.child.supervisor import Child, ChildError, Limits
from clipscout.transforms.core.classifiers.specs import SpecError
from clipscout.transforms.core.storage import filesystem
from clipscout.transforms.core.video.sampling import Sampling
from clipscout.transforms.discovery import files_of
from clipscout.transforms.inference import batch_sizes

#: Files of the user's that are looked into, and how many seconds of some of them are decoded.
_LOOKED_INTO, _DECODED_FILES, _DECODED_SECONDS = 12, 3, 20.0
_SCORED_SECONDS = 1.0
#: What stands in for a web video: 16:9 at 25 frames and 10 kB per second for 144 lines, more in proportion.
_FRAME_RATE, _LINES, _BYTES_PER_SECOND = 25.0, 144, 10_000
#: Pixels that a core decodes and encodes per second (docs/performance.md: 144p at 2 samples/s, exact cuts).
_DECODED_PIXELS, _ENCODED_PIXELS = 230e6, 75e6
#: Encoders put an independent frame every two seconds or so.
_KEYFRAMES_PER_SECOND = 0.5
#: Of a sample in a score track: each label or number of an embedding, and the rest.
_BYTES_PER_OUTPUT, _BYTES_PER_SAMPLE, _EMBEDDING = 2.5, 20, 512
_UNITS = {"kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}


@dataclass(frozen=True)
class Videos:
    """Some videos of a kind.

    Attributes:
      count: How many there are.
      asks: How many (row, video) pairs.
      seconds: How long one is.
      bytes_per_second: How large.
      pixels_per_second: Width times height times frame rate.
      frame_rate: Frames per second.
      decode_speed: Seconds of video that a core decodes per second, as the job does.
      words: What is known of them.
      is_fetched: Whether they come from the web, and are stored.
    """

    count: int
    asks: int
    seconds: float
    bytes_per_second: float
    pixels_per_second: float
    frame_rate: float
    decode_speed: float
    words: str
    is_fetched: bool = False


def lines(config: Config, rows: Rows) -> list[str]:
    """Returns the forecast: video, samples, processor time, storage, with what was measured and what assumed."""
    files: Counter[str] = Counter()
    web: Counter[tuple[str, str]] = Counter()  # how many videos each address or search may lead to
    for query in rows.good:
        if query.path:
            with contextlib.suppress(filesystem.StorageError):  # the job tells of it
                files.update(files_of(query))
        else:
            web[query.url, query.query] = query.max_videos or (config.search.max_videos if query.query else 1)
    kinds = [kind for kind in (_own(config, files), _web(config, web.total())) if kind.count]
    return list(beside("forecast", _told(config, rows, kinds))) if kinds else []


def _told(config: Config, rows: Rows, kinds: Sequence[Videos]) -> Iterator[str]:
    seconds = sum(kind.count * kind.seconds for kind in kinds)
    items = [kind.count * kind.seconds * _items_per_second(config, kind.frame_rate) for kind in kinds]
    part = "" if rows.complete else f" of the first {rows.read:,} rows"
    yield f"{counted(sum(kind.count for kind in kinds), 'video')}{part}, {_duration(seconds)} of video:"
    yield from (f"  {kind.words}" for kind in kinds)
    decoding = sum(kind.count * kind.seconds / kind.decode_speed for kind in kinds)
    speeds = " and ".join(f"{_short(kind.decode_speed)} s" for kind in kinds)
    what = "window" if config.scoring.spec.window else "sample"
    samples = f"{round(sum(items)):,} {what}s"
    yield f"{samples}; decoding: {_duration(decoding, 'CPU-')} ({speeds} of video per second and core)"
    rate, words = _scoring_rate(config)
    scoring = sum(items) / rate if rate else 0.0
    threads = 0 if config.forecast_samples_per_second else config.scoring.load_settings().cores()
    if not rate:
        yield f"scoring: not known; {words}"
    elif threads:
        yield f"scoring: {_duration(scoring * threads, 'CPU-')} ({words})"
    else:
        yield f"scoring: {_duration(scoring)} of one {'worker' if config.gpu == 'none' else 'GPU'} ({words})"
    cutting = sum(_cutting_seconds(config, kind) for kind in kinds)
    if cutting:
        yield f"cutting: at most {_duration(cutting, 'CPU-')}"
    if rate and not config.dataflow:
        cores = os.cpu_count() or 1
        longest = max((decoding + cutting + scoring * threads) / cores, scoring / config.workers)
        yield f"together: about {_duration(longest)} on the {counted(cores, 'core')} of this machine, without downloads"
    yield _storage(config, kinds, sum(items))


def _own(config: Config, files: Counter[str]) -> Videos:
    """Returns what is known of the user's own files: some local ones are looked into."""
    local = [path for path in files if not filesystem.is_remote(path)]
    step = max(1, -(-len(local) // _LOOKED_INTO))
    looked: list[tuple[dict[str, Any], int]] = []
    speeds: list[float] = []
    with contextlib.closing(Child(Limits(config.scoring.stall_seconds))) as child:
        for path in local[::step]:
            with contextlib.suppress(ChildError, OSError):  # the job tells of it
                facts = [message.fields for message in child.call("video.probing:probe", {"path": path})][-1]
                looked.append((facts, os.path.getsize(path)))
                if len(speeds) < _DECODED_FILES:
                    speeds.append(_decode_speed(config, child, path))
    if not looked:
        return _assumed(config, len(files), files.total(), f"{counted(len(files), 'file')} of your own", _LINES)
    seconds = sum(facts["duration_seconds"] for facts, _ in looked)
    pixels = sum(
        facts["duration_seconds"] * facts["width"] * facts["height"] * facts["frame_rate"] for facts, _ in looked
    )
    return Videos(
        count=len(files),
        asks=files.total(),
        seconds=seconds / len(looked),
        bytes_per_second=sum(size for _, size in looked) / seconds,
        pixels_per_second=pixels / seconds,
        frame_rate=float(np.mean([facts["frame_rate"] for facts, _ in looked])),
        decode_speed=float(np.mean(speeds)) if speeds else _DECODED_PIXELS / (pixels / seconds),
        words=f"{counted(len(files), 'file')} of your own: {_short(seconds / len(looked))} s on average of the "
        f"{len(looked)} looked into; decoding measured on {len(speeds)}",
    )


def _decode_speed(config: Config, child: Child, path: str) -> float:
    """Decodes the beginning of a file as the job does; returns seconds of video per second of processor time."""
    scoring = config.scoring
    request = {
        "path": path,
        "sampling": asdict(scoring.sampling),
        "frame_settings": asdict(scoring.spec.preprocessing.frame_settings()),
        "batch_frames": max(1, scoring.batch_size // 4),
        "end_seconds": _DECODED_SECONDS,
        "max_pixels": scoring.max_pixels,
        "max_frames": scoring.max_frames,
    }
    report = [message.fields for message in child.call("video.decode:samples", request)][-1]["report"]
    return min(_DECODED_SECONDS, report["decoded_seconds"]) / max(0.001, report["cpu_msec"] / 1000)


def _web(config: Config, count: int) -> Videos:
    words = f"{counted(count, 'video')} of the web at most"
    return replace(_assumed(config, count, count, words, config.fetch.max_height), is_fetched=True)


def _assumed(config: Config, count: int, asks: int, words: str, height: int) -> Videos:
    seconds = config.forecast_video_seconds
    pixels = height * height * 16 / 9 * _FRAME_RATE
    rate = _BYTES_PER_SECOND * (height / _LINES) ** 2
    words = (
        f"{words}, assumed: {_short(seconds)} s each (--forecast_video_seconds), {height} lines, {_FRAME_RATE:g} frames"
    )
    words += f" and {round(rate / 1000):,} kB per second"
    return Videos(count, asks, seconds, rate, pixels, _FRAME_RATE, _DECODED_PIXELS / pixels, words)


def _items_per_second(config: Config, frame_rate: float) -> float:
    sampling: Sampling = config.scoring.sampling
    per_second = _KEYFRAMES_PER_SECOND
    if sampling.fps is not None:
        per_second = min(sampling.fps, frame_rate)
    elif sampling.frame_stride is not None:
        per_second = frame_rate / sampling.frame_stride
    window = config.scoring.spec.window
    return per_second / window.step if window else per_second


def _scoring_rate(config: Config) -> tuple[float, str]:
    """Returns how many samples (windows) a worker scores per second, 0 for not known; and how that is known."""
    if config.forecast_samples_per_second:
        return (
            config.forecast_samples_per_second,
            f"{_short(config.forecast_samples_per_second)} per second, as --forecast_samples_per_second says",
        )
    if config.gpu != "none":
        return 0.0, "what a GPU scores cannot be measured here; --forecast_samples_per_second tells"
    try:
        return _measured_rate(config)
    except (SpecError, filesystem.StorageError, RuntimeError) as error:  # scores that are stored need no classifier
        return 0.0, str(error)


def _measured_rate(config: Config) -> tuple[float, str]:
    from clipscout.transforms.core.classifiers import loading  # torch: seconds

    settings = config.scoring.load_settings()
    classifier = loading.load(settings)
    _, items = batch_sizes(settings, config.scoring.batch_size)
    spec = settings.spec
    window = (spec.window.frames,) if spec.window else ()
    shape = (items, *window, spec.preprocessing.input_height, spec.preprocessing.input_width, 3)
    frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    classifier.outputs(frames)  # the first may be compared, or prepare something
    scored, start = 0, time.monotonic()
    while not scored or time.monotonic() - start < _SCORED_SECONDS:
        classifier.outputs(frames)
        scored += items
    rate = scored / (time.monotonic() - start)
    per_core = rate / config.scoring.load_settings().cores()
    return rate, f"measured: {_short(per_core)} per second and core, {classifier.engine}, {settings.precision}"


def _clips(config: Config, kind: Videos) -> float:
    """Returns how many clips there can be at most."""
    return kind.asks * min(config.spans.top_k, max(1.0, kind.seconds / config.spans.clip_seconds))


def _cutting_seconds(config: Config, kind: Videos) -> float:
    if config.cut.mode != "exact":
        return 0.0
    return _clips(config, kind) * config.spans.clip_seconds * kind.pixels_per_second / _ENCODED_PIXELS


def _storage(config: Config, kinds: Sequence[Videos], items: float) -> str:
    stored = [kind for kind in kinds if kind.is_fetched or config.fetch.copy_inputs]
    outputs = (len(config.scoring.spec.labels) or _EMBEDDING) if config.scoring.keep_outputs else 0
    parts = {
        "videos": sum(kind.count * kind.seconds * kind.bytes_per_second for kind in stored),
        "score tracks": items * (outputs * _BYTES_PER_OUTPUT + _BYTES_PER_SAMPLE),
    }
    if config.cut.mode != "none":
        clips = sum(_clips(config, kind) for kind in kinds)
        seconds = config.spans.clip_seconds
        name = f"at most {counted(round(clips), 'clip')} of the videos' own bit rate"
        parts[name] = sum(_clips(config, kind) * seconds * kind.bytes_per_second for kind in kinds)
    return "storage: " + ", ".join(f"{_bytes(size)} {name}" for name, size in parts.items() if size)


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.2g}"


def _bytes(number: float) -> str:
    units = [unit for unit, size in _UNITS.items() if number >= size] or ["kB"]
    return f"{_short(number / _UNITS[units[-1]])} {units[-1]}"


def _duration(seconds: float, of: str = "") -> str:
    if seconds < 120:
        return f"{_short(seconds)} {of}seconds"
    return f"{_short(seconds / 60)} {of}minutes" if seconds < 7200 else f"{_short(seconds / 3600)} {of}hours"
