"""One measurement in a process of its own: `python -m benchmarks.measure NAME ARGUMENTS` prints a line of JSON.

Every time is taken after imports and with the model loaded, so that what is compared is the work.
"""

import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def cpu_seconds() -> float:
    """Returns processor time of this process and of its finished children."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def timed(work: Callable[[], int]) -> dict[str, Any]:
    """Runs `work`, which returns how many samples it dealt with."""
    cpu, wall = cpu_seconds(), time.monotonic()
    samples = work()
    seconds = time.monotonic() - wall
    return {"samples": samples, "seconds": seconds, "cpu": cpu_seconds() - cpu, "peak_mb": peak_mb()}


def peak_mb() -> float:
    """Returns the peak resident memory of this process (getrusage would tell that of the parent that started it)."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024


def notebook(architecture: str, weights: str, video: str) -> dict[str, Any]:
    """(a) the plain script of the notebook's algorithm."""
    import torch
    from torchvision import models

    from tests import notebook_script

    model = models.get_model(architecture, weights=None, num_classes=400)
    model.load_state_dict(torch.load(weights, weights_only=True))
    model.eval()

    def work() -> int:
        frame, label, probability, _ = notebook_script.candidate(video, model)
        found.update(frame=frame, label=label, probability=probability)
        return notebook_script.scored_frames

    found: dict[str, Any] = {}
    return {**timed(work), **found}


def decode(video: str, sampling: str, mode: str, threads: str = "1") -> dict[str, Any]:
    """(b) the decoder child alone, its samples thrown away."""
    from clipscout.transforms.core.child.supervisor import Child, Limits

    settings = {"mode": "native"} if mode == "native" else {"mode": "squash", "width": 128, "height": 128}
    request = {"path": video, "sampling": json.loads(sampling), "frame_settings": settings, "batch_frames": 16}
    request["threads"] = int(threads)
    child = Child(Limits())
    list(child.call("video.probing:probe", {"path": video}))

    def work() -> int:
        taken = sum(len(message.fields.get("times", ())) for message in child.call("video.decode:samples", request))
        child.close()
        return taken

    return timed(work)


def bare_decode(video: str) -> dict[str, Any]:
    """Every frame decoded by PyAV on one thread; nothing converted."""
    import av

    def work() -> int:
        with av.open(video) as container:
            container.streams.video[0].codec_context.thread_count = 1
            container.streams.video[0].codec_context.thread_type = "NONE"
            return sum(1 for _ in container.decode(video=0))

    return timed(work)


