"""The demo: real footage that packages ship, real ImageNet weights, from three query rows to candidate clips.

`python -m demo.run_demo OUTPUT`. Three actions are asked of all videos: of an untrimmed one, which is put together from
several scenes first, so that the place of each action is known, and of separate ones, some of which show none of them.
The job runs exactly as a user would run it; then every span is held against what is known.
"""

import csv
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av

from clipscout.pipeline.run import main
from demo import assemble, footage, picture
from demo.scenes import ACTIONS, MIN_SCORE, PLACES, SCENES, UNTRIMMED

WIDTH, HEIGHT = 480, 360
_LOOK = "every clip should show its action; dancer, jumper, cartoon and driver show none, and should have no clip"
SETTINGS = ("--classifier", "lite0", "--min_score", str(MIN_SCORE))


def prepare(folder: Path) -> Path:
    """Puts videos and queries into `folder`; returns the query file."""
    videos = folder / "videos_in"
    videos.mkdir(parents=True, exist_ok=True)
    paths = footage.paths()
    for name, path in paths.items():
        shutil.copyfile(path, videos / name)
    assemble.write(videos / UNTRIMMED, _untrimmed_frames(paths), WIDTH, HEIGHT)
    queries = folder / "queries.csv"
    with queries.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("action", "path", "classes"))
        for action, labels in ACTIONS.items():
            writer.writerow((action, videos.resolve() / "*", ";".join(labels)))
    return queries


def _untrimmed_frames(paths: dict[str, Path]) -> Iterator[av.VideoFrame]:
    for scene in SCENES:
        frames = assemble.scene_frames(paths[scene.name], scene.seconds, assemble.RATE, scene.from_seconds)
        for frame in frames:
            yield assemble.covering(frame, WIDTH, HEIGHT)


def run(folder: Path) -> int:
    """Runs the demo, says what came out and what of it is right, and where to look."""
    queries = prepare(folder)
    print(f"queries    {queries}: three actions, each asked of {len(footage.FOOTAGE) + 1} videos")
    output = folder / "results"
    status = main(["--input", str(queries), "--output", str(output), *SETTINGS])
    if status == 0:
        spans = [json.loads(line) for line in (output / "spans.jsonl").read_text().splitlines()]
        print("", *_findings(spans), sep="\n")
        drawing = folder / "response.svg"
        drawing.write_text(picture.of_untrimmed(folder, spans))
        print(f"picture    {drawing}: the untrimmed video, the three responses over it, and the spans")
        print(f"look at    {_report(output)}: {_LOOK}")
    return status


def _findings(spans: list[dict[str, Any]]) -> Iterator[str]:
    """Yields a line for each span, and how many are where they should be."""
    for span in spans:
        where = f"{span['start_seconds']:6.2f} - {span['end_seconds']:6.2f} s  score {span['score']:.2f}"
        right = "right" if any(place.has(span) for place in PLACES) else "WRONG"
        yield f"{right}      {span['action']:<19}{where}  {Path(span['source']).name}"
    right = sum(any(place.has(span) for place in PLACES) for span in spans)
    yield f"spans      {right} of {len(spans)} lie where their action is to be seen"
    missed = [place for place in PLACES if not any(place.has(span) for span in spans)]
    found = len(PLACES) - len(missed)
    yield f"places     {found} of {len(PLACES)} scenes and videos that show an action have a span"
    for place in missed:
        yield f"missed     {place.action} in {place.name}, from {place.start_seconds} s on"


def _report(output: Path) -> Path:
    """Returns what a person should open: the job's report, or where there is none the clips."""
    report = output / "report" / "index.html"
    return report if report.is_file() else output / "clips"


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1])))
