"""`make bench`: one command, one table. Ratios hold within one run; absolute numbers drift on shared machines."""

import argparse
import platform
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks import material
from benchmarks.duplicates import Duplicates
from benchmarks.flow import Flow
from benchmarks.meaning import Meaning
from benchmarks.pages import Pages
from benchmarks.processes import CORES, RIVALS_FOLDER, install, measure
from benchmarks.scale import Scale
from benchmarks.shots import Shots

STRIDE, TWO_PER_SECOND, KEYFRAMES = '{"frame_stride": 2}', '{"fps": 2}', '{"keyframes": true}'
#: Enough that what two workers need to start is not most of it.
_WORKERS_VIDEOS = 60
#: Model to how many samples (windows) are scored in a measurement.
_ENGINE_MODELS = {
    "lite0": 512,
    "mobilenet_v3_small": 4096,
    "resnet50": 256,
    "densenet121": 256,
    "r3d_18": 16,
    "open_clip:ViT-S-32": 512,
}
RIVALS = {"opencv": "opencv-python-headless", "decord": "decord", "torchcodec": "torchcodec"}


class Bench:
    """The measurements; each method yields lines of the table as it goes."""

    def __init__(self, folder: Path, repeat: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.repeat = folder, repeat

    @cached_property
    def small(self) -> Path:
        """Four minutes at 144p."""
        return material.video(self.folder, "144p_4min", 256, 144, 15, 240)

    @cached_property
    def large(self) -> Path:
        """Four minutes at 720p."""
        return material.video(self.folder, "720p_4min", 1280, 720, 15, 240)

    @cached_property
    def second(self) -> Path:
        """A second, for what a job takes to start."""
        return material.video(self.folder, "144p_1s", 256, 144, 15, 1)

    def job(self, architecture: str | Path, videos: list[Path], *options: str) -> dict[str, Any]:
        """(d) on some videos, with a spec file or the small version of a model."""
        name = videos[0].stem if len(videos) == 1 else videos[0].parent.name
        queries = material.queries(self.folder, f"{name}_{len(videos)}", videos)
        spec = architecture if isinstance(architecture, Path) else material.classifier(self.folder, architecture)
        return measure("pipeline", spec, queries, self.folder / "out", *options, repeat=self.repeat)

    def scoring(self) -> Iterator[str]:
        """The four measurements for both models and sizes."""
        columns = ("model, video", "(a) script", "(b) decode", "(c) inference", "(d) job", "start of a job")
        yield f"| {' | '.join((*columns, '(d) against (a)', 'net of start', 'efficiency'))} |"
        yield "|---|---|---|---|---|---|---|---|---|"
        for architecture in ("mobilenet_v3_small", "densenet121"):
            spec = material.classifier(self.folder, architecture)
            start = self.job(architecture, [self.second], "--frame_stride=2")["seconds"]
            for video in (self.small, self.large):
                script = measure("notebook", architecture, spec.with_suffix(".pt"), video)
                samples = script.get("samples", 1800)
                decode = measure("decode", video, STRIDE, "squash", CORES, repeat=self.repeat)
                infer = measure("inference", spec, "fp32", samples, "squash", repeat=self.repeat)
                job = self.job(architecture, [video], "--frame_stride=2")
                yield self.row(f"{architecture}, {video.stem}", script, decode, infer, job, start)
            script = measure("notebook", architecture, spec.with_suffix(".pt"), self.small)
            decode = measure("decode", self.small, STRIDE, "native", repeat=self.repeat)
            infer = measure("inference", spec, "fp32", script["samples"], "native", repeat=self.repeat)
            job = self.job(architecture, [self.small], "--preset=notebook")
            yield self.row(f"{architecture}, 144p_4min, --preset=notebook", script, decode, infer, job, start)
            same = script["frame"] == job["frame"] and abs(script["probability"] - job["probability"]) < 1e-4
            yield f"| | | | | | | winning frame and probability {'agree' if same else 'DIFFER'} | | |"
            if _has_bf16():
                infer = measure("inference", spec, "bf16", script["samples"], "squash", repeat=self.repeat)
                job = self.job(architecture, [self.small], "--frame_stride=2", "--precision=bf16")
                decode = measure("decode", self.small, STRIDE, "squash", repeat=self.repeat)
                yield self.row(f"{architecture}, 144p_4min, bf16", script, decode, infer, job, start)

    def row(self, name: str, script: Any, decode: Any, infer: Any, job: Any, start: float) -> str:
        """A line of the table: samples per second, ratios, and CPU-seconds of (b) + (c) over cores x wall of (d)."""
        net = max(1e-9, job["seconds"] - start)
        rates = " | ".join(
            "killed, out of memory" if one.get("killed") else f"{one['samples'] / one['seconds']:,.0f}/s"
            for one in (script, decode, infer, job)
        )
        efficiency = (decode["cpu"] + infer["cpu"]) / (CORES * net)
        ratios = "- | -"
        if not script.get("killed"):
            ratios = f"{script['seconds'] / job['seconds']:.2f}x | {script['seconds'] / net:.2f}x"
        return f"| {name} | {rates} | {start:.1f} s | {ratios} | {efficiency:.2f} |"

    def kinds(self) -> Iterator[str]:
        """Each kind of classifier, at its own input size: the job against the bare model at the same batch size."""
        yield "| classifier, its own input size | bare model | the job, net of start | ratio |"
        yield "|---|---|---|---|"
        minute = material.video(self.folder, "144p_1min", 256, 144, 15, 60)
        # a video model samples at its own rate
        every = ("--frame_stride=2",)
        for architecture, video, options in (
            ("mobilenet_v3_small", self.small, every),
            ("r3d_18", minute, ()),
            ("open_clip:ViT-S-32", minute, every),
        ):
            spec = material.natural_classifier(self.folder, architecture)
            start = self.job(spec, [self.second], *options)
            job = self.job(spec, [video], *options)
            samples, seconds = job["samples"] - start["samples"], job["seconds"] - start["seconds"]
            bare = measure("inference", spec, "fp32", samples, "own", repeat=self.repeat)
            rates = samples / seconds, bare["samples"] / bare["seconds"]
            unit = "windows" if architecture == "r3d_18" else "frames"
            yield f"| {architecture} | {rates[1]:,.1f} {unit}/s | {rates[0]:,.1f}/s | {rates[0] / rates[1]:.2f} |"

    def engines(self) -> Iterator[str]:
        """Each model in torch and in OpenVINO, all cores, at its own input size."""
        yield "| model at its own input size | torch fp32 | OpenVINO fp32 | ratio | OpenVINO bf16 | ratio |"
        yield "|---|---|---|---|---|---|"
        ways = [("torch", "fp32"), ("openvino", "fp32"), *([("openvino", "bf16")] if _has_bf16() else [])]
        for name, samples in _ENGINE_MODELS.items():
            spec = name if name == "lite0" else material.natural_classifier(self.folder, name)
            rates = []
            for engine, precision in ways:
                found = measure("inference", spec, precision, samples, "own", 0, engine, repeat=self.repeat)
                rates.append(found["samples"] / found["seconds"])
            ratios = "".join(f" | {rate:,.1f}/s | {rate / rates[0]:.2f}x" for rate in rates[1:])
            yield f"| {name} | {rates[0]:,.1f}/s{ratios} |"

    def default_job(self) -> Iterator[str]:
        """What a user gets who sets nothing: lite0, 2 samples/s, 16 videos of 4 minutes, clips cut; whole commands."""
        source = material.video(self.folder, "144p_4min", 256, 144, 15, 240)
        queries = material.queries(self.folder, "default", material.variants(self.folder, source, 16), "mountain bike")
        yield "| engine | whole command | ratio |"
        yield "|---|---|---|"
        seconds = {}
        for engine in ("torch", "auto"):
            output = self.folder / f"default_{engine}"
            seconds[engine] = measure("command", queries, output, f"--engine={engine}")["seconds"]
            yield f"| {engine} | {seconds[engine]:.1f} s | {seconds['torch'] / seconds[engine]:.2f}x |"

    def decoding(self) -> Iterator[str]:
        """Sampling at 720p against bare decoding and other libraries."""
        yield "| sampling of 720p_4min, one thread | frames of video/s | against bare decoding |"
        yield "|---|---|---|"
        frames = 15 * 240
        bare = measure("bare_decode", self.large, repeat=self.repeat)["seconds"]
        yield f"| bare decoding (PyAV, no conversion) | {frames / bare:,.0f} | 1.00x |"
        ways = {"2 samples/s": TWO_PER_SECOND, "every 2nd frame": STRIDE, "key frames": KEYFRAMES}
        for name, sampling in ways.items():
            seconds = measure("decode", self.large, sampling, "squash", repeat=self.repeat)["seconds"]
            yield f"| Clipscout, {name} | {frames / seconds:,.0f} | {bare / seconds:.2f}x |"
        for name, package in RIVALS.items():
            if not install(package, RIVALS_FOLDER):
                yield f"| {name}: cannot be installed here | | |"
                continue
            try:
                seconds = measure("library", name, self.large, 2, repeat=self.repeat)["seconds"]
                yield f"| {name}, 2 samples/s | {frames / seconds:,.0f} | {bare / seconds:.2f}x |"
            except SystemExit as error:
                yield f"| {name}: does not run here ({str(error).strip().splitlines()[-1][:80]}) | | |"

    def cutting(self) -> Iterator[str]:
        """Ten clips of ten seconds against the ffmpeg command line, where there is one or one can be installed."""
        program = shutil.which("ffmpeg")
        if program is None and install("imageio-ffmpeg", RIVALS_FOLDER):
            program = str(next((RIVALS_FOLDER / "imageio_ffmpeg" / "binaries").glob("ffmpeg-*"), "")) or None
        yield "| ten clips of 10 s from 720p_4min | Clipscout | ffmpeg | ratio of times |"
        yield "|---|---|---|---|"
        folder = self.folder / "cut"
        folder.mkdir(exist_ok=True)
        for mode in ("exact", "copy"):
            own = measure("cut", self.large, mode, folder, repeat=self.repeat)["seconds"]
            if program is None:
                yield f"| {mode} | {own:.1f} s | not here | - |"
                continue
            other = measure("ffmpeg", self.large, mode, folder, program, repeat=self.repeat)["seconds"]
            yield f"| {mode} | {own:.2f} s | {other:.2f} s | {own / other:.2f}x |"

    def memory(self) -> Iterator[str]:
        """Peak resident memory of the job's process over the length of the video."""
        peaks, scripts = [], []
        spec = material.classifier(self.folder, "mobilenet_v3_small")
        lengths = (1, 4, 16)
        for minutes in lengths:
            video = material.video(self.folder, f"144p_{minutes}min", 256, 144, 15, 60 * minutes)
            peaks.append(self.job("mobilenet_v3_small", [video], "--frame_stride=2", "--segment_seconds=0")["peak_mb"])
            script = measure("notebook", "mobilenet_v3_small", spec.with_suffix(".pt"), video)
            scripts.append("killed" if script.get("killed") else f"{script['peak_mb']:,.0f} MB")
        yield "| peak memory of the process | 1 min | 4 min | 16 min |"
        yield "|---|---|---|---|"
        yield "| plain script | " + " | ".join(scripts) + " |"
        growth = f" ({(peaks[2] / peaks[0] - 1) * 100:+.1f}%)"
        yield "| Clipscout | " + " | ".join(f"{peak:,.0f} MB" for peak in peaks) + growth + " |"

    def workers(self) -> Iterator[str]:
        """One against two worker processes, the model on one thread; whole commands, imports and all."""
        # of one content they would be scored once
        source = material.video(self.folder, "144p_20s", 256, 144, 15, 20)
        videos = material.variants(self.folder, source, _WORKERS_VIDEOS)
        options = ("--frame_stride=2", "--threads=1")
        one, two = (self.job("densenet121", videos, f"--workers={n}", *options)["process_seconds"] for n in (1, 2))
        name = f"{_WORKERS_VIDEOS} videos of 20 s, densenet121 on one thread"
        yield f"{name}: 1 worker {one:.1f} s, 2 workers {two:.1f} s, {one / two:.2f}x"
        spec = material.classifier(self.folder, "densenet121")

        def alone(_: int) -> float:
            found = measure("inference", spec, "fp32", 640, "squash", 1)
            return found["samples"] / found["seconds"]

        single = alone(0)
        with ThreadPoolExecutor(2) as pool:
            both = sum(pool.map(alone, range(2)))
        yield f"what the machine gives, the bare model on one thread: {single:.1f}/s, in two processes {both:.1f}/s, "
        yield f"{both / single:.2f}x"


def _has_bf16() -> bool:
    return "avx512_bf16" in Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else False


def main() -> None:
    """Runs the chosen parts and prints their tables."""
    parts = {
        **dict.fromkeys(
            ("scoring", "kinds", "engines", "default_job", "decoding", "cutting", "memory", "workers"), Bench
        ),
        **dict.fromkeys(("lanes", "overlap", "first_clip", "small_files"), Flow),
        "shots": Shots,
        "meaning": Meaning,
        "duplicates": Duplicates,
        "report": Pages,
        "scale": Scale,
    }
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", choices=parts, action="append", help="only these parts")
    parser.add_argument("--repeat", type=int, default=3, help="runs per measurement; the median counts")
    chosen = parser.parse_args()
    print(f"{CORES} cores, {platform.machine()}, Python {platform.python_version()}")
    for part in chosen.part or parts:
        print()
        for line in getattr(parts[part](chosen.folder, chosen.repeat), part)():
            print(line, flush=True)


if __name__ == "__main__":
    main()
