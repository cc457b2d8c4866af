"""The report of a large output: how long it takes to write, how large it is, how fast it opens and answers."""

import json
import random
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from clipscout.transforms.core.report import page, written

_SPANS, _ACTIONS = 10_000, 7


class Pages:
    """The measurements; the method yields lines of the table as it goes."""

    def __init__(self, folder: Path, repeat: int) -> None:
        self.output, self.repeat = folder / "report_of_many", repeat

    def report(self) -> Iterator[str]:
        """A page of 10,000 spans: written, opened in chromium, searched, filtered, turned."""
        summary = self._manifests()
        seconds = _timed(lambda: written.write(str(self.output), summary), self.repeat)
        path = self.output / page.INDEX
        yield f"report of {_SPANS:,} spans: written in {seconds:.2f} s, {path.stat().st_size / 1e6:.1f} MB"
        from tests.browser import chromium_path, opening, running_chromium

        if chromium_path() is None:
            yield "chromium is not there: how fast the page opens was not measured"
            return
        with running_chromium() as browser, opening(browser) as opened:
            opens = [_opening(opened, path) for _ in range(self.repeat)]
            shown = opened(path).page
            shown.goto(f"{path.as_uri()}#/clips")
            shown.wait_for_selector(".card")
            search = shown.get_by_label("search", exact=True)
            found = shown.locator("[data-found]")
            began = time.monotonic()
            search.fill("key99")
            while found.get_attribute("data-found") == str(_SPANS):
                pass
            searched = time.monotonic() - began
            yield f"opens in {statistics.median(opens):.2f} s (2 aimed at), a search takes {searched:.2f} s"

    def _manifests(self) -> dict[str, Any]:
        chance = random.Random(0)
        self.output.mkdir(parents=True, exist_ok=True)
        text = "what a site calls its video " * 2
        with open(self.output / "spans.jsonl", "w") as spans, open(self.output / "videos.jsonl", "w") as videos:
            for number in range(_SPANS):
                action, key = f"action {number % _ACTIONS}", f"youtube-key{number:07}"
                clip = f"clips/action_{number % _ACTIONS}/{key}_1000_11000"
                times = {"start_seconds": 1.0, "end_seconds": 11.0, "peak_seconds": 6.0, "score": chance.random() ** 4}
                about = {"source": f"https://host/watch?v={key}", "title": text, "channel": "one", "licence": "CC-BY"}
                files = {"clip": f"{clip}.mp4", "poster": f"{clip}.jpg", "clip_flags": [], "rank": 1}
                row = {"id": f"id{number}", "action": action, "key": key, "asks": [], **times, **about, **files}
                spans.write(json.dumps(row) + "\n")
                best = {action: times["score"]}
                videos.write(json.dumps({"key": key, "outcome": "result", "spans": 1, "best_responses": best}) + "\n")
        numbers = {"rows": 1, "spans": -(-_SPANS // _ACTIONS), "clips": 0, "best": 1.0, "median": 0.1}
        actions = {f"action {number}": numbers for number in range(_ACTIONS)}
        return {"actions": actions, "funnel": {"spans": {"proposed": _SPANS}}, "failures": {}, "messages": {}}


def _opening(opened: Callable[[Path], Any], path: Path) -> float:
    """Returns how long it takes until the first clips are drawn."""
    began = time.monotonic()
    shown = opened(path).page
    shown.goto(f"{path.as_uri()}#/clips")
    shown.wait_for_selector(".card")
    return time.monotonic() - began


def _timed(work: Callable[[], object], repeat: int) -> float:
    taken = []
    for _ in range(repeat):
        began = time.monotonic()
        work()
        taken.append(time.monotonic() - began)
    return statistics.median(taken)