def inference(
    spec: str, precision: str, samples: str, resize: str, threads: str = "0", engine: str = "auto"
) -> dict[str, Any]:
    """(c) the loaded classifier alone, on random frames in batches of 64 (a video model: on windows, 4 at a time)."""
    import dataclasses

    import numpy as np

    from clipscout.transforms.core.classifiers import loading, specs
    from clipscout.transforms.core.classifiers.resolve import resolve

    chosen = resolve(spec)
    size = chosen.preprocessing.input_height, chosen.preprocessing.input_width, 3
    count = max(1, 64 // chosen.window.frames) if chosen.window else 64
    shape: tuple[int, ...] = (count, *((chosen.window.frames,) if chosen.window else ()), *size)
    if resize == "native":
        chosen, shape = dataclasses.replace(chosen, preprocessing=specs.NOTEBOOK_PREPROCESSING), (64, 144, 256, 3)
    classifier = loading.load(specs.LoadSettings(chosen, "auto", precision, int(threads), engine=engine))
    frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for _ in range(3):
        classifier.outputs(frames)

    def work() -> int:
        rounds = max(1, round(int(samples) / count))
        for _ in range(rounds):
            classifier.outputs(frames)
        return rounds * count

    return timed(work)


def pipeline(spec: str, queries: str, output: str, *options: str) -> dict[str, Any]:
    """(d) the whole job on the local runner, as `clipscout mine` runs it."""
    import torchvision  # noqa: F401 - seconds that every other measurement spends before its clock starts, too

    from clipscout.pipeline import preflight, run

    shutil.rmtree(output, ignore_errors=True)
    arguments = ["--input", queries, "--output", output, "--classifier", spec, "--cut=none", *options]
    config, beam_options = run.configure(arguments)
    faults = preflight.check(config, beam_options)
    if faults:
        raise SystemExit("\n".join(map(str, faults)))

    def work() -> int:
        result = run.run(config, beam_options)
        result.wait_until_finish()
        told = result.metrics().query()
        sums = {one.key.metric.name: one.committed.sum for one in told["distributions"]}
        msec.update((name, spent) for name, spent in sums.items() if name.endswith("-msec"))
        return sum(one.committed for one in told["counters"] if one.key.metric.name == "samples")

    msec: dict[str, int] = {}
    found = timed(work)
    rows = [json.loads(line) for line in (Path(output) / "spans.jsonl").read_text().splitlines()]
    best = rows[0] if rows else {}
    return {**found, "frame": best.get("peak_frame"), "probability": best.get("score"), "msec": msec}


def fetching(spec: str, queries: str, output: str, *options: str) -> dict[str, Any]:
    """The videos of URL rows through the lanes as the downloading step uses them: fetched, probed and stored.

    Also tells when the last one was there, by the machine's monotonic clock.
    """
    from functools import partial

    from clipscout.pipeline import run
    from clipscout.transforms.core.storage.video_store import VideoStore
    from clipscout.transforms.core.web import addresses
    from clipscout.transforms.core.web.lanes import Gate, Lanes, worked_off
    from clipscout.transforms.records import Ask, VideoRequest
    from clipscout.transforms.web_fetcher import WebFetcher

    shutil.rmtree(output, ignore_errors=True)
    settings = run.configure(["--input", queries, "--output", output, "--classifier", spec, *options])[0].fetch
    urls = [json.loads(line)["url"] for line in Path(queries).read_text().splitlines()]
    requests = [VideoRequest(addresses.key_of(url), (Ask("any", (), "bench:1"),), url=url) for url in urls]
    gate = Gate(settings.politeness, settings.politeness.lanes)
    make = partial(WebFetcher, settings, VideoStore(output), gate)

    def work() -> int:
        with Lanes(gate.lanes, make, most_ahead=1000) as lanes:
            for outcome in filter(None, worked_off((lanes, requests))):
                if outcome.error is not None:
                    raise outcome.error
            last.append(time.monotonic())
        return len(requests)

    last: list[float] = []
    return {**timed(work), "last": last[0]}


SPANS = [(start, start + 10.0) for start in (3.2, 21.7, 48.1, 75.5, 99.9, 121.3, 150.8, 177.4, 201.6, 226.1)]


def cut(video: str, mode: str, folder: str) -> dict[str, Any]:
    """Ten clips of ten seconds, by Clipscout's cutter, which lives for hundreds of videos and is running already."""
    from clipscout.transforms.core.child.supervisor import Child, Limits

    child = Child(Limits(), folder)
    list(child.call("video.probing:probe", {"path": video}))

    def work() -> int:
        spans = [
            {"start_seconds": start, "end_seconds": end, "path": f"{folder}/{place}.mp4"}
            for place, (start, end) in enumerate(SPANS)
        ]
        messages = child.call("clips.cutting:cut", {"path": video, "spans": spans, "mode": mode})
        clips = [message.fields for message in messages if "frames" in message.fields]
        child.close()
        return len(clips)

    return timed(work)


def ffmpeg(video: str, mode: str, folder: str, program: str) -> dict[str, Any]:
    """The same clips by the ffmpeg command line, a command each, with the same settings of the encoder."""
    encode = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p", "-threads", "1"]
    codec = encode if mode == "exact" else ["-c", "copy"]

    def work() -> int:
        for place, (start, end) in enumerate(SPANS):
            where = ["-ss", str(start), "-i", video, "-t", str(end - start)]
            target = ["-movflags", "+faststart", "-y", f"{folder}/{place}.mp4"]
            subprocess.run([program, "-v", "error", *where, *codec, *target], check=True)
        return len(SPANS)

    return timed(work)


def command(queries: str, output: str, *options: str) -> dict[str, Any]:
    """The whole command as a user types it, with its imports, in an empty output."""
    shutil.rmtree(output, ignore_errors=True)
    given = ["mine", f"--input={queries}", f"--output={output}", "--progress=none", *options]

    def work() -> int:
        subprocess.run([sys.executable, "-m", "clipscout", *given], check=True, capture_output=True)
        return 1

    return timed(work)


def library(name: str, video: str, fps: str) -> dict[str, Any]:
    """Samples at `fps`, 128x128 RGB, with a library that users would pick instead."""
    from benchmarks import rivals

    return timed(lambda: rivals.SAMPLERS[name](video, float(fps)))


def shots(video: str, folder: str) -> dict[str, Any]:
    """Shot boundaries by this project and by others, and where they disagree."""
    from benchmarks import shot_detectors

    return shot_detectors.compare(video, folder)


def bookkeeping(folder: str, videos: str, held: str) -> dict[str, Any]:
    """The real graph on records of so many videos without media; with the requests that a storage would have had."""
    from benchmarks import scale

    def work() -> int:
        found.update(scale.job_of(Path(folder), int(videos), int(held)))
        return int(videos)

    found: dict[str, Any] = {}
    return {**timed(work), **found}


def comparing(way: str, count: str, folder: str) -> dict[str, Any]:
    """All pairs of so many features, by the stage itself, by its core alone, or by another library."""
    from clipscout.pipeline.start import leave_torch_for_later

    leave_torch_for_later()
    from benchmarks import duplicates

    compare, number = getattr(duplicates, way), int(count)
    return timed(lambda: compare(Path(folder), number) if way == "transform" else compare(number))


def describing(folder: str, *clips: str) -> dict[str, Any]:
    """The stage itself on clips of ten seconds, with the model loaded before the clock starts."""
    import apache_beam as beam
    from apache_beam.runners.runner import create_runner

    from clipscout.pipeline.config import from_options
    from clipscout.pipeline.options import LOCAL_RUNNER
    from clipscout.transforms.core.classifiers import loading
    from clipscout.transforms.describing import DescribeClips
    from clipscout.transforms.flow import Flow
    from clipscout.transforms.records import CandidateSpan, Clip

    shutil.rmtree(folder, ignore_errors=True)
    describe = from_options({"input": "-", "output": folder, "duplicates": "drop"}).describe
    assert describe is not None
    loading.load(describe.load).try_out(1)
    span = CandidateSpan("file-a", "an action", 0.0, 10.0, 5.0, -1, 0.5, 1, "", 0.0)
    made = [Clip(span, str(Path(one).absolute()), 10.0, 250, 224, 224, False, f"sha256:{one}") for one in clips]

    def work() -> int:
        with beam.Pipeline(runner=create_runner(LOCAL_RUNNER)) as pipeline:
            _ = pipeline | beam.Create(made, reshuffle=False) | DescribeClips(folder, describe, Flow(streams=True))
        return len(clips)

    found = timed(work)
    assert len(list(Path(folder).glob("features/*/clips/*"))) == len(clips)
    return found


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
