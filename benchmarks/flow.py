"""How videos flow through a whole job: lanes against latency, fetching beside scoring, the first clip, small files."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks import downloaders, material
from benchmarks.processes import measure
from benchmarks.slow_site import Site

LATENCY_SECONDS = 0.3
FROM_THE_SITE = ("--allow_private_hosts=127.0.0.1", "--download_interval=0")
#: Files, and for the lanes of each the processes and threads of video2dataset that are as many.
RACES = {40: (1, 8), 160: (2, 16)}
SMALL_FILES = 400


class Flow:
    """The measurements; each method yields lines of its table as it goes."""

    def __init__(self, folder: Path, repeat: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.repeat = folder, repeat
        self.output = folder / "flow_out"

    @cached_property
    def costless(self) -> Path:
        """A classifier that costs nearly nothing."""
        return material.costless_classifier(self.folder)

    @cached_property
    def short(self) -> Path:
        """Two seconds at 144p."""
        return material.video(self.folder, "144p_2s", 256, 144, 15, 2)

    def job(self, spec: Path | str, queries: Path, videos: int, *options: str, repeat: int = 1) -> dict[str, Any]:
        """A job, of which all videos must have come through."""
        found = measure("pipeline", spec, queries, self.output, *options, repeat=repeat)
        rows = [json.loads(line) for line in (self.output / "videos.jsonl").read_text().splitlines()]
        done = sum(not row["code"] for row in rows)
        if done != videos:
            raise SystemExit(f"{done} of {videos} videos came through: {[row['code'] for row in rows if row['code']]}")
        return found

    def lanes(self) -> Iterator[str]:
        """Small files behind latency: how many are under way at once, how often each is asked, and the rate."""
        columns = "at once, fetching and job | requests per file | to the first | fetching | job | whole command"
        yield f"| files that answer after {LATENCY_SECONDS} s | lanes | {columns} |"
        yield "|---|---|---|---|---|---|---|---|"
        videos = material.variants(self.folder, self.short, max(RACES))
        with Site(videos[0].parent, LATENCY_SECONDS) as site:
            for count, (processes, threads) in RACES.items():
                urls = [f"{site.url}/{path.name}" for path in videos[:count]]
                rows = material.web_queries(self.folder, f"web_{count}", urls)
                rates = {}
                for lanes in (1, 8, 32):
                    line, rates[lanes] = self._race(site, rows, count, lanes)
                    yield line
                gains = ", ".join(f"{lanes} lanes {rates[lanes] / rates[1]:.1f}x" for lanes in (8, 32))
                yield f"| {count} | against one lane: | | | | {gains} | | |"
                yield self._rival(site, urls, processes, threads)

    def _race(self, site: Site, rows: Path, count: int, lanes: int) -> tuple[str, float]:
        """Returns a line of the table, and the rate of fetching."""
        options = (*FROM_THE_SITE, f"--download_lanes={lanes}")
        site.told()
        fetched = measure("fetching", self.costless, rows, self.output, *options)
        told = site.told()
        taken = fetched["last"] - told["first"]
        per_file = sum(told["requests"].values()) / count
        first = fetched["seconds"] - taken
        job = self.job(self.costless, rows, count, *options)
        most = f"{told['most']}, {site.told()['most']}"
        rates = f"{count / taken:.1f}/s | {count / job['seconds']:.1f}/s | {job['process_seconds']:.1f} s"
        return f"| {count} | {lanes} | {most} | {per_file:.2f} | {first:.1f} s | {rates} |", count / taken

    def _rival(self, site: Site, urls: list[str], processes: int, threads: int) -> str:
        """video2dataset with as many requests at once, its whole command."""
        name = f"video2dataset 1.3, {processes} x {threads} threads"
        python = downloaders.program(self.folder)
        count = len(urls)
        if python is None:
            seconds = downloaders.KNOWN_SECONDS[count, processes, threads]
            return f"| {count} | {name}, measured elsewhere | | | | | | {seconds} s |"
        site.told()
        try:
            seconds = downloaders.seconds(python, self.folder, urls, processes, threads)
        except RuntimeError as error:
            return f"| {count} | {name}: does not run here ({str(error).strip().splitlines()[-1][:80]}) | | | | | | |"
        told = site.told()
        per_file = sum(told["requests"].values()) / count
        return f"| {count} | {name} | {told['most']} | {per_file:.2f} | | | | {seconds:.1f} s |"

    def overlap(self) -> Iterator[str]:
        """Downloads that take as long as the scoring: both at once against the longer of the two."""
        count, lanes = 12, 2
        videos = material.variants(self.folder, material.video(self.folder, "144p_1min", 256, 144, 15, 60), count)
        options = (*FROM_THE_SITE, f"--download_lanes={lanes}")
        action = "mountain bike"
        local = material.queries(self.folder, "overlap_files", videos, action)
        scoring = self.job("lite0", local, count)["seconds"]
        with Site(videos[0].parent, file_seconds=scoring * lanes / count) as site:
            rows = material.web_queries(
                self.folder, "overlap_web", [f"{site.url}/{path.name}" for path in videos], action
            )
            fetching = measure("fetching", "lite0", rows, self.output, *options)["seconds"]
            both = self.job("lite0", rows, count, *options)["seconds"]
        longer = max(scoring, fetching)
        columns = "scoring alone | fetching alone | the job | against the longer"
        yield f"| {count} videos of a minute, lite0, {lanes} lanes | {columns} |"
        yield "|---|---|---|---|---|"
        yield f"| | {scoring:.1f} s | {fetching:.1f} s | {both:.1f} s | {both / longer:.2f}x |"

    def first_clip(self) -> Iterator[str]:
        """From the start of the command to the first clip; the job is stopped then."""
        count = 40
        videos = material.variants(self.folder, material.video(self.folder, "144p_4min", 256, 144, 15, 240), count)
        yield f"| {count} videos of 4 minutes, lite0 | first clip after | stopped within | exit status |"
        yield "|---|---|---|---|"
        action = "mountain bike"
        yield self._until_clip("files", material.queries(self.folder, "first_files", videos, action))
        with Site(videos[0].parent, LATENCY_SECONDS) as site:
            urls = [f"{site.url}/{path.name}" for path in videos]
            rows = material.web_queries(self.folder, "first_web", urls, action)
            yield self._until_clip(f"web, {LATENCY_SECONDS} s of latency", rows, *FROM_THE_SITE)

    def _until_clip(self, name: str, rows: Path, *options: str) -> str:
        shutil.rmtree(self.output, ignore_errors=True)
        command = [sys.executable, "-m", "pipeline", f"--input={rows}", f"--output={self.output}", *options]
        start = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while not any((self.output / "clips").rglob("*.mp4")):
                if process.poll() is not None:
                    raise SystemExit(f"the job ended with {process.returncode} before the first clip")
                time.sleep(0.05)
            found = time.monotonic()
            process.terminate()  # as Ctrl-C does it, which a background job may be told to ignore
            status = process.wait()
        return f"| {name} | {found - start:.1f} s | {time.monotonic() - found:.1f} s | {status} |"

    def small_files(self) -> Iterator[str]:
        """What a video costs besides its frames: two seconds each, and a classifier that costs nearly nothing."""
        videos = material.variants(self.folder, self.short, SMALL_FILES)
        rows = material.queries(self.folder, f"small_{SMALL_FILES}", videos)
        one = material.queries(self.folder, "small_1", videos[:1])
        columns = "start of a job | a video, net of start | processor time of a video"
        yield f"| {SMALL_FILES} files of two seconds | {columns} |"
        yield "|---|---|---|---|"
        ways = {
            "the whole job": ("--cut=exact",),
            "without posters": ("--cut=exact", "--posters=false"),
            "clips copied, not encoded": ("--cut=copy",),
            "without clips": ("--cut=none",),
        }
        for name, options in ways.items():
            start = self.job(self.costless, one, 1, *options, repeat=self.repeat)
            job = self.job(self.costless, rows, SMALL_FILES, *options)
            wall, cpu = ((job[what] - start[what]) / SMALL_FILES * 1000 for what in ("seconds", "cpu"))
            yield f"| {name} | {start['seconds']:.1f} s | {wall:.1f} ms | {cpu:.1f} ms |"
            if name == "the whole job":
                names = ("fetch-msec", "decode-wait-msec", "decode-msec", "inference-msec")
                parts = "; ".join(f"{part} {job['msec'].get(part, 0) / SMALL_FILES:.1f}" for part in names)
        yield f"of the whole job, per video: {parts}"
